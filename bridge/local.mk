# p2pbus-bridge: carries sealed packets between the bus of this host and relays.

noinst_LTLIBRARIES += libp2pbus-bridge.la
libp2pbus_bridge_la_SOURCES = \
	%D%/backoff.c \
	%D%/backoff.h \
	%D%/barrier.c \
	%D%/batch.c \
	%D%/batch.h \
	%D%/forward.c \
	%D%/forward.h \
	%D%/forward-state.h \
	%D%/gateway.c \
	%D%/gateway.h \
	%D%/handshake.c \
	%D%/heartbeat.c \
	%D%/heartbeat.h \
	%D%/known-relays.c \
	%D%/known-relays.h \
	%D%/leases.c \
	%D%/leases.h \
	%D%/lookups.c \
	%D%/lookups.h \
	%D%/manager.c \
	%D%/manager.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/parcel.c \
	%D%/parcel.h \
	%D%/presence.c \
	%D%/presence.h \
	%D%/questions.c \
	%D%/registrations.c \
	%D%/relay-lists.c \
	%D%/relay-lists.h \
	%D%/routes.c \
	%D%/routes.h \
	%D%/services.c \
	%D%/services.h \
	%D%/settings.c \
	%D%/settings.h \
	%D%/suspend.c \
	%D%/suspend.h \
	%D%/transport-ws.c \
	%D%/transport-ws.h \
	%D%/transport.h \
	%D%/uplink-private.h \
	%D%/uplink.c \
	%D%/uplink.h \
	%D%/wants.c \
	%D%/wants.h \
	$(NULL)
libp2pbus_bridge_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-DSYSCONFDIR='"$(sysconfdir)"' -DLOCALSTATEDIR='"$(localstatedir)"'
libp2pbus_bridge_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)

bin_PROGRAMS += p2pbus-bridge
p2pbus_bridge_SOURCES = %D%/main.c
p2pbus_bridge_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
p2pbus_bridge_LDADD = \
	libp2pbus-bridge.la \
	libp2pbus-ws.la \
	libp2pbus-client.la \
	libp2pbus-secure.la \
	libp2pbus-conf.la \
	libp2pbus-core.la \
	$(SYSTEMD_LIBS)

dist_p2pbusconf_DATA += %D%/bridge.conf
