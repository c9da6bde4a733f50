# Tests of bridge/.

bridge_libs = libp2pbus-bridge.la libp2pbus-ws.la libp2pbus-client.la libp2pbus-secure.la \
	libp2pbus-conf.la libp2pbus-core.la $(SYSTEMD_LIBS)
bridge_relay = %D%/bridge-relay.c %D%/bridge-relay.h

unit_tests += %D%/check_bridge_outbox
%C%_check_bridge_outbox_CFLAGS = $(unit_cflags)
%C%_check_bridge_outbox_LDADD = $(unit_libs) libp2pbus-bridge.la libp2pbus-conf.la libp2pbus-core.la

unit_tests += %D%/check_bridge_routes
%C%_check_bridge_routes_CFLAGS = $(unit_cflags)
%C%_check_bridge_routes_LDADD = $(unit_libs) libp2pbus-bridge.la libp2pbus-conf.la libp2pbus-core.la

unit_tests += %D%/check_bridge_wants
%C%_check_bridge_wants_CFLAGS = $(unit_cflags)
%C%_check_bridge_wants_LDADD = $(unit_libs) libp2pbus-bridge.la libp2pbus-secure.la libp2pbus-conf.la libp2pbus-core.la

unit_tests += %D%/check_bridge_timing
%C%_check_bridge_timing_CFLAGS = $(unit_cflags) $(SYSTEMD_CFLAGS)
%C%_check_bridge_timing_LDADD = $(unit_libs) libp2pbus-bridge.la libp2pbus-conf.la libp2pbus-core.la $(SYSTEMD_LIBS)

unit_tests += %D%/check_bridge_uplink
%C%_check_bridge_uplink_SOURCES = %D%/check_bridge_uplink.c $(bridge_relay)
%C%_check_bridge_uplink_CFLAGS = $(unit_cflags) $(SYSTEMD_CFLAGS)
%C%_check_bridge_uplink_LDADD = $(unit_libs) $(bridge_libs)

unit_tests += %D%/check_bridge_forward
%C%_check_bridge_forward_SOURCES = %D%/check_bridge_forward.c $(bridge_relay)
%C%_check_bridge_forward_CFLAGS = $(unit_cflags) $(SYSTEMD_CFLAGS)
%C%_check_bridge_forward_LDADD = $(unit_libs) $(bridge_libs)

# What the scenarios of several hosts need.
check_PROGRAMS += %D%/memgrep %D%/notified %D%/vwire
%C%_memgrep_SOURCES = %D%/memgrep.c
%C%_notified_SOURCES = %D%/notified.c
%C%_vwire_SOURCES = %D%/vwire.c
long_shell_tests += %D%/48-services-off-host.sh %D%/49-names-off-host.sh %D%/49-provider-kills-off-host.sh %D%/54-bad-network.sh %D%/50-two-hosts.sh %D%/55-idle-bridge.sh
shell_tests += %D%/51-relay-dies.sh %D%/53-bridge.sh %D%/56-known-peers.sh \
	%D%/57-slow-receiver.sh %D%/59-who-refused.sh %D%/49-policy-off-host.sh
long_shell_tests += %D%/49-relays-off-host.sh %D%/49-watch-off-host.sh
EXTRA_DIST += %D%/hosts.sh

# A sanitizer keeps what was freed, and has terabytes of memory of its own: no place to look for a
# word that must not be there.
# And 200 restarts of programs take long with one.
if !SANITIZERS
shell_tests += %D%/47-topics-off-host.sh %D%/52-no-plaintext.sh %D%/58-kills.sh
endif
EXTRA_DIST += %D%/47-topics-off-host.sh %D%/52-no-plaintext.sh %D%/58-kills.sh
