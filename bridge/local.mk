# p2pbus-bridge: carries sealed packets between the daemon of this host and relays.

noinst_LTLIBRARIES += libp2pbus-bridge.la
libp2pbus_bridge_la_SOURCES = \
	%D%/backoff.c \
	%D%/backoff.h \
	%D%/heartbeat.c \
	%D%/heartbeat.h \
	%D%/lookups.c \
	%D%/lookups.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/parcel.c \
	%D%/parcel.h \
	%D%/routes.c \
	%D%/routes.h \
	$(NULL)
