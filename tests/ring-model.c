/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A model of libcore/ring.c: every order of the steps of producer and consumer
 *
 * Each side is the sequence of its loads, stores and fences on shared memory, one step each, with
 * the other side's steps, the memory's and the bells' between any two. All states that can be
 * reached are visited. Three things must never be: a state in which nobody can go on and somebody is
 * not done (a lost wake-up, or a deadlock); an entry read that is not written, or no longer there; a
 * position that ring.c would call a violation.
 *
 * Memory. Stores wait in their thread's buffer. With TSO (x86) they leave it in order. With the weak
 * model (arm64) they leave in any order that keeps those to one place in order, a release store
 * waits for all before it, a load may have been done early, before loads that stand before it but not
 * before an acquire load or a fence, and one look at an entry may come late, up to the next release
 * store or fence. A fence waits for the buffer. Stores never overtake loads of positions: in ring.c
 * they depend on what was loaded.
 *
 * Positions count units, an entry has one or two of them, the ring SIZE. The producer publishes
 * after one entry or after two, the consumer releases after one or two, and both do before they
 * sleep, as users of ring.h must. The bells are pipes: rung twice is rung once. That an
 * old bell is still there, or `wake_at` stands where nobody sleeps any more, comes by itself.
 *
 * Each ordering of ring.c can be left out: then the search must find the fault that it prevents. That
 * shows that the search can find one.
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/util.h"
#include "tests/main.h"

#define SIZE 2   /* units */
#define TOTAL 4  /* units that are sent */
#define BUFFER 5 /* stores that may wait */
#define NONE 0xff

/* Shared memory */
enum {
        PRODUCED,
        ENTRY_WAKE_AT, /* the consumer's */
        CONSUMED,
        ROOM_WAKE_AT, /* the producer's */
        CELLS,        /* SIZE of them; a cell's value is the position it was written for, plus 1 */
        N_PLACES = CELLS + SIZE,
};

enum {
        PRODUCER,
        CONSUMER,
        _SIDE_MAX,
};

/* Where a side is; what it does next. */
enum {
        AT_START,
        AT_LOOK,      /* load the other's position */
        AT_WRITE,     /* producer: store a cell of the entry */
        AT_COMMITTED, /* producer: publish, or one more entry */
        AT_READ,      /* consumer: load a cell of the entry */
        AT_ADVANCED,  /* consumer: release, or keep it */
        AT_PUBLISH,   /* store the own position */
        AT_PUBLISH_FENCE,
        AT_PUBLISH_WAKE, /* load the other's wake_at */
        AT_ARM,          /* store the own wake_at */
        AT_ARM_FENCE,
        AT_ARM_LOOK, /* load the other's position again */
        AT_SLEEP,
        AT_DONE,
};

typedef struct Store {
        uint8_t place, value, is_release;
} Store;

typedef struct Side {
        uint8_t at;
        uint8_t position;  /* committed, or read */
        uint8_t published; /* or released */
        uint8_t seen;      /* the other's position */
        uint8_t old;       /* published before */
        uint8_t n;         /* units of the entry */
        uint8_t i;         /* of them written or read */
        uint8_t n_batch;   /* entries not published */
        uint8_t resume;    /* where to go on after publishing */
        uint8_t early_place, early_value;
        uint8_t late_position; /* of the one cell that is still to be looked at, or NONE */
        uint8_t bell;          /* was rung for this side */
        uint8_t n_stores;
        Store stores[BUFFER];
} Side;

typedef struct State {
        uint8_t memory[N_PLACES];
        Side sides[_SIDE_MAX];
} State;

/* All of it bytes, so states compare as memory. */
static_assert(sizeof(State) == N_PLACES + 2 * (14 + 3 * BUFFER), "padding");

typedef enum Fault {
        FAULT_NONE,
        FAULT_ASLEEP,   /* nobody can go on */
        FAULT_CONTENT,  /* a cell read that is not the entry's */
        FAULT_POSITION, /* a violation */
} Fault;

