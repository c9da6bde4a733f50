/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who may publish on a topic reaches those who subscribed and to whom it may send, by policy. What the
 * daemon publishes itself, who comes and goes, is for everybody who may subscribe to it, as its list of
 * them is. What is retained belongs to the user who published it: another user's does not replace it, and
 * does not reach who may not hear of it.
 */

#define HASH_NONFATAL_OOM 1

#include "daemon/topics.h"

#include <stdarg.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/peer.h"
#include "daemon/rights.h"
#include "libcore/buf.h"
#include "libcore/record.h"

#define FRAME_HEAD_SIZE (PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + CONTROL_KEY_SIZE)

struct Subscription {
        TopicLeaf leaf;
        Peer *peer;
        Subscription *prev_peer, *next_peer;
};

/* The last message of one user on one topic, as it was sent to those who were there. */
struct Retained {
        UT_hash_handle hh; /* by @key */
        Usage *usage;      /* what the user holds on itself */
        User *user;
        Credentials creds; /* of who published it, and may be gone */
        PublicKey publisher;
        Subject *subject;
        size_t n_charged;
        TopicFrame frame;
        size_t n_key;
        char key[]; /* uid 4, topic */
};

/* --- to one reader --- */

static void tell_lost(Peer *to) {
        TopicReader *reader = &to->topics;
        Control word = { .verb = CONTROL_TOPIC_LOST };

        if (reader->n_lost == 0)
                return;
        word.value = (uint32_t)MIN(reader->n_lost, (uint64_t)UINT32_MAX);
        peer_say(to, &word);
        reader->n_lost = 0;
}

/* Who published it; all NULL: the daemon. */
typedef struct Publisher {
        const User *user;
        Subject *subject;
        Usage *usage; /* what it holds at the reader's user before: the next one is often of the same */
} Publisher;

/* NULL: no memory. */
static Usage *usage_at(Publisher *publisher, const Peer *to) {
        if (publisher->usage && publisher->usage->user == to->user)
                return publisher->usage;
        publisher->usage = usage_unref(publisher->usage);
        return usage_get(to->user, publisher->user ? publisher->user->uid : to->user->uid,
                         &publisher->usage) < 0
                       ? NULL
                       : publisher->usage;
}

/* Return: whether it was queued. */
static bool queue_frame(Peer *to, Publisher *publisher, const TopicFrame *frame) {
        Manager *manager = to->manager;
        Usage *usage;
        uint8_t *data;

        if (!peer_has_room(to, frame->size))
                return false;
        usage = usage_at(publisher, to);
        if (!usage)
                return false;
        if (topic_frame_is_to_share(&manager->topics.pages, frame, &to->topics.holder))
                return outbox_share(&to->outbox, usage, frame->page, frame->data, frame->size,
                                    manager->now_usec) == 0;
        if (outbox_reserve(&to->outbox, usage, frame->size, NULL, 0, manager->now_usec, &data) != 0)
                return false;
        memcpy(data, frame->data, frame->size);
        return true;
}

static void deliver(Peer *to, Publisher *publisher, const TopicFrame *frame) {
        Manager *manager = to->manager;
        TopicReader *reader = &to->topics;

        if (to->output_dead)
                return;
        if (publisher->subject && !policy_may_send(publisher->subject, to->subject)) {
                topic_frame_missed(&manager->topics.pages, frame, &reader->holder);
                return;
        }
        tell_lost(to); /* there is a reserve for words */
        if (queue_frame(to, publisher, frame)) {
                to->packets_out++;
                manager->counters.topics_delivered++;
                peer_touch(to);
        } else {
                reader->n_lost++;
                manager->counters.topics_lost++;
                topic_frame_missed(&manager->topics.pages, frame, &reader->holder);
        }
}

/* --- publishing --- */

typedef struct Publication {
        Topics *topics;
        Publisher publisher;
        TopicFrame frame;
} Publication;

static void on_reader(TopicLeaf *leaf, void *userdata) {
        Peer *to = container_of(leaf, Subscription, leaf)->peer;
        Publication *p = userdata;

        if (to->topics.round == p->topics->round)
                return;
        to->topics.round = p->topics->round;
        deliver(to, &p->publisher, &p->frame);
}

