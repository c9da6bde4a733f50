/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/topic-remote.h"

#include <utlist.h>

#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/path.h"
#include "libclient/peer.h"
#include "libclient/topic.h"
#include "libcore/buf.h"
#include "libcore/topic.h"

#define TRY_AGAIN_USEC (100 * USEC_PER_MSEC)
#define ASK_AGAIN_USEC (2 * USEC_PER_SEC) /* for the lease of who is said not to be there */
#define ONE_USEC (100 * USEC_PER_MSEC)    /* between two that are sealed without keys in common */
#define GIVE_UP_USEC (2 * USEC_PER_SEC)   /* nothing is tried for who was not found */
#define SLOWER_USEC (200 * USEC_PER_MSEC)
#define RATE_MIN 65536 /* bytes a second */
#define RATE_MAX (UINT64_C(256) << 20)

/* An encoded record; those who wait for something share it. */
struct Copy {
        unsigned n_refs;
        size_t n;
        uint8_t bytes[];
};

typedef struct Waiting Waiting;
struct Waiting {
        Waiting *prev, *next;
        Copy *copy;
        uint64_t seq; /* for that reader */
        uint64_t since_usec;
};

/* In the order of publishing. */
typedef struct WaitingList {
        Waiting *first;
        unsigned n;
        size_t n_bytes;
} WaitingList;

/* Bytes a second, once somebody on the way was full. */
typedef struct Pace {
        uint64_t rate; /* 0: as many as there are */
        uint64_t room; /* bytes that may go now */
        uint64_t filled_usec;
        uint64_t slower_usec; /* when it was last made slower */
        uint64_t
                counted_usec; /* a second begins, in which @n_bytes went, and @n_before in the last */
        uint64_t n_bytes, n_before;
} Pace;

struct RemoteReader {
        p2pbus *bus;
        UT_hash_handle hh; /* by @key */
        PublicKey key;
        Address address;
        unsigned n_topics;
        uint64_t session, seq;
        Ask ask; /* for its lease */
        uint64_t asked_usec;
        uint64_t absent_until_usec;
        WaitingList waiting;
        Timer timer; /* set while anything waits */
        Pace pace;
};

struct RemoteTopic {
        UT_hash_handle hh; /* by @topic */
        bool is_known;     /* else the daemon was asked */
        unsigned n_readers;
        RemoteReader *readers[CONTROL_READERS_MAX];
        WaitingList waiting; /* until it is known */
        uint64_t n_lost;     /* behind these */
        char topic[TOPIC_SIZE_MAX + 1];
};

/* Whose messages come here. */
struct RemoteWriter {
        UT_hash_handle hh; /* by @key */
        PublicKey key;
        uint64_t session, next; /* the number that is due */
};

/* What waits */

static Copy *copy_new(const uint8_t *record, size_t n) {
        Copy *copy = malloc(sizeof(*copy) + n);

        if (!copy)
                return NULL;
        copy->n_refs = 1;
        copy->n = n;
        memcpy(copy->bytes, record, n);
        return copy;
}

static void copy_unref(Copy *copy) {
        if (copy && --copy->n_refs == 0)
                free(copy);
}

/* What does not fit is lost. Return: whether it waits. */
static bool waiting_put(WaitingList *list, Copy *copy, uint64_t seq, uint64_t now) {
        Waiting *waiting;

        if (list->n >= TOPIC_REMOTE_WAITING_MAX ||
            list->n_bytes + copy->n > TOPIC_REMOTE_WAITING_BYTES)
                return false;
        waiting = malloc(sizeof(*waiting));
        if (!waiting)
                return false;
        *waiting = (Waiting){ .copy = copy, .seq = seq, .since_usec = now };
        copy->n_refs++;
        DL_APPEND(list->first, waiting);
        list->n++;
        list->n_bytes += copy->n;
        return true;
}

static void waiting_drop_first(WaitingList *list) {
        Waiting *waiting = list->first;

        DL_DELETE(list->first, waiting);
        list->n--;
        list->n_bytes -= waiting->copy->n;
        copy_unref(waiting->copy);
        free(waiting);
}

