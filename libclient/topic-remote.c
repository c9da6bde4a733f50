/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/topic-remote.h"

#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/remote-reader.h"
#include "libclient/topic.h"
#include "libcore/buf.h"
#include "libcore/topic.h"

#define UNANSWERED_USEC (2 * USEC_PER_SEC) /* then the daemon is asked again */

struct RemoteTopic {
        UT_hash_handle hh; /* by @topic */
        unsigned n_holds;  /* by those who publish on it now */
        bool is_known;     /* who reads it */
        bool is_asked;     /* else: the daemon is to say so */
        uint64_t asked_usec;
        unsigned n_readers;
        RemoteReader *readers[CONTROL_READERS_MAX];
        WaitingList waiting; /* until it is known */
        uint64_t n_lost;     /* before these: nobody could be told yet */
        uint64_t n_lost_behind;
        char topic[TOPIC_SIZE_MAX + 1];
};

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

/* Who reads it is not known any more. What waits for that is told to them as lost, once they are. */
static void topic_forget(p2pbus *bus, RemoteTopic *remote) {
        topic_drop_readers(remote);
        remote->n_lost += remote->waiting.n + remote->n_lost_behind;
        remote->n_lost_behind = 0;
        waiting_drop_all(bus, &remote->waiting);
        remote->is_known = remote->is_asked = false;
}

/* By whose end nobody misses anything: readers keep their numbers. */
static bool topic_is_idle(const RemoteTopic *remote) {
        return remote->n_holds == 0 && !remote->waiting.first && remote->n_lost == 0 &&
               remote->n_lost_behind == 0;
}

static bool topic_awaits_answer(const p2pbus *bus, const RemoteTopic *remote) {
        return !remote->is_known && remote->is_asked &&
               bus->now_usec - remote->asked_usec < UNANSWERED_USEC;
}

/*
 * Those that readers are to be told of go last, and none for which an answer is on its way.
 * Return: whether there is room.
 */
static bool make_room(p2pbus *bus) {
        RemoteTopic *remote, *next, *worse = NULL;

        if (HASH_COUNT(bus->topics.remote) < TOPIC_REMOTE_TOPICS_MAX)
                return true;
        HASH_ITER (hh, bus->topics.remote, remote, next) {
                if (topic_is_idle(remote)) {
                        topic_free(bus, remote);
                        return true;
                }
                if (!worse && remote->n_holds == 0 && !topic_awaits_answer(bus, remote))
                        worse = remote;
        }
        if (worse)
                topic_free(bus, worse);
        return worse != NULL;
}

static int topic_new(p2pbus *bus, const char *topic, RemoteTopic **ret) {
        RemoteTopic *remote;

        if (!make_room(bus))
                return -EAGAIN;
        remote = calloc(1, sizeof(*remote));
        if (!remote)
                return reason_fail_errno(-ENOMEM, "out of memory");
        strcpy(remote->topic, topic);
        HASH_ADD_STR(bus->topics.remote, topic, remote);
        if (!remote->hh.tbl) {
                free(remote);
                return reason_fail_errno(-ENOMEM, "out of memory");
        }
        *ret = remote;
        return 0;
}

static bool goes_off_host(const p2pbus *bus, const char *topic) {
        return bus->sealer && (bus->welcome.flags & ATTACH_OFF_HOST) &&
               !topic_is_own(topic, strlen(topic));
}

int topic_remote_begin(p2pbus *bus, const char *topic, RemoteTopic **ret, bool *ret_asks) {
        RemoteTopic *remote = topic_find(bus, topic);
        int r;

        *ret = NULL;
        *ret_asks = false;
        if (!goes_off_host(bus, topic))
                return 0;
        r = remote ? 0 : topic_new(bus, topic, &remote);
        if (r < 0)
                return r;
        remote->n_holds++;
        if (!remote->is_known && !topic_awaits_answer(bus, remote)) {
                *ret_asks = remote->is_asked = true;
                remote->asked_usec = bus->now_usec;
        }
        *ret = remote;
        return 0;
}

void topic_remote_end(RemoteTopic *remote, bool asked) {
        if (!remote)
                return;
        remote->n_holds--;
        if (asked && !remote->is_known)
                remote->is_asked = false; /* it did not get there */
}

void topic_remote_publish(p2pbus *bus, RemoteTopic *remote, const uint8_t *record,
                          size_t n_record) {
        Copy *copy;

        if (!remote || (remote->is_known && remote->n_readers == 0))
                return;
        copy = copy_new(record, n_record);
        if (remote->is_known)
                for (unsigned i = 0; i < remote->n_readers; i++)
                        if (copy)
                                remote_reader_give(remote->readers[i], copy);
                        else
                                remote_reader_lose(remote->readers[i], 1);
        else if (!copy || !remote->is_asked || remote->n_lost_behind > 0 ||
                 !waiting_put(bus, &remote->waiting, copy, 0))
                remote->n_lost_behind++;
        copy_unref(copy);
}

int topic_remote_count(const p2pbus *bus, const char *topic) {
        const RemoteTopic *remote = topic_find(bus, topic);

        if (!goes_off_host(bus, topic))
                return 0;
        return remote && remote->is_known ? (int)remote->n_readers : -EAGAIN;
}

