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

.PHONY: lint
lint: config.h
	lint_cppflags='$(DEFS) -I$(abs_top_builddir) -I. $(all_cppflags)' $(top_srcdir)/%D%/lint
