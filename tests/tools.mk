# The tools: their pure parts, then whole programs on a bus of their own.

unit_tests += %D%/check_tools
%C%_check_tools_CFLAGS = $(unit_cflags)
%C%_check_tools_LDADD = $(unit_libs) libp2pbus-tools.la
