# Tests of relay/.

relay_libs = libp2pbus-relay.la libp2pbus-ws.la libp2pbus-secure.la libp2pbus-conf.la \
	libp2pbus-core.la $(SYSTEMD_LIBS)

unit_tests += %D%/check_relay_limits
%C%_check_relay_limits_CFLAGS = $(unit_cflags)
%C%_check_relay_limits_LDADD = $(unit_libs) $(relay_libs)

unit_tests += %D%/check_relay_directory
%C%_check_relay_directory_CFLAGS = $(unit_cflags)
%C%_check_relay_directory_LDADD = $(unit_libs) $(relay_libs)

unit_tests += %D%/check_relay_wants
%C%_check_relay_wants_CFLAGS = $(unit_cflags)
%C%_check_relay_wants_LDADD = $(unit_libs) $(relay_libs)

unit_tests += %D%/check_relay_outbox
%C%_check_relay_outbox_CFLAGS = $(unit_cflags)
%C%_check_relay_outbox_LDADD = $(unit_libs) $(relay_libs)

long_unit_tests += %D%/check_relay
%C%_check_relay_SOURCES = %D%/check_relay.c %D%/relay-bridge.c %D%/relay-bridge.h
%C%_check_relay_CFLAGS = $(unit_cflags) $(SYSTEMD_CFLAGS)
%C%_check_relay_LDADD = $(unit_libs) $(relay_libs)
EXTRA_%C%_check_relay_DEPENDENCIES = p2pbus-relay

unit_tests += %D%/check_relay_services
%C%_check_relay_services_CFLAGS = $(unit_cflags)
%C%_check_relay_services_LDADD = $(unit_libs) $(relay_libs)