/* Who wants the daemon's own topics names their first element: "*" and ">" do not stand for it. */
static void publish(Publication *p, const char *topic, size_t n_topic) {
        p->topics->round++;
        topic_tree_walk(&p->topics->tree, topic, n_topic, !p->publisher.user, on_reader, p);
        p->publisher.usage = usage_unref(p->publisher.usage);
}

/* One whole message of no session, on a topic. Return: CODE_OK, @ret_topic and its size. */
static ControlCode read_message(const Control *word, Record *ret, const char **ret_topic,
                                size_t *ret_n_topic) {
        const uint8_t *topic;
        size_t at = 0;
        int c = record_decode(word->body, word->n_body, &at, ret);

        if (c == RECORD_E_UNSUPPORTED)
                return CODE_UNSUPPORTED;
        if (c != 0 || at != word->n_body || ret->type != RECORD_MSG || ret->session != 0 ||
            ret->seq != 0 || ret->message.kind != MESSAGE_ONE_WAY ||
            ret->message.total != ret->message.n_data)
                return CODE_VIOLATION;
        topic = record_extension(ret->message.extensions, ret->message.n_extensions,
                                 MESSAGE_EXT_TOPIC, ret_n_topic);
        if (!topic || !topic_is_valid((const char *)topic, *ret_n_topic))
                return CODE_UNSUPPORTED;
        *ret_topic = (const char *)topic;
        return CODE_OK;
}

/* The same bytes for all who get it: it is for everyone on this host. The record is still to be written. */
static void write_head(const TopicFrame *frame, const Peer *from, const PacketId *id) {
        const PacketHeader header = {
                .size = (uint32_t)frame->size,
                .src = { PID_DAEMON, 0 },
                .dst = { PID_EVERYONE, 0 },
                .id = *id,
                .kind = PACKET_CONTROL,
        };
        const Control published = {
                .verb = CONTROL_PUBLISHED,
                .address = from ? from->entry.address : (Address){ PID_DAEMON, 0 },
        };

        packet_header_encode(&header, frame->data);
        control_encode(&published, frame->data + PACKET_HEADER_SIZE);
        /* The daemon has no key. */
        memset(frame->data + PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE, 0, CONTROL_KEY_SIZE);
        if (from)
                memcpy(frame->data + PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE, from->key.bytes,
                       CONTROL_KEY_SIZE);
}

/* Monitors see it once, as if it were a packet from who published it to everyone. */
static void show(Peer *from, const Control *word, const PacketId *id) {
        uint8_t packet[FRAME_SIZE_MAX];
        const PacketHeader header = {
                .size = (uint32_t)(PACKET_HEADER_SIZE + word->n_body),
                .src = from->entry.address,
                .dst = { PID_EVERYONE, 0 },
                .id = *id,
                .kind = PACKET_RECORDS,
        };

        packet_header_encode(&header, packet);
        memcpy(packet + PACKET_HEADER_SIZE, word->body, word->n_body);
        monitor_show(from->manager, packet, header.size);
}

/* --- what is retained --- */

static size_t retained_key(const User *user, const char *topic, size_t n_topic,
                           char key[static 4 + TOPIC_SIZE_MAX]) {
        memcpy(key, &user->uid, 4);
        memcpy(key + 4, topic, n_topic);
        return 4 + n_topic;
}

static void retained_free(Topics *topics, Retained *retained) {
        HASH_DELETE(hh, topics->retained, retained);
        topics->n_retained--;
        usage_release(retained->usage, retained->n_charged, 0, 0);
        subject_unref(retained->subject);
        credentials_done(&retained->creds);
        usage_unref(retained->usage);
        user_give(retained->user, QUOTA_RETAINED, 1);
        user_unref(retained->user);
        topic_frame_done(&retained->frame);
        free(retained);
}

