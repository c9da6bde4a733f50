# Tests of rings: libcore/ring.c, libcore/ring-file.c.

unit_tests += %D%/check_ring
%C%_check_ring_SOURCES = %D%/check_ring.c %D%/ring-pair.c %D%/ring-pair.h
%C%_check_ring_CFLAGS = $(unit_cflags)
%C%_check_ring_LDADD = $(unit_libs) libp2pbus-wire.la libp2pbus-core.la

unit_tests += %D%/check_ring_file
%C%_check_ring_file_SOURCES = %D%/check_ring_file.c %D%/ring-pair.c %D%/ring-pair.h
%C%_check_ring_file_CFLAGS = $(unit_cflags)
%C%_check_ring_file_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_ring_lies
%C%_check_ring_lies_SOURCES = %D%/check_ring_lies.c %D%/ring-pair.c %D%/ring-pair.h
%C%_check_ring_lies_CFLAGS = $(unit_cflags)
%C%_check_ring_lies_LDADD = $(unit_libs) libp2pbus-core.la

unit_tests += %D%/check_ring_race
%C%_check_ring_race_SOURCES = %D%/check_ring_race.c %D%/ring-pair.c %D%/ring-pair.h
%C%_check_ring_race_CFLAGS = $(unit_cflags) -pthread
%C%_check_ring_race_LDADD = $(unit_libs) libp2pbus-core.la
%C%_check_ring_race_LDFLAGS = $(AM_LDFLAGS) -pthread

unit_tests += %D%/ring-model
%C%_ring_model_CFLAGS = $(unit_cflags)
%C%_ring_model_LDADD = $(unit_libs)

fuzz_tests += %D%/fuzz/fuzz_ring
%C%_fuzz_fuzz_ring_LDADD = $(fuzz_libs) libp2pbus-core.la

# The library's rings: with a real p2pbusd and other processes.
if HAVE_CHECK
check_LTLIBRARIES += libp2pbus-partner.la
libp2pbus_partner_la_SOURCES = %D%/partner.c %D%/partner.h
libp2pbus_partner_la_CFLAGS = $(unit_cflags)
libp2pbus_partner_la_LIBADD = libp2pbus-harness.la
endif
rings_libs = $(unit_libs) libp2pbus-partner.la libp2pbus-client.la libp2pbus-secure.la \
	libp2pbus-core.la

unit_tests += %D%/check_rings
%C%_check_rings_CFLAGS = $(unit_cflags) -pthread
%C%_check_rings_LDADD = $(rings_libs)
EXTRA_%C%_check_rings_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_ring_ends
%C%_check_ring_ends_CFLAGS = $(unit_cflags)
%C%_check_ring_ends_LDADD = $(rings_libs)
EXTRA_%C%_check_ring_ends_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_ring_kills
%C%_check_ring_kills_CFLAGS = $(unit_cflags)
%C%_check_ring_kills_LDADD = $(rings_libs)
EXTRA_%C%_check_ring_kills_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_ring_liar
%C%_check_ring_liar_CFLAGS = $(unit_cflags) -pthread
%C%_check_ring_liar_LDADD = $(rings_libs)
EXTRA_%C%_check_ring_liar_DEPENDENCIES = p2pbusd

unit_tests += %D%/check_ring_faults
%C%_check_ring_faults_CFLAGS = $(unit_cflags)
%C%_check_ring_faults_LDADD = $(rings_libs)
EXTRA_%C%_check_ring_faults_DEPENDENCIES = p2pbusd
