/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Two sessions under a simulated network
 *
 * One seed is one history: two processes send, abandon, take back, pop and take; the way between them loses,
 * doubles, delays, refuses and changes; they restart, forget, and do not want to hear each other for a
 * while. What is said of packets that were refused travels like they do, and may be late. After every
 * step the promises in session.h's head are looked after, and that nothing that was called refused was
 * handed out, or ever is. Then the way heals, both applications take all there is, and
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
#define PACKETS_MAX 65536
#define LATE_USEC (30 * USEC_PER_SEC) /* later, a word of another way does not come any more */
#define LIVES_MAX 16
#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

/* Who says what of a packet; see whereabouts.c and sealed.c, which hear it. */
enum {
        WORD_FULL = 1, /* somebody has no room: nothing else is known */
        WORD_AGAIN,    /* the receiver cannot read it, and tells how to seal for it */
        WORD_REFUSED,  /* the receiver does not want it */
        WORD_ERROR,    /* somebody on the way has not delivered it */
};

/* What became of a packet: the first that happened of these, to any of its doubles. */
typedef enum Fate {
        FATE_OPEN,
        FATE_CAME,
        FATE_REFUSED,
} Fate;

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
        bool asked; /* in the packet before; the record that asks may not have fitted in there */
        uint64_t closed_until; /* by policy it hears nobody until then */
        uint64_t n_again;      /* generations of its own */
        uint64_t changed_usec; /* when it last got another path */

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
        bool is_ring; /* the local path is one: nothing is refused, and no daemon is needed */
        Way ways[2];  /* off-host, by who sends */
        unsigned doubling, refusal, hints, laziness; /* per mille */
        unsigned unwanted;                           /* messages that receivers refuse, per mille */
        unsigned nacks, closings, unsent;            /* per mille */
        bool healed, trace;
        Side sides[2];
        Air air;
        uint8_t fates[PACKETS_MAX];
        unsigned n_packets;
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

/* It did not come, and never will: so says the result. */
static bool is_refusal(int result) {
        return result != RESULT_DELIVERED && result != RESULT_UNKNOWN && result != CODE_EXPIRED &&
               result != RESULT_CANCELLED;
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
        CLAIM(!from->sent[index].is_finished || !is_refusal(from->sent[index].result),
              "nothing refused arrives later");
}

/* Sides */

static void set_path(Side *side) {
        side->changed_usec = world.now;
        if (side->session)
                session_set_path(side->session, world.path,
                                 world.generation + (side->n_again << 32), world.now);
}

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
                set_path(side);
}