/* What is left out of ring.c. */
enum {
        NO_PUBLISH_FENCE = 1 << 0,
        NO_SLEEP_FENCE = 1 << 1,
        NO_RELEASE_FENCE = 1 << 2,
        NO_WAIT_FENCE = 1 << 3,
        NO_PUBLISH_RELEASE = 1 << 4, /* the store of `produced` is relaxed */
        NO_LOOK_ACQUIRE = 1 << 5,    /* so is the load of `produced` */
        NO_RELEASE_RELEASE = 1 << 6, /* the store of `consumed` is relaxed */
        NO_SECOND_LOOK = 1 << 7,     /* sleep without looking again */
};

typedef struct Search {
        bool is_weak;
        unsigned left_out;
        State *states; /* visited, in the order in which they were found */
        size_t n_states, n_allocated;
        uint32_t *table; /* hash to index + 1 */
        size_t n_table;  /* a power of two */
        Fault fault;
} Search;

static uint64_t hash(const State *s) {
        const uint8_t *bytes = (const uint8_t *)s;
        uint64_t h = UINT64_C(0xcbf29ce484222325);

        for (size_t i = 0; i < sizeof(*s); i++)
                h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
        return h ^ h >> 32;
}

static void table_put(Search *x, size_t index) {
        size_t slot = hash(&x->states[index]) & (x->n_table - 1);

        while (x->table[slot] != 0)
                slot = (slot + 1) & (x->n_table - 1);
        x->table[slot] = (uint32_t)index + 1;
}

static void grow(Search *x) {
        x->n_allocated = x->n_allocated ? 2 * x->n_allocated : 1 << 16;
        x->n_table = 4 * x->n_allocated;
        x->states = realloc(x->states, x->n_allocated * sizeof(State));
        free(x->table);
        x->table = calloc(x->n_table, sizeof(*x->table));
        ck_assert(x->states && x->table);
        for (size_t i = 0; i < x->n_states; i++)
                table_put(x, i);
}

/* A step leads to @s. */
static void reach(Search *x, const State *s) {
        size_t slot;

        if (x->n_states == x->n_allocated)
                grow(x);
        slot = hash(s) & (x->n_table - 1);
        for (; x->table[slot] != 0; slot = (slot + 1) & (x->n_table - 1))
                if (memcmp(&x->states[x->table[slot] - 1], s, sizeof(*s)) == 0)
                        return;
        x->states[x->n_states++] = *s;
        x->table[slot] = (uint32_t)x->n_states;
}

/* Memory */

static uint8_t cell(uint8_t position) {
        return (uint8_t)(CELLS + position % SIZE);
}

static bool can_store(const Side *side) {
        return side->n_stores < BUFFER;
}

static void store(Side *side, uint8_t place, uint8_t value, bool is_release) {
        side->stores[side->n_stores++] = (Store){ place, value, is_release };
}

static void forget_early(Side *side) {
        side->early_place = NONE;
        side->early_value = 0;
}

/*
 * Loads of one place by one thread come in order, so a fresh one ends an early one. No side loads
 * what it stores, so buffers need not be looked at.
 */
static uint8_t load(const State *s, Side *side, uint8_t place, bool is_early, bool is_acquire) {
        uint8_t value = is_early ? side->early_value : s->memory[place];

        if (is_acquire || side->early_place == place)
                forget_early(side);
        return value;
}

static bool can_fence(const Side *side) {
        return side->n_stores == 0 && side->late_position == NONE;
}

