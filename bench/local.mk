# Benches: run by hand or by `make bench`, never a test.
#
# What is measured is bench/measure.c's business, which systems beside each other a script's: one
# for each target here. Comparisons take ROUNDS, as in `make bench-daemon ROUNDS=2`.

EXTRA_PROGRAMS = bench/balance bench/measure bench/router bench/forwarder

bench_balance_SOURCES = %D%/balance.c
bench_balance_LDADD = libp2pbus.la

bench_measure_SOURCES = \
	%D%/accounts.c \
	%D%/connection.c \
	%D%/connection.h \
	%D%/many.c \
	%D%/measure.c \
	%D%/measure.h \
	%D%/pair.c \
	%D%/pair.h \
	%D%/router.h \
	%D%/stream.c \
	%D%/system-dbus.c \
	%D%/system-limit.c \
	%D%/system-lws.c \
	%D%/system-mqtt.c \
	%D%/system-nats.c \
	%D%/system-p2pbus.c \
	%D%/system-redis.c \
	%D%/system-relay.c \
	%D%/system-router.c \
	%D%/system.c \
	%D%/system.h \
	%D%/topic.c \
	%D%/websocket.c \
	%D%/websocket.h \
	$(NULL)
bench_measure_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS) $(ZMQ_CFLAGS) $(ICEORYX_CFLAGS)
bench_measure_LDADD = libp2pbus.la libp2pbus-secure.la libp2pbus-core.la $(SYSTEMD_LIBS) \
	$(ZMQ_LIBS) $(ICEORYX_LIBS)
# What configure did not find is left out.
if HAVE_ZMQ
bench_measure_SOURCES += %D%/system-zeromq.c
else
EXTRA_DIST += %D%/system-zeromq.c
endif
if HAVE_ICEORYX
bench_measure_SOURCES += %D%/system-iceoryx.c
else
EXTRA_DIST += %D%/system-iceoryx.c
endif

bench_router_SOURCES = %D%/router.c %D%/router.h

bench_forwarder_SOURCES = %D%/forwarder.c %D%/router.h
bench_forwarder_CFLAGS = $(AM_CFLAGS) $(LWS_CFLAGS)
bench_forwarder_LDADD = $(LWS_LIBS)

bench_programs = bench/balance bench/measure bench/router bench/forwarder
CLEANFILES += $(bench_programs)

EXTRA_DIST += \
	%D%/RESULTS.md \
	%D%/against \
	%D%/experiments \
	%D%/experiments.awk \
	%D%/lib.sh \
	%D%/lines.awk \
	%D%/median.awk \
	%D%/net.sh \
	%D%/plot.awk \
	%D%/run-balance \
	%D%/run-daemon \
	%D%/run-instructions \
	%D%/run-relay \
	%D%/run-rings \
	%D%/run-topics \
	%D%/table.awk \
	$(NULL)

# bench-NAME runs bench/run-NAME. What `make bench` runs, one after the other, is this list; a
# further comparison is a word here and below, and a script.
bench_all = bench-daemon bench-rings bench-relay bench-balance bench-topics

.PHONY: bench bench-against bench-balance bench-daemon bench-experiments bench-instructions bench-relay bench-rings bench-topics
bench: all $(bench_programs)
	$(AM_V_at)for t in $(bench_all); do $(MAKE) $(AM_MAKEFLAGS) $$t || exit; done
bench-balance bench-daemon bench-instructions bench-relay bench-rings bench-topics: all $(bench_programs)
	$(AM_V_at)t='$@'; top_builddir='$(abs_top_builddir)' ROUNDS='$(ROUNDS)' \
	  $(srcdir)/%D%/run-$${t#bench-}

# With a commit: make bench-against COMMIT=HEAD~1
bench-against: all bench/measure
	$(AM_V_at)top_builddir='$(abs_top_builddir)' ROUNDS='$(ROUNDS)' $(srcdir)/%D%/against '$(COMMIT)'

# The experiments are no comparison: EXPERIMENTS='--quick faults' are their arguments.
bench-experiments: all bench/measure tests/vwire
	$(AM_V_at)top_builddir='$(abs_top_builddir)' $(srcdir)/%D%/experiments $(EXPERIMENTS)
