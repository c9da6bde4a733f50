/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/topic-remote.h"

#include <utlist.h>

#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/remote-reader.h"
#include "libclient/topic.h"
#include "libcore/buf.h"
#include "libcore/topic.h"

#define UNANSWERED_USEC (2 * USEC_PER_SEC) /* then the daemon is asked again */
/* The same of what is retained, for the daemon may have no room for all that are asked about. */
#define RETAINED_ASK_USEC (2 * USEC_PER_SEC)
#define OWED_AGAIN_USEC (100 * USEC_PER_MSEC)

typedef struct TopicReader {
        RemoteReader *reader;
        uint32_t begun; /* another number: it wants the topic anew */
        bool is_owed;   /* what is retained, if anything */
} TopicReader;

struct RemoteTopic {
        UT_hash_handle hh; /* by @topic */
        unsigned n_holds;  /* by those who publish on it now */
        bool is_known;     /* who reads it */
        bool is_asked;     /* else: the daemon is to say so */
        uint64_t asked_usec;
        unsigned n_readers;
        /* While it is not known: who did, if anything is retained. */
        TopicReader readers[CONTROL_READERS_MAX];
        WaitingList waiting; /* until it is known */
        uint64_t n_lost;     /* before these: nobody could be told yet */
        uint64_t n_lost_behind;
        Copy *retained;   /* or NULL; flagged as that */
        PacketId settled; /* what was retained, ended or replaced last */
        RemoteTopic *prev_retained, *next_retained;
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
                remote->readers[i].reader->n_topics--;
        remote->n_readers = 0;
}

static void forget_retained(p2pbus *bus, RemoteTopic *remote) {
        if (!remote->retained)
                return;
        DL_DELETE2(bus->topics.retained, remote, prev_retained, next_retained);
        bus->topics.n_retained--;
        bus->topics.n_retained_bytes -= remote->retained->n;
        bus->topics.n_waiting_bytes -= remote->retained->n;
        copy_unref(remote->retained);
        remote->retained = NULL;
}

static void topic_free(p2pbus *bus, RemoteTopic *remote) {
        topic_drop_readers(remote);
        forget_retained(bus, remote);
        waiting_drop_all(bus, &remote->waiting);
        HASH_DELETE(hh, bus->topics.remote, remote);
        free(remote);
}

/* Who reads it is not known any more. What waits for that is told to them as lost, once they are. */
static void topic_forget(p2pbus *bus, RemoteTopic *remote) {
        remote->n_lost += remote->waiting.n + remote->n_lost_behind;
        remote->n_lost_behind = 0;
        waiting_drop_all(bus, &remote->waiting);
        remote->is_known = remote->is_asked = false;
}

static bool topic_is_needed(const RemoteTopic *remote) {
        return remote->n_holds > 0 || remote->retained;
}

/* By whose end nobody misses anything: readers keep their numbers. */
static bool topic_is_idle(const RemoteTopic *remote) {
        return !topic_is_needed(remote) && !remote->waiting.first && remote->n_lost == 0 &&
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
                if (!worse && !topic_is_needed(remote) && !topic_awaits_answer(bus, remote))
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
        remote->settled = bus_new_id(bus); /* what comes is later */
        HASH_ADD_STR(bus->topics.remote, topic, remote);
        if (!remote->hh.tbl) {
                free(remote);
                return reason_fail_errno(-ENOMEM, "out of memory");
        }
        *ret = remote;
        return 0;
}

static bool may_go_off_host(const p2pbus *bus) {
        return bus->sealer && (bus->welcome.flags & ATTACH_OFF_HOST);
}

static bool goes_off_host(const p2pbus *bus, const char *topic) {
        return may_go_off_host(bus) && !topic_is_own(topic, strlen(topic));
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
                                remote_reader_give(remote->readers[i].reader, copy);
                        else
                                remote_reader_lose(remote->readers[i].reader, 1);
        else if (!copy || !remote->is_asked || remote->n_lost_behind > 0 ||
                 !waiting_put(bus, &remote->waiting, copy, 0))
                remote->n_lost_behind++;
        copy_unref(copy);
}

/* What is retained */

static void owe(RemoteTopic *remote, bool is_owed) {
        for (unsigned i = 0; i < remote->n_readers; i++)
                remote->readers[i].is_owed = is_owed;
}

/* To those who are owed it, as long as there is room, and to the others later. */
static void give_retained(p2pbus *bus, RemoteTopic *remote) {
        Timer *timer = &bus->topics.owed_timer;
        bool is_owed = false;

        for (unsigned i = 0; remote->retained && i < remote->n_readers; i++) {
                TopicReader *who = &remote->readers[i];

                if (who->is_owed)
                        who->is_owed = !remote_reader_give_retained(who->reader, remote->retained);
                is_owed = is_owed || who->is_owed;
        }
        if (is_owed && timer->at == 0)
                (void)timer_set(&bus->timers, timer, bus->now_usec + OWED_AGAIN_USEC);
}

