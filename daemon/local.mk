# p2pbusd. All but main.c is a library, so that tests can have its objects one by one.

noinst_LTLIBRARIES += libp2pbus-daemon.la
libp2pbus_daemon_la_SOURCES = \
	%D%/admission.c \
	%D%/admission.h \
	%D%/barrier.c \
	%D%/barrier.h \
	%D%/builtin-policies.c \
	%D%/credentials.c \
	%D%/credentials.h \
	%D%/explanation.c \
	%D%/explanation.h \
	%D%/gateway.c \
	%D%/gateway.h \
	%D%/introduction.c \
	%D%/introduction.h \
	%D%/lease.c \
	%D%/lease.h \
	%D%/listener.c \
	%D%/listener.h \
	%D%/manager.c \
	%D%/manager.h \
	%D%/metrics.c \
	%D%/metrics.h \
	%D%/monitor.c \
	%D%/monitor.h \
	%D%/name-trust.c \
	%D%/name-trust.h \
	%D%/name-watches.c \
	%D%/name-watches.h \
	%D%/names.c \
	%D%/names.h \
	%D%/outbox.c \
	%D%/outbox.h \
	%D%/own-services.c \
	%D%/own-services.h \
	%D%/peer.c \
	%D%/peer.h \
	%D%/policy.c \
	%D%/policy.h \
	%D%/policy-answer.c \
	%D%/policy-answer.h \
	%D%/policy-book.c \
	%D%/policy-book.h \
	%D%/policy-folder.c \
	%D%/policy-folder.h \
	%D%/policy-term.c \
	%D%/policy-term.h \
	%D%/query.c \
	%D%/query.h \
	%D%/quota.c \
	%D%/quota.h \
	%D%/registry.c \
	%D%/registry.h \
	%D%/remote-names.c \
	%D%/remote-names.h \
	%D%/rights.c \
	%D%/rights.h \
	%D%/rings.c \
	%D%/rings.h \
	%D%/route.c \
	%D%/route.h \
	%D%/settings.c \
	%D%/settings.h \
	%D%/subject.c \
	%D%/subject.h \
	%D%/survey.c \
	%D%/survey.h \
	%D%/topic-frame.c \
	%D%/topic-frame.h \
	%D%/topics.c \
	%D%/topics.h \
	%D%/wants.c \
	%D%/wants.h \
	%D%/words.c \
	%D%/words.h \
	$(NULL)
libp2pbus_daemon_la_CPPFLAGS = $(AM_CPPFLAGS) \
	-DP2PBUS_SYSCONFDIR='"$(sysconfdir)"' \
	-DP2PBUS_LOCALSTATEDIR='"$(localstatedir)"' \
	-DP2PBUS_POLICYDIR='"$(policydir)"'
libp2pbus_daemon_la_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
libp2pbus_daemon_la_LIBADD = \
	libp2pbus-conf.la \
	libp2pbus-secure.la \
	libp2pbus-core.la \
	$(SYSTEMD_LIBS)

bin_PROGRAMS += p2pbusd
p2pbusd_SOURCES = %D%/main.c
p2pbusd_CFLAGS = $(AM_CFLAGS) $(SYSTEMD_CFLAGS)
p2pbusd_LDADD = libp2pbus-daemon.la

p2pbusconfdir = $(sysconfdir)/p2pbus
dist_p2pbusconf_DATA = %D%/p2pbusd.conf

# The policies that hold without any file: installed to be read, and compiled in from the same files.
policydir = $(prefix)/lib/p2pbus/policy.d
dist_policy_DATA = \
	%D%/policy.d/00-default.policy \
	%D%/policy.d/10-root.policy \
	%D%/policy.d/20-bridge.policy \
	%D%/policy.d/30-net.policy \
	%D%/policy.d/40-owner.policy \
	$(NULL)

BUILT_SOURCES += %D%/builtin-policies.inc
CLEANFILES += %D%/builtin-policies.inc
%D%/builtin-policies.inc: $(dist_policy_DATA)
	$(AM_V_GEN)$(MKDIR_P) %D% && for f in $(dist_policy_DATA); do \
	  case $$f in /*) ;; *) test -f "$$f" || f=$(srcdir)/$$f ;; esac; \
	  printf '{ "%s",\n' "$${f##*/}"; \
	  sed 's/[\\"]/\\&/g; s/^/"/; s/$$/\\n"/' "$$f"; echo '},'; \
	done >$@.tmp && mv $@.tmp $@
