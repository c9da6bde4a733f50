/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/topic.h"

#include <utlist.h>

#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/reason.h"
#include "libclient/remote-writer.h"
#include "libclient/rights.h"
#include "libclient/topic-remote.h"
#include "libcore/buf.h"
#include "libcore/err.h"
#include "libcore/topic.h"
#include "libcore/wants.h"

#define SUBSCRIPTIONS_MAX 65536

struct OwnTopic {
        char pattern[TOPIC_SIZE_MAX + 1];
        TopicLeaf leaf; /* of all that we have */
        uint32_t value; /* of SUBSCRIBE; END: it is not granted yet */
        uint32_t asked; /* the same, whose answer is to come; or END */
        bool is_lost;   /* it was granted, and is denied now */
        Ask ask;        /* subscribes again */
        UT_hash_handle hh;
};

_public_ int p2pbus_check_topic(const char *text) {
        size_t n = text ? strlen(text) : 0;

        if (topic_is_valid(text, n))
                return 0;
        if (topic_is_pattern(text, n))
                return 1;
        return reason_fail_text(P2PBUS_REASON_BAD_TOPIC, "%.64s is neither a topic nor a pattern",
                                text ? text : "(null)");
}

/* Subscribing */

static Control subscribe_control(const char *pattern, uint32_t value) {
        return (Control){
                .verb = CONTROL_SUBSCRIBE,
                .value = value,
                .body = (const uint8_t *)pattern,
                .n_body = strlen(pattern),
        };
}

static OwnTopic *own_find(const p2pbus *bus, const char *pattern) {
        OwnTopic *own;

        HASH_FIND_STR(bus->topics.own, pattern, own);
        return own;
}

/* NULL: no memory. */
static OwnTopic *own_new(p2pbus *bus, const char *pattern) {
        OwnTopic *own = calloc(1, sizeof(*own));
        TopicNode *node;
        bool with_rest;

        if (!own)
                return NULL;
        node = topic_tree_get(&bus->topics.patterns, pattern, strlen(pattern), &with_rest);
        if (!node) {
                free(own);
                return NULL;
        }
        topic_tree_add(node, with_rest, &own->leaf);
        strcpy(own->pattern, pattern);
        HASH_ADD_STR(bus->topics.own, pattern, own);
        return own;
}

static void own_free(p2pbus *bus, OwnTopic *own) {
        daemon_drop(bus, &own->ask);
        HASH_DELETE(hh, bus->topics.own, own);
        topic_tree_remove(&bus->topics.patterns, &own->leaf);
        free(own);
}

/* Refused now, it may be granted after the next attach, or when the policy changes. */
static void on_subscribed(p2pbus *bus, Ask *ask) {
        OwnTopic *own = container_of(ask, OwnTopic, ask);

        rights_answered(bus, P2PBUS_RIGHT_TOPIC, own->pattern, ask, &own->is_lost);
        daemon_drop(bus, ask);
}

static void prepare_again(p2pbus *bus, OwnTopic *own) {
        daemon_drop(bus, &own->ask);
        own->ask.control = subscribe_control(own->pattern, own->value);
        own->ask.on_answer = on_subscribed;
        own->ask.is_answered = false;
}

void topic_subscribe_again(p2pbus *bus) {
        OwnTopic *own, *next;

        HASH_ITER (hh, bus->topics.own, own, next) {
                if (own->value == SUBSCRIBE_END)
                        continue; /* somebody waits for it */
                prepare_again(bus, own);
                DL_APPEND(bus->asks, &own->ask); /* daemon_ask_again() follows */
        }
}

void topic_subscribe_lost(p2pbus *bus) {
        OwnTopic *own, *next;

        HASH_ITER (hh, bus->topics.own, own, next) {
                if (!own->is_lost)
                        continue;
                prepare_again(bus, own);
                daemon_ask(bus, &own->ask);
        }
}

void topic_on_denied(p2pbus *bus, const char *pattern, const char *text) {
        OwnTopic *own = own_find(bus, pattern);

        if (own)
                rights_denied(bus, P2PBUS_RIGHT_TOPIC, own->pattern, text, &own->is_lost);
}

