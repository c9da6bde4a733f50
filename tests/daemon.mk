# The daemon: its objects one by one, and a real p2pbusd with raw clients (harness.h).

check_LTLIBRARIES += libp2pbus-harness.la
libp2pbus_harness_la_SOURCES = %D%/api.h %D%/harness.c %D%/harness.h
libp2pbus_harness_la_CFLAGS = $(unit_cflags)
libp2pbus_harness_la_LIBADD = libp2pbus-secure.la libp2pbus-core.la

# And two processes that nothing may disturb.
check_LTLIBRARIES += libp2pbus-bystanders.la
libp2pbus_bystanders_la_SOURCES = %D%/bystanders.c %D%/bystanders.h
libp2pbus_bystanders_la_CFLAGS = $(unit_cflags)
libp2pbus_bystanders_la_LIBADD = libp2pbus-harness.la

unit_tests += %D%/check_daemon
%C%_check_daemon_CFLAGS = $(unit_cflags)
%C%_check_daemon_LDADD = $(unit_libs) libp2pbus-bystanders.la
EXTRA_%C%_check_daemon_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_daemon_attach
%C%_check_daemon_attach_CFLAGS = $(unit_cflags)
%C%_check_daemon_attach_LDADD = $(unit_libs) libp2pbus-bystanders.la
EXTRA_%C%_check_daemon_attach_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_daemon_routing
%C%_check_daemon_routing_CFLAGS = $(unit_cflags)
%C%_check_daemon_routing_LDADD = $(unit_libs) libp2pbus-bystanders.la
EXTRA_%C%_check_daemon_routing_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_daemon_gateway
%C%_check_daemon_gateway_CFLAGS = $(unit_cflags)
%C%_check_daemon_gateway_LDADD = $(unit_libs) libp2pbus-bystanders.la
EXTRA_%C%_check_daemon_gateway_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_daemon_roles
%C%_check_daemon_roles_CFLAGS = $(unit_cflags)
%C%_check_daemon_roles_LDADD = $(unit_libs) libp2pbus-bystanders.la
EXTRA_%C%_check_daemon_roles_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_introduction
%C%_check_introduction_CFLAGS = $(unit_cflags)
%C%_check_introduction_LDADD = $(unit_libs) libp2pbus-harness.la
EXTRA_%C%_check_introduction_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_monitor
%C%_check_monitor_CFLAGS = $(unit_cflags)
%C%_check_monitor_LDADD = $(unit_libs) libp2pbus-harness.la
EXTRA_%C%_check_monitor_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_survey
%C%_check_survey_CFLAGS = $(unit_cflags)
%C%_check_survey_LDADD = $(unit_libs) libp2pbus-harness.la
EXTRA_%C%_check_survey_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_topics
%C%_check_topics_CFLAGS = $(unit_cflags)
%C%_check_topics_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-secure.la libp2pbus-core.la

unit_tests += %D%/check_wants
%C%_check_wants_CFLAGS = $(unit_cflags)
%C%_check_wants_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_topics_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_barrier
%C%_check_barrier_CFLAGS = $(unit_cflags)
%C%_check_barrier_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_barrier_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_topic
%C%_check_topic_CFLAGS = $(unit_cflags)
%C%_check_topic_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_provider
%C%_check_provider_CFLAGS = $(unit_cflags)
%C%_check_provider_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_name
%C%_check_name_CFLAGS = $(unit_cflags)
%C%_check_name_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_policy
%C%_check_policy_CFLAGS = $(unit_cflags)
%C%_check_policy_LDADD = $(unit_libs) libp2pbus-daemon.la

unit_tests += %D%/check_credentials
%C%_check_credentials_CFLAGS = $(unit_cflags)
%C%_check_credentials_LDADD = $(unit_libs) libp2pbus-daemon.la

unit_tests += %D%/check_policies
%C%_check_policies_CFLAGS = $(unit_cflags)
%C%_check_policies_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_policies_DEPENDENCIES = p2pbusd

fuzz_tests += %D%/fuzz/fuzz_policy
%C%_fuzz_fuzz_policy_LDADD = $(fuzz_libs) libp2pbus-daemon.la

unit_tests += %D%/check_topic_frame
%C%_check_topic_frame_CFLAGS = $(unit_cflags)
%C%_check_topic_frame_LDADD = $(unit_libs) libp2pbus-daemon.la

unit_tests += %D%/check_quota
%C%_check_quota_CFLAGS = $(unit_cflags)
%C%_check_quota_LDADD = $(unit_libs) libp2pbus-daemon.la

unit_tests += %D%/check_registry
%C%_check_registry_CFLAGS = $(unit_cflags)
%C%_check_registry_LDADD = $(unit_libs) libp2pbus-daemon.la

unit_tests += %D%/check_remote_names
%C%_check_remote_names_CFLAGS = $(unit_cflags)
%C%_check_remote_names_LDADD = $(unit_libs) libp2pbus-harness.la libp2pbus-secure.la libp2pbus-core.la
EXTRA_%C%_check_remote_names_DEPENDENCIES = p2pbusd
