# Keys, signed records, Noise, links, sealing: the only folder that includes sodium.h.

noinst_LTLIBRARIES += libp2pbus-secure.la
libp2pbus_secure_la_CPPFLAGS = $(AM_CPPFLAGS) $(SODIUM_CFLAGS)
libp2pbus_secure_la_LIBADD = $(SODIUM_LIBS)
libp2pbus_secure_la_SOURCES = \
	%D%/attach.c \
	%D%/attach.h \
	%D%/crypto.c \
	%D%/crypto.h \
	%D%/epoch.c \
	%D%/epoch.h \
	%D%/epochs.c \
	%D%/epochs.h \
	%D%/identity.c \
	%D%/identity.h \
	%D%/key.c \
	%D%/key.h \
	%D%/link.c \
	%D%/link.h \
	%D%/noise.c \
	%D%/noise.h \
	%D%/own-key.c \
	%D%/own-key.h \
	%D%/replay-window.c \
	%D%/replay-window.h \
	%D%/seal.c \
	%D%/seal.h \
	%D%/sealer.c \
	%D%/sealer.h \
	%D%/secret.c \
	%D%/secret.h \
	%D%/seen.c \
	%D%/seen.h \
	%D%/service-record.c \
	%D%/service-record.h \
	%D%/signed-answer.c \
	%D%/signed-answer.h \
	%D%/signed-record.c \
	%D%/signed-record.h \
	$(NULL)
