# The library that applications link, and the part of it that the bridge uses too.

noinst_LTLIBRARIES += libp2pbus-client.la
libp2pbus_client_la_SOURCES = \
	%D%/connection.c \
	%D%/connection.h \
	%D%/message.h \
	%D%/session.h \
	$(NULL)

include_HEADERS += %D%/p2pbus.h
