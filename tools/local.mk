# The shell tools: they know the library's public header and nothing else of the tree.

noinst_LTLIBRARIES += libp2pbus-tools.la
libp2pbus_tools_la_SOURCES = \
	%D%/argument.c \
	%D%/argument.h \
	%D%/common.c \
	%D%/common.h \
	%D%/connection.c \
	%D%/connection.h \
	%D%/format.c \
	%D%/format.h \
	%D%/input.c \
	%D%/input.h \
	%D%/job.c \
	%D%/job.h \
	%D%/json.c \
	%D%/json.h \
	%D%/names.c \
	%D%/names.h \
	%D%/options.c \
	%D%/options.h \
	%D%/output.c \
	%D%/output.h \
	%D%/progress.c \
	%D%/progress.h \
	%D%/quote.c \
	%D%/quote.h \
	%D%/table.c \
	%D%/table.h \
	$(NULL)
libp2pbus_tools_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libp2pbus_tools_la_LIBADD = $(JANSSON_LIBS)
