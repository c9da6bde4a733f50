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
	%D%/grant.c \
	%D%/grant.h \
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

tool_libs = libp2pbus-tools.la libp2pbus.la
# libcall/p2pbus-call.h includes <p2pbus.h> and <jansson.h>, as installed.
call_cppflags = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient $(JANSSON_CFLAGS)

bin_PROGRAMS += p2pbus-send
p2pbus_send_SOURCES = \
	%D%/all.c \
	%D%/all.h \
	%D%/error-reply.c \
	%D%/error-reply.h \
	%D%/outgoing.c \
	%D%/outgoing.h \
	%D%/send.c \
	%D%/send-options.c \
	%D%/send-options.h \
	$(NULL)
p2pbus_send_CPPFLAGS = $(call_cppflags)
p2pbus_send_LDADD = $(tool_libs) libp2pbus-call.la

bin_PROGRAMS += p2pbus-recv
p2pbus_recv_SOURCES = \
	%D%/recv.c \
	%D%/recv-options.c \
	%D%/recv-options.h \
	$(NULL)
p2pbus_recv_CPPFLAGS = $(call_cppflags)
p2pbus_recv_LDADD = $(tool_libs) libp2pbus-call.la

bin_PROGRAMS += p2pbus-monitor
p2pbus_monitor_SOURCES = %D%/monitor.c
p2pbus_monitor_LDADD = $(tool_libs)

bin_PROGRAMS += p2pbusctl
p2pbusctl_SOURCES = \
	%D%/ctl-id.c \
	%D%/ctl-keygen.c \
	%D%/ctl-list.c \
	%D%/ctl-metrics.c \
	%D%/ctl-audit.c \
	%D%/ctl-call.c \
	%D%/ctl-forget.c \
	%D%/ctl-peers.c \
	%D%/ctl-watch.c \
	%D%/ctl-ping.c \
	%D%/ctl-policy.c \
	%D%/ctl-realm.c \
	%D%/ctl-reload.c \
	%D%/ctl-resolve.c \
	%D%/ctl-services.c \
	%D%/ctl-show-config.c \
	%D%/ctl-status.c \
	%D%/ctl-top.c \
	%D%/ctl.c \
	%D%/ctl.h \
	%D%/error-reply.c \
	%D%/error-reply.h \
	$(NULL)
p2pbusctl_CPPFLAGS = $(call_cppflags)
p2pbusctl_LDADD = $(tool_libs) libp2pbus-call.la

dist_bashcompletion_DATA = \
	%D%/completion/p2pbus-monitor \
	%D%/completion/p2pbus-recv \
	%D%/completion/p2pbus-send \
	%D%/completion/p2pbusctl \
	$(NULL)

dist_man_MANS += \
	man/p2pbus-monitor.1 \
	man/p2pbus-recv.1 \
	man/p2pbus-send.1 \
	man/p2pbusctl.1 \
	$(NULL)
