# Calls in JSON: the text of them, and providers and callers with a real p2pbusd.

unit_tests += %D%/check_envelope
%C%_check_envelope_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient
%C%_check_envelope_CFLAGS = $(unit_cflags) $(JANSSON_CFLAGS)
%C%_check_envelope_LDADD = $(unit_libs) libp2pbus-calls.la libp2pbus.la $(JANSSON_LIBS)

unit_tests += %D%/check_call
%C%_check_call_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient
%C%_check_call_CFLAGS = $(unit_cflags) $(JANSSON_CFLAGS)
%C%_check_call_LDADD = $(unit_libs) libp2pbus-call.la libp2pbus.la libp2pbus-harness.la $(JANSSON_LIBS)
EXTRA_%C%_check_call_DEPENDENCIES = p2pbusd

fuzz_tests += %D%/fuzz/fuzz_envelope
%C%_fuzz_fuzz_envelope_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/libclient
%C%_fuzz_fuzz_envelope_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
%C%_fuzz_fuzz_envelope_LDADD = $(fuzz_libs) libp2pbus-calls.la libp2pbus.la $(JANSSON_LIBS)

shell_tests += %D%/45-calls.sh %D%/49-calls-off-host.sh