static void forget(p2pbus *bus, OwnTopic *own) {
        char pattern[TOPIC_SIZE_MAX + 1];
        bool had_retained = own->value == SUBSCRIBE_RETAINED;

        strcpy(pattern, own->pattern);
        own_free(bus, own);
        if (had_retained)
                remote_writer_forget(bus, pattern);
}

/* What comes from other hosts may come with the answer: it is for us already. */
static int expect(p2pbus *bus, const char *pattern, uint32_t value) {
        OwnTopic *own = own_find(bus, pattern);

        if (!own)
                own = own_new(bus, pattern);
        if (!own)
                return reason_fail_errno(-ENOMEM, "out of memory");
        own->asked = value;
        return 0;
}

/* The daemon has answered with @r. Meanwhile another thread may have begun or ended the same. */
static int settle(p2pbus *bus, const char *pattern, uint32_t value, int r) {
        OwnTopic *own = own_find(bus, pattern);

        if (own)
                own->asked = SUBSCRIBE_END;
        if (r < 0) {
                if (own && own->value == SUBSCRIBE_END)
                        own_free(bus, own);
                return r;
        }
        if (value == SUBSCRIBE_END) {
                if (own)
                        forget(bus, own);
                return 0;
        }
        if (!own) {
                r = expect(bus, pattern, SUBSCRIBE_END);
                if (r < 0)
                        return r;
                own = own_find(bus, pattern);
        }
        own->value = value;
        own->is_lost = false;
        return 0;
}

/* What the daemon has taken is over for it. */
static bool is_lost(const p2pbus *bus, const char *pattern) {
        const OwnTopic *own = own_find(bus, pattern);

        return own && own->is_lost;
}

static bool may_reach_others(const p2pbus *bus) {
        return bus->welcome.flags & ATTACH_OFF_HOST && bus->hello_flags & HELLO_OFF_HOST;
}

/* Whether other hosts are to hear of it. */
static bool goes_to_others(const p2pbus *bus, const char *pattern) {
        return may_reach_others(bus) && !topic_is_own(pattern, strlen(pattern));
}

/* Whatever comes of it, the pattern is subscribed: nothing is noted. */
static void wait_for_others(p2pbus *bus, uint64_t until) {
        Ask ask = { .control = { .verb = CONTROL_PING, .value = PING_ALL } };
        int r = 0;

        until = MIN(until, bus->now_usec + TOPIC_OTHERS_USEC);
        daemon_ask(bus, &ask);
        while (r == 0 && !ask.is_answered && !bus->is_closed)
                r = loop_wait(bus, until);
        daemon_drop(bus, &ask);
}

/* @waits: for other hosts, if they are to hear of it. */
static int subscribe(p2pbus *bus, const char *pattern, uint32_t value, bool waits,
                     uint64_t timeout_usec) {
        Ask ask = { .control = subscribe_control(pattern ? pattern : "", value) };
        uint64_t until;
        int r;

        if (!pattern || !topic_is_pattern(pattern, strlen(pattern)))
                return reason_fail_text(P2PBUS_REASON_BAD_TOPIC, "%.64s is no pattern of topics",
                                        pattern ? pattern : "(null)");
        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT);
        if (value != SUBSCRIBE_END && HASH_COUNT(bus->topics.own) >= SUBSCRIPTIONS_MAX)
                r = reason_fail(P2PBUS_REASON_QUOTA);
        if (r == 0 && value != SUBSCRIBE_END)
                r = expect(bus, pattern, value);
        if (r == 0)
                r = daemon_ask_wait(bus, &ask, until);
        daemon_drop(bus, &ask);
        if (r == -ENXIO && value == SUBSCRIBE_END && is_lost(bus, pattern))
                r = 0;
        r = settle(bus, pattern, value, r);
        if (r == 0 && waits && goes_to_others(bus, pattern))
                wait_for_others(bus, until);
        return bus_leave(bus, r);
}

