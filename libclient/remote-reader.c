/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/remote-reader.h"

#include <utlist.h>

#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/topic.h"
#include "libcore/buf.h"

#define TRY_AGAIN_USEC (100 * USEC_PER_MSEC)
#define ASK_AGAIN_USEC (2 * USEC_PER_SEC) /* for the lease of who is said not to be there */
#define ONE_USEC (100 * USEC_PER_MSEC)    /* between two that are sealed without keys in common */
#define GIVE_UP_USEC (2 * USEC_PER_SEC)   /* nothing is tried for who was not found */
#define SLOWER_USEC (200 * USEC_PER_MSEC)
#define RATE_MIN 65536 /* bytes a second */
#define RATE_MAX (UINT64_C(256) << 20)

/* What waits */

Copy *copy_new(const uint8_t *record, size_t n) {
        Copy *copy = malloc(sizeof(*copy) + n);

        if (!copy)
                return NULL;
        copy->n_refs = 1;
        copy->n = n;
        memcpy(copy->bytes, record, n);
        return copy;
}

void copy_unref(Copy *copy) {
        if (copy && --copy->n_refs == 0)
                free(copy);
}

/* As if nobody shared it. */
static size_t waiting_memory(const Copy *copy) {
        return sizeof(Waiting) + copy->n;
}

PacketId copy_message_id(const Copy *copy) {
        PacketId id;

        memcpy(&id, copy->bytes + RECORD_HEADER_SIZE + 8, sizeof(id));
        return id;
}

static bool copy_is_retained(const Copy *copy) {
        return copy->bytes[1] & RECORD_RETAINED;
}

static inline void waiting_append(WaitingList *list, Waiting *waiting) {
        DL_APPEND(list->first, waiting);
        list->n++;
        list->n_live += !copy_is_retained(waiting->copy);
        list->n_bytes += waiting_memory(waiting->copy);
}

static inline Waiting *waiting_take_first(WaitingList *list) {
        Waiting *waiting = list->first;

        DL_DELETE(list->first, waiting);
        list->n--;
        list->n_live -= !copy_is_retained(waiting->copy);
        list->n_bytes -= waiting_memory(waiting->copy);
        return waiting;
}

bool waiting_put(p2pbus *bus, WaitingList *list, Copy *copy, uint64_t seq) {
        size_t n = waiting_memory(copy);
        Waiting *waiting;

        if (list->n >= REMOTE_WAITING_MAX || list->n_bytes + n > REMOTE_WAITING_BYTES ||
            bus->topics.n_waiting_bytes + n > REMOTE_WAITING_ALL_BYTES)
                return false;
        waiting = malloc(sizeof(*waiting));
        if (!waiting)
                return false;
        *waiting = (Waiting){ .copy = copy, .seq = seq, .since_usec = bus->now_usec };
        copy->n_refs++;
        waiting_append(list, waiting);
        bus->topics.n_waiting_bytes += n;
        return true;
}

void waiting_drop_first(p2pbus *bus, WaitingList *list) {
        Waiting *waiting = waiting_take_first(list);

        bus->topics.n_waiting_bytes -= waiting_memory(waiting->copy);
        copy_unref(waiting->copy);
        free(waiting);
        if (!list->first)
                bus_happened(bus); /* somebody may wait for it to be empty */
}

void waiting_drop_all(p2pbus *bus, WaitingList *list) {
        while (list->first)
                waiting_drop_first(bus, list);
}

/* To the end of another list. */
static void waiting_move_first(WaitingList *list, WaitingList *to) {
        waiting_append(to, waiting_take_first(list));
}

/* How much goes */

static bool pace_passes(Pace *pace, size_t n, uint64_t now) {
        if (now - pace->counted_usec >= USEC_PER_SEC) {
                pace->n_before = now - pace->counted_usec < 2 * USEC_PER_SEC ? pace->n_bytes : 0;
                pace->n_bytes = 0;
                pace->counted_usec = now;
                if (pace->rate > 0 && now - pace->slower_usec >= USEC_PER_SEC)
                        pace->rate += pace->rate / 16;
                if (pace->rate > RATE_MAX)
                        pace->rate = 0;
        }
        if (pace->rate > 0) {
                uint64_t come =
                        MIN(now - pace->filled_usec, USEC_PER_SEC) * pace->rate / USEC_PER_SEC;

                if (come > 0)
                        pace->filled_usec = now;
                pace->room = MIN(pace->room + come, MAX(pace->rate / 4, (uint64_t)RATE_MIN));
                if (pace->room < n)
                        return false;
                pace->room -= n;
        }
        pace->n_bytes += n;
        return true;
}

