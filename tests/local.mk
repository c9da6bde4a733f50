# Tests: Check programs, fuzz targets, shell scenarios; all of them speak TAP.
#
# A Check program is tests/check_X.c with a check_suite() (tests/main.h) and three lines here:
#
#     unit_tests += %D%/check_X
#     %C%_check_X_CFLAGS = $(unit_cflags)
#     %C%_check_X_LDADD = $(unit_libs) libp2pbus-core.la
#
# A fuzz target is tests/fuzz/fuzz_X.c (tests/fuzz/fuzz.h), files in tests/fuzz/corpus/X/, and the
# same with fuzz_tests, %C%_fuzz_fuzz_X_LDADD = $(fuzz_libs) ...; `make check` replays the corpus.
#
# A shell scenario is tests/NN-what-it-shows.sh, executable, and `shell_tests += %D%/NN-...`. It
# finds $top_srcdir and $top_builddir (absolute) in its environment, as every test does; programs
# are $top_builddir/p2pbusd and so on, also first in its PATH.

# What mostly waits, for half a minute or so, goes into long_unit_tests or long_shell_tests instead:
# these begin first, and the others run meanwhile.

unit_tests =
long_unit_tests =
fuzz_tests =
shell_tests =
long_shell_tests =

LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
SH_LOG_DRIVER = $(LOG_DRIVER)
TEST_EXTENSIONS = .sh
# Check's time-out of 4 s a test is for idle machines; ours only ends what hangs.
AM_TESTS_ENVIRONMENT = \
	CK_VERBOSITY=silent; export CK_VERBOSITY; \
	CK_TAP_LOG_FILE_NAME=-; export CK_TAP_LOG_FILE_NAME; \
	CK_DEFAULT_TIMEOUT=$${CK_DEFAULT_TIMEOUT-60}; export CK_DEFAULT_TIMEOUT; \
	ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:$$ASAN_OPTIONS; export ASAN_OPTIONS; \
	UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:$$UBSAN_OPTIONS; export UBSAN_OPTIONS; \
	top_srcdir='$(abs_top_srcdir)'; export top_srcdir; \
	top_builddir='$(abs_top_builddir)'; export top_builddir; \
	PATH='$(abs_top_builddir)':$$PATH; export PATH; \
	CC='$(CC)'; export CC; \
	test_cppflags='$(all_cppflags)'; export test_cppflags; \
	test_cflags='$(SAN_FLAGS)'; export test_cflags;

# Where all the libraries' headers are, for what looks at any file of the tree.
all_cppflags = -D_GNU_SOURCE $(SYSTEMD_CFLAGS) $(SODIUM_CFLAGS) $(LWS_CFLAGS) $(JANSSON_CFLAGS) $(INIH_CFLAGS) \
	$(CHECK_CFLAGS)

unit_cflags = $(AM_CFLAGS) $(CHECK_CFLAGS)
unit_libs = libp2pbus-checkmain.la $(CHECK_LIBS)
TESTS += $(long_shell_tests)
if HAVE_CHECK
check_LTLIBRARIES += libp2pbus-checkmain.la
libp2pbus_checkmain_la_SOURCES = %D%/main.c %D%/main.h
libp2pbus_checkmain_la_CFLAGS = $(unit_cflags)

check_PROGRAMS += $(long_unit_tests) $(unit_tests)
TESTS += $(long_unit_tests) $(unit_tests)
check_needed =
else
check_needed = check-needs-check
endif
.PHONY: check-needs-check valgrind fuzz fuzz-targets
check-needs-check:
	@echo 'make check: needs Check; install it and run configure again' >&2; exit 1
check-local: $(check_needed)

if ENABLE_FUZZERS
# Run by hand or by `make fuzz`; libFuzzer's main takes the place of replay.c.
noinst_PROGRAMS += $(fuzz_tests)
fuzz_libs = $(FUZZ_ENGINE)
else
fuzz_libs = libp2pbus-replay.la
check_LTLIBRARIES += libp2pbus-replay.la
libp2pbus_replay_la_SOURCES = %D%/fuzz/fuzz.h %D%/fuzz/replay.c
check_PROGRAMS += $(fuzz_tests)
TESTS += $(fuzz_tests)
endif
EXTRA_DIST += %D%/fuzz/corpus

# What they look at is the same with a sanitizer.
source_tests = %D%/check-abi.sh %D%/check-docs.sh %D%/check-headers.sh %D%/check-install.sh \
	%D%/check-layers.sh
if !SANITIZERS
shell_tests += $(source_tests)
endif
EXTRA_DIST += $(source_tests)

dist_check_SCRIPTS += $(shell_tests) $(long_shell_tests)
TESTS += $(shell_tests)

# What tests of the installation look at. While libtool installs a library it links it once more in its
# place, where for a moment nobody can load it: hence before any test runs, and behind all that is linked.
check_DATA += %D%/installed
.PHONY: %D%/installed
%D%/installed: $(check_PROGRAMS) $(check_LTLIBRARIES)
	@rm -rf $@
	$(AM_V_GEN)$(MAKE) $(AM_MAKEFLAGS) -s install DESTDIR='$(abs_builddir)/$@' >/dev/null
