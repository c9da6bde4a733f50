# Benches: run by hand or by `make bench`, never a test.

EXTRA_PROGRAMS = bench/measure bench/router bench/forwarder

bench_measure_SOURCES = \
	%D%/accounts.c \
	%D%/connection.c \
	%D%/connection.h \
	%D%/many.c \
	%D%/measure.c \
	%D%/measure.h \
	%D%/pair.c \
	%D%/router.h \
	%D%/system-dbus.c \
	%D%/system-lws.c \
	%D%/system-nats.c \
	%D%/system-p2pbus.c \
	%D%/system-redis.c \
	%D%/system-relay.c \
	%D%/system-router.c \
	%D%/system.c \
	%D%/system.h \
	%D%/websocket.c \
	%D%/websocket.h \
	$(NULL)
bench_measure_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
bench_measure_LDADD = libp2pbus.la libp2pbus-secure.la libp2pbus-core.la $(SYSTEMD_LIBS)

bench_router_SOURCES = %D%/router.c %D%/router.h

bench_forwarder_SOURCES = %D%/forwarder.c %D%/router.h
bench_forwarder_CFLAGS = $(AM_CFLAGS) $(LWS_CFLAGS)
bench_forwarder_LDADD = $(LWS_LIBS)

EXTRA_DIST += %D%/RESULTS.md %D%/run %D%/table.awk
CLEANFILES += bench/measure bench/router bench/forwarder

.PHONY: bench
bench: all bench/measure bench/router bench/forwarder
	$(AM_V_at)top_builddir='$(abs_top_builddir)' $(srcdir)/%D%/run