static void waiting_drop_all(p2pbus *bus, WaitingList *list) {
        if (list->first)
                bus_happened(bus); /* somebody may wait for it to be empty */
        while (list->first)
                waiting_drop_first(list);
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

static void reader_flush(RemoteReader *reader);

static void on_reader_timer(Timer *timer, uint64_t now) {
        (void)now;
        reader_flush(container_of(timer, RemoteReader, timer));
}

static void reader_free(p2pbus *bus, RemoteReader *reader) {
        waiting_drop_all(bus, &reader->waiting);
        timer_clear(&bus->timers, &reader->timer);
        daemon_drop(bus, &reader->ask);
        HASH_DELETE(hh, bus->topics.readers, reader);
        free(reader);
}

/* It counts anew, and is new to that reader. */
static void reader_begin(RemoteReader *reader) {
        reader->session = bus_new_session_id(reader->bus);
        reader->seq = 0;
}

/* Those whom no topic needs stay for a while, for their counts. */
static bool make_room(p2pbus *bus) {
        RemoteReader *reader, *next;

        if (HASH_COUNT(bus->topics.readers) < TOPIC_REMOTE_READERS_MAX)
                return true;
        HASH_ITER (hh, bus->topics.readers, reader, next)
                if (reader->n_topics == 0) {
                        reader_free(bus, reader);
                        return true;
                }
        return false;
}

static RemoteReader *reader_get(p2pbus *bus, const PublicKey *key) {
        RemoteReader *reader;

        HASH_FIND(hh, bus->topics.readers, key, sizeof(*key), reader);
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
        reader_begin(reader);
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
                reader_begin(reader);
                reader_absent(reader);
        } else if (ask->code != CODE_SETTLING) {
                reader_absent(reader);
        }
        daemon_drop(bus, ask);
        reader_flush(reader);
}

