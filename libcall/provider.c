/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcall/provider.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RELEASE_USEC 1000000

/* Whether p2pbus.Info can say it. */
static bool is_text(const char *text) {
        json_t *string = json_string(text);

        json_decref(string);
        return string;
}

/* Without the names of others, and so unambiguous: the provider's own begin with a word of theirs. */
static int check_methods(const p2pbus_method *methods, size_t n) {
        for (size_t i = 0; i < n; i++) {
                const char *name = methods[i].name;

                if (!name || !*name || !methods[i].function ||
                    strlen(name) > P2PBUS_CALL_METHOD_MAX ||
                    strncmp(name, PROVIDER_OWN, strlen(PROVIDER_OWN)) == 0 || !is_text(name) ||
                    (methods[i].description && !is_text(methods[i].description)))
                        return -EINVAL;
                for (size_t k = 0; k < i; k++)
                        if (strcmp(methods[k].name, name) == 0)
                                return -EINVAL;
        }
        return 0;
}

static int copy_methods(p2pbus_provider *provider, const p2pbus_method *methods, size_t n) {
        provider->methods = calloc(n > 0 ? n : 1, sizeof(*provider->methods));
        if (!provider->methods)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                Method *method = provider->methods + i;

                provider->n_methods++;
                method->name = strdup(methods[i].name);
                method->description = strdup(methods[i].description ? methods[i].description : "");
                if (!method->name || !method->description)
                        return -ENOMEM;
                method->function = methods[i].function;
                method->userdata = methods[i].userdata;
        }
        return 0;
}

static int claim_name(p2pbus_provider *provider, const p2pbus_provider_options *options) {
        int r;

        r = p2pbus_provide(provider->bus, options->name, options->service, options->timeout_usec);
        if (r < 0)
                return r;
        provider->name = strdup(options->name);
        if (!provider->name) {
                (void)p2pbus_release_name(provider->bus, options->name, RELEASE_USEC);
                return -ENOMEM;
        }
        return 0;
}

_public_ int p2pbus_provider_new(p2pbus_provider **ret, p2pbus *bus, const p2pbus_method *methods,
                                 size_t n_methods, const p2pbus_provider_options *options) {
        p2pbus_provider *provider;
        int r;

        if (!bus || (options && options->struct_size != sizeof(*options)) ||
            check_methods(methods, n_methods) < 0)
                return -EINVAL;
        provider = calloc(1, sizeof(*provider));
        if (!provider)
                return -ENOMEM;
        provider->bus = p2pbus_ref(bus);
        provider->begun_usec = provider_now_usec();
        provider->metadata =
                options && options->metadata ? json_deep_copy(options->metadata) : json_null();
        r = provider->metadata ? copy_methods(provider, methods, n_methods) : -ENOMEM;
        /* The name last: from then on calls may come. */
        if (r == 0 && options && options->name)
                r = claim_name(provider, options);
        if (r < 0) {
                p2pbus_provider_free(provider);
                return r;
        }
        *ret = provider;
        return 0;
}

_public_ p2pbus_provider *p2pbus_provider_free(p2pbus_provider *provider) {
        if (!provider)
                return NULL;
        if (provider->name)
                (void)p2pbus_release_name(provider->bus, provider->name, RELEASE_USEC);
        while (provider->open)
                (void)p2pbus_call_fail(provider->open, P2PBUS_CALL_UNAVAILABLE,
                                       "the provider ends");
        for (size_t i = 0; i < provider->n_methods; i++) {
                free(provider->methods[i].name);
                free(provider->methods[i].description);
        }
        free(provider->methods);
        free(provider->name);
        json_decref(provider->metadata);
        p2pbus_unref(provider->bus);
        free(provider);
        return NULL;
}

/* Calls */

static Method *find_method(p2pbus_provider *provider, const char *name) {
        for (size_t i = 0; i < provider->n_methods; i++)
                if (strcmp(provider->methods[i].name, name) == 0)
                        return provider->methods + i;
        return NULL;
}

static int refuse_bad(p2pbus_provider *provider, p2pbus_message *request, uint32_t status,
                      const char *why) {
        provider->n_bad_requests++;
        return answer_refuse(provider, request, status, why);
}

