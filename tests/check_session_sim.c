/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two sessions under a simulated network
 *
 * One seed is one history: two processes send, abandon, pop and take; the way between them loses,
 * doubles, delays, refuses and changes; they restart and forget. After every step the promises in
 * session.h's head are looked after. Then the way heals, both applications take all there is, and
 * everything has to come to its end.
 *
 * P2PBUS_SEED=n repeats one history, P2PBUS_HISTORIES=n asks for another number of them than
 * HISTORIES, P2PBUS_TRACE=1 tells the story.
 */

#include "libclient/session.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/control.h"
#include "tests/main.h"
#include "tests/session-way.h"

/* Sanitizers take ten times as long, and see other histories. */
#if defined(__SANITIZE_ADDRESS__)
#define HISTORIES 1500
#define FIRST_SEED UINT64_C(1000001)
#else
#define HISTORIES 10000
#define FIRST_SEED UINT64_C(1)
#endif
#define CASES 20 /* Check runs each in a process of its own */
#define STEPS 250
#define SENT_MAX 512
#define HELD_MAX 512
#define LIVES_MAX 16
#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

/* What became of a message, as the world sees it. */
typedef struct Sent {
        bool is_finished;
        int result;
        unsigned n_popped;  /* how often in all lives of the receiver */
        unsigned popped_by; /* life */
        unsigned sent_to;   /* life of the receiver */
} Sent;

typedef struct Side {
        char name;
        Session *session;
        SessionQuota quota;
        unsigned life; /* counts restarts */
        bool attached, single;

        Sent sent[SENT_MAX];
        Message *messages[SENT_MAX]; /* a reference while it is not finished */
        unsigned n_sent, first_of_life;
        uint64_t n_finished; /* in this session, as it counts */

        unsigned next_index[LIVES_MAX]; /* of the next message of that life of the other */
        Message *held[HELD_MAX];        /* popped, not taken */
        unsigned n_held;

        /* What stands on the wire, by this session's id. */
        uint64_t wire_id, wire_seq, wire_position, wire_limit;
        bool wire_lost; /* skipped more than can be followed */
} Side;

static struct World {
        uint64_t seed, now, opened;
        Chance chance;
        SessionPath path;
        uint64_t generation;
        Way ways[2];                                 /* off-host, by who sends */
        unsigned doubling, refusal, hints, laziness; /* per mille */
        unsigned unwanted;                           /* messages that receivers refuse, per mille */
        bool healed, trace;
        Side sides[2];
        Air air;
} world;

static uint64_t random_u64(void) {
        return chance_u64(&world.chance);
}

static unsigned below(unsigned n) {
        return (unsigned)chance_below(&world.chance, n);
}

static bool chance(unsigned per_mille) {
        return chance_happens(&world.chance, per_mille);
}

static _printf_(1, 2) void tell(const char *format, ...) {
        va_list ap;

        if (!world.trace)
                return;
        fprintf(stderr, "%10" PRIu64 " ", world.now % UINT64_C(10000000000));
        va_start(ap, format);
        (void)vfprintf(stderr, format, ap); /* only for people */
        va_end(ap);
        fputc('\n', stderr);
}

