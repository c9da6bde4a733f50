# libsecure's tests.

secure_libs = libp2pbus-secure.la libp2pbus-core.la
EXTRA_DIST += %D%/vectors
if HAVE_CHECK
check_LTLIBRARIES += libp2pbus-vectors.la
libp2pbus_vectors_la_SOURCES = %D%/vectors.c %D%/vectors.h
libp2pbus_vectors_la_CFLAGS = $(unit_cflags) $(JANSSON_CFLAGS) $(SODIUM_CFLAGS)
libp2pbus_vectors_la_LIBADD = $(JANSSON_LIBS) $(SODIUM_LIBS)
endif
vectors_cflags = $(unit_cflags) $(JANSSON_CFLAGS)
vectors_libs = $(unit_libs) libp2pbus-vectors.la $(secure_libs) $(JANSSON_LIBS)

unit_tests += %D%/check_vectors
%C%_check_vectors_CFLAGS = $(vectors_cflags)
%C%_check_vectors_LDADD = $(vectors_libs)

unit_tests += %D%/check_noise
%C%_check_noise_CFLAGS = $(vectors_cflags)
%C%_check_noise_LDADD = $(vectors_libs)

unit_tests += %D%/check_identity
%C%_check_identity_CFLAGS = $(vectors_cflags)
%C%_check_identity_LDADD = $(vectors_libs)

unit_tests += %D%/check_attach
%C%_check_attach_CFLAGS = $(vectors_cflags)
%C%_check_attach_LDADD = $(vectors_libs)

unit_tests += %D%/check_signed_record
%C%_check_signed_record_CFLAGS = $(vectors_cflags)
%C%_check_signed_record_LDADD = $(vectors_libs)

unit_tests += %D%/check_link
%C%_check_link_CFLAGS = $(vectors_cflags)
%C%_check_link_LDADD = $(vectors_libs)

unit_tests += %D%/check_seal
%C%_check_seal_CFLAGS = $(vectors_cflags)
%C%_check_seal_LDADD = $(vectors_libs)

unit_tests += %D%/check_epoch
%C%_check_epoch_CFLAGS = $(vectors_cflags)
%C%_check_epoch_LDADD = $(vectors_libs) libp2pbus-wire.la

fuzz_tests += %D%/fuzz/fuzz_key_text
%C%_fuzz_fuzz_key_text_LDADD = $(fuzz_libs) $(secure_libs)

fuzz_tests += %D%/fuzz/fuzz_signed_record
%C%_fuzz_fuzz_signed_record_LDADD = $(fuzz_libs) $(secure_libs)

fuzz_tests += %D%/fuzz/fuzz_link
%C%_fuzz_fuzz_link_LDADD = $(fuzz_libs) $(secure_libs)

fuzz_tests += %D%/fuzz/fuzz_seal
%C%_fuzz_fuzz_seal_LDADD = $(fuzz_libs) $(secure_libs)

fuzz_tests += %D%/fuzz/fuzz_epoch
%C%_fuzz_fuzz_epoch_LDADD = $(fuzz_libs) $(secure_libs)

unit_tests += %D%/check_service_record
%C%_check_service_record_CFLAGS = $(unit_cflags)
%C%_check_service_record_LDADD = $(unit_libs) libp2pbus-wire.la $(secure_libs)