static Retained *retained_new(Topics *topics, Peer *from, const char *key, size_t n_key,
                              size_t n_charge) {
        Retained *retained = calloc(1, sizeof(*retained) + n_key);

        if (!retained)
                return NULL;
        if (credentials_copy(&from->creds, &retained->creds) < 0)
                goto no_credentials;
        if (user_take(from->user, QUOTA_RETAINED, 1) != 0)
                goto no_place;
        if (usage_get(from->user, from->user->uid, &retained->usage) < 0)
                goto no_usage;
        if (usage_charge(retained->usage, n_charge, 0, 0) != 0 ||
            user_get(&from->manager->quota, from->user->uid, &retained->user) < 0)
                goto no_charge;
        retained->n_key = n_key;
        memcpy(retained->key, key, n_key);
        HASH_ADD_KEYPTR(hh, topics->retained, retained->key, n_key, retained);
        if (retained->hh.tbl) {
                retained->n_charged = n_charge;
                retained->publisher = from->key;
                retained->subject = subject_ref(from->subject);
                topics->n_retained++;
                return retained;
        }
        user_unref(retained->user);
        usage_release(retained->usage, n_charge, 0, 0);
no_charge:
        usage_unref(retained->usage);
no_usage:
        user_give(from->user, QUOTA_RETAINED, 1);
no_place:
        credentials_done(&retained->creds);
no_credentials:
        free(retained);
        return NULL;
}

/* Its library keeps it for other hosts. */
static void tell_replaced(Manager *manager, const Retained *retained) {
        Record record;
        size_t at = 0;
        Peer *peer;

        if (peer_find(manager, key_hash(&retained->publisher).address, &peer) != CODE_OK ||
            !key_equal(&peer->key, &retained->publisher) ||
            record_decode(retained->frame.data + FRAME_HEAD_SIZE,
                          retained->frame.size - FRAME_HEAD_SIZE, &at, &record) != 0)
                return;
        wants_say_replaced(peer, retained->key + 4, retained->n_key - 4, &record.message.id);
}

/* @frame takes the place of what was there; NULL: nothing does. */
static ControlCode retain(Peer *from, const char *topic, size_t n_topic, const TopicFrame *frame) {
        Topics *topics = &from->manager->topics;
        char key[4 + TOPIC_SIZE_MAX];
        size_t n_key = retained_key(from->user, topic, n_topic, key);
        Retained *retained;

        HASH_FIND(hh, topics->retained, key, n_key, retained);
        if (retained) {
                if (!key_equal(&retained->publisher, &from->key))
                        tell_replaced(from->manager, retained);
                retained_free(topics, retained);
        }
        if (!frame)
                return CODE_OK;
        retained = retained_new(topics, from, key, n_key,
                                frame->size + sizeof(*retained) + credentials_memory(&from->creds));
        if (!retained)
                return CODE_QUOTA;
        retained->frame = topic_frame_ref(frame);
        return CODE_OK;
}

static void give_retained(Peer *to, const char *pattern, size_t n_pattern) {
        Retained *retained, *next;

        HASH_ITER (hh, to->manager->topics.retained, retained, next) {
                Publisher publisher = { retained->user, retained->subject, NULL };

                if (topic_matches(pattern, n_pattern, retained->key + 4, retained->n_key - 4))
                        deliver(to, &publisher, &retained->frame);
                usage_unref(publisher.usage);
        }
}

void topics_reevaluate(Manager *manager) {
        Topics *topics = &manager->topics;
        Retained *retained, *next;

        HASH_ITER (hh, topics->retained, retained, next) {
                subject_unref(retained->subject);
                policy_describe(manager->policy, &retained->creds, &retained->publisher);
                retained->subject = policy_subject(manager->policy);
                if (!retained->subject)
                        retained_free(topics, retained); /* no memory: whose it is is not known */
        }
}

/* --- policy --- */

static bool may_publish(Peer *from, const char *topic, size_t n_topic) {
        PolicyAnswer answer;
        char what[TOPIC_SIZE_MAX + 16];

        if (from->subject->publishes_all)
                return true;
        answer = policy_publish(from->subject, topic, n_topic);
        if (answer.is_allowed)
                return true;
        (void)snprintf(what, sizeof(what), "publish on %.*s", (int)n_topic, topic);
        rights_deny_often(from, what, &answer);
        return false;
}

static bool may_subscribe(Peer *peer, const char *pattern, size_t n_pattern) {
        PolicyAnswer answer;
        char what[TOPIC_SIZE_MAX + 16];

        if (peer->subject->subscribes_all)
                return true;
        answer = policy_subscribe(peer->subject, pattern, n_pattern);
        if (!answer.is_allowed) {
                (void)snprintf(what, sizeof(what), "subscribe to %.*s", (int)n_pattern, pattern);
                rights_deny(peer, what, &answer);
        }
        return answer.is_allowed;
}

