/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/balance.h"

#define NEAR 1.25 /* costs within this factor are the same: what is measured is never exact */

bool balance_may_ask(const BalanceEntry *e, uint64_t now) {
        return !(e->rank.flags & PROVIDER_DRAIN) &&
               (e->failed_usec == 0 || now - e->failed_usec >= BALANCE_REST_USEC);
}

/* As it fades; at least how long the oldest waits now. 0: not known. */
static uint64_t latency(const BalanceEntry *e, uint64_t now) {
        uint64_t waits = e->n_outstanding > 0 && now > e->busy_usec ? now - e->busy_usec : 0;
        uint64_t faded = e->latency_usec;
        uint64_t halves = (now - e->latency_at_usec) / BALANCE_FADE_USEC;

        if (faded > 0 && halves > 0)
                faded = halves < 63 ? MAX(faded >> halves, UINT64_C(1)) : 1;
        return MAX(faded, waits);
}

/* Requests that wait there, as far as we know. */
static unsigned n_waiting(const BalanceEntry *e, uint64_t now) {
        return e->n_outstanding + (now - e->load_usec < BALANCE_LOAD_USEC ? e->n_others : 0);
}

double balance_cost(const BalanceEntry *e, double scale, uint64_t best_usec, uint64_t now) {
        uint64_t usec = latency(e, now);

        return (double)MAX(usec > 0 ? usec : best_usec, UINT64_C(1)) *
               (1 + n_waiting(e, now) * scale);
}

typedef struct Choice {
        BalanceEntry *const *entries;
        size_t n;
        uint64_t now_usec;
        bool any;
        bool with_self;
        uint16_t priority;
        bool is_remote;     /* which of these are candidates now */
        uint64_t weight;    /* of all candidates */
        uint64_t best_usec; /* of those here and elsewhere */
        size_t n_candidates;
} Choice;

static bool is_eligible(const Choice *c, const BalanceEntry *e) {
        if (e->is_self && !c->with_self)
                return false;
        return c->any ? !(e->rank.flags & PROVIDER_DRAIN) : balance_may_ask(e, c->now_usec);
}

static bool is_remote(const BalanceEntry *e) {
        return e->rank.flags & PROVIDER_REMOTE;
}

static bool is_of_priority(const Choice *c, const BalanceEntry *e) {
        return e->rank.priority == c->priority && is_eligible(c, e);
}

static bool is_candidate(const Choice *c, const BalanceEntry *e) {
        return is_of_priority(c, e) && is_remote(e) == c->is_remote;
}

/* Finds the lowest priority. Return: false: nobody. */
static bool find_priority(Choice *c) {
        bool any = false;

        c->best_usec = 0;
        c->priority = UINT16_MAX;
        for (size_t i = 0; i < c->n; i++)
                if (is_eligible(c, c->entries[i])) {
                        c->priority = MIN(c->priority, c->entries[i]->rank.priority);
                        any = true;
                }
        for (size_t i = 0; i < c->n; i++) {
                uint64_t usec;

                if (!is_of_priority(c, c->entries[i]))
                        continue;
                usec = latency(c->entries[i], c->now_usec);
                if (usec > 0 && (c->best_usec == 0 || usec < c->best_usec))
                        c->best_usec = usec;
        }
        return any;
}

/* Those who have it, of this host or of others. Return: false: nobody. */
static bool find_candidates(Choice *c, bool remote) {
        c->is_remote = remote;
        c->n_candidates = 0;
        c->weight = 0;
        for (size_t i = 0; i < c->n; i++)
                if (is_candidate(c, c->entries[i])) {
                        c->weight += c->entries[i]->rank.weight;
                        c->n_candidates++;
                }
        return c->n_candidates > 0;
}

static BalanceEntry *first(const Choice *c) {
        BalanceEntry *found = NULL;

        for (size_t i = 0; i < c->n; i++)
                if (is_candidate(c, c->entries[i]) &&
                    (!found || c->entries[i]->number < found->number))
                        found = c->entries[i];
        return found;
}