_public_ int p2pbus_subscribe(p2pbus *bus, const char *pattern, uint32_t flags,
                              uint64_t timeout_usec) {
        if (flags & ~(uint32_t)(P2PBUS_RETAINED | P2PBUS_NO_WAIT))
                return reason_fail_errno(-EINVAL, "unknown flags");
        return subscribe(bus, pattern,
                         flags & P2PBUS_RETAINED ? SUBSCRIBE_RETAINED : SUBSCRIBE_BEGIN,
                         !(flags & P2PBUS_NO_WAIT), timeout_usec);
}

_public_ int p2pbus_unsubscribe(p2pbus *bus, const char *pattern, uint64_t timeout_usec) {
        return subscribe(bus, pattern, SUBSCRIBE_END, false, timeout_usec);
}

/* Publishing */

static size_t put_extension(BufWriter *w, uint8_t type, const char *text) {
        size_t n = strlen(text);

        buf_put_u8(w, type);
        buf_put_le16(w, (uint16_t)n);
        buf_put_bytes(w, text, n);
        return n;
}

/* The MSG record of @m on @topic. Return: 0; noted: -EMSGSIZE, -ENOMEM. @ret_bytes: malloc()ed. */
static int encode(p2pbus *bus, const char *topic, const Message *m, uint8_t **ret_bytes,
                  size_t *ret_n) {
        uint8_t extensions[2 * 3 + TOPIC_SIZE_MAX + P2PBUS_TYPE_MAX];
        BufWriter w = buf_writer(extensions, sizeof(extensions));
        Record record = {
                .type = RECORD_MSG,
                .message = {
                        .kind = MESSAGE_ONE_WAY,
                        .flags = m->flags,
                        .id = m->id,
                        .total = m->n_data,
                        .data = m->data,
                        .n_data = m->n_data,
                },
        };

        (void)bus;
        put_extension(&w, MESSAGE_EXT_TOPIC, topic);
        if (m->type)
                put_extension(&w, MESSAGE_EXT_TYPE, m->type);
        record.message.extensions = extensions;
        record.message.n_extensions = (uint16_t)w.at;
        if (m->n_data > P2PBUS_TOPIC_MESSAGE_MAX)
                return reason_fail_text(P2PBUS_REASON_TOO_BIG,
                                        "message of %zu bytes, a topic takes %u", m->n_data,
                                        P2PBUS_TOPIC_MESSAGE_MAX);
        *ret_n = record_size(&record);
        *ret_bytes = malloc(*ret_n);
        if (!*ret_bytes)
                return reason_fail_errno(-ENOMEM, "out of memory");
        record_encode(&record, *ret_bytes);
        return 0;
}

/* Hands it to the socket. */
static int say(p2pbus *bus, const Control *word) {
        int r;

        if (!bus->is_up || connection_queued(bus->connection) > TOPIC_OUTPUT_MAX)
                return -EAGAIN;
        r = connection_queue_control(bus->connection, word, NULL);
        return r < 0 ? reason_fail_errno(-ENOMEM, "out of memory") : 0;
}

/* As topic_remote_begin(); waits for the daemon until @until, unless that is 0. */
static int begin(p2pbus *bus, const char *topic, uint64_t until, RemoteTopic **ret,
                 bool *ret_asks) {
        int r;

        while ((r = topic_remote_begin(bus, topic, ret, ret_asks)) == -EAGAIN && until > 0) {
                r = loop_wait(bus, MIN(until, bus->now_usec + USEC_PER_SEC));
                if (r == -ETIMEDOUT && bus->now_usec >= until)
                        return reason_fail(P2PBUS_REASON_TIMEOUT);
                if (r < 0 && r != -ETIMEDOUT)
                        return r;
        }
        return r;
}

/* @until: 0: waits for no answer. */
static int tell_daemon(p2pbus *bus, Ask *ask, uint64_t until) {
        int r;

        if (until == 0)
                return say(bus, &ask->control);
        ask->control.value |= PUBLISH_ANSWER;
        r = daemon_ask_wait(bus, ask, until);
        daemon_drop(bus, ask);
        return r;
}

