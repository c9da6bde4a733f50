# Records, control words, sessions.

if HAVE_CHECK
check_LTLIBRARIES += libp2pbus-wire.la
libp2pbus_wire_la_SOURCES = %D%/wire.c %D%/wire.h
libp2pbus_wire_la_CFLAGS = $(unit_cflags)
endif

unit_tests += %D%/check_record
%C%_check_record_CFLAGS = $(unit_cflags)
%C%_check_record_LDADD = $(unit_libs) libp2pbus-wire.la libp2pbus-core.la

unit_tests += %D%/check_report
%C%_check_report_CFLAGS = $(unit_cflags)
%C%_check_report_LDADD = $(unit_libs) libp2pbus-core.la

fuzz_tests += %D%/fuzz/fuzz_report
%C%_fuzz_fuzz_report_LDADD = $(fuzz_libs) libp2pbus-core.la

unit_tests += %D%/check_control
%C%_check_control_CFLAGS = $(unit_cflags)
%C%_check_control_LDADD = $(unit_libs) libp2pbus-wire.la libp2pbus-core.la

unit_tests += %D%/check_block_pool
%C%_check_block_pool_CFLAGS = $(unit_cflags)
%C%_check_block_pool_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

unit_tests += %D%/check_congestion
%C%_check_congestion_CFLAGS = $(unit_cflags)
%C%_check_congestion_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

unit_tests += %D%/check_flight
%C%_check_flight_CFLAGS = $(unit_cflags)
%C%_check_flight_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

# Two sessions and no network.
check_LTLIBRARIES += libp2pbus-session-pair.la
libp2pbus_session_pair_la_SOURCES = %D%/session-pair.c %D%/session-pair.h
libp2pbus_session_pair_la_CFLAGS = $(unit_cflags)
libp2pbus_session_pair_la_LIBADD = libp2pbus-client.la libp2pbus-core.la

unit_tests += %D%/check_session
%C%_check_session_CFLAGS = $(unit_cflags)
%C%_check_session_LDADD = $(unit_libs) libp2pbus-session-pair.la

unit_tests += %D%/check_session_credit
%C%_check_session_credit_CFLAGS = $(unit_cflags)
%C%_check_session_credit_LDADD = $(unit_libs) libp2pbus-session-pair.la

unit_tests += %D%/check_session_fates
%C%_check_session_fates_CFLAGS = $(unit_cflags)
%C%_check_session_fates_LDADD = $(unit_libs) libp2pbus-session-pair.la

unit_tests += %D%/check_session_off_host
%C%_check_session_off_host_CFLAGS = $(unit_cflags)
%C%_check_session_off_host_LDADD = $(unit_libs) libp2pbus-session-pair.la

long_unit_tests += %D%/check_session_sim
%C%_check_session_sim_SOURCES = %D%/check_session_sim.c %D%/session-way.c %D%/session-way.h
%C%_check_session_sim_CFLAGS = $(unit_cflags)
%C%_check_session_sim_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

unit_tests += %D%/check_session_transfer
%C%_check_session_transfer_SOURCES = %D%/check_session_transfer.c %D%/session-way.c %D%/session-way.h
%C%_check_session_transfer_CFLAGS = $(unit_cflags)
%C%_check_session_transfer_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

fuzz_tests += %D%/fuzz/fuzz_record
%C%_fuzz_fuzz_record_LDADD = $(fuzz_libs) libp2pbus-core.la

fuzz_tests += %D%/fuzz/fuzz_control
%C%_fuzz_fuzz_control_LDADD = $(fuzz_libs) libp2pbus-core.la

fuzz_tests += %D%/fuzz/fuzz_session
%C%_fuzz_fuzz_session_LDADD = $(fuzz_libs) libp2pbus-client.la libp2pbus-core.la
