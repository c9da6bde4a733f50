# p2pbus-procbridge: between programs that speak ProcBridge and the services of the bus.

noinst_LTLIBRARIES += libp2pbus-procbridge.la
libp2pbus_procbridge_la_SOURCES = \
	%D%/body.c \
	%D%/body.h \
	%D%/budget.h \
	%D%/calls.c \
	%D%/calls.h \
	%D%/client.c \
	%D%/client.h \
	%D%/endpoint.c \
	%D%/endpoint.h \
	%D%/exchange.c \
	%D%/exchange.h \
	%D%/json-text.c \
	%D%/json-text.h \
	%D%/listener.c \
	%D%/listener.h \
	%D%/manager.c \
	%D%/manager.h \
	%D%/packet.c \
	%D%/packet.h \
	%D%/peers.c \
	%D%/peers.h \
	%D%/service.c \
	%D%/service.h \
	%D%/settings.c \
	%D%/settings.h \
	%D%/text.c \
	%D%/text.h \
	%D%/transfer.c \
	%D%/transfer.h \
	$(NULL)
# p2pbus-sd-event.h includes <p2pbus.h>, as installed; libcall/p2pbus-call.h that and <jansson.h>.
libp2pbus_procbridge_la_CPPFLAGS = $(call_cppflags)
libp2pbus_procbridge_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)

bin_PROGRAMS += p2pbus-procbridge
p2pbus_procbridge_SOURCES = %D%/main.c
p2pbus_procbridge_CPPFLAGS = $(call_cppflags)
p2pbus_procbridge_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
p2pbus_procbridge_LDADD = \
	libp2pbus-procbridge.la \
	libp2pbus-conf.la \
	libp2pbus-core.la \
	libp2pbus-call.la \
	libp2pbus.la \
	$(JANSSON_LIBS) \
	$(SYSTEMD_LIBS)

dist_bashcompletion_DATA += tools/completion/p2pbus-procbridge
dist_man_MANS += man/p2pbus-procbridge.1