/* --- words --- */

ControlCode topics_publish(Peer *from, const Control *word, const PacketId *id) {
        Manager *manager = from->manager;
        Publication p = { .topics = &manager->topics,
                          .publisher = { from->user, from->subject, NULL } };
        size_t size = FRAME_HEAD_SIZE + word->n_body;
        ControlCode code;
        const char *topic;
        size_t n_topic;
        Record record;
        bool may;
        int r = 0;

        code = read_message(word, &record, &topic, &n_topic);
        if (code != CODE_OK)
                return code;
        if (size > FRAME_SIZE_MAX)
                return CODE_TOO_BIG;
        if (topic_is_own(topic, n_topic))
                return CODE_DENIED;
        may = may_publish(from, topic, n_topic);
        if (may)
                r = word->value & PUBLISH_RETAIN
                            ? topic_frame_new_alone(size, &p.frame)
                            : topic_frame_new(&p.topics->pages, topic, n_topic, size, &p.frame);
        if (!may || r < 0) {
                /* Who does not wait for the answer takes it for retained. */
                if (word->value & PUBLISH_RETAIN && !(word->value & PUBLISH_ANSWER))
                        wants_say_replaced(from, topic, n_topic, &record.message.id);
                return may ? CODE_OVERLOAD : CODE_DENIED;
        }
        write_head(&p.frame, from, id);
        memcpy(p.frame.data + FRAME_HEAD_SIZE, word->body, word->n_body);
        manager->counters.topics_published++;
        if (word->value & PUBLISH_RETAIN)
                code = retain(from, topic, n_topic, record.message.n_data > 0 ? &p.frame : NULL);
        if (code != CODE_OK)
                wants_say_replaced(from, topic, n_topic, &record.message.id);
        if (p.topics->tree.root)
                publish(&p, topic, n_topic);
        if (word->value & PUBLISH_READERS)
                wants_say_readers(from, topic, n_topic, id);
        if (manager->monitors.n > 0)
                show(from, word, id);
        topic_frame_done(&p.frame);
        return code;
}

ControlCode topics_say_readers(Peer *from, const Control *word, const PacketId *id) {
        const char *topic = (const char *)word->body + 1;
        size_t n_topic = word->n_body - 1;

        if (word->body[0] != n_topic || !topic_is_valid(topic, n_topic))
                return CODE_UNSUPPORTED;
        if (topic_is_own(topic, n_topic))
                return CODE_DENIED;
        wants_say_readers(from, topic, n_topic, id); /* nobody, as long as policy forbids it */
        return CODE_OK;
}

void topics_announce(Manager *manager, const char *topic, const char *format, ...) {
        uint8_t extension[3 + TOPIC_SIZE_MAX];
        size_t n_topic = strlen(topic);
        BufWriter w = buf_writer(extension, sizeof(extension));
        Publication p = { .topics = &manager->topics };
        PacketId id = manager_packet_id(manager);
        Record record = { .type = RECORD_MSG };
        char text[1024];
        va_list args;
        int n;

        if (!manager->topics.tree.root || manager->stop_usec > 0)
                return;
        va_start(args, format);
        n = vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        buf_put_u8(&w, MESSAGE_EXT_TOPIC);
        buf_put_le16(&w, (uint16_t)n_topic);
        buf_put_bytes(&w, topic, n_topic);
        record.message = (RecordMessage){
                .kind = MESSAGE_ONE_WAY,
                .id = id,
                .extensions = extension,
                .n_extensions = (uint16_t)w.at,
                .data = (const uint8_t *)text,
                .n_data = MIN((size_t)MAX(n, 0), sizeof(text) - 1),
        };
        record.message.total = record.message.n_data;
        if (topic_frame_new(&p.topics->pages, topic, n_topic,
                            FRAME_HEAD_SIZE + record_size(&record), &p.frame) < 0)
                return;
        write_head(&p.frame, NULL, &id);
        record_encode(&record, p.frame.data + FRAME_HEAD_SIZE);
        publish(&p, topic, n_topic);
        topic_frame_done(&p.frame);
}

static Subscription *find(const Peer *peer, const TopicNode *node, bool with_rest) {
        TopicLeaf *leaf;

        DL_FOREACH (node->leaves, leaf) {
                Subscription *subscription = container_of(leaf, Subscription, leaf);

                if (subscription->peer == peer && leaf->with_rest == with_rest)
                        return subscription;
        }
        return NULL;
}