static void note_finished(Side *side) {
        Message *m;

        while (side->session && (m = session_pop_finished(side->session))) {
                unsigned index = (unsigned)(uintptr_t)m->userdata;
                Sent *sent = &side->sent[index];

                tell("%c finishes %u: %#x", side->name, index, (unsigned)m->result);
                CLAIM(!sent->is_finished, "finished once");
                sent->is_finished = true;
                sent->result = m->result;
                CLAIM(m->result != RESULT_PENDING, "it has a result");
                if (m->result == RESULT_DELIVERED)
                        CLAIM(sent->n_popped > 0, "delivered is what arrived");
                if (is_refusal(m->result))
                        CLAIM(sent->n_popped == 0, "refused is what was not handed out");
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

static void launch(const Flying *packet) {
        CLAIM(air_launch(&world.air, packet), "no flood");
}

/* What is said of a packet goes back as it came. */
static void say(const Flying *packet, unsigned word, uint16_t code) {
        Flying f = *packet;
        uint64_t due;
        bool is_marked;

        f.from = 1 - f.from;
        f.word = word;
        f.code = code;
        f.n = 1;
        f.due = world.now + 30 + (word == WORD_ERROR && chance(200) ? below(200000) : 0);
        tell("of packet %u: word %u code %u", f.serial, word, code);
        if (!packet->is_local && !world.healed) {
                if (way_carry(&world.ways[f.from], &world.chance, world.now, 100, &due,
                              &is_marked) != WAY_CARRIES)
                        return;
                f.due = due;
                if (chance(world.doubling))
                        launch(&f);
        }
        launch(&f);
}

/* @is_produced: by the session, and with @id, if that is one message. */
static void post(Side *side, const uint8_t *bytes, size_t n, bool is_produced, const PacketId *id) {
        Way *way = &world.ways[number(side)];
        Flying f = {
                .bytes = (uint8_t *)bytes,
                .n = n,
                .from = number(side),
                .life = side->life,
                .due = world.now + 30,
                .serial = world.n_packets++,
                .is_local = world.path == SESSION_PATH_LOCAL,
        };

        CLAIM(f.serial < PACKETS_MAX, "no flood in all");
        f.id = id ? *id : packet_id_make(world.now, f.serial + (1U << 20));
        if (is_produced && !f.is_local)
                session_sealed_as(side->session, &f.id);
        if (f.is_local || world.healed) {
                launch(&f);
                return;
        }
        switch (way_carry(way, &world.chance, world.now, n, &f.due, &f.is_marked)) {
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
                launch(&f);
                if (chance(world.doubling)) {
                        f.due += below(200000);
                        launch(&f);
                }
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

        if (!side->session)
                return;
        for (;;) {
                uint64_t n_before = session_in_flight(side->session);
                size_t n, at = 0;
                static const PacketId none;
                bool asks = false, is_named;
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
                check_flight(side, n_before, asks || side->asked);
                side->asked = asks;
                if (!world.healed && chance(world.unsent)) { /* no memory, or no lease yet */
                        tell("%c: not sent", side->name);
                        session_unsent(side->session, &id);
                        session_pause(side->session, world.now + 1 + below(50000), world.now);
                        break;
                }
                is_named = world.path == SESSION_PATH_LOCAL && memcmp(&id, &none, sizeof(id)) != 0;
                post(side, bytes, n, true, is_named ? &id : NULL);
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
        post(side, bytes, record_size(&r), false, NULL);
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

static void hear_error(Side *side, const Flying *f) {
        if (f->is_local && world.path == SESSION_PATH_OFF_HOST) {
                session_refused(side->session, &f->id);
                return;
        }
        if (world.now - side->changed_usec <= LATE_USEC && !session_has_sent(side->session, &f->id))
                return;
        if (world.path == SESSION_PATH_LOCAL || !session_is_established(side->session))
                session_refused(side->session, &f->id);
        if (f->code == CODE_DENIED)
                session_deny(side->session, f->code, world.now);
        else
                session_hint(side->session, f->code, SESSION_HINT_USEC, world.now);
}

/* What is said of a packet that went from here. */
static void hear(Side *side, const Flying *f) {
        if (!side->session || side->life != f->life)
                return;
        tell("%c hears of packet %u: word %u code %u", side->name, f->serial, f->word, f->code);
        switch (f->word) {
        case WORD_FULL:
                session_pause(side->session, world.now + 1 + below(50000), world.now);
                break;
        case WORD_AGAIN:
                if (!session_has_sent(side->session, &f->id))
                        break; /* of before the last one */
                side->n_again++;
                if (side->attached)
                        set_path(side);
                break;
        case WORD_REFUSED:
                session_refused(side->session, &f->id);
                session_deny(side->session, f->code, world.now);
                break;
        default:
                hear_error(side, f);
        }
}

/* Return: whether @f does not get to @to. */
static bool is_stopped(const Side *to, const Flying *f) {
        uint8_t *fate = &world.fates[f->serial];
        unsigned word = WORD_ERROR;
        uint16_t code = CODE_DENIED;

        if (*fate == FATE_REFUSED)
                return true;
        if (f->is_local && world.is_ring)
                return false;
        if (!to->attached)
                code = chance(800) ? CODE_SETTLING : CODE_NOT_HERE;
        else if (world.healed)
                return false;
        else if (to->closed_until > world.now)
                word = f->is_local ? WORD_ERROR : WORD_REFUSED;
        else if (chance(f->is_local ? world.refusal : world.nacks)) {
                say(f, WORD_FULL, CODE_OK); /* a double may come all the same */
                return true;
        } else if (!f->is_local && chance(world.nacks)) {
                say(f, WORD_AGAIN, CODE_OK); /* it may be about a double of what came */
                return true;
        } else
                return false;
        if (*fate != FATE_CAME) {
                *fate = FATE_REFUSED;
                say(f, word, code);
        }
        return true;
}

static bool deliver_due(void) {
        Side *from, *to;
        Flying f;

        if (!air_land(&world.air, world.now, &f))
                return false;
        from = &world.sides[f.from];
        to = other(from);
        if (f.word != 0)
                hear(to, &f);
        else if (!is_stopped(to, &f)) {
                world.fates[f.serial] = FATE_CAME;
                arrive(to, &f);
        }
        free(f.bytes);
        pump(to);
        pump(from);
        return true;
}

/* Applications */

/* As the owner of a ring does: the record stands there already, and there is no copy of it. */
static bool commit(Side *side, Message *m) {
        size_t n_record = RECORD_HEADER_SIZE + RECORD_MESSAGE_HEAD_SIZE + m->n_data;
        uint8_t bytes[ROOM];
        Record r;

        if (world.path != SESSION_PATH_LOCAL || !world.is_ring || !side->attached || !chance(300) ||
            n_record > sizeof(bytes) || !session_may_commit(side->session, n_record))
                return false;
        switch (session_commit(side->session, m, world.now, &r)) {
        case 0:
                record_encode(&r, bytes);
                watch_wire(side, &r);
                post(side, bytes, record_size(&r), false, NULL);
                break;
        case SESSION_E_IDLE:
                break;
        default:
                return false;
        }
        return true;
}

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
        m->userdata = (void *)(uintptr_t)side->n_sent;
        c = commit(side, m) ? 0 : session_send(side->session, m, world.now);
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
        if (chance(300)) {
                tell("%c takes %u back", side->name, i);
                CLAIM(session_take_back(side->session, side->messages[i], CODE_NOT_HERE,
                                        world.now) == 0,
                      "memory");
                return;
        }
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
                post(side, bytes, n, true, NULL);
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
        set_path(side);
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
                if (!chance(world.air.flying[i].word != 0 ? 500 : n_kept))
                        air_drop(&world.air, i);
        world.path = path;
        world.is_ring = chance(400);
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
                        session_fail(side->session, chance(500) ? RESULT_UNKNOWN : CODE_GONE,
                                     world.now);
        } else if (what < 977 + world.closings)
                side->closed_until = world.now + below(1u << below(22));
        else
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
        world.is_ring = chance(400);
        world.generation = 1;
        world.ways[0] = way();
        world.ways[1] = chance(500) ? way() : world.ways[0];
        world.doubling = chance(300) ? below(200) : 0;
        world.refusal = below(100);
        world.hints = chance(300) ? 50 : 0;
        world.laziness = 20 + below(190);
        world.unwanted = chance(500) ? 0 : below(200);
        world.nacks = chance(500) ? 0 : below(50);
        world.closings = chance(500) ? 0 : below(10);
        world.unsent = chance(700) ? 0 : below(50);
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