static void pace_slower(Pace *pace, uint64_t now) {
        uint64_t rate = pace->rate > 0 ? pace->rate : MAX(pace->n_bytes, pace->n_before);

        if (pace->slower_usec > 0 && now - pace->slower_usec < SLOWER_USEC)
                return;
        pace->slower_usec = now;
        pace->rate = MAX(rate / 2, (uint64_t)RATE_MIN);
        pace->room = 0;
        pace->filled_usec = now;
}

/* One reader */

typedef enum Fate {
        FATE_SENT,
        FATE_LOST,
        FATE_WAITS,
} Fate;

static void on_reader_timer(Timer *timer, uint64_t now) {
        (void)now;
        remote_reader_flush(container_of(timer, RemoteReader, timer));
}

void remote_reader_free(RemoteReader *reader) {
        p2pbus *bus = reader->bus;

        waiting_drop_all(bus, &reader->waiting);
        waiting_drop_all(bus, &reader->kept);
        timer_clear(&bus->timers, &reader->timer);
        daemon_drop(bus, &reader->ask);
        HASH_DELETE(hh, bus->topics.readers, reader);
        free(reader);
}

/* It counts anew, and is new to that reader. */
static void reader_renumber(RemoteReader *reader) {
        waiting_drop_all(reader->bus, &reader->kept);
        reader->session = bus_new_session_id(reader->bus);
        reader->seq = 0;
}

/*
 * Those whom no topic needs stay for a while, for their counts; as long as something waits for one, its
 * count is still to be told.
 */
static bool make_room(p2pbus *bus) {
        RemoteReader *reader, *next;

        if (HASH_COUNT(bus->topics.readers) < REMOTE_READERS_MAX)
                return true;
        HASH_ITER (hh, bus->topics.readers, reader, next)
                if (reader->n_topics == 0 && !reader->waiting.first) {
                        remote_reader_free(reader);
                        return true;
                }
        return false;
}

RemoteReader *remote_reader_find(const p2pbus *bus, const PublicKey *key) {
        RemoteReader *reader;

        HASH_FIND(hh, bus->topics.readers, key, sizeof(*key), reader);
        return reader;
}

RemoteReader *remote_reader_get(p2pbus *bus, const PublicKey *key) {
        RemoteReader *reader = remote_reader_find(bus, key);

        if (reader)
                return reader;
        if (!make_room(bus))
                return NULL;
        reader = calloc(1, sizeof(*reader));
        if (!reader)
                return NULL;
        reader->bus = bus;
        reader->key = *key;
        reader->address = key_hash(key).address;
        reader->timer.on_due = on_reader_timer;
        reader_renumber(reader);
        HASH_ADD(hh, bus->topics.readers, key, sizeof(reader->key), reader);
        if (!reader->hh.tbl) {
                free(reader);
                return NULL;
        }
        return reader;
}

/* It is not to be found: nothing is tried for a while. */
static void reader_absent(RemoteReader *reader) {
        reader->absent_until_usec = reader->bus->now_usec + GIVE_UP_USEC;
        waiting_drop_all(reader->bus, &reader->waiting);
}

static bool adopt_lease(RemoteReader *reader, const Ask *ask) {
        p2pbus *bus = reader->bus;
        const SignedRecordCheck check = {
                .type = SIGNED_RECORD_LEASE,
                .now_usec = bus_wall(bus),
        };
        SignedRecord lease;
        Peer *peer;

        if (signed_record_verify(ask->body, ask->n_body, &check, &lease) != 0 ||
            !key_equal(&lease.signer, &reader->key) ||
            lease.lease.enc_until_usec <= check.now_usec ||
            peer_get(bus, reader->address, &reader->key, &peer) < 0 ||
            !peer_settle(peer, reader->address, &reader->key) || peer_is_on_ring(peer) ||
            !network_may_send(bus, peer))
                return false;
        if (peer->path != SESSION_PATH_OFF_HOST)
                peer_go_off_host(peer, &lease);
        else if (!peer->has_lease || lease.issued_usec > peer->lease.issued_usec)
                peer->lease = lease;
        peer->has_lease = true;
        return true;
}

