# The only folder that knows libwebsockets and libuv, and why OpenSSL refuses a certificate.

noinst_LTLIBRARIES += libp2pbus-ws.la
libp2pbus_ws_la_SOURCES = \
	%D%/loop.c \
	%D%/loop.h \
	%D%/progress.c \
	%D%/progress.h \
	%D%/resolve.c \
	%D%/resolve.h \
	%D%/ws-client.c \
	%D%/ws-listen.c \
	%D%/ws-private.h \
	%D%/ws.c \
	%D%/ws.h \
	$(NULL)
libp2pbus_ws_la_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
libp2pbus_ws_la_CFLAGS = $(AM_CFLAGS) $(LWS_CFLAGS) $(SYSTEMD_CFLAGS) -pthread
libp2pbus_ws_la_LIBADD = libp2pbus-core.la $(LWS_LIBS) $(SYSTEMD_LIBS) -lpthread
