# The library that applications link, and the part of it that the bridge uses too.

noinst_LTLIBRARIES += libp2pbus-client.la
libp2pbus_client_la_SOURCES = \
	%D%/connection.c \
	%D%/connection.h \
	%D%/message.c \
	%D%/message.h \
	%D%/session-in.c \
	%D%/session-in.h \
	%D%/session-out.c \
	%D%/session-out.h \
	%D%/session.c \
	%D%/session.h \
	$(NULL)

include_HEADERS += %D%/p2pbus.h