static void on_lease(p2pbus *bus, Ask *ask) {
        RemoteReader *reader = container_of(ask, RemoteReader, ask);
        bool is_remote = ask->code == CODE_OK && ask->value != RESOLVED_LOCAL;

        if (is_remote && adopt_lease(reader, ask)) {
                reader->absent_until_usec = 0;
        } else if (ask->code == CODE_OK && !is_remote) {
                /* It is on this host now, and gets what the daemon gives it. */
                reader_renumber(reader);
                reader_absent(reader);
        } else if (ask->code != CODE_SETTLING) {
                reader_absent(reader);
        }
        daemon_drop(bus, ask);
        remote_reader_flush(reader);
}

/* At most every TRY_AGAIN_USEC: the timer comes back to it. */
static void reader_ask(RemoteReader *reader) {
        p2pbus *bus = reader->bus;

        if (reader->ask.prev || bus->now_usec - reader->asked_usec < TRY_AGAIN_USEC)
                return;
        reader->asked_usec = bus->now_usec;
        reader->ask = (Ask){
                .control = { .verb = CONTROL_RESOLVE, .address = reader->address },
                .on_answer = on_lease,
        };
        daemon_ask(bus, &reader->ask);
}

static Fate reader_send(RemoteReader *reader, const Copy *copy, uint64_t seq) {
        p2pbus *bus = reader->bus;
        Peer *peer = peer_find(bus, reader->address, &reader->key);
        Epochs *epochs;
        int r;

        if (bus->now_usec < reader->absent_until_usec)
                return FATE_LOST;
        if (!peer || peer->path != SESSION_PATH_OFF_HOST || !peer->has_lease ||
            !peer_settle(peer, reader->address, &reader->key)) {
                reader_ask(reader);
                return FATE_WAITS;
        }
        if (!network_may_send(bus, peer))
                return FATE_LOST;
        /* Who has no keys in common with us opens few of what needs none: most wait for keys. */
        epochs = peer_epochs(peer);
        if (bus->now_usec - peer->sealed_usec < ONE_USEC && epochs &&
            epochs_next(epochs, bus_epoch_time(bus)) == SEALED_ONE)
                return FATE_WAITS;
        if (connection_queued(bus->connection) >
            (copy_is_retained(copy) && reader->waiting.n_live == 0 ? TOPIC_OUTPUT_MAX / 2
                                                              : TOPIC_OUTPUT_MAX)) {
                bus->topics.awaits_room = true;
                return FATE_WAITS;
        }
        if (!pace_passes(&reader->pace, copy->n, bus->now_usec))
                return FATE_LOST;
        memcpy(bus->scratch, copy->bytes, copy->n);
        bus->scratch[0] = RECORD_PUBLISHED;
        store_le64(bus->scratch + 8, reader->session);
        store_le64(bus->scratch + 16, seq);
        r = peer_send_sealed(peer, bus->scratch, copy->n, NULL);
        switch (r) {
        case 0:
                peer->published_usec = bus->now_usec;
                return FATE_SENT;
        case PATH_E_EXPIRED:
                reader_ask(reader);
                return FATE_WAITS;
        case PATH_E_NO_WAY: /* our own lease is on its way */
                return FATE_WAITS;
        default:
                return FATE_LOST;
        }
}

static void reader_set_timer(RemoteReader *reader) {
        p2pbus *bus = reader->bus;

        if (reader->waiting.first)
                (void)timer_set(&bus->timers, &reader->timer, bus->now_usec + TRY_AGAIN_USEC);
        else if (reader->kept.first)
                (void)timer_set(&bus->timers, &reader->timer, reader->kept_until_usec);
}

/* Whether a message of @n bytes that went is kept. */
static bool reader_keeps(RemoteReader *reader, size_t n) {
        uint64_t now = reader->bus->now_usec;

        if (reader->is_new) {
                reader->is_new = false;
                reader->kept_until_usec = now + REMOTE_KEPT_USEC;
        }
        return now < reader->kept_until_usec && reader->kept.n < REMOTE_KEPT_MAX &&
               reader->kept.n_bytes + n <= REMOTE_KEPT_BYTES;
}