/* What the memory may do by itself. */
static void memory_steps(Search *x, const State *s, unsigned who) {
        const Side *side = &s->sides[who];
        State next;

        for (unsigned i = 0; i < side->n_stores; i++) {
                bool is_held = !x->is_weak && i > 0;
                Side *n = &next.sides[who];

                for (unsigned k = 0; k < i; k++)
                        if (side->stores[i].is_release ||
                            side->stores[k].place == side->stores[i].place)
                                is_held = true;
                if (is_held)
                        continue;
                next = *s;
                next.memory[side->stores[i].place] = side->stores[i].value;
                n->n_stores--;
                memmove(&n->stores[i], &n->stores[i + 1], (n->n_stores - i) * sizeof(Store));
                n->stores[n->n_stores] = (Store){ 0 };
                reach(x, &next);
        }
        if (side->late_position != NONE) {
                next = *s;
                if (s->memory[cell(side->late_position)] != side->late_position + 1)
                        x->fault = FAULT_CONTENT;
                next.sides[who].late_position = NONE;
                reach(x, &next);
        }
        if (x->is_weak && side->early_place == NONE && side->at != AT_DONE) {
                for (uint8_t place = 0; place < N_PLACES; place++) {
                        bool is_loaded = who == PRODUCER
                                                 ? place == CONSUMED || place == ENTRY_WAKE_AT
                                                 : place == PRODUCED || place == ROOM_WAKE_AT ||
                                                           place >= CELLS;

                        if (!is_loaded)
                                continue;
                        next = *s;
                        next.sides[who].early_place = place;
                        next.sides[who].early_value = s->memory[place];
                        reach(x, &next);
                }
        }
}

/* The two sides. Positions only grow here, so plain comparisons do. */

static bool passed(uint8_t wake_at, uint8_t old, uint8_t now) {
        return wake_at > old && wake_at <= now;
}

/* The other's position was loaded. */
static void see(Search *x, Side *side, unsigned who, uint8_t value) {
        uint8_t most = who == PRODUCER ? side->published : side->published + SIZE;

        if (value < side->seen || value > most)
                x->fault = FAULT_POSITION;
        side->seen = value;
}

static bool has_room(const Side *producer) {
        return producer->seen + SIZE - producer->position >= producer->n;
}

/* Before it can do anything else, a side publishes what it has, if there is something. */
static uint8_t publish_then(Side *side, uint8_t resume) {
        if (side->position == side->published)
                return resume;
        side->resume = resume;
        return AT_PUBLISH;
}

/* Steps that need no shared memory. Return: true: it was one. */
static bool private_step(Search *x, const State *s, unsigned who) {
        const Side *side = &s->sides[who];
        State next = *s;
        Side *n = &next.sides[who];

        switch (side->at) {
        case AT_START:
                if (who == CONSUMER) {
                        if (side->position == TOTAL)
                                n->at = publish_then(n, AT_DONE);
                        else
                                n->at = side->seen == side->position ? AT_LOOK : AT_READ;
                        n->n = n->at == AT_READ;
                        reach(x, &next);
                        return true;
                }
                if (side->position == TOTAL) {
                        n->at = publish_then(n, AT_DONE);
                        reach(x, &next);
                        return true;
                }
                for (uint8_t size = 1; size <= SIZE && side->position + size <= TOTAL; size++) {
                        n->n = size;
                        n->at = has_room(n) ? AT_WRITE : AT_LOOK;
                        reach(x, &next);
                }
                return true;
        case AT_COMMITTED:
        case AT_ADVANCED:
                /* more, or publish first */
                n->at = AT_START;
                if (side->n_batch < 2)
                        reach(x, &next);
                n->at = publish_then(n, AT_START);
                reach(x, &next);
                return true;
        case AT_SLEEP:
                if (side->bell) {
                        n->bell = 0;
                        n->at = who == PRODUCER ? AT_LOOK : AT_START;
                        reach(x, &next);
                }
                return true;
        case AT_DONE:
                return true;
        default:
                return false;
        }
}