/* Not ck_assert(): that writes to a pipe each time, and these are millions. */
#define CLAIM(what, why)                                                                           \
        do {                                                                                       \
                if (!(what))                                                                       \
                        ck_abort_msg("seed %" PRIu64 ": not: %s: %s", world.seed, #what, why);     \
        } while (false)

static unsigned number(const Side *side) {
        return (unsigned)(side - world.sides);
}

static Side *other(const Side *side) {
        return &world.sides[1 - number(side)];
}

/* Payloads: whose, which, and a pattern. */

static void fill(uint8_t *data, size_t n, unsigned life, unsigned index) {
        store_le32(data, life);
        store_le32(data + 4, index);
        for (size_t i = 8; i < n; i++)
                data[i] = (uint8_t)(index * 7 + i * 13 + (i >> 10));
}

/* Whoever gets it does not want it, at every try. */
static bool is_unwanted(unsigned index) {
        return index * 2654435761U % 1000 < world.unwanted;
}

static void check_payload(Side *side, const Message *m) {
        Side *from = other(side);
        unsigned life, index;

        CLAIM(m->n_data >= 8, "payload is there");
        life = load_le32(m->data);
        index = load_le32(m->data + 4);
        CLAIM(life <= from->life && index < from->n_sent, "payload is one that was sent");
        tell("%c pops %u", side->name, index);
        CLAIM(index >= side->next_index[life], "in order, none twice");
        CLAIM(!is_unwanted(index), "what was refused stays away");
        side->next_index[life] = index + 1;
        for (size_t i = 8; i < m->n_data; i++)
                if (m->data[i] != (uint8_t)(index * 7 + i * 13 + (i >> 10)))
                        ck_abort_msg("seed %" PRIu64 ": byte %zu of %u is wrong", world.seed, i,
                                     index);

        from->sent[index].n_popped++;
        from->sent[index].popped_by = side->life;
        CLAIM(!from->sent[index].is_finished || from->sent[index].sent_to != side->life ||
                      (from->sent[index].result != CODE_EXPIRED &&
                       from->sent[index].result != RESULT_CANCELLED),
              "nothing given up arrives later");
        CLAIM(!from->sent[index].is_finished || from->sent[index].result != CODE_GONE,
              "nothing comes of what somebody has left without");
}

/* Sides */

static void begin_session(Side *side) {
        SessionOptions options = {
                .id = random_u64() >> (chance(50) ? 40 : 8),
                .opened_usec = world.opened += 1000, /* a session may have followers of its own */
                .message_max = 700000,
                .quota = &side->quota,
                .body_max = chance(500)   ? 1024
                            : chance(500) ? 4000
                                          : 0,
        };

        memset(options.self_key, side->name, sizeof(options.self_key));
        if (chance(500))
                memset(options.peer_key, other(side)->name, sizeof(options.peer_key));
        CLAIM(session_new(&side->session, &options, world.now) == 0, "memory");
        tell("%c has session %" PRIx64, side->name, options.id);
        side->n_finished = 0;
        side->wire_id = 0;
        if (side->attached)
                session_set_path(side->session, world.path, world.generation, world.now);
}

static void note_finished(Side *side) {
        Message *m;

        while (side->session && (m = session_pop_finished(side->session))) {
                unsigned index = load_le32(m->data + 4);
                Sent *sent = &side->sent[index];

                tell("%c finishes %u: %#x", side->name, index, (unsigned)m->result);
                CLAIM(!sent->is_finished, "finished once");
                sent->is_finished = true;
                sent->result = m->result;
                CLAIM(m->result != RESULT_PENDING, "it has a result");
                if (m->result == RESULT_DELIVERED)
                        CLAIM(sent->n_popped > 0, "delivered is what arrived");
                if (m->result == CODE_GONE)
                        CLAIM(sent->n_popped == 0, "who has left has given it to nobody");
                if (m->result == CODE_DENIED)
                        CLAIM(is_unwanted(index), "refused is what somebody refused");
                if (m->result == CODE_EXPIRED || m->result == RESULT_CANCELLED)
                        CLAIM(sent->n_popped == 0 || sent->popped_by != sent->sent_to ||
                                      sent->sent_to != other(side)->life,
                              "given up is what did not arrive");
                side->n_finished++;
                message_unref(side->messages[index]);
                side->messages[index] = NULL;
                message_unref(m);
        }
}

static void check_account(Side *side) {
        const SessionCounters *c;

        if (!side->session)
                return;
        c = session_counters(side->session);
        CLAIM(c->n_delivered + c->n_refused + c->n_expired + c->n_cancelled + c->n_unknown ==
                      side->n_finished,
              "the account is what was reported");
        CLAIM(c->n_sent >= side->n_finished, "nothing is reported that was not sent");
        CLAIM(side->quota.left <= side->quota.size, "the quota is not overdrawn");
        CLAIM(session_memory(side->session) <
                      (SESSION_QUEUE_MAX + 3 * SESSION_WINDOW) * 4 + side->quota.size + 700000,
              "memory is bounded");
}

static void end_session(Side *side) {
        note_finished(side);
        /* What is left unfinished is dropped, and nobody hears of it. */
        side->session = session_free(side->session);
}

static void restart(Side *side) {
        tell("%c restarts", side->name);
        end_session(side);
        for (unsigned i = 0; i < side->n_held; i++)
                message_unref(side->held[i]);
        side->n_held = 0;
        for (unsigned i = 0; i < side->n_sent; i++)
                side->messages[i] = message_unref(side->messages[i]);
        CLAIM(side->quota.left == side->quota.size, "the quota is whole again");
        memset(side->next_index, 0, sizeof(side->next_index));
        side->first_of_life = side->n_sent;
        side->life++;
}

/* The way */

static void launch(Side *side, const uint8_t *bytes, size_t n, uint64_t due, bool is_marked) {
        const Flying packet = {
                .bytes = (uint8_t *)bytes,
                .n = n,
                .from = number(side),
                .life = side->life,
                .is_marked = is_marked,
                .due = due,
        };

        CLAIM(air_launch(&world.air, &packet), "no flood");
}

static void post(Side *side, const uint8_t *bytes, size_t n) {
        Way *way = &world.ways[number(side)];
        uint64_t due;
        bool is_marked;

        if (world.path == SESSION_PATH_LOCAL || world.healed) {
                launch(side, bytes, n, world.now + 30, false);
                return;
        }
        switch (way_carry(way, &world.chance, world.now, n, &due, &is_marked)) {
        case WAY_LOSES:
                tell("%c: packet lost", side->name);
                if (side->session && chance(world.hints))
                        session_hint(side->session, CODE_SETTLING, SESSION_HINT_USEC, world.now);
                return;
        case WAY_DROPS:
                tell("%c: packet dropped", side->name);
                if (side->session && chance(world.refusal))
                        session_pause(side->session, world.now + 1 + below(50000), world.now);
                return;
        case WAY_CARRIES:
                launch(side, bytes, n, due, is_marked);
                if (chance(world.doubling))
                        launch(side, bytes, n, due + below(200000), is_marked);
        }
}

/* No more bytes than the other side granted, and each once more at the most. */
static void watch_wire(Side *side, const Record *r) {
        if (session_id(side->session) != side->wire_id) {
                side->wire_id = session_id(side->session);
                side->wire_seq = side->wire_position = 0;
                side->wire_limit = SESSION_WINDOW_FIRST;
                side->wire_lost = false;
        }
        if ((r->type == RECORD_MSG || r->type == RECORD_PART) && r->seq >= side->wire_seq) {
                if (r->seq > side->wire_seq)
                        side->wire_lost = true;
                side->wire_position += r->size;
                side->wire_seq = r->seq + 1;
                if (side->wire_position > side->wire_limit)
                        tell("%c: seq %" PRIu64 " position %" PRIu64 " limit %" PRIu64, side->name,
                             r->seq, side->wire_position, side->wire_limit);
                if (!side->wire_lost)
                        CLAIM(side->wire_position <= side->wire_limit, "within the limit");
        }
        if (r->type == RECORD_SKIP && r->skip.last >= side->wire_seq) {
                side->wire_seq = r->skip.last + 1;
                side->wire_position = r->skip.end;
        }
}

static void tell_packet(const Side *side, const char *what, const uint8_t *bytes, size_t n) {
        size_t at = 0;
        Record r;

        if (!world.trace)
                return;
        while (record_decode(bytes, n, &at, &r) == 0)
                switch (r.type) {
                case RECORD_ACK:
                        tell("%c %s %" PRIx64 " ACK received %" PRIu64 " taken %" PRIu64
                             " limit %" PRIu64 " ranges %u%s",
                             side->name, what, r.session, r.ack.received, r.ack.taken, r.ack.limit,
                             r.ack.n_ranges, r.flags ? " NOW" : "");
                        break;
                case RECORD_SKIP:
                case RECORD_SKIPPED:
                        tell("%c %s %" PRIx64 " %s %" PRIu64 "-%" PRIu64 " from/end %" PRIu64
                             " reason %u",
                             side->name, what, r.session,
                             r.type == RECORD_SKIP ? "SKIP" : "SKIPPED", r.seq, r.skip.last,
                             r.skip.end, r.skip.reason);
                        break;
                default:
                        tell("%c %s %" PRIx64 " type %u seq %" PRIu64 " size %zu", side->name, what,
                             r.session, r.type, r.seq, r.size);
                }
}

/* What @n_before in flight and a window allowed: one record at the least, and one more that asks. */
static void check_flight(const Side *side, uint64_t n_before, bool asks) {
        uint64_t n = session_in_flight(side->session);
        uint64_t window = session_congestion_window(side->session);

        if (n <= n_before)
                return;
        if (asks)
                window += RECORD_HEADER_SIZE + RECORD_BODY_MAX;
        CLAIM(n <= window || n_before == 0 || (asks && n - n_before <= ROOM), "within the window");
        CLAIM(n <= MAX(window, (uint64_t)ROOM) || n_before > 0, "within it from the first on");
}

static void pump(Side *side) {
        uint8_t bytes[ROOM];
        unsigned n_rounds = 0;
        uint64_t deadline;
        PacketId id;
        bool asked = false; /* in the packet before; the record that asks may not have fitted in there */

        if (!side->session)
                return;
        for (;;) {
                uint64_t n_before = session_in_flight(side->session);
                size_t n, at = 0;
                bool asks = false;
                Record r;
                int c;

                if (session_produce(side->session, side->single, world.now, bytes, sizeof(bytes),
                                    &n, &id, &deadline) != 0)
                        break;
                CLAIM(++n_rounds < 3000, "producing comes to an end");
                tell_packet(side, "says", bytes, n);
                while ((c = record_decode(bytes, n, &at, &r)) == 0) {
                        watch_wire(side, &r);
                        asks = asks || (r.type == RECORD_ACK && (r.flags & RECORD_ACK_NOW));
                }
                CLAIM(c == RECORD_E_END, "what is produced can be read");
                check_flight(side, n_before, asks || asked);
                asked = asks;
                post(side, bytes, n);
        }
        note_finished(side);
        check_account(side);
        if (side->session && session_is_closed(side->session)) {
                tell("%c forgets a closed session", side->name);
                end_session(side);
        }
}

static void answer_reset(Side *side, uint64_t id) {
        Record r = { .type = RECORD_RESET, .session = id };
        uint8_t bytes[64];

        tell("%c says RESET %" PRIx64, side->name, id);
        record_encode(&r, bytes);
        post(side, bytes, record_size(&r));
}

static void arrive(Side *side, const Flying *f) {
        size_t at = 0;
        Record r;

        tell_packet(side, f->is_marked ? "hears, marked," : "hears", f->bytes, f->n);
        if (side->session)
                session_begin_packet(side->session, f->is_marked);
        while (record_decode(f->bytes, f->n, &at, &r) == 0) {
                int c;

                if (!side->session) {
                        if (r.type == RECORD_START)
                                begin_session(side);
                        else {
                                if (r.type != RECORD_RESET && r.type != RECORD_CLOSE)
                                        answer_reset(side, r.session);
                                return;
                        }
                }
                if (r.type == RECORD_MSG && is_unwanted(load_le32(r.message.data + 4)))
                        c = session_refuse(side->session, &r, CODE_DENIED, world.now);
                else
                        c = session_consume(side->session, &r, world.now);
                if (c == SESSION_E_UNKNOWN) {
                        answer_reset(side, r.session);
                        return;
                }
                if (c == SESSION_E_CLOSED) {
                        end_session(side);
                        return;
                }
                if (c != 0)
                        tell("%c: %d for type %u seq %" PRIu64, side->name, c, r.type, r.seq);
                CLAIM(c == 0, "an honest peer is no violation");
                if (r.type == RECORD_ACK ||
                    (r.type == RECORD_START && r.session == session_id(side->session))) {
                        watch_wire(side, &r);
                        side->wire_limit = MAX(side->wire_limit,
                                               r.type == RECORD_ACK ? r.ack.limit : r.start.limit);
                }
        }
}

static bool deliver_due(void) {
        Side *from, *to;
        Flying f;

        if (!air_land(&world.air, world.now, &f))
                return false;
        from = &world.sides[f.from];
        to = other(from);
        if (!to->attached) {
                tell("%c is not there", to->name);
                if (from->session && from->life == f.life)
                        session_hint(from->session, chance(800) ? CODE_SETTLING : CODE_NOT_HERE,
                                     SESSION_HINT_USEC, world.now);
        } else if (world.path == SESSION_PATH_LOCAL && !world.healed && chance(world.refusal)) {
                tell("packet of %c is refused", from->name);
                if (from->session)
                        session_pause(from->session, world.now + 1 + below(50000), world.now);
        } else
                arrive(to, &f);
        free(f.bytes);
        pump(to);
        pump(from);
        return true;
}

/* Applications */

static void send_one(Side *side) {
        unsigned kind = below(100);
        size_t n_data = 8 + below(kind < 70 ? 200 : kind < 94 ? 5000 : kind < 98 ? 70000 : 500000);
        Message *m;
        int c;

        if (side->n_sent == SENT_MAX)
                return;
        if (!side->session)
                begin_session(side);
        CLAIM(message_new_with_size(&m, n_data, 0) == 0, "memory");
        fill(m->data, n_data, side->life, side->n_sent);
        m->kind = (uint8_t)(1 + below(4));
        m->id = packet_id_make(world.now, side->n_sent);
        m->ack_now = chance(300);
        if (chance(150))
                m->deadline_usec = world.now + below(3000000);
        c = session_send(side->session, m, world.now);
        if (c == 0) {
                tell("%c sends %u: %zu bytes", side->name, side->n_sent, n_data);
                side->sent[side->n_sent].sent_to = other(side)->life;
                side->messages[side->n_sent++] = m;
                return;
        }
        CLAIM(c == SESSION_E_FULL && !session_is_writable(side->session), "refused only if full");
        message_unref(m);
}

static void pop_one(Side *side) {
        Message *m;

        if (!side->session || side->n_held == HELD_MAX)
                return;
        m = session_pop(side->session);
        if (m) {
                check_payload(side, m);
                side->held[side->n_held++] = m;
        }
}

static void take_one(Side *side) {
        unsigned i;

        if (side->n_held == 0)
                return;
        i = chance(800) ? 0 : below(side->n_held);
        if (side->session)
                session_taken(side->session, side->held[i], world.now);
        message_unref(side->held[i]);
        memmove(side->held + i, side->held + i + 1, (--side->n_held - i) * sizeof(side->held[0]));
}

static void abandon_one(Side *side) {
        unsigned n = side->n_sent - side->first_of_life, i;

        if (n == 0 || !side->session)
                return;
        i = side->first_of_life + below(n);
        if (!side->messages[i])
                return;
        tell("%c abandons %u", side->name, i);
        session_abandon(side->session, side->messages[i], RESULT_CANCELLED, world.now);
}

/* The process ends, or the session has been idle. */
static void leave(Side *side) {
        uint8_t bytes[ROOM];
        uint64_t deadline;
        PacketId id;
        size_t n;
        bool stays;

        if (!side->session)
                return;
        stays = session_is_forgettable(side->session, world.now);
        tell("%c closes", side->name);
        session_close(side->session, stays ? CODE_OK : CODE_GONE, world.now);
        while (session_produce(side->session, false, world.now, bytes, ROOM, &n, &id, &deadline) ==
               0)
                post(side, bytes, n);
        session_fail(side->session, RESULT_UNKNOWN, world.now);
        note_finished(side);
        if (stays)
                end_session(side);
        else
                restart(side);
}

/* Time */

static uint64_t next_event(void) {
        uint64_t due = air_due(&world.air);

        for (unsigned i = 0; i < 2; i++)
                if (world.sides[i].session)
                        due = MIN(due, session_due(world.sides[i].session));
        return due;
}

static void run_until(uint64_t until) {
        unsigned n_rounds = 0;

        for (;;) {
                uint64_t due = next_event();

                if (due > until)
                        break;
                CLAIM(++n_rounds < 200000, "time goes on");
                world.now = MAX(world.now, due);
                for (unsigned i = 0; i < 2; i++) {
                        Side *side = &world.sides[i];

                        if (!side->session)
                                continue;
                        session_tick(side->session, world.now);
                        pump(side);
                        if (side->session)
                                CLAIM(session_due(side->session) > world.now,
                                      "a tick has done what was due");
                }
                (void)deliver_due(); /* one at a time: its answers may be earlier than the next */
        }
        world.now = MAX(world.now, until);
}

static void attach(Side *side) {
        side->attached = true;
        if (side->session)
                session_set_path(side->session, world.path, world.generation, world.now);
}

static void detach(Side *side) {
        side->attached = false;
        if (side->session)
                session_set_path(side->session, SESSION_PATH_NONE, world.generation, world.now);
}

static void change_path(void) {
        SessionPath path = chance(700)   ? world.path
                           : chance(500) ? SESSION_PATH_LOCAL
                                         : SESSION_PATH_OFF_HOST;
        unsigned n_kept = path == SESSION_PATH_OFF_HOST && world.path == path ? 500 : 0;

        tell("path ends");
        for (unsigned i = world.air.n; i-- > 0;)
                if (!chance(n_kept))
                        air_drop(&world.air, i);
        world.path = path;
        world.generation++;
        for (unsigned i = 0; i < 2; i++) {
                detach(&world.sides[i]);
                if (chance(500))
                        attach(&world.sides[i]);
        }
}

/* Nothing comes through, in one direction or both, for milliseconds to minutes. */
static void go_dark(void) {
        uint64_t until = world.now + below(1u << (10 + below(17)));
        unsigned which = 1 + below(3);

        tell("it is dark");
        for (unsigned i = 0; i < 2; i++)
                if (which & 1u << i)
                        world.ways[i].dark_until = until;
        if (chance(500)) {
                run_until(until);
                if (chance(500))
                        change_path();
        }
}

static void step(void) {
        Side *side = &world.sides[below(2)];
        unsigned what = below(1000);

        if (what < 4)
                go_dark();
        else if (what < 330)
                send_one(side);
        else if (what < 330 + world.laziness)
                pop_one(side);
        else if (what < 330 + 2 * world.laziness)
                take_one(side);
        else if (what < 760) {
                uint64_t due = next_event();

                run_until(due == USEC_NEVER ? world.now + 1000 : due);
        } else if (what < 880)
                run_until(world.now + below(1u << below(22)));
        else if (what < 930)
                abandon_one(side);
        else if (what < 950) {
                if (side->session)
                        session_flush(side->session, world.now);
        } else if (what < 960)
                change_path();
        else if (what < 965 && side->life + 1 < LIVES_MAX)
                restart(side);
        else if (what < 970 && side->life + 1 < LIVES_MAX)
                leave(side);
        else if (what < 975) {
                if (side->session)
                        session_resume(side->session, world.now);
        } else if (what < 977) {
                if (side->session)
                        session_fail(side->session, RESULT_UNKNOWN, world.now);
        } else
                attach(side);

        for (unsigned i = 0; i < 2; i++)
                pump(&world.sides[i]);
}

static void heal(void) {
        world.healed = true;
        tell("the way heals");
        for (unsigned i = 0; i < 2; i++)
                attach(&world.sides[i]);
        for (unsigned round = 0; round < 400; round++) {
                for (unsigned i = 0; i < 2; i++) {
                        Side *side = &world.sides[i];

                        pump(side);
                        do {
                                pop_one(side);
                                while (side->n_held > 0)
                                        take_one(side);
                                if (side->session)
                                        session_flush(side->session, world.now);
                                pump(side);
                        } while (side->n_held > 0);
                }
                run_until(world.now + 200000);
        }

        for (unsigned i = 0; i < 2; i++) {
                Side *side = &world.sides[i];

                while (side->session) {
                        Message *m = session_pop(side->session);

                        CLAIM(!m, "all was popped");
                        CLAIM(session_is_forgettable(side->session,
                                                     world.now + 10 * SESSION_IDLE_USEC),
                              "nothing is left to do");
                        end_session(side);
                }
                for (unsigned k = side->first_of_life; k < side->n_sent; k++)
                        CLAIM(side->sent[k].is_finished, "every message has come to its end");
                CLAIM(side->quota.left == side->quota.size, "the quota is whole again");
        }
}

static Way way(void) {
        Way way = {
                .loss = chance(400) ? 0 : below(chance(500) ? 20 : 300),
                .bursts = chance(700) ? 0 : below(20),
                .delay_usec = 200 + below(1u << below(20)),
                .rate = chance(400) ? 0 : UINT64_C(20000) << below(11),
                .queue_max = UINT64_C(70000) << below(6),
                .marks = chance(700),
        };

        way.jitter_usec = chance(500) ? 0 : below(1u << below(20));
        return way;
}

static void live(uint64_t seed) {
        memset(&world, 0, sizeof(world));
        world.seed = world.chance.state = seed;
        world.trace = getenv("P2PBUS_TRACE") != NULL;
        world.now = 1000 * USEC_PER_SEC;
        world.path = chance(300) ? SESSION_PATH_LOCAL : SESSION_PATH_OFF_HOST;
        world.generation = 1;
        world.ways[0] = way();
        world.ways[1] = chance(500) ? way() : world.ways[0];
        world.doubling = chance(300) ? below(200) : 0;
        world.refusal = below(100);
        world.hints = chance(300) ? 50 : 0;
        world.laziness = 20 + below(190);
        world.unwanted = chance(500) ? 0 : below(200);
        for (unsigned i = 0; i < 2; i++) {
                Side *side = &world.sides[i];

                side->name = i == 0 ? 'A' : 'B';
                side->attached = chance(900);
                side->single = chance(300);
                side->quota.size = side->quota.left = 600000 + below(1000000);
        }

        for (unsigned i = 0; i < STEPS; i++)
                step();
        heal();
        air_clear(&world.air);
}

START_TEST(promises_hold_in_any_history) {
        const char *one = getenv("P2PBUS_SEED"), *many = getenv("P2PBUS_HISTORIES");
        uint64_t n = many ? strtoull(many, NULL, 0) : HISTORIES;

        if (one) {
                if (_i == 0)
                        live(strtoull(one, NULL, 0));
                return;
        }
        for (uint64_t seed = (uint64_t)_i; seed < n; seed += CASES)
                live(FIRST_SEED + seed);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("session-sim");
        TCase *histories = tcase_create("histories");

        tcase_add_loop_test(histories, promises_hold_in_any_history, 0, CASES);
        tcase_set_timeout(histories, 600);
        suite_add_tcase(suite, histories);
        return suite;
}
