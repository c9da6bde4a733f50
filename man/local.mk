# Manual pages, in mdoc.

man3_pages = \
	%D%/libp2pbus.3 \
	%D%/p2pbus_call.3 \
	%D%/p2pbus_get_fd.3 \
	%D%/p2pbus_get_reason.3 \
	%D%/p2pbus_grant_sign.3 \
	%D%/p2pbus_key_generate.3 \
	%D%/p2pbus_message_new.3 \
	%D%/p2pbus_open.3 \
	%D%/p2pbus_provide.3 \
	%D%/p2pbus_provider_new.3 \
	%D%/p2pbus_publish.3 \
	%D%/p2pbus_query.3 \
	%D%/p2pbus_receive.3 \
	%D%/p2pbus_request.3 \
	%D%/p2pbus_reserve.3 \
	%D%/p2pbus_resolve.3 \
	%D%/p2pbus_send.3 \
	%D%/p2pbus_set_ring.3 \
	%D%/p2pbus_watch.3 \
	$(NULL)

dist_man_MANS += \
	$(man3_pages) \
	%D%/bridge.conf.5 \
	%D%/p2pbus-bridge.8 \
	%D%/p2pbus-relay.8 \
	%D%/p2pbus.7 \
	%D%/p2pbus.policy.5 \
	%D%/p2pbusd.8 \
	%D%/p2pbusd.conf.5 \
	%D%/relay.conf.5 \
	$(NULL)

# A page of section 3 answers to each of its functions' names.
install-data-hook:
	@for page in $(man3_pages); do \
		file=$(srcdir)/$$page; base=$${page##*/}; \
		for name in $$($(SED) -n '/^\.Sh LIBRARY/q; s/^\.Nm \([a-z0-9_]*\).*/\1/p' $$file); do \
			[ "$$name.3" = "$$base" ] || ln -sf "$$base" "$(DESTDIR)$(man3dir)/$$name.3"; \
		done; \
	done

uninstall-hook:
	@for page in $(man3_pages); do \
		for name in $$($(SED) -n '/^\.Sh LIBRARY/q; s/^\.Nm \([a-z0-9_]*\).*/\1/p' $(srcdir)/$$page); do \
			rm -f "$(DESTDIR)$(man3dir)/$$name.3"; \
		done; \
	done