static int publish(p2pbus *bus, const char *topic, Message *m, uint32_t flags,
                   uint64_t timeout_usec) {
        Ask ask = { .control = { .verb = CONTROL_PUBLISH } };
        _cleanup_(freep) uint8_t *bytes = NULL;
        RemoteTopic *remote;
        uint64_t until;
        bool asks;
        int r;

        /* Who reads it elsewhere may have been said; who waits for the daemon hears it with the answer. */
        if (timeout_usec == 0 && may_reach_others(bus))
                loop_catch_up(bus);
        if (bus->is_closed)
                return reason_fail(bus->away_reason);
        if (m->is_given)
                return reason_fail_errno(-EINVAL, "the message was sent or received before");
        until = timeout_usec > 0 ? bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT) : 0;
        r = begin(bus, topic, until, &remote, &asks);
        if (r < 0)
                return r;
        m->id = bus_new_id(bus); /* the daemon gets them in the order of their ids */
        r = encode(bus, topic, m, &bytes, &ask.control.n_body);
        if (r == 0) {
                ask.control.body = bytes;
                ask.control.value = flags & P2PBUS_RETAIN ? PUBLISH_RETAIN : 0;
                ask.control.value |= asks ? PUBLISH_READERS : 0;
                r = tell_daemon(bus, &ask, until);
        }
        /* What could not be retained was published even so. */
        if (r == 0 || ask.code == CODE_QUOTA)
                topic_remote_publish(bus, remote, bytes, ask.control.n_body);
        if (flags & P2PBUS_RETAIN && (r == 0 || ask.code == CODE_QUOTA))
                topic_remote_retain(bus, topic, &m->id, r == 0 && m->n_data > 0 ? bytes : NULL,
                                    ask.control.n_body);
        topic_remote_end(remote, asks && r < 0 && ask.code != CODE_QUOTA);
        if (r < 0)
                return r;
        m->is_given = true;
        bus->topics.n_published++;
        if (timeout_usec > 0)
                loop_send(bus, true); /* whoever waits may not come back for long */
        return 0;
}

_public_ int p2pbus_publish(p2pbus *bus, const char *topic, p2pbus_message *message, uint32_t flags,
                            uint64_t timeout_usec) {
        Message *m = (Message *)message;
        int r;

        if (!topic || !topic_is_valid(topic, strlen(topic)))
                return reason_fail_text(P2PBUS_REASON_BAD_TOPIC, "%.64s is no topic",
                                        topic ? topic : "(null)");
        if (flags & ~(uint32_t)P2PBUS_RETAIN || !m || m->reservation)
                return reason_fail_errno(-EINVAL, "unknown flags, or no message to be published");
        r = timeout_usec > 0 ? bus_enter_blocking(bus) : bus_enter(bus);
        if (r < 0)
                return r;
        return bus_leave(bus, publish(bus, topic, m, flags, timeout_usec));
}

_public_ int p2pbus_count_readers(p2pbus *bus, const char *topic) {
        int r;

        if (!topic || !topic_is_valid(topic, strlen(topic)))
                return reason_fail_text(P2PBUS_REASON_BAD_TOPIC, "%.64s is no topic",
                                        topic ? topic : "(null)");
        r = bus_enter(bus);
        return r < 0 ? r : bus_leave(bus, topic_remote_count(bus, topic));
}

/* Receiving */

/* What the daemon vouches for still has to be a key of that address; it has none itself. */
static int decode(const Control *word, PublicKey *ret_key, Record *ret) {
        size_t at = 0;

        memcpy(ret_key->bytes, word->body, KEY_SIZE);
        if ((word->address.pid != PID_DAEMON &&
             !address_equal(key_hash(ret_key).address, word->address)) ||
            record_decode(word->body + KEY_SIZE, word->n_body - KEY_SIZE, &at, ret) != 0 ||
            ret->type != RECORD_MSG || ret->message.total != ret->message.n_data)
                return -EBADMSG;
        return 0;
}

/* The topic follows the extensions, with a NUL. */
static Message *make_message(const Record *record, const uint8_t *topic, size_t n_topic) {
        const RecordMessage *head = &record->message;
        Message *m;

        if (message_new_with_size(&m, head->n_data, (uint16_t)(head->n_extensions + n_topic + 1)) <
            0)
                return NULL;
        m->kind = head->kind;
        m->flags = head->flags;
        m->id = head->id;
        if (head->n_data > 0)
                memcpy(m->data, head->data, head->n_data);
        memcpy(m->extensions, head->extensions, head->n_extensions);
        memcpy(m->extensions + head->n_extensions, topic, n_topic);
        m->extensions[head->n_extensions + n_topic] = '\0';
        m->topic = (const char *)m->extensions + head->n_extensions;
        m->n_extensions = head->n_extensions;
        return m;
}

