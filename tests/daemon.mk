# The daemon: its objects one by one, and a real p2pbusd with raw clients (harness.h).

check_LTLIBRARIES += libp2pbus-harness.la
libp2pbus_harness_la_SOURCES = %D%/harness.c %D%/harness.h
libp2pbus_harness_la_CFLAGS = $(unit_cflags)
libp2pbus_harness_la_LIBADD = libp2pbus-secure.la libp2pbus-core.la

unit_tests += %D%/check_daemon
%C%_check_daemon_CFLAGS = $(unit_cflags)
%C%_check_daemon_LDADD = $(unit_libs) libp2pbus-harness.la
EXTRA_%C%_check_daemon_DEPENDENCIES = p2pbusd
