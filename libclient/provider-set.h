/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Provider set: who provides a name, as the daemon lists them, and those to whom something of ours went
 *
 * One that is not listed any more, and to whom something is under way, has left the name or died: the
 * daemon is asked which, and if it has died its session is over at once.
 */

#include "libclient/balance.h"
#include "libclient/bus.h"
#include "libclient/daemon.h"

#define PROVIDER_SET_AGAIN_USEC (100 * USEC_PER_MSEC) /* of a daemon that may not know all yet */

typedef struct ProviderSet ProviderSet;

/* One that is listed, or to whom something of ours went. */
struct Provider {
        BalanceEntry entry;
        ProviderSet *set;
        Address address;
        PublicKey key;
        unsigned n_refs; /* of messages and requests */
        bool is_listed;
        bool is_missed; /* not in the last answer, of a daemon that may not know all yet */
        bool is_unsure; /* the daemon knew of nobody after it was listed, but it may be elsewhere */
        Ask ask;        /* has it died? */
        Provider *prev, *next;
        struct {
                bool is_here;
                ProviderRank rank;
        } told;                              /* to the application: provider-watch.h */
        Provider *prev_change, *next_change; /* the bus's: it is to be told again */
};

struct ProviderSet {
        p2pbus *bus;
        Provider *providers;   /* list */
        uint64_t n_ever;       /* numbers them in the order of coming */
        BalanceEntry **listed; /* of those that are; owned */
        size_t n_listed;
        Provider *steady; /* where one-way messages go; or NULL */
        bool is_followed; /* the application watches it */
        /* The daemon is to be asked for all of them again, at @usec. */
        void (*on_doubt)(ProviderSet *set, uint64_t usec);
        /* @provider is not listed any more, and its host may be cut off: what others may do goes to them. */
        void (*on_away)(Provider *provider);
};

Provider *provider_ref(Provider *provider);
void provider_unref(Provider *provider);

/* The daemon's answer, PROVIDER_ENTRY_SIZE bytes each: those that are in it, */
void provider_set_take(ProviderSet *set, const uint8_t *body, size_t n_body);
/* and those that were listed and are not in it. */
void provider_set_drop_others(ProviderSet *set, const uint8_t *body, size_t n_body);
/* What the chooser looks at, anew. Without memory there is nobody, until the next answer. */
void provider_set_list(ProviderSet *set);
/* As balance_choose(). */
Provider *provider_set_choose(const ProviderSet *set, BalanceMode mode, bool any);
/* Frees all, whoever holds them. */
void provider_set_clear(ProviderSet *set);
