/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Provider: a table of methods, the calls of them that are open, and what became of the others
 *
 *      provider.c    the table, dispatching, any loop
 *      answer.c      one call that came, from its request to its answer
 *      own-methods.c p2pbus.Ping, p2pbus.Info, p2pbus.Stats
 *      caller.c      the other side
 *      envelope.c    JSON in the form of a call, in and out
 *      latency.c     how long calls took
 *
 * A call holds its request. It leaves the provider's list, and is freed, when it is answered, but not
 * before its method has returned.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "libcall/envelope.h"
#include "libcall/latency.h"
#include "libcall/p2pbus-call.h"

#define PROVIDER_OWN "p2pbus." /* what the names of its own methods begin with */
#define PROVIDER_CONVENTION 1  /* the version of all this, in p2pbus.Info */

typedef struct Method {
        char *name, *description;
        p2pbus_method_function function;
        void *userdata;
        uint64_t n_calls, n_errors, n_open;
        Latency latency;
} Method;

struct p2pbus_provider {
        p2pbus *bus;
        char *name;
        json_t *metadata;
        Method *methods;
        size_t n_methods;
        Method other; /* what is none of these, and was counted */
        uint64_t begun_usec;
        uint64_t n_calls, n_errors, n_cancelled, n_bad_requests;
        uint64_t n_open;
        Latency latency;
        p2pbus_call_handle *open;
        bool is_stopped;
};

struct p2pbus_call_handle {
        p2pbus_provider *provider;
        Method *method; /* NULL: one of the provider's own, which are not counted */
        p2pbus_message *request;
        char *method_name;
        uint64_t begun_usec, heard_usec; /* CLOCK_BOOTTIME; when the caller last heard of it */
        json_t *parts;                   /* of an answer that has to be one; or NULL */
        size_t n_parts_bytes;
        bool in_method;
        bool is_answered;
        p2pbus_call_handle *prev, *next; /* in provider->open */
};

static inline uint64_t provider_now_usec(void) {
        struct timespec ts;

        (void)clock_gettime(CLOCK_BOOTTIME, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* A call of @method (NULL: of the provider's own) by @request. Return: 0, -EBUSY, -ENOMEM. */
int answer_begin(p2pbus_provider *provider, Method *method, const char *name,
                 p2pbus_message *request, p2pbus_call_handle **ret);
/* Runs @function on it, and answers if that failed. The call may be gone then. */
void answer_run(p2pbus_call_handle *call, p2pbus_method_function function, json_t *payload,
                void *userdata);
/* Answers @request, which has become no call. Return: as p2pbus_reply_error(). */
int answer_refuse(p2pbus_provider *provider, p2pbus_message *request, uint32_t status,
                  const char *text);

/* The provider's own method of this name, or NULL; its userdata is the provider. */
p2pbus_method_function own_method_find(const char *name);
