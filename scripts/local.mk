# Scripts for people with a clone, and the targets that are neither building nor checking.

EXTRA_DIST += \
	.ci/run \
	.clang-tidy \
	.cppcheck-macros.h \
	.cppcheck-suppress \
	%D%/build \
	%D%/clean-root-test \
	%D%/demo \
	%D%/install-deps \
	%D%/lint \
	%D%/test \
	$(NULL)

# Programs are told these by their own local.mk.
lint_dirs = -Ilibclient -DSYSCONFDIR="/etc" -DLOCALSTATEDIR="/var" \
	-DP2PBUS_SYSCONFDIR="/etc" -DP2PBUS_LOCALSTATEDIR="/var" \
	-DP2PBUS_POLICYDIR="/usr/lib/p2pbus/policy.d"

.PHONY: lint
lint: config.h
	lint_cppflags='$(DEFS) -I$(abs_top_builddir) -I. -Ilibclient $(all_cppflags) $(lint_dirs)' $(top_srcdir)/%D%/lint
