# The tools: their pure parts, then whole programs on a bus of their own.

unit_tests += %D%/check_tools
%C%_check_tools_CFLAGS = $(unit_cflags)
%C%_check_tools_LDADD = $(unit_libs) libp2pbus-tools.la

EXTRA_DIST += %D%/lib.sh
shell_tests += %D%/30-send-and-receive.sh
shell_tests += %D%/31-exec-and-reply.sh
shell_tests += %D%/32-exit-statuses.sh
shell_tests += %D%/33-key-files.sh
shell_tests += %D%/34-formats.sh
shell_tests += %D%/35-monitor.sh
shell_tests += %D%/36-completion.sh
shell_tests += %D%/37-ctl.sh
shell_tests += %D%/38-off-host-denied.sh
shell_tests += %D%/39-bus-killed-under-load.sh
shell_tests += %D%/42-topics.sh
shell_tests += %D%/43-services.sh
shell_tests += %D%/44-who-dies.sh
shell_tests += %D%/46-policy.sh
