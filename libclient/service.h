/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Services: names that messages are sent to, and who provides them
 *
 * A name is looked up when it is first sent to, or watched; as long as it is in use the daemon tells of
 * each change. Requests are spread over the providers (balance.h), each for itself. One-way messages keep
 * to one provider as long as it is there, so that they stay in order. While nobody is known to provide
 * it, the daemon is asked again, and messages wait for the answer.
 *
 * What did not get through to one provider goes to another: a message of which nothing was sent, or
 * which was refused on the way or by the provider; and one that was begun only if it is IDEMPOTENT,
 * flagged MAYBE_REPEAT, under the same id. From one that may be cut off, such messages are taken back for
 * another; what cannot be, waits.
 */

#include "libclient/bus.h"
#include "libclient/daemon.h"
#include "libclient/provider-set.h"

#define SERVICE_DOUBTS_MAX 5 /* a daemon's word about other hosts may be a second old */
#define SERVICE_DOUBT_USEC (250 * USEC_PER_MSEC)
#define SERVICE_ATTEMPTS_MAX 5 /* times that one message is begun: it may be what kills providers */

struct Service {
        p2pbus *bus;
        char text[P2PBUS_NAME_MAX + 1];
        Ask ask;
        bool is_asking;  /* the answer to come says how it is now */
        bool is_watched; /* the daemon tells of changes; else it is asked again now and then */
        Timer timer;
        uint64_t ask_at_usec;
        uint64_t place_at_usec; /* when those that wait are to be placed */
        uint64_t answered_usec; /* 0: nothing is known yet */
        uint64_t used_usec;
        ProviderSet set; /* who provides it */
        Address last;     /* of the provider that the last message went to */
        Message *waiting; /* list, by prev and next, in the order of sending: no session has them */
        Message *last_put; /* the one of them that came last; or NULL */
        size_t n_waiting_bytes;
        FanOut *fan_outs; /* list: they wait for the answer */
        UT_hash_handle hh;
};

static inline Service *service_of(const Provider *provider) {
        return container_of(provider->set, Service, set);
}

/* As send_to_peer(), for a valid name. */
int service_send(p2pbus *bus, const char *name, Message *message);
/* A message that still waits for a provider is over. */
void service_withdraw(p2pbus *bus, Message *message, int result);
/*
 * A message that was sent to a name is settled. Return: whether it goes on to another provider, and is
 * not settled after all.
 */
bool service_retry(p2pbus *bus, Message *message);

/* A message that is not settled waits for a provider again. */
void service_put_back(Service *service, Message *message);

/* A request is over, answered or not (NULL); harmless if it went to no name. */
void service_end_request(Request *request, const Message *reply);
/* The same for one whose time is over: its provider is as slow as that. */
void service_miss_request(Request *request);
/* A reply came, be it not the last: what it says of its provider. */
void service_on_reply(Request *request, const Message *reply);
/* Who has the request has ended. Return: whether it was sent to another. */
bool service_ask_another(Request *request);
/* See provider-set.h. */
void service_on_away(Provider *provider);

/* The one that a message sent now is likely to go to. Blocks. Return: 0; noted: -ENXIO, -ETIMEDOUT,
 * -EHOSTUNREACH: SETTLING, that is, ask again. */
int service_resolve_wait(p2pbus *bus, const char *name, uint64_t until_usec, Address *ret);
/* The provider that the last message to @name went to, if one is known now. */
bool service_provider(p2pbus *bus, const char *name, Address *ret);
/* Whether @address provides, as far as we know, a name that we send to and that @fits(@pattern, name). */
bool service_is_provided_by(p2pbus *bus, Address address,
                            bool (*fits)(const char *pattern, const char *name), const char *pattern);

/*
 * Looks the name up anew, and then calls fan_out_ask() for each provider, and fan_out_asked().
 * Return: 0; noted: -EAGAIN, -ENOMEM.
 */
int service_expand(p2pbus *bus, const char *name, FanOut *fan_out);
void service_forget_fan_out(Service *service, FanOut *fan_out);
/* Sends @message, whose request is set, to this provider and no other. Return: as service_send(). */
int service_send_to(Provider *provider, Message *message);

/*
 * The application is told of its providers (provider-watch.h), or not any more. Return: 0; noted: -ENOMEM,
 * -ENXIO (was not watched); -EAGAIN.
 */
int service_watch(p2pbus *bus, const char *name);
int service_unwatch(p2pbus *bus, const char *name);

void service_fail_all(p2pbus *bus, int result);
void service_free_all(p2pbus *bus);