static void store_step(Search *x, const State *s, unsigned who) {
        const Side *side = &s->sides[who];
        State next = *s;
        Side *n = &next.sides[who];
        bool is_release;

        if (!can_store(side))
                return;
        switch (side->at) {
        case AT_WRITE:
                store(n, cell((uint8_t)(side->position + side->i)),
                      (uint8_t)(side->position + side->i + 1), false);
                if (++n->i == side->n) {
                        n->position = (uint8_t)(n->position + n->n);
                        n->n = n->i = 0;
                        n->n_batch++;
                        n->at = AT_COMMITTED;
                }
                break;
        case AT_PUBLISH:
                is_release = !(x->left_out &
                               (who == PRODUCER ? NO_PUBLISH_RELEASE : NO_RELEASE_RELEASE));
                if (is_release && side->late_position != NONE)
                        return;
                store(n, who == PRODUCER ? PRODUCED : CONSUMED, side->position, is_release);
                n->old = side->published;
                n->published = side->position;
                n->n_batch = 0;
                n->at = AT_PUBLISH_FENCE;
                break;
        case AT_ARM:
                if (who == PRODUCER)
                        store(n, ROOM_WAKE_AT, (uint8_t)(side->position + side->n - SIZE), false);
                else
                        store(n, ENTRY_WAKE_AT, (uint8_t)(side->position + 1), false);
                n->at = x->left_out & NO_SECOND_LOOK ? AT_SLEEP : AT_ARM_FENCE;
                break;
        default:
                return;
        }
        reach(x, &next);
}

static void fence_step(Search *x, const State *s, unsigned who) {
        unsigned missing;
        State next = *s;
        Side *n = &next.sides[who];

        if (n->at == AT_PUBLISH_FENCE) {
                missing = who == PRODUCER ? NO_PUBLISH_FENCE : NO_RELEASE_FENCE;
                n->at = AT_PUBLISH_WAKE;
        } else {
                missing = who == PRODUCER ? NO_WAIT_FENCE : NO_SLEEP_FENCE;
                n->at = AT_ARM_LOOK;
        }
        if (!(x->left_out & missing)) {
                if (!can_fence(n))
                        return;
                forget_early(n);
        }
        reach(x, &next);
}

/* What a load of @place leads to, fresh or early. */
static void load_step(Search *x, const State *s, unsigned who, uint8_t place, bool is_early) {
        const Side *side = &s->sides[who];
        State next = *s;
        Side *n = &next.sides[who];
        bool is_acquire = who == PRODUCER || !(x->left_out & NO_LOOK_ACQUIRE);

        switch (side->at) {
        case AT_LOOK:
        case AT_ARM_LOOK:
                see(x, n, who, load(s, n, place, is_early, is_acquire));
                if (who == PRODUCER ? has_room(n) : n->seen != n->position)
                        n->at = who == PRODUCER ? AT_WRITE : AT_START;
                else
                        n->at = side->at == AT_ARM_LOOK ? AT_SLEEP : publish_then(n, AT_ARM);
                break;
        case AT_PUBLISH_WAKE:
                if (passed(load(s, n, place, is_early, false), side->old, side->published))
                        next.sides[!who].bell = 1;
                n->at = side->resume;
                n->resume = n->old = 0;
                break;
        default: /* AT_READ */
                if (load(s, n, place, is_early, false) != side->position + 1)
                        x->fault = FAULT_CONTENT;
                n->n = 0;
                n->position++;
                n->n_batch++;
                n->at = AT_ADVANCED;
                break;
        }
        reach(x, &next);
}

static void load_steps(Search *x, const State *s, unsigned who) {
        const Side *side = &s->sides[who];
        uint8_t place;

        if (side->at == AT_READ)
                place = cell(side->position);
        else if (side->at == AT_PUBLISH_WAKE)
                place = who == PRODUCER ? ENTRY_WAKE_AT : ROOM_WAKE_AT;
        else
                place = who == PRODUCER ? CONSUMED : PRODUCED;

        load_step(x, s, who, place, false);
        if (side->early_place == place)
                load_step(x, s, who, place, true);
        if (x->is_weak && side->at == AT_READ && side->late_position == NONE) {
                State next = *s;
                Side *n = &next.sides[who];

                n->late_position = side->position;
                n->position++;
                n->n_batch++;
                n->n = 0;
                n->at = AT_ADVANCED;
                reach(x, &next);
        }
}

static void side_steps(Search *x, const State *s, unsigned who) {
        if (private_step(x, s, who))
                return;
        switch (s->sides[who].at) {
        case AT_WRITE:
        case AT_PUBLISH:
        case AT_ARM:
                store_step(x, s, who);
                break;
        case AT_PUBLISH_FENCE:
        case AT_ARM_FENCE:
                fence_step(x, s, who);
                break;
        default:
                load_steps(x, s, who);
        }
}