static void subscription_free(Subscription *subscription) {
        Peer *peer = subscription->peer;
        Topics *topics = &peer->manager->topics;

        DL_DELETE2(peer->topics.subscriptions, subscription, prev_peer, next_peer);
        user_give(peer->user, QUOTA_SUBSCRIPTIONS, 1);
        topics->n_subscriptions--;
        topic_tree_remove(&topics->tree, &subscription->leaf);
        topic_pages_turn(&topics->pages);
        free(subscription);
}

static ControlCode begin(Peer *peer, TopicNode *node, bool with_rest) {
        Subscription *subscription;

        if (find(peer, node, with_rest))
                return CODE_OK;
        if (user_take(peer->user, QUOTA_SUBSCRIPTIONS, 1) != 0)
                return CODE_QUOTA;
        subscription = calloc(1, sizeof(*subscription));
        if (!subscription) {
                user_give(peer->user, QUOTA_SUBSCRIPTIONS, 1);
                return CODE_OVERLOAD;
        }
        subscription->peer = peer;
        topic_tree_add(node, with_rest, &subscription->leaf);
        topic_pages_turn(&peer->manager->topics.pages);
        DL_APPEND2(peer->topics.subscriptions, subscription, prev_peer, next_peer);
        peer->manager->topics.n_subscriptions++;
        return CODE_OK;
}

ControlCode topics_subscribe(Peer *peer, uint32_t value, const char *pattern, size_t n_pattern) {
        Topics *topics = &peer->manager->topics;
        ControlCode code = CODE_OK;
        Subscription *old;
        TopicNode *node;
        bool with_rest;

        if (!topic_is_pattern(pattern, n_pattern) || value > SUBSCRIBE_RETAINED)
                return CODE_UNSUPPORTED;
        if (gateway_is(&peer->manager->gateway, peer)) {
                rights_explain(peer, "the gateway subscribes to nothing");
                return CODE_DENIED;
        }
        if (value != SUBSCRIBE_END && !may_subscribe(peer, pattern, n_pattern))
                return CODE_DENIED;
        node = topic_tree_get(&topics->tree, pattern, n_pattern, &with_rest);
        if (!node)
                return CODE_OVERLOAD;
        if (value == SUBSCRIBE_END) {
                old = find(peer, node, with_rest);
                if (old) {
                        subscription_free(old);
                        wants_say(peer, WANTED_END, pattern, n_pattern);
                } else {
                        topic_tree_prune(&topics->tree, node);
                }
                return old ? CODE_OK : CODE_NO_PROVIDER;
        }
        code = begin(peer, node, with_rest);
        if (code != CODE_OK) {
                topic_tree_prune(&topics->tree, node);
                return code;
        }
        wants_say(peer, WANTED_BEGIN, pattern, n_pattern);
        if (value == SUBSCRIBE_RETAINED)
                give_retained(peer, pattern, n_pattern);
        return CODE_OK;
}

void topics_say_wants(Peer *peer) {
        const Subscription *subscription;
        char pattern[TOPIC_SIZE_MAX + 1];

        DL_FOREACH2(peer->topics.subscriptions, subscription, next_peer)
        wants_say(peer, WANTED_BEGIN, pattern, topic_leaf_pattern(&subscription->leaf, pattern));
}

void topics_reevaluate_of(Peer *peer) {
        Subscription *subscription, *next;
        char pattern[TOPIC_SIZE_MAX + 1];

        DL_FOREACH_SAFE2(peer->topics.subscriptions, subscription, next, next_peer) {
                size_t n_pattern = topic_leaf_pattern(&subscription->leaf, pattern);

                if (may_subscribe(peer, pattern, n_pattern))
                        continue;
                subscription_free(subscription);
                wants_say(peer, WANTED_END, pattern, n_pattern);
                rights_say_taken(peer, CONTROL_SUBSCRIBE, pattern, n_pattern);
        }
}

void topics_leave(Peer *peer) {
        while (peer->topics.subscriptions)
                subscription_free(peer->topics.subscriptions);
}

void topics_done(Topics *topics) {
        while (topics->retained)
                retained_free(topics, topics->retained);
        topic_pages_done(&topics->pages);
}