static void on_fitting(TopicLeaf *leaf, void *userdata) {
        const OwnTopic *own = container_of(leaf, OwnTopic, leaf);
        uint32_t *wanted = userdata;

        *wanted = MAX(*wanted, MAX(own->is_lost ? SUBSCRIBE_END : own->value, own->asked));
}

uint32_t topic_wanted(const p2pbus *bus, const char *topic, size_t n_topic) {
        uint32_t wanted = SUBSCRIBE_END;

        topic_tree_walk(&bus->topics.patterns, topic, n_topic, false, on_fitting, &wanted);
        return wanted;
}

static bool has_room(const p2pbus *bus, bool is_remote) {
        return bus->topics.n_inbox_bytes <= TOPIC_INBOX_MAX &&
               (!is_remote || bus->topics.n_remote_bytes <= TOPIC_INBOX_REMOTE_MAX);
}

bool topic_put(p2pbus *bus, const Record *record, const char *topic, size_t n_topic,
               const PeerSource *source) {
        Message *m = NULL;

        if (has_room(bus, source->is_remote))
                m = make_message(record, (const uint8_t *)topic, n_topic);
        if (!m) {
                bus->topics.n_lost++;
                return false;
        }
        memcpy(m->from_key, source->key->bytes, sizeof(m->from_key));
        m->from = source->address;
        m->is_remote = source->is_remote;
        m->is_given = true;
        m->n_lost = bus->topics.n_lost;
        bus->topics.n_lost = 0;
        bus->topics.n_inbox_bytes += message_memory(m);
        bus->topics.n_remote_bytes += m->is_remote ? message_memory(m) : 0;
        DL_APPEND2(bus->topics.inbox, m, bus_prev, bus_next);
        bus->counters.received++;
        bus_happened(bus);
        return true;
}

void topic_on_published(p2pbus *bus, const Control *word) {
        const uint8_t *topic;
        PublicKey key;
        Record record;
        size_t n_topic;

        if (decode(word, &key, &record) < 0) {
                bus->counters.bad_packets++;
                return;
        }
        topic = record_extension(record.message.extensions, record.message.n_extensions,
                                 MESSAGE_EXT_TOPIC, &n_topic);
        if (!topic || !topic_is_valid((const char *)topic, n_topic)) {
                bus->counters.bad_packets++;
                return;
        }
        (void)topic_put(bus, &record, (const char *)topic, n_topic,
                        &(PeerSource){ .address = word->address, .key = &key });
}

void topic_on_refused(p2pbus *bus, const Control *word) {
        if (!wanted_is_refusal(word))
                return;
        bus->counters.subscriptions_refused++;
        bus_happened(bus);
}

void topic_on_lost(p2pbus *bus, const Control *word) {
        bus->topics.n_lost += word->value;
}

Message *topic_take(p2pbus *bus) {
        Message *m = bus->topics.inbox;

        if (!m)
                return NULL;
        DL_DELETE2(bus->topics.inbox, m, bus_prev, bus_next);
        m->bus_prev = m->bus_next = NULL;
        bus->topics.n_inbox_bytes -= message_memory(m);
        bus->topics.n_remote_bytes -= m->is_remote ? message_memory(m) : 0;
        m->bus = bus;
        bus_hold(bus);
        return m;
}

void topic_free_all(p2pbus *bus) {
        OwnTopic *own, *next;
        Message *m, *next_message;

        topic_remote_free_all(bus);
        remote_writer_free_all(bus);
        HASH_ITER (hh, bus->topics.own, own, next)
                own_free(bus, own);
        DL_FOREACH_SAFE2(bus->topics.inbox, m, next_message, bus_next) {
                DL_DELETE2(bus->topics.inbox, m, bus_prev, bus_next);
                message_unref(m);
        }
}
