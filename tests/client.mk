# The library: by its public header with a real p2pbusd, its timers, its symbols.

unit_tests += %D%/check_bus
%C%_check_bus_CFLAGS = $(unit_cflags)
%C%_check_bus_LDADD = $(unit_libs) libp2pbus.la libp2pbus-harness.la
EXTRA_%C%_check_bus_DEPENDENCIES = p2pbusd

shell_tests += %D%/check-abi.sh
