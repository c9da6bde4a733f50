/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Which of several providers is asked
 *
 * Pure: numbers, the time and chance go in, a choice comes out. Of those that may be asked at all, the
 * lowest priority number counts. Among these, in proportion to their weights, two are drawn, and the
 * one that is likely to answer sooner is taken ("power of two choices"): so nobody has to know what
 * the others send, the work spreads evenly, and all do not run to the same one that looked best a
 * moment ago. If there is little between the two the first that was drawn stays: then the weights
 * alone decide.
 *
 * Those of this host and those of others are drawn for apart. One of this host that has nothing to do is
 * taken; else the two that were chosen are compared in the same way. So what is near stays near, and others
 * help out when it is much.
 *
 * How long an answer will take is the time that one request takes there times those in front of it: our
 * own that wait there, and those of others, as its last reply reported (LOAD). The one is measured by
 * dividing what a request took by those that were in front of it, so that many who work side by side
 * count as one that is fast. A provider that keeps us waiting is at least as slow as it has kept us
 * waiting. Who is slow is hardly ever asked and so has no way to
 * show that it is no more: its latency fades, to half in BALANCE_FADE_USEC.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/provider.h"
#include "libcore/util.h"

#define BALANCE_FADE_USEC (5 * USEC_PER_SEC)
#define BALANCE_LOAD_USEC USEC_PER_SEC /* how long a reported load is believed */
#define BALANCE_REST_USEC USEC_PER_SEC /* whom we could not reach is left alone for so long */

/* What is known of one provider; all zero but for its rank at first. */
typedef struct BalanceEntry {
        ProviderRank rank;
        uint64_t number;        /* in the order of coming */
        bool is_self;           /* ourselves: only if there is nobody else */
        unsigned n_outstanding; /* our requests to it */
        uint64_t busy_usec;     /* since when the oldest may wait, or the last answer came */
        unsigned n_others;      /* requests of others there, as its last reply said */
        uint64_t load_usec;     /* when it said so */
        uint64_t latency_usec;  /* that one request adds, smoothed; 0: not known */
        uint64_t latency_at_usec;
        uint64_t failed_usec; /* when it last could not be reached; 0: it could */
} BalanceEntry;

typedef enum BalanceMode {
        BALANCE_SHARE,    /* as above */
        BALANCE_FAILOVER, /* of the lowest priority number always the one that came first, rather of
                           * this host */
} BalanceMode;

/* Whether it is to be asked: not draining, and not one that could not be reached a moment ago. */
bool balance_may_ask(const BalanceEntry *entry, uint64_t now_usec);
/*
 * @chance: 64 random bits. @any: rather one that could not be reached a moment ago than none.
 * Return: whom to ask; NULL: nobody.
 */
BalanceEntry *balance_choose(BalanceEntry *const *entries, size_t n, BalanceMode mode, bool any,
                             uint64_t chance, uint64_t now_usec);
/* Microseconds that an answer is likely to take; @best_usec: of one of which nothing is known. */
double balance_cost(const BalanceEntry *entry, double scale, uint64_t best_usec, uint64_t now_usec);

/* A request goes to it. Return: how many are in front of it. */
unsigned balance_begin(BalanceEntry *entry, uint64_t now_usec);
/* It ended without an answer. */
void balance_end(BalanceEntry *entry);
/*
 * It ended with one, that took @took_usec; @n_front: as balance_begin() said. An error may be quick
 * because nothing was done: it does not make a provider look faster.
 */
void balance_answered(BalanceEntry *entry, uint64_t took_usec, unsigned n_front, bool is_error,
                      uint64_t now_usec);
/* It is at work on one that goes on: a part of the answer came. */
void balance_heard(BalanceEntry *entry, uint64_t now_usec);
/* Its reply said how many requests wait there, ours included. */
void balance_load(BalanceEntry *entry, unsigned n_waiting, uint64_t now_usec);