static void on_owed_timer(Timer *timer, uint64_t now) {
        p2pbus *bus = container_of(timer, p2pbus, topics.owed_timer);
        RemoteTopic *remote;

        (void)now;
        if (!bus->is_up)
                return; /* all are new to it after the next attach */
        DL_FOREACH2(bus->topics.retained, remote, next_retained) {
                if (remote->is_known)
                        give_retained(bus, remote);
        }
}

static void ask_readers(p2pbus *bus, RemoteTopic *remote) {
        size_t n_topic = strlen(remote->topic);
        uint8_t body[1 + TOPIC_SIZE_MAX];
        const Control word = {
                .verb = CONTROL_READERS,
                .body = body,
                .n_body = 1 + n_topic,
        };

        body[0] = (uint8_t)n_topic;
        memcpy(body + 1, remote->topic, n_topic);
        if (connection_queue_control(bus->connection, &word, NULL) < 0)
                return; /* later */
        remote->is_asked = true;
        remote->asked_usec = bus->now_usec;
}

static void on_retained_timer(Timer *timer, uint64_t now) {
        p2pbus *bus = container_of(timer, p2pbus, topics.retained_timer);
        bool is_known = true;
        RemoteTopic *remote;

        if (!bus->is_up || !may_go_off_host(bus))
                return; /* after the next attach, or when it may */
        DL_FOREACH2(bus->topics.retained, remote, next_retained) {
                is_known = is_known && remote->is_known;
                if (!remote->is_known && !topic_awaits_answer(bus, remote))
                        ask_readers(bus, remote);
        }
        if (!is_known)
                (void)timer_set(&bus->timers, timer, now + RETAINED_ASK_USEC);
}

/* A topic with something retained must not stay unknown: nobody may publish on it for long. */
static void ask_after(p2pbus *bus, uint64_t usec) {
        Timer *timer = &bus->topics.retained_timer;
        uint64_t due = bus->now_usec + usec;

        if (!bus->topics.retained || (timer->at > 0 && timer->due_usec <= due))
                return;
        timer->on_due = on_retained_timer;
        (void)timer_set(&bus->timers, timer, due);
}

void topic_remote_retain(p2pbus *bus, const char *topic, const PacketId *id, const uint8_t *record,
                         size_t n_record) {
        RemoteTopic *remote = topic_find(bus, topic);
        Copy *copy;

        if (!remote || !packet_id_is_later(id, &remote->settled))
                return;
        remote->settled = *id;
        forget_retained(bus, remote);
        copy = record && goes_off_host(bus, topic) ? copy_new(record, n_record) : NULL;
        if (!copy)
                return;
        copy->bytes[1] |= RECORD_RETAINED;
        remote->retained = copy;
        owe(remote, !remote->is_known); /* else they have it */
        bus->topics.owed_timer.on_due = on_owed_timer;
        DL_APPEND2(bus->topics.retained, remote, prev_retained, next_retained);
        bus->topics.n_retained++;
        bus->topics.n_retained_bytes += n_record;
        bus->topics.n_waiting_bytes += n_record;
        while (bus->topics.n_retained > TOPIC_REMOTE_RETAINED_MAX ||
               bus->topics.n_retained_bytes > TOPIC_REMOTE_RETAINED_BYTES)
                forget_retained(bus, bus->topics.retained);
        if (!remote->is_known)
                ask_after(bus, RETAINED_ASK_USEC); /* the answer may never come */
}

void topic_remote_on_off_host(p2pbus *bus) {
        ask_after(bus, 0);
}

/* Whether it is among what is given to all, since nobody was known when it was published. */
static bool retained_waits(const p2pbus *bus, const RemoteTopic *remote) {
        const Waiting *waiting;

        DL_FOREACH (remote->waiting.first, waiting) {
                PacketId id = copy_message_id(waiting->copy);

                if (packet_id_equal(&id, &remote->settled))
                        return !waiting_is_old(bus, waiting);
        }
        return false;
}

/* Whether it came when no more could wait. */
static bool retained_is_behind(const RemoteTopic *remote) {
        PacketId last;

        if (remote->n_lost_behind == 0 || !remote->waiting.first)
                return false;
        last = copy_message_id(remote->waiting.first->prev->copy);
        return packet_id_is_later(&remote->settled, &last);
}

