# The library: by its public header with a real p2pbusd, its peers, its timers, its symbols.

unit_tests += %D%/check_bus
# p2pbus-sd-event.h includes <p2pbus.h>, as installed.
%C%_check_bus_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient $(SYSTEMD_CFLAGS)
%C%_check_bus_CFLAGS = $(unit_cflags)
%C%_check_bus_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la $(SYSTEMD_LIBS)
EXTRA_%C%_check_bus_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_bus_watch
%C%_check_bus_watch_CFLAGS = $(unit_cflags)
%C%_check_bus_watch_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la
EXTRA_%C%_check_bus_watch_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_bus_topics
%C%_check_bus_topics_CFLAGS = $(unit_cflags)
%C%_check_bus_topics_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la
EXTRA_%C%_check_bus_topics_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_bus_rights
%C%_check_bus_rights_CFLAGS = $(unit_cflags)
%C%_check_bus_rights_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la
EXTRA_%C%_check_bus_rights_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_services
%C%_check_services_CFLAGS = $(unit_cflags)
%C%_check_services_LDADD = $(unit_libs) libp2pbus-partner.la libp2pbus-client.la \
	libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_services_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_provider_kills
%C%_check_provider_kills_CFLAGS = $(unit_cflags)
%C%_check_provider_kills_LDADD = $(unit_libs) libp2pbus-partner.la libp2pbus-client.la \
	libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_provider_kills_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_balance
%C%_check_balance_CFLAGS = $(unit_cflags)
%C%_check_balance_LDADD = $(unit_libs) libp2pbus-client.la

unit_tests += %D%/check_streams
%C%_check_streams_CFLAGS = $(unit_cflags)
%C%_check_streams_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la
EXTRA_%C%_check_streams_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_known_peers
%C%_check_known_peers_CFLAGS = $(unit_cflags)
%C%_check_known_peers_LDADD = $(unit_libs) libp2pbus-client.la libp2pbus-secure.la libp2pbus-core.la

unit_tests += %D%/check_peer
%C%_check_peer_CFLAGS = $(unit_cflags)
%C%_check_peer_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-client.la libp2pbus-secure.la \
	libp2pbus-core.la
EXTRA_%C%_check_peer_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_timer
%C%_check_timer_CFLAGS = $(unit_cflags)
%C%_check_timer_LDADD = $(unit_libs) libp2pbus-client.la

# Two daemons, and a gateway between them.
check_LTLIBRARIES += libp2pbus-two-hosts.la
libp2pbus_two_hosts_la_SOURCES = %D%/two-hosts.c %D%/two-hosts.h
libp2pbus_two_hosts_la_CFLAGS = $(unit_cflags)
libp2pbus_two_hosts_la_LIBADD = libp2pbus-harness.la libp2pbus-client.la \
	libp2pbus-secure.la libp2pbus-core.la

unit_tests += %D%/check_bus_off_host
%C%_check_bus_off_host_CFLAGS = $(unit_cflags)
%C%_check_bus_off_host_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_bus_off_host_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_bus_network
%C%_check_bus_network_CFLAGS = $(unit_cflags)
%C%_check_bus_network_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_bus_network_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_bus_topics_off_host
%C%_check_bus_topics_off_host_CFLAGS = $(unit_cflags)
%C%_check_bus_topics_off_host_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_bus_topics_off_host_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_services_off_host
%C%_check_services_off_host_CFLAGS = $(unit_cflags)
%C%_check_services_off_host_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_services_off_host_DEPENDENCIES = p2pbusd

long_unit_tests += %D%/check_provider_watch
%C%_check_provider_watch_CFLAGS = $(unit_cflags)
%C%_check_provider_watch_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_provider_watch_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_nacks
%C%_check_nacks_CFLAGS = $(unit_cflags)
%C%_check_nacks_LDADD = $(unit_libs) libp2pbus-two-hosts.la
EXTRA_%C%_check_nacks_DEPENDENCIES = p2pbusd

long_unit_tests += %D%/check_zero_copy
%C%_check_zero_copy_CFLAGS = $(unit_cflags)
%C%_check_zero_copy_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-client.la \
	libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_zero_copy_DEPENDENCIES = p2pbusd
