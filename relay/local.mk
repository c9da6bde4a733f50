# p2pbus-relay: passes sealed packets from bridge to bridge.

noinst_LTLIBRARIES += libp2pbus-relay.la
libp2pbus_relay_la_SOURCES = \
	%D%/counters.c \
	%D%/counters.h \
	%D%/directory-embedded.c \
	%D%/directory.h \
	%D%/forward.c \
	%D%/forward.h \
	%D%/handshake.c \
	%D%/http.c \
	%D%/http.h \
	%D%/limits.c \
	%D%/limits.h \
	%D%/link-private.h \
	%D%/link.c \
	%D%/link.h \
	%D%/manager.c \
	%D%/manager.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/self.c \
	%D%/self.h \
	%D%/service-words.c \
	%D%/service-words.h \
	%D%/services.c \
	%D%/services.h \
	%D%/settings.c \
	%D%/settings.h \
	%D%/tombs.c \
	%D%/tombs.h \
	%D%/wants.c \
	%D%/wants.h \
	%D%/words.c \
	$(NULL)
libp2pbus_relay_la_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE \
	-DSYSCONFDIR='"$(sysconfdir)"' -DLOCALSTATEDIR='"$(localstatedir)"'
libp2pbus_relay_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)

bin_PROGRAMS += p2pbus-relay
p2pbus_relay_SOURCES = %D%/main.c
p2pbus_relay_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
p2pbus_relay_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
p2pbus_relay_LDADD = \
	libp2pbus-relay.la \
	libp2pbus-ws.la \
	libp2pbus-secure.la \
	libp2pbus-conf.la \
	libp2pbus-core.la \
	$(SYSTEMD_LIBS)

dist_p2pbusconf_DATA += %D%/relay.conf