static int dispatch(p2pbus_provider *provider, p2pbus_message *request, const Envelope *envelope) {
        p2pbus_method_function own = NULL;
        p2pbus_call_handle *call;
        Method *method = NULL;
        int r;

        if (envelope->method) {
                own = own_method_find(envelope->method);
                method = find_method(provider, envelope->method);
        }
        if (!own && !method)
                return refuse_bad(provider, request, P2PBUS_CALL_UNKNOWN_METHOD,
                                  envelope->method ? "no such method; p2pbus.Info lists them"
                                                   : "no method was named");
        r = answer_begin(provider, method, envelope->method, request, &call);
        if (r == -EBUSY)
                return answer_refuse(provider, request, P2PBUS_CALL_BUSY,
                                     "too many calls are not answered yet");
        if (r < 0)
                return answer_refuse(provider, request, P2PBUS_CALL_INTERNAL, "out of memory");
        answer_run(call, own ? own : method->function, envelope->payload,
                   own ? (void *)provider : method->userdata);
        return 0;
}

static int handle(p2pbus_provider *provider, p2pbus_message *request, Envelope *envelope) {
        char why[ENVELOPE_WHY_SIZE];
        int r;

        r = envelope_decode_request(p2pbus_message_get_payload(request),
                                    p2pbus_message_get_size(request), envelope, why);
        switch (r) {
        case 0:
                r = dispatch(provider, request, envelope);
                envelope_done(envelope);
                return r;
        case ENVELOPE_E_TOO_BIG:
                return refuse_bad(provider, request, P2PBUS_CALL_TOO_BIG, why);
        case ENVELOPE_E_MALFORMED:
                return refuse_bad(provider, request, P2PBUS_CALL_BAD_REQUEST, why);
        default:
                return answer_refuse(provider, request, P2PBUS_CALL_INTERNAL, "out of memory");
        }
}

_public_ int p2pbus_provider_handle(p2pbus_provider *provider, p2pbus_message *message) {
        Envelope envelope = { 0 };
        int r;

        if (p2pbus_message_get_kind(message) != P2PBUS_KIND_REQUEST)
                return 0;
        r = handle(provider, message, &envelope);
        return r < 0 ? r : 1;
}

_public_ int p2pbus_provider_handle_own(p2pbus_provider *provider, p2pbus_message *message) {
        const char *text = p2pbus_message_get_payload(message);
        size_t n = p2pbus_message_get_size(message);
        char why[ENVELOPE_WHY_SIZE];
        Envelope envelope = { 0 };
        bool is_own;
        int r;

        /* Most requests are none, and may be large: look before parsing. */
        if (p2pbus_message_get_kind(message) != P2PBUS_KIND_REQUEST || n == 0 || n > 65536 ||
            !memmem(text, n, PROVIDER_OWN, strlen(PROVIDER_OWN)))
                return 0;
        if (envelope_decode_request(text, n, &envelope, why) != 0)
                return 0;
        is_own = envelope.method && own_method_find(envelope.method);
        r = is_own ? dispatch(provider, message, &envelope) : 0;
        envelope_done(&envelope);
        return r < 0 ? r : is_own;
}

_public_ int p2pbus_provider_begin(p2pbus_provider *provider, p2pbus_message *request,
                                   const char *method, p2pbus_call_handle **ret) {
        Method *known = method ? find_method(provider, method) : NULL;

        if (p2pbus_message_get_kind(request) != P2PBUS_KIND_REQUEST)
                return -EINVAL;
        return answer_begin(provider, known ? known : &provider->other, method ? method : "",
                            request, ret);
}

/* Loops */

static int take_one(p2pbus_provider *provider, uint64_t timeout_usec) {
        p2pbus_message *message;
        int r;

        r = p2pbus_receive(provider->bus, timeout_usec, &message);
        if (r < 0)
                return r;
        r = p2pbus_provider_handle(provider, message);
        p2pbus_message_unref(message);
        return r == -ENOMEM || r == -ENOTCONN || r == -ECHILD ? r : 0;
}

_public_ int p2pbus_provider_process(p2pbus_provider *provider) {
        int r;

        r = p2pbus_process(provider->bus);
        while (r >= 0)
                r = take_one(provider, 0);
        return r == -EAGAIN ? 0 : r;
}

_public_ int p2pbus_provider_run(p2pbus_provider *provider, uint64_t timeout_usec) {
        uint64_t now = provider_now_usec();
        uint64_t until = timeout_usec < P2PBUS_FOREVER - now ? now + timeout_usec : P2PBUS_FOREVER;
        int r = 0;

        provider->is_stopped = false;
        while (r == 0 && !provider->is_stopped) {
                uint64_t left = P2PBUS_FOREVER;

                if (until != P2PBUS_FOREVER) {
                        now = provider_now_usec();
                        left = until > now ? until - now : 0;
                }
                r = take_one(provider, left);
                if (r == -EAGAIN)
                        return 0;
        }
        return r;
}

_public_ void p2pbus_provider_stop(p2pbus_provider *provider) {
        provider->is_stopped = true;
}
