# Bytes in, values out: no loop, no sockets of its own, no policy.

noinst_LTLIBRARIES += libp2pbus-core.la
libp2pbus_core_la_SOURCES = \
	%D%/buf.h \
	%D%/control.c \
	%D%/control.h \
	%D%/err.h \
	%D%/name.c \
	%D%/name.h \
	%D%/packet.c \
	%D%/packet.h \
	%D%/pid.c \
	%D%/pid.h \
	%D%/provider.c \
	%D%/provider.h \
	%D%/record.c \
	%D%/record.h \
	%D%/report.c \
	%D%/report.h \
	%D%/ring-abi.h \
	%D%/ring-file.c \
	%D%/ring-file.h \
	%D%/ring.c \
	%D%/ring.h \
	%D%/stream.c \
	%D%/stream.h \
	%D%/stream-socket.c \
	%D%/stream-socket.h \
	%D%/topic-tree.c \
	%D%/topic-tree.h \
	%D%/topic.c \
	%D%/topic.h \
	%D%/util.h \
	$(NULL)

# What daemons need and the library does not.
noinst_LTLIBRARIES += libp2pbus-conf.la
libp2pbus_conf_la_SOURCES = \
	%D%/conf-write.c \
	%D%/conf.c \
	%D%/conf.h \
	%D%/fair-queue.c \
	%D%/fair-queue.h \
	%D%/log.c \
	%D%/log.h \
	%D%/patience.h \
	%D%/program.c \
	%D%/program.h \
	%D%/url.c \
	%D%/url.h \
	%D%/wants.c \
	%D%/wants.h \
	$(NULL)
libp2pbus_conf_la_CFLAGS = $(AM_CFLAGS) $(INIH_CFLAGS)
libp2pbus_conf_la_LIBADD = $(INIH_LIBS)
