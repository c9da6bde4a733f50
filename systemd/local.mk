# Units, users, folders. Everything goes below the prefix unless the prefix is /usr.

sysusers_DATA = %D%/sysusers.d/p2pbus.conf
tmpfiles_DATA = %D%/tmpfiles.d/p2pbus.conf

dist_systemdsystemunit_DATA = %D%/system/p2pbusd.socket
nodist_systemdsystemunit_DATA = \
	%D%/system/p2pbus-bridge.service \
	%D%/system/p2pbus-procbridge@.service \
	%D%/system/p2pbus-relay.service \
	%D%/system/p2pbusd.service \
	$(NULL)

dist_systemduserunit_DATA = %D%/user/p2pbusd.socket
nodist_systemduserunit_DATA = \
	%D%/user/p2pbus-bridge.service \
	%D%/user/p2pbus-procbridge@.service \
	%D%/user/p2pbusd.service \
	$(NULL)

# Their installed names are all p2pbus.conf, so they are copied under it first.
%D%/sysusers.d/p2pbus.conf: %D%/sysusers.conf
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@
%D%/tmpfiles.d/p2pbus.conf: %D%/tmpfiles.conf
	$(AM_V_GEN)$(MKDIR_P) $(@D) && cp $< $@

SUFFIXES = .service .service.in
.service.in.service:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && sed -e 's,[@]bindir[@],$(bindir),g' -e 's,[@]sysconfdir[@],$(sysconfdir),g' $< > $@

EXTRA_DIST += \
	%D%/sysusers.conf \
	%D%/system/p2pbus-bridge.service.in \
	%D%/system/p2pbus-procbridge@.service.in \
	%D%/system/p2pbus-relay.service.in \
	%D%/system/p2pbusd.service.in \
	%D%/tmpfiles.conf \
	%D%/user/p2pbus-bridge.service.in \
	%D%/user/p2pbus-procbridge@.service.in \
	%D%/user/p2pbusd.service.in \
	$(NULL)

CLEANFILES += \
	$(nodist_systemdsystemunit_DATA) \
	$(nodist_systemduserunit_DATA) \
	$(sysusers_DATA) \
	$(tmpfiles_DATA) \
	$(NULL)