static void take_readers(p2pbus *bus, RemoteTopic *remote, const uint8_t *list, size_t n_list) {
        RemoteReader *readers[CONTROL_READERS_MAX];
        unsigned n = 0;
        PublicKey key;

        for (size_t i = 0; i < n_list; i++) {
                memcpy(key.bytes, list + i * CONTROL_READER_SIZE, KEY_SIZE);
                if (key_equal(&key, identity_public(bus->identity)))
                        continue;
                readers[n] = remote_reader_get(bus, &key);
                if (readers[n])
                        readers[n++]->n_topics++; /* from here on it is not forgotten */
        }
        topic_drop_readers(remote);
        memcpy(remote->readers, readers, n * sizeof(readers[0]));
        remote->n_readers = n;
        for (unsigned i = 0; i < n; i++)
                readers[i]->absent_until_usec = 0; /* somebody has heard of it */
}

static void lose(const RemoteTopic *remote, uint64_t n) {
        for (unsigned i = 0; i < remote->n_readers; i++)
                remote_reader_lose(remote->readers[i], n);
}

/* To those who are known now, in the order of publishing. */
static void give_what_waits(p2pbus *bus, RemoteTopic *remote) {
        lose(remote, remote->n_lost);
        while (remote->waiting.first) {
                const Waiting *waiting = remote->waiting.first;

                if (waiting_is_old(bus, waiting))
                        lose(remote, 1);
                else
                        for (unsigned i = 0; i < remote->n_readers; i++)
                                remote_reader_give(remote->readers[i], waiting->copy);
                waiting_drop_first(bus, &remote->waiting);
        }
        lose(remote, remote->n_lost_behind);
        remote->n_lost = remote->n_lost_behind = 0;
}

/*
 * With the id of a question it is the answer: nobody shall have it. Without, it is about an answer that
 * we had; one that is still to come holds.
 */
static void on_withdrawn(p2pbus *bus, RemoteTopic *remote, bool is_answer) {
        if (is_answer || remote->is_known)
                topic_forget(bus, remote);
        if (is_answer)
                remote->n_lost = 0;
}

void topic_remote_on_readers(p2pbus *bus, const Control *word) {
        BufReader r = buf_reader(word->body, word->n_body);
        uint8_t n_topic = buf_get_u8(&r);
        const uint8_t *bytes = buf_get(&r, n_topic), *list;
        size_t n_list = buf_left(&r) / CONTROL_READER_SIZE;
        static const PacketId none;
        char topic[TOPIC_SIZE_MAX + 1];
        RemoteTopic *remote;

        list = buf_get(&r, n_list * CONTROL_READER_SIZE);
        if (!buf_reader_done(&r) || n_list > CONTROL_READERS_MAX ||
            !topic_is_valid((const char *)bytes, n_topic)) {
                bus->counters.bad_packets++;
                return;
        }
        memcpy(topic, bytes, n_topic);
        topic[n_topic] = '\0';
        remote = topic_find(bus, topic);
        if (!remote)
                return; /* forgotten since: it asks again when it is published on */
        if (word->code == CODE_REPLACED)
                return; /* nothing is kept here */
        if (word->code != CODE_OK) {
                on_withdrawn(bus, remote, memcmp(&word->ref, &none, sizeof(none)) != 0);
                return;
        }
        take_readers(bus, remote, list, n_list);
        remote->is_known = true;
        give_what_waits(bus, remote);
        bus_happened(bus);
}

void topic_remote_forget(p2pbus *bus) {
        RemoteTopic *remote, *next;

        HASH_ITER (hh, bus->topics.remote, remote, next) {
                topic_forget(bus, remote);
                if (topic_is_idle(remote))
                        topic_free(bus, remote);
        }
}

void topic_remote_flush(p2pbus *bus) {
        RemoteReader *reader, *next;

        bus->topics.awaits_room = false;
        HASH_ITER (hh, bus->topics.readers, reader, next)
                remote_reader_flush(reader);
}

void topic_remote_on_keys(Peer *peer) {
        RemoteReader *reader = remote_reader_find(peer->bus, &peer->key);

        if (reader)
                remote_reader_flush(reader);
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

void topic_remote_hand_over(p2pbus *bus, uint64_t until) {
        int r = 0;

        until = MIN(until, bus->now_usec + TOPIC_REMOTE_HAND_OVER_USEC);
        while (r == 0 && bus->is_up && something_waits(bus)) {
                loop_send(bus, true);
                r = loop_wait(bus, until);
        }
}

void topic_remote_on_refused(p2pbus *bus, Address address, uint16_t code) {
        Peer *peer = bus->topics.readers ? peer_find(bus, address, NULL) : NULL;
        RemoteReader *reader = peer && peer->has_key ? remote_reader_find(bus, &peer->key) : NULL;

        if (reader)
                remote_reader_on_refused(reader, code);
}

void topic_remote_free_all(p2pbus *bus) {
        while (bus->topics.remote)
                topic_free(bus, bus->topics.remote);
        while (bus->topics.readers)
                remote_reader_free(bus->topics.readers);
}
