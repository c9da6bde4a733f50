# The library that applications link, and the part of it that the bridge uses too.

noinst_LTLIBRARIES += libp2pbus-client.la
libp2pbus_client_la_SOURCES = \
	%D%/admin.c \
	%D%/announcement.c \
	%D%/announcement.h \
	%D%/answer-part.c \
	%D%/answer-part.h \
	%D%/attachment.c \
	%D%/attachment.h \
	%D%/balance.c \
	%D%/balance.h \
	%D%/bell.c \
	%D%/bell.h \
	%D%/block-pool.c \
	%D%/block-pool.h \
	%D%/borrow.c \
	%D%/bus.c \
	%D%/bus.h \
	%D%/congestion.c \
	%D%/congestion.h \
	%D%/connection.c \
	%D%/connection.h \
	%D%/daemon.c \
	%D%/daemon.h \
	%D%/drain.c \
	%D%/drain.h \
	%D%/fan-out.c \
	%D%/fan-out.h \
	%D%/flight.c \
	%D%/flight.h \
	%D%/grant.c \
	%D%/introduction.c \
	%D%/introduction.h \
	%D%/key-file.c \
	%D%/key-file.h \
	%D%/known-peers.c \
	%D%/known-peers.h \
	%D%/loan.c \
	%D%/loan.h \
	%D%/loop.c \
	%D%/loop.h \
	%D%/loopback.c \
	%D%/message-records.c \
	%D%/message-records.h \
	%D%/message.c \
	%D%/message.h \
	%D%/monitor.c \
	%D%/monitor.h \
	%D%/network-rules.c \
	%D%/network-rules.h \
	%D%/own-name.c \
	%D%/own-name.h \
	%D%/outcome.c \
	%D%/path-ring.c \
	%D%/path-ring.h \
	%D%/path.c \
	%D%/path.h \
	%D%/peer.c \
	%D%/peer.h \
	%D%/ping.c \
	%D%/ping.h \
	%D%/provider-set.c \
	%D%/provider-set.h \
	%D%/provider-watch.c \
	%D%/provider-watch.h \
	%D%/public-message.c \
	%D%/ranges.c \
	%D%/ranges.h \
	%D%/reason.c \
	%D%/reason.h \
	%D%/receive.c \
	%D%/receive.h \
	%D%/records.c \
	%D%/reorder.c \
	%D%/reorder.h \
	%D%/remote-reader.c \
	%D%/remote-reader.h \
	%D%/remote-writer.c \
	%D%/remote-writer.h \
	%D%/report.c \
	%D%/report.h \
	%D%/request.c \
	%D%/request.h \
	%D%/reservation.c \
	%D%/reservation.h \
	%D%/sealed.c \
	%D%/rights.c \
	%D%/rights.h \
	%D%/round-trip.c \
	%D%/round-trip.h \
	%D%/send.c \
	%D%/send.h \
	%D%/service.c \
	%D%/service.h \
	%D%/session.c \
	%D%/session.h \
	%D%/session-in.c \
	%D%/session-in.h \
	%D%/session-out-heard.c \
	%D%/session-out-next.c \
	%D%/session-out.c \
	%D%/session-out.h \
	%D%/session-heard.c \
	%D%/session-packet.c \
	%D%/session-probe.c \
	%D%/session-probe.h \
	%D%/session-state.h \
	%D%/tap.c \
	%D%/tap.h \
	%D%/timer.c \
	%D%/timer.h \
	%D%/topic-remote.c \
	%D%/topic-remote.h \
	%D%/topic.c \
	%D%/topic.h \
	%D%/whereabouts.c \
	$(NULL)

lib_LTLIBRARIES += libp2pbus.la
libp2pbus_la_SOURCES =
libp2pbus_la_LIBADD = libp2pbus-client.la libp2pbus-secure.la libp2pbus-core.la $(SODIUM_LIBS)
libp2pbus_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined -pthread \
	-Wl,--version-script=$(srcdir)/%D%/libp2pbus.sym
EXTRA_libp2pbus_la_DEPENDENCIES = %D%/libp2pbus.sym
EXTRA_DIST += %D%/libp2pbus.sym

include_HEADERS += %D%/p2pbus.h %D%/p2pbus-sd-event.h
pkgconfigdir = $(libdir)/pkgconfig
nodist_pkgconfig_DATA = %D%/libp2pbus.pc