static void reader_ask(RemoteReader *reader) {
        p2pbus *bus = reader->bus;

        if (reader->ask.prev)
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
        if (connection_queued(bus->connection) > TOPIC_OUTPUT_MAX ||
            !pace_passes(&reader->pace, copy->n, bus->now_usec))
                return FATE_LOST;
        memcpy(bus->scratch, copy->bytes, copy->n);
        bus->scratch[0] = RECORD_PUBLISHED;
        store_le64(bus->scratch + 8, reader->session);
        store_le64(bus->scratch + 16, seq);
        r = peer_send_sealed(peer, bus->scratch, copy->n);
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

static void reader_flush(RemoteReader *reader) {
        p2pbus *bus = reader->bus;

        while (bus->is_up && reader->waiting.first) {
                const Waiting *waiting = reader->waiting.first;
                bool is_old = bus->now_usec - waiting->since_usec >= TOPIC_REMOTE_WAIT_USEC;

                if (!is_old && reader_send(reader, waiting->copy, waiting->seq) == FATE_WAITS)
                        break;
                waiting_drop_first(&reader->waiting);
                if (!reader->waiting.first)
                        bus_happened(bus);
        }
        if (reader->waiting.first)
                (void)timer_set(&bus->timers, &reader->timer, bus->now_usec + TRY_AGAIN_USEC);
}

/* What is lost is missing in the numbers that it sees. */
static void reader_give(RemoteReader *reader, Copy *copy) {
        p2pbus *bus = reader->bus;
        uint64_t seq = reader->seq++;

        if (!reader->waiting.first && reader_send(reader, copy, seq) != FATE_WAITS)
                return;
        (void)waiting_put(&reader->waiting, copy, seq, bus->now_usec);
        if (reader->waiting.first && reader->timer.at == 0)
                (void)timer_set(&bus->timers, &reader->timer, bus->now_usec + TRY_AGAIN_USEC);
}

/* One topic */

static RemoteTopic *topic_find(const p2pbus *bus, const char *topic) {
        RemoteTopic *remote;

        HASH_FIND_STR(bus->topics.remote, topic, remote);
        return remote;
}

static void topic_drop_readers(RemoteTopic *remote) {
        for (unsigned i = 0; i < remote->n_readers; i++)
                remote->readers[i]->n_topics--;
        remote->n_readers = 0;
}

static void topic_free(p2pbus *bus, RemoteTopic *remote) {
        topic_drop_readers(remote);
        waiting_drop_all(bus, &remote->waiting);
        HASH_DELETE(hh, bus->topics.remote, remote);
        free(remote);
}

static RemoteTopic *topic_new(p2pbus *bus, const char *topic) {
        RemoteTopic *remote;

        if (HASH_COUNT(bus->topics.remote) >= TOPIC_REMOTE_TOPICS_MAX)
                topic_free(bus, bus->topics.remote); /* the one that was new first */
        remote = calloc(1, sizeof(*remote));
        if (!remote)
                return NULL;
        strcpy(remote->topic, topic);
        HASH_ADD_STR(bus->topics.remote, topic, remote);
        if (!remote->hh.tbl) {
                free(remote);
                return NULL;
        }
        return remote;
}

static bool goes_off_host(const p2pbus *bus, const char *topic) {
        return bus->sealer && (bus->welcome.flags & ATTACH_OFF_HOST) &&
               !topic_is_own(topic, strlen(topic));
}

bool topic_remote_asks(p2pbus *bus, const char *topic) {
        return goes_off_host(bus, topic) && !topic_find(bus, topic);
}

void topic_remote_publish(p2pbus *bus, const char *topic, const uint8_t *record, size_t n_record) {
        RemoteTopic *remote = topic_find(bus, topic);
        Copy *copy;

        if (!goes_off_host(bus, topic))
                return;
        if (!remote)
                remote = topic_new(bus, topic);
        if (!remote || (remote->is_known && remote->n_readers == 0))
                return;
        copy = copy_new(record, n_record);
        if (!copy)
                return;
        if (!remote->is_known)
                remote->n_lost += !waiting_put(&remote->waiting, copy, 0, bus->now_usec);
        else
                for (unsigned i = 0; i < remote->n_readers; i++)
                        reader_give(remote->readers[i], copy);
        copy_unref(copy);
}

static void take_readers(p2pbus *bus, RemoteTopic *remote, const uint8_t *keys, size_t n_keys) {
        RemoteReader *readers[CONTROL_READERS_MAX];
        unsigned n = 0;
        PublicKey key;

        for (size_t i = 0; i < n_keys; i++) {
                memcpy(key.bytes, keys + i * KEY_SIZE, KEY_SIZE);
                if (key_equal(&key, identity_public(bus->identity)))
                        continue;
                readers[n] = reader_get(bus, &key);
                if (readers[n])
                        readers[n++]->n_topics++; /* from here on it is not forgotten */
        }
        topic_drop_readers(remote);
        memcpy(remote->readers, readers, n * sizeof(readers[0]));
        remote->n_readers = n;
        for (unsigned i = 0; i < n; i++)
                readers[i]->absent_until_usec = 0; /* somebody has heard of it */
}

void topic_remote_on_readers(p2pbus *bus, const Control *word) {
        BufReader r = buf_reader(word->body, word->n_body);
        uint8_t n_topic = buf_get_u8(&r);
        const uint8_t *bytes = buf_get(&r, n_topic), *keys;
        size_t n_keys = buf_left(&r) / KEY_SIZE;
        char topic[TOPIC_SIZE_MAX + 1];
        RemoteTopic *remote;

        keys = buf_get(&r, n_keys * KEY_SIZE);
        if (!buf_reader_done(&r) || n_keys > CONTROL_READERS_MAX ||
            !topic_is_valid((const char *)bytes, n_topic)) {
                bus->counters.bad_packets++;
                return;
        }
        memcpy(topic, bytes, n_topic);
        topic[n_topic] = '\0';
        remote = topic_find(bus, topic);
        if (word->code != CODE_OK) {
                if (remote)
                        topic_free(bus, remote);
                return;
        }
        if (!remote)
                remote = topic_new(bus, topic); /* the answer came before the question was noted */
        if (!remote)
                return;
        take_readers(bus, remote, keys, n_keys);
        remote->is_known = true;
        while (remote->waiting.first) {
                for (unsigned i = 0; i < remote->n_readers; i++)
                        reader_give(remote->readers[i], remote->waiting.first->copy);
                waiting_drop_first(&remote->waiting);
        }
        for (unsigned i = 0; i < remote->n_readers; i++)
                remote->readers[i]->seq += remote->n_lost;
        remote->n_lost = 0;
        bus_happened(bus);
}

void topic_remote_forget(p2pbus *bus) {
        while (bus->topics.remote)
                topic_free(bus, bus->topics.remote);
}

void topic_remote_flush(p2pbus *bus) {
        RemoteReader *reader, *next;

        HASH_ITER (hh, bus->topics.readers, reader, next)
                reader_flush(reader);
}

void topic_remote_on_keys(Peer *peer) {
        RemoteReader *reader;

        HASH_FIND(hh, peer->bus->topics.readers, &peer->key, sizeof(peer->key), reader);
        if (reader)
                reader_flush(reader);
}

static bool something_waits(const p2pbus *bus) {
        for (const RemoteTopic *remote = bus->topics.remote; remote; remote = remote->hh.next)
                if (remote->waiting.first)
                        return true;
        for (const RemoteReader *reader = bus->topics.readers; reader; reader = reader->hh.next)
                if (reader->waiting.first)
                        return true;
        return false;
}

void topic_remote_wait(p2pbus *bus, uint64_t until) {
        int r = 0;

        if (!bus->topics.remote && !bus->topics.readers)
                return;
        until = MIN(until, bus->now_usec + TOPIC_REMOTE_WAIT_USEC);
        while (r == 0 && bus->is_up) {
                loop_send(bus, true); /* whoever waits here may not come back for long */
                if (!something_waits(bus) && connection_queued(bus->connection) == 0)
                        break;
                r = loop_wait(bus, until);
        }
}

void topic_remote_on_refused(p2pbus *bus, Address address, uint16_t code) {
        Peer *peer = bus->topics.readers ? peer_find(bus, address, NULL) : NULL;
        RemoteReader *reader;

        if (!peer || !peer->has_key)
                return;
        HASH_FIND(hh, bus->topics.readers, &peer->key, sizeof(peer->key), reader);
        if (!reader)
                return;
        switch (code) {
        case CODE_QUEUE_FULL:
        case CODE_QUOTA:
        case CODE_OVERLOAD:
        case CODE_RATE:
                pace_slower(&reader->pace, bus->now_usec);
                break;
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_WRONG_KEY:
                if (bus->now_usec - reader->asked_usec >= ASK_AGAIN_USEC)
                        reader_ask(reader);
                break;
        default: /* it passes */
                break;
        }
}

/* What comes */

static RemoteWriter *writer_get(p2pbus *bus, const PublicKey *key, uint64_t session, uint64_t seq) {
        RemoteWriter *writer;

        HASH_FIND(hh, bus->topics.writers, key, sizeof(*key), writer);
        if (writer)
                return writer;
        if (HASH_COUNT(bus->topics.writers) >= TOPIC_REMOTE_WRITERS_MAX) {
                writer = bus->topics.writers; /* the one that was new first */
                HASH_DELETE(hh, bus->topics.writers, writer);
                free(writer);
        }
        writer = calloc(1, sizeof(*writer));
        if (!writer)
                return NULL;
        writer->key = *key;
        writer->session = session;
        writer->next = seq;
        HASH_ADD(hh, bus->topics.writers, key, sizeof(writer->key), writer);
        if (!writer->hh.tbl) {
                free(writer);
                return NULL;
        }
        return writer;
}

void topic_remote_on_published(p2pbus *bus, const PeerSource *source, const Record *record) {
        const RecordMessage *head = &record->message;
        RemoteWriter *writer;
        const uint8_t *topic;
        size_t n_topic;
        uint64_t n_lost;
        Peer *peer;

        topic = record_extension(head->extensions, head->n_extensions, MESSAGE_EXT_TOPIC, &n_topic);
        /* In the clear the daemon brings it, which knows who may publish to whom. */
        if (!source->key || !source->is_remote || head->kind != MESSAGE_ONE_WAY ||
            head->total != head->n_data || !topic ||
            !topic_is_valid((const char *)topic, n_topic) ||
            topic_is_own((const char *)topic, n_topic) ||
            !topic_is_subscribed(bus, (const char *)topic, n_topic)) {
                bus->counters.bad_packets++;
                return;
        }
        writer = writer_get(bus, source->key, record->session, record->seq);
        if (!writer)
                return;
        if (writer->session != record->session) {
                writer->session = record->session;
                writer->next = record->seq;
        }
        if (record->seq < writer->next)
                return; /* doubled, or counted as lost */
        n_lost = record->seq - writer->next;
        writer->next = record->seq + 1;
        bus->topics.n_lost += MIN(n_lost, (uint64_t)UINT32_MAX);
        peer = peer_find(bus, source->address, source->key);
        if (peer)
                peer->published_usec = bus->now_usec;
        topic_put(bus, record, (const char *)topic, n_topic, source);
}

void topic_remote_free_all(p2pbus *bus) {
        RemoteWriter *writer, *next;

        topic_remote_forget(bus);
        while (bus->topics.readers)
                reader_free(bus, bus->topics.readers);
        HASH_ITER (hh, bus->topics.writers, writer, next) {
                HASH_DELETE(hh, bus->topics.writers, writer);
                free(writer);
        }
}
