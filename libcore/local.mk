# Bytes in, values out: no loop, no sockets of its own, no policy.

noinst_LTLIBRARIES += libp2pbus-core.la
libp2pbus_core_la_SOURCES = \
	%D%/buf.h \
	%D%/control.c \
	%D%/control.h \
	%D%/err.h \
	%D%/packet.c \
	%D%/packet.h \
	%D%/pid.c \
	%D%/pid.h \
	%D%/record.c \
	%D%/record.h \
	%D%/util.h \
	$(NULL)