void remote_reader_flush(RemoteReader *reader) {
        p2pbus *bus = reader->bus;
        Fate fate;

        if (bus->now_usec >= reader->kept_until_usec)
                waiting_drop_all(bus, &reader->kept);
        while (reader->waiting.first) {
                const Waiting *waiting = reader->waiting.first;

                fate = FATE_LOST;
                if (!waiting_is_old(bus, waiting))
                        fate = bus->is_up ? reader_send(reader, waiting->copy, waiting->seq)
                                          : FATE_WAITS;
                if (fate == FATE_WAITS)
                        break;
                if (fate == FATE_SENT && reader_keeps(reader, waiting_memory(waiting->copy)))
                        waiting_move_first(&reader->waiting, &reader->kept);
                else
                        waiting_drop_first(bus, &reader->waiting);
        }
        reader_set_timer(reader);
}

static bool copy_is_on(const Copy *copy, const char *topic) {
        const uint8_t *text;
        Record record;
        size_t at = 0, n;

        if (record_decode(copy->bytes, copy->n, &at, &record) != 0)
                return false;
        text = record_extension(record.message.extensions, record.message.n_extensions,
                                MESSAGE_EXT_TOPIC, &n);
        return text && n == strlen(topic) && memcmp(text, topic, n) == 0;
}

void remote_reader_begin(RemoteReader *reader, const char *topic) {
        WaitingList kept = reader->kept;
        bool is_asked = reader->ask.prev;

        reader->kept = (WaitingList){ 0 };
        while (kept.first)
                if (copy_is_on(kept.first->copy, topic))
                        waiting_drop_first(reader->bus, &kept);
                else
                        waiting_move_first(&kept, &reader->kept);
        reader->is_new = true;
        reader->asked_usec = 0;
        daemon_drop(reader->bus, &reader->ask);
        if (is_asked)
                reader_ask(reader); /* the answer that was on its way is of before */
}

void remote_reader_again(RemoteReader *reader) {
        WaitingList later = reader->waiting;

        reader->waiting = reader->kept;
        reader->kept = (WaitingList){ 0 };
        while (later.first)
                waiting_move_first(&later, &reader->waiting);
        reader->is_new = true;
        remote_reader_flush(reader);
}

/* Return: false: it could not go, and there is no room for it to wait. */
static bool give(RemoteReader *reader, Copy *copy, uint64_t seq, size_t n_waiting_max) {
        p2pbus *bus = reader->bus;
        bool is_first = !reader->waiting.first;
        Fate fate = is_first ? reader_send(reader, copy, seq) : FATE_WAITS;

        if (fate == FATE_SENT && reader_keeps(reader, waiting_memory(copy)))
                (void)waiting_put(bus, &reader->kept, copy, seq); /* else it is not kept */
        if (fate == FATE_WAITS && (bus->topics.n_waiting_bytes > n_waiting_max ||
                                   !waiting_put(bus, &reader->waiting, copy, seq)))
                return false;
        if (is_first)
                reader_set_timer(reader);
        return true;
}

/* What is lost is missing in the numbers that it sees. */
void remote_reader_give(RemoteReader *reader, Copy *copy) {
        (void)give(reader, copy, reader->seq++, REMOTE_WAITING_ALL_BYTES);
}

bool remote_reader_give_retained(RemoteReader *reader, Copy *copy) {
        p2pbus *bus = reader->bus;

        if (bus->now_usec - bus->topics.retained_usec >= USEC_PER_SEC) {
                bus->topics.retained_usec = bus->now_usec;
                bus->topics.n_retained_given = 0;
        }
        if (bus->topics.n_retained_given + copy->n > REMOTE_RETAINED_RATE ||
            !give(reader, copy, reader->seq, REMOTE_RETAINED_WAITING_BYTES))
                return false;
        bus->topics.n_retained_given += copy->n;
        return true;
}

void remote_reader_lose(RemoteReader *reader, uint64_t n) {
        reader->seq += n;
}

void remote_reader_on_refused(RemoteReader *reader, uint16_t code) {
        uint64_t now = reader->bus->now_usec;

        switch (code) {
        case CODE_QUEUE_FULL:
        case CODE_QUOTA:
        case CODE_OVERLOAD:
        case CODE_RATE:
                pace_slower(&reader->pace, now);
                break;
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_WRONG_KEY:
                if (now - reader->asked_usec >= ASK_AGAIN_USEC)
                        reader_ask(reader);
                break;
        default: /* it passes */
                break;
        }
}