/* Sleeping, or done, with nothing under way. */
static bool is_stuck(const Side *side) {
        return side->n_stores == 0 && side->late_position == NONE &&
               (side->at == AT_DONE || (side->at == AT_SLEEP && !side->bell));
}

static Fault search(bool is_weak, unsigned left_out, size_t *ret_n_states) {
        Search x = { .is_weak = is_weak, .left_out = left_out };
        State s = { 0 };

        for (unsigned who = 0; who < _SIDE_MAX; who++) {
                s.sides[who].early_place = NONE;
                s.sides[who].late_position = NONE;
        }
        reach(&x, &s);
        for (size_t i = 0; i < x.n_states && x.fault == FAULT_NONE; i++) {
                s = x.states[i];
                for (unsigned who = 0; who < _SIDE_MAX; who++) {
                        side_steps(&x, &s, who);
                        memory_steps(&x, &s, who);
                }
                if (is_stuck(&s.sides[PRODUCER]) && is_stuck(&s.sides[CONSUMER]) &&
                    (s.sides[PRODUCER].at != AT_DONE || s.sides[CONSUMER].at != AT_DONE))
                        x.fault = FAULT_ASLEEP;
        }
        free(x.states);
        free(x.table);
        *ret_n_states = x.n_states;
        return x.fault;
}

/* What must be found without it. TSO keeps some orders by itself. */
static const struct {
        const char *what;
        unsigned left_out;
        Fault tso, weak;
} rows[] = {
        { "the fence of ring_publish()", NO_PUBLISH_FENCE, FAULT_ASLEEP, FAULT_ASLEEP },
        { "the fence of ring_sleep()", NO_SLEEP_FENCE, FAULT_ASLEEP, FAULT_ASLEEP },
        { "the fence of ring_release()", NO_RELEASE_FENCE, FAULT_ASLEEP, FAULT_ASLEEP },
        { "the fence of ring_wait_for_room()", NO_WAIT_FENCE, FAULT_ASLEEP, FAULT_ASLEEP },
        { "the second look before sleeping", NO_SECOND_LOOK, FAULT_ASLEEP, FAULT_ASLEEP },
        { "release in ring_publish()", NO_PUBLISH_RELEASE, FAULT_NONE, FAULT_CONTENT },
        { "acquire in ring_look_for_entry()", NO_LOOK_ACQUIRE, FAULT_NONE, FAULT_CONTENT },
        { "release in ring_release()", NO_RELEASE_RELEASE, FAULT_NONE, FAULT_CONTENT },
};

static const char *const fault_names[] = { "nothing", "asleep for ever", "a wrong entry",
                                           "an impossible position" };

START_TEST(no_wake_up_is_lost_and_no_entry_is_read_too_early) {
        bool is_weak = _i == 1;
        size_t n_states;
        Fault fault = search(is_weak, 0, &n_states);

        printf("# %s: %zu states\n", is_weak ? "weak" : "TSO", n_states);
        ck_assert_msg(fault == FAULT_NONE, "found: %s", fault_names[fault]);
        ck_assert_uint_gt(n_states, 10000);
}
END_TEST

START_TEST(every_ordering_is_needed) {
        size_t n_tso, n_weak;
        Fault tso = search(false, rows[_i].left_out, &n_tso);
        Fault weak = search(true, rows[_i].left_out, &n_weak);

        printf("# without %s: TSO: %s, after %zu states; weak: %s, after %zu\n", rows[_i].what,
               fault_names[tso], n_tso, fault_names[weak], n_weak);
        ck_assert_msg(tso == rows[_i].tso && weak == rows[_i].weak, "without %s", rows[_i].what);
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("ring-model");
        TCase *t = tcase_create("model");

        tcase_add_loop_test(t, no_wake_up_is_lost_and_no_entry_is_read_too_early, 0, 2);
        tcase_add_loop_test(t, every_ordering_is_needed, 0, ELEMENTSOF(rows));
        suite_add_tcase(s, t);
        return s;
}
