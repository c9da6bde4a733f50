# Calls in JSON, on top of the public library: what libp2pbus keeps free of a JSON library.

noinst_LTLIBRARIES += libp2pbus-calls.la
libp2pbus_calls_la_SOURCES = \
	%D%/answer.c \
	%D%/caller.c \
	%D%/envelope.c \
	%D%/envelope.h \
	%D%/latency.c \
	%D%/latency.h \
	%D%/own-methods.c \
	%D%/provider.c \
	%D%/provider.h \
	%D%/status.c \
	$(NULL)
# p2pbus-call.h includes <p2pbus.h>, as installed.
libp2pbus_calls_la_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient
libp2pbus_calls_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)

lib_LTLIBRARIES += libp2pbus-call.la
libp2pbus_call_la_SOURCES =
libp2pbus_call_la_LIBADD = libp2pbus-calls.la libp2pbus.la $(JANSSON_LIBS)
libp2pbus_call_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(srcdir)/%D%/libp2pbus-call.sym
EXTRA_libp2pbus_call_la_DEPENDENCIES = %D%/libp2pbus-call.sym
EXTRA_DIST += %D%/libp2pbus-call.sym

include_HEADERS += %D%/p2pbus-call.h
nodist_pkgconfig_DATA += %D%/libp2pbus-call.pc
