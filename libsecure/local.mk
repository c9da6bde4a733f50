# Keys, signed records, Noise, links, sealing: the only folder that includes sodium.h.

EXTRA_DIST += \
	%D%/attach.h \
	%D%/crypto.h \
	%D%/identity.h \
	%D%/key.h \
	%D%/link.h \
	%D%/noise.h \
	%D%/seal.h \
	%D%/secret.h \
	%D%/signed-answer.h \
	%D%/signed-record.h \
	$(NULL)
