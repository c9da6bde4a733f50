/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What every provider answers by itself: whether it is there, what it can do, and how it fares. These
 * calls are not counted, so that looking changes nothing.
 */

#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "libcall/provider.h"

/* Builds an object, remembering that something failed; NULL stands for that. */
static json_t *add(json_t *object, const char *name, json_t *value) {
        if (!object) {
                json_decref(value);
                return NULL;
        }
        if (json_object_set_new(object, name, value) < 0) {
                json_decref(object);
                return NULL;
        }
        return object;
}

static json_t *add_number(json_t *object, const char *name, uint64_t number) {
        return add(object, name, json_integer((json_int_t)number));
}

static int reply_with(p2pbus_call_handle *call, json_t *payload) {
        return payload ? p2pbus_call_reply(call, payload) : -ENOMEM;
}

static int ping(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        (void)userdata;
        return reply_with(call, json_incref(payload));
}

static json_t *show_methods(const p2pbus_provider *provider) {
        json_t *list = json_array();

        for (size_t i = 0; list && i < provider->n_methods; i++) {
                const Method *method = provider->methods + i;
                json_t *object = json_object();

                object = add(object, "name", json_string(method->name));
                object = add(object, "description", json_string(method->description));
                if (json_array_append_new(list, object) < 0) {
                        json_decref(list);
                        return NULL;
                }
        }
        return list;
}

static int info(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        const p2pbus_provider *provider = userdata;
        json_t *object = json_object();

        (void)payload;
        object = add(object, "name", provider->name ? json_string(provider->name) : json_null());
        object = add_number(object, "convention", PROVIDER_CONVENTION);
        object = add(object, "methods", show_methods(provider));
        object = add(object, "metadata", json_incref(provider->metadata));
        object = add(object, "full", json_string(p2pbus_get_full(provider->bus)));
        object = add(object, "program", json_string(program_invocation_short_name));
        object = add_number(object, "os_pid", (uint64_t)getpid());
        object = add(object, "version", json_string(PACKAGE_VERSION));
        return reply_with(call, object);
}

static json_t *show_counts(json_t *object, const Method *method) {
        object = add_number(object, "calls", method->n_calls);
        object = add_number(object, "errors", method->n_errors);
        object = add_number(object, "outstanding", method->n_open);
        return add(object, "latency", latency_show(&method->latency));
}

/* Requests beside this one, as its answer tells the library of who asked. */
static uint64_t workload(const p2pbus_provider *provider) {
        uint64_t n = p2pbus_get_load(provider->bus);

        return n > 0 ? n - 1 : 0;
}

static int stats(p2pbus_call_handle *call, json_t *payload, void *userdata) {
        const p2pbus_provider *provider = userdata;
        json_t *object = json_object(), *methods = json_object();
        uint64_t n_open = provider->other.n_open;

        (void)payload;
        for (size_t i = 0; i < provider->n_methods; i++) {
                n_open += provider->methods[i].n_open;
                methods = add(methods, provider->methods[i].name,
                              show_counts(json_object(), provider->methods + i));
        }
        object = add_number(object, "calls", provider->n_calls);
        object = add_number(object, "errors", provider->n_errors);
        object = add_number(object, "cancelled", provider->n_cancelled);
        object = add_number(object, "bad_requests", provider->n_bad_requests);
        object = add_number(object, "outstanding", n_open);
        object = add_number(object, "workload", workload(provider));
        object = add_number(object, "uptime_usec", provider_now_usec() - provider->begun_usec);
        object = add(object, "bounds_usec", latency_show_bounds());
        object = add(object, "latency", latency_show(&provider->latency));
        object = add(object, "methods", methods);
        return reply_with(call, object);
}

p2pbus_method_function own_method_find(const char *name) {
        static const struct {
                const char *name;
                p2pbus_method_function function;
        } own[] = {
                { PROVIDER_OWN "Ping", ping },
                { PROVIDER_OWN "Info", info },
                { PROVIDER_OWN "Stats", stats },
        };

        for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
                if (strcmp(own[i].name, name) == 0)
                        return own[i].function;
        return NULL;
}