clean-local:
	-rm -rf %D%/installed

# `make valgrind` runs valgrind_tests with the daemon that each of them starts under memcheck, which
# takes many times as long: hence only those that are about the daemon, and not the tests
# themselves. What it finds makes the daemon end with 99, which fails the test, or the target.
valgrind_tests = %D%/check_daemon %D%/check_daemon_attach %D%/check_daemon_routing \
	%D%/check_daemon_gateway %D%/check_daemon_roles %D%/check_introduction
valgrind_log = $(abs_builddir)/valgrind
valgrind = valgrind -q --vgdb=no --leak-check=full --errors-for-leak-kinds=definite \
	--error-exitcode=99 --suppressions=$(abs_top_srcdir)/%D%/valgrind.supp \
	--log-file=$(valgrind_log)/%p.log
EXTRA_DIST += %D%/valgrind.supp
valgrind: all $(check_needed)
	rm -rf $(valgrind_log) && $(MKDIR_P) $(valgrind_log)
	daemon_wrapper='$(valgrind)'; export daemon_wrapper; status=0; \
	CK_TIMEOUT_MULTIPLIER=10 $(MAKE) $(AM_MAKEFLAGS) check TESTS='$(valgrind_tests)' || status=1; \
	find $(valgrind_log) -type f | grep -q . || { echo 'valgrind: looked at nothing'; status=1; }; \
	find $(valgrind_log) -size 0 -exec rm -f {} +; \
	cat $(valgrind_log)/*.log 2>/dev/null && status=1; \
	exit $$status

# FUZZ_FLAGS is libFuzzer's; as many targets at a time as there are processors.
FUZZ_FLAGS = -max_total_time=60
EXTRA_DIST += %D%/fuzz/run.sh
if ENABLE_FUZZERS
fuzz-targets: $(BUILT_SOURCES)
	@$(MAKE) $(AM_MAKEFLAGS) $(fuzz_tests)
fuzz: fuzz-targets
	@$(AM_TESTS_ENVIRONMENT) FUZZ_FLAGS='$(FUZZ_FLAGS)'; export FUZZ_FLAGS; \
	printf './%s\n' $(fuzz_tests) | xargs -n 1 -P "`nproc`" $(srcdir)/%D%/fuzz/run.sh
else
fuzz fuzz-targets:
	@echo 'make $@: configure with --enable-fuzzers CC=clang first' >&2; exit 1
endif

unit_tests += %D%/check_packet
%C%_check_packet_CFLAGS = $(unit_cflags)
%C%_check_packet_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_pid
%C%_check_pid_CFLAGS = $(unit_cflags)
%C%_check_pid_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_fair_queue
%C%_check_fair_queue_CFLAGS = $(unit_cflags)
%C%_check_fair_queue_LDADD = $(unit_libs) libp2pbus-conf.la libp2pbus-core.la

include tests/bridge.mk
include tests/relay.mk
include tests/ring.mk
include tests/daemon.mk
include tests/secure.mk
include tests/call.mk
include tests/client.mk
include tests/session.mk
include tests/system.mk
include tests/tools.mk
include tests/procbridge.mk

fuzz_tests += %D%/fuzz/fuzz_packet
%C%_fuzz_fuzz_packet_LDADD = $(fuzz_libs) libp2pbus-core.la

unit_tests += %D%/check_stream
%C%_check_stream_CFLAGS = $(unit_cflags)
%C%_check_stream_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_conf
%C%_check_conf_CFLAGS = $(unit_cflags)
%C%_check_conf_LDADD = $(unit_libs) libp2pbus-conf.la

unit_tests += %D%/check_log
%C%_check_log_CFLAGS = $(unit_cflags)
%C%_check_log_LDADD = $(unit_libs) libp2pbus-conf.la

fuzz_tests += %D%/fuzz/fuzz_stream
%C%_fuzz_fuzz_stream_LDADD = $(fuzz_libs) libp2pbus-core.la

fuzz_tests += %D%/fuzz/fuzz_conf
%C%_fuzz_fuzz_conf_LDADD = $(fuzz_libs) libp2pbus-conf.la

unit_tests += %D%/check_url
%C%_check_url_CFLAGS = $(unit_cflags)
%C%_check_url_LDADD = $(unit_libs) libp2pbus-conf.la

fuzz_tests += %D%/fuzz/fuzz_url
%C%_fuzz_fuzz_url_LDADD = $(fuzz_libs) libp2pbus-conf.la

unit_tests += %D%/check_ws
%C%_check_ws_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
%C%_check_ws_CFLAGS = $(unit_cflags) $(SYSTEMD_CFLAGS)
%C%_check_ws_LDADD = $(unit_libs) libp2pbus-ws.la libp2pbus-conf.la $(SYSTEMD_LIBS)
