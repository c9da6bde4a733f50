# p2pbus-procbridge: its packets, then the program between a bus and ProcBridge's own programs.

unit_tests += %D%/check_procbridge
%C%_check_procbridge_CFLAGS = $(unit_cflags) $(JANSSON_CFLAGS)
%C%_check_procbridge_LDADD = $(unit_libs) libp2pbus-wire.la libp2pbus-procbridge.la libp2pbus-conf.la \
	libp2pbus.la $(JANSSON_LIBS)

fuzz_tests += %D%/fuzz/fuzz_procbridge
%C%_fuzz_fuzz_procbridge_LDADD = $(fuzz_libs) libp2pbus-procbridge.la

check_PROGRAMS += %D%/pb-raw
%C%_pb_raw_SOURCES = %D%/pb-raw.c

long_shell_tests += %D%/46-procbridge.sh
shell_tests += %D%/47-procbridge-services.sh %D%/48-procbridge-places.sh %D%/49-procbridge-off-host.sh
EXTRA_DIST += %D%/procbridge.js %D%/procbridge.sh
# What 46-procbridge.sh fetches, once a build directory.
CLEANFILES += npm/procbridge-1.1.1.tgz