/* Another process of this user has replaced @id, or ended it; or there was no room for it. */
static void on_replaced(p2pbus *bus, RemoteTopic *remote, const PacketId *id) {
        if (packet_id_is_later(&remote->settled, id))
                return; /* not the one that took its place here */
        remote->settled = *id;
        forget_retained(bus, remote);
}

/* Who reads */

int topic_remote_count(const p2pbus *bus, const char *topic) {
        const RemoteTopic *remote = topic_find(bus, topic);

        if (!goes_off_host(bus, topic))
                return 0;
        return remote && remote->is_known ? (int)remote->n_readers : -EAGAIN;
}

/* Who is named now; NULL: it was not before, or wants it anew. */
static const TopicReader *find_old(const RemoteTopic *remote, const TopicReader *who) {
        for (unsigned i = 0; i < remote->n_readers; i++) {
                const TopicReader *old = &remote->readers[i];

                if (old->reader == who->reader)
                        return old->begun == who->begun ? old : NULL;
        }
        return NULL;
}

static void take_readers(p2pbus *bus, RemoteTopic *remote, const uint8_t *list, size_t n_list) {
        TopicReader readers[CONTROL_READERS_MAX];
        const TopicReader *old;
        unsigned n = 0;
        PublicKey key;

        for (size_t i = 0; i < n_list; i++) {
                const uint8_t *at = list + i * CONTROL_READER_SIZE;
                TopicReader *who = &readers[n];

                memcpy(key.bytes, at, KEY_SIZE);
                if (key_equal(&key, identity_public(bus->identity)))
                        continue;
                who->reader = remote_reader_get(bus, &key);
                if (!who->reader)
                        continue;
                who->reader->n_topics++; /* from here on it is not forgotten */
                who->begun = load_le32(at + KEY_SIZE);
                old = find_old(remote, who);
                who->is_owed = !old || old->is_owed;
                if (!old)
                        remote_reader_begin(who->reader, remote->topic);
                n++;
        }
        topic_drop_readers(remote);
        memcpy(remote->readers, readers, n * sizeof(readers[0]));
        remote->n_readers = n;
        for (unsigned i = 0; i < n; i++)
                readers[i].reader->absent_until_usec = 0; /* somebody has heard of it */
}

static void lose(const RemoteTopic *remote, uint64_t n) {
        for (unsigned i = 0; i < remote->n_readers; i++)
                remote_reader_lose(remote->readers[i].reader, n);
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
                                remote_reader_give(remote->readers[i].reader, waiting->copy);
                waiting_drop_first(bus, &remote->waiting);
        }
        lose(remote, remote->n_lost_behind);
        remote->n_lost = remote->n_lost_behind = 0;
}

/* The same, and what is retained in front, unless it is the last of it. */
static void give_all(p2pbus *bus, RemoteTopic *remote) {
        bool is_behind = remote->retained && retained_is_behind(remote);

        if (remote->retained && retained_waits(bus, remote))
                owe(remote, false);
        if (!is_behind)
                give_retained(bus, remote);
        give_what_waits(bus, remote);
        if (is_behind)
                give_retained(bus, remote);
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
        if (is_answer || !remote->retained)
                topic_drop_readers(remote); /* else they have it, unless they begin anew */
        ask_after(bus, RETAINED_ASK_USEC);
}

void topic_remote_on_readers(p2pbus *bus, const Control *word) {
        BufReader r = buf_reader(word->body, word->n_body);
        uint8_t n_topic = buf_get_u8(&r);
        const uint8_t *bytes = buf_get(&r, n_topic), *list;
        size_t n_list = buf_left(&r) / CONTROL_READER_SIZE;
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
        if (word->code == CODE_REPLACED) {
                on_replaced(bus, remote, &word->ref);
                return;
        }
        if (word->code != CODE_OK) {
                on_withdrawn(bus, remote, !packet_id_is_zero(&word->ref));
                return;
        }
        take_readers(bus, remote, list, n_list);
        remote->is_known = true;
        give_all(bus, remote);
        bus_happened(bus);
}

void topic_remote_forget(p2pbus *bus) {
        RemoteTopic *remote, *next;

        HASH_ITER (hh, bus->topics.remote, remote, next) {
                topic_forget(bus, remote);
                topic_drop_readers(remote);
                if (topic_is_idle(remote))
                        topic_free(bus, remote);
        }
        ask_after(bus, 0);
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

void topic_remote_on_again(Peer *peer) {
        RemoteReader *reader = remote_reader_find(peer->bus, &peer->key);

        if (reader)
                remote_reader_again(reader);
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
        timer_clear(&bus->timers, &bus->topics.retained_timer);
        timer_clear(&bus->timers, &bus->topics.owed_timer);
}
