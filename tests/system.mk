# The units, a booted systemd, and the README.

shell_tests += %D%/40-units.sh
shell_tests += %D%/90-readme.sh
shell_tests += %D%/91-manual.sh

# Under a sanitizer the programs need what the units' sandboxes forbid.
if !SANITIZERS
shell_tests += %D%/41-systemd-boot.sh
endif
EXTRA_DIST += %D%/41-systemd-boot.sh