/* By weight, @chance of 32 bits; not @except. */
static BalanceEntry *draw(const Choice *c, uint32_t chance, const BalanceEntry *except) {
        uint64_t weight = c->weight - (except ? except->rank.weight : 0), at;
        BalanceEntry *last = NULL;

        at = weight * chance >> 32;
        for (size_t i = 0; i < c->n; i++) {
                BalanceEntry *e = c->entries[i];

                if (e == except || !is_candidate(c, e))
                        continue;
                last = e;
                if (at < e->rank.weight)
                        break;
                at -= e->rank.weight;
        }
        return last;
}

/* Of @a and @b the one that is likely to answer sooner; @a if there is little between them. */
static BalanceEntry *sooner(const Choice *c, BalanceEntry *a, BalanceEntry *b) {
        /* Who has a third of the weight is taken to be full with a third of the requests. */
        double heavier = MAX(a->rank.weight, b->rank.weight);
        double cost_a = balance_cost(a, heavier / a->rank.weight, c->best_usec, c->now_usec);
        double cost_b = balance_cost(b, heavier / b->rank.weight, c->best_usec, c->now_usec);

        return cost_a <= cost_b * NEAR ? a : b;
}

static BalanceEntry *share(const Choice *c, uint64_t chance) {
        BalanceEntry *a = draw(c, (uint32_t)chance, NULL);

        if (c->n_candidates == 1)
                return a;
        return sooner(c, a, draw(c, (uint32_t)(chance >> 32), a));
}

static BalanceEntry *choose(Choice *c, BalanceMode mode, uint64_t chance) {
        BalanceEntry *near = NULL;

        if (find_candidates(c, false)) {
                near = mode == BALANCE_FAILOVER ? first(c) : share(c, chance);
                if (mode == BALANCE_FAILOVER || n_waiting(near, c->now_usec) == 0)
                        return near;
        }
        if (!find_candidates(c, true))
                return near;
        if (mode == BALANCE_FAILOVER)
                return first(c);
        return near ? sooner(c, near, share(c, chance)) : share(c, chance);
}

BalanceEntry *balance_choose(BalanceEntry *const *entries, size_t n, BalanceMode mode, bool any,
                             uint64_t chance, uint64_t now_usec) {
        Choice c = { .entries = entries, .n = n, .now_usec = now_usec };

        while (!find_priority(&c)) {
                if (!c.with_self)
                        c.with_self = true;
                else if (any && !c.any)
                        c.any = true, c.with_self = false;
                else
                        return NULL;
        }
        return choose(&c, mode, chance);
}

unsigned balance_begin(BalanceEntry *e, uint64_t now) {
        unsigned n_front = n_waiting(e, now);

        if (e->n_outstanding++ == 0)
                e->busy_usec = now;
        return n_front;
}

void balance_end(BalanceEntry *e) {
        if (e->n_outstanding > 0)
                e->n_outstanding--;
}

void balance_heard(BalanceEntry *e, uint64_t now) {
        e->busy_usec = now;
        e->failed_usec = 0;
}

void balance_answered(BalanceEntry *e, uint64_t took, unsigned n_front, bool is_error,
                      uint64_t now) {
        uint64_t old = latency(&(BalanceEntry){ .latency_usec = e->latency_usec,
                                                .latency_at_usec = e->latency_at_usec },
                               now);

        balance_end(e);
        balance_heard(e, now);
        took = MAX(took / (1 + n_front), UINT64_C(1));
        if (is_error && took <= old)
                return;
        /* It is believed sooner that one has become slow than that it has become fast. */
        if (old == 0)
                e->latency_usec = took;
        else
                e->latency_usec = took > old ? old + (took - old) / 2 : old - (old - took) / 8;
        e->latency_at_usec = now;
}

void balance_load(BalanceEntry *e, unsigned n_waiting, uint64_t now) {
        e->n_others = n_waiting > e->n_outstanding ? n_waiting - e->n_outstanding : 0;
        e->load_usec = now;
}
