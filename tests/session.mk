# Records, control words, sessions.

unit_tests += %D%/check_session
%C%_check_session_CFLAGS = $(unit_cflags)
%C%_check_session_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la

unit_tests += %D%/check_session_sim
%C%_check_session_sim_CFLAGS = $(unit_cflags)
%C%_check_session_sim_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-core.la
