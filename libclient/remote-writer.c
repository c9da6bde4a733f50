/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/remote-writer.h"

#include "libclient/peer.h"
#include "libclient/topic.h"
#include "libcore/topic.h"

/* The last of a writer on one topic. */
typedef struct HeardTopic {
        UT_hash_handle hh; /* of the writer, by @topic */
        PacketId last;
        size_t n_topic;
        char topic[];
} HeardTopic;

/* Whose messages come here. */
struct RemoteWriter {
        UT_hash_handle hh; /* by @key */
        PublicKey key;
        uint64_t session, next; /* the number that is due */
        HeardTopic *heard;
};

/* One topic of one writer */

static HeardTopic *heard_find(const RemoteWriter *writer, const char *topic, size_t n_topic) {
        HeardTopic *heard;

        HASH_FIND(hh, writer->heard, topic, n_topic, heard);
        return heard;
}

static void heard_free(p2pbus *bus, RemoteWriter *writer, HeardTopic *heard) {
        HASH_DELETE(hh, writer->heard, heard);
        bus->topics.n_heard--;
        free(heard);
}

static void heard_free_all(p2pbus *bus, RemoteWriter *writer) {
        while (writer->heard)
                heard_free(bus, writer, writer->heard);
}

/* NULL: no room, or no memory: it may come twice. */
static HeardTopic *heard_new(p2pbus *bus, RemoteWriter *writer, const char *topic, size_t n_topic) {
        bool is_full = bus->topics.n_heard >= REMOTE_HEARD_ALL_MAX;
        HeardTopic *heard;

        if (writer->heard && (is_full || HASH_COUNT(writer->heard) >= REMOTE_HEARD_ONE_MAX))
                heard_free(bus, writer, writer->heard); /* the one that was new first */
        else if (is_full)
                return NULL;
        heard = calloc(1, sizeof(*heard) + n_topic);
        if (!heard)
                return NULL;
        heard->n_topic = n_topic;
        memcpy(heard->topic, topic, n_topic);
        HASH_ADD_KEYPTR(hh, writer->heard, heard->topic, n_topic, heard);
        if (!heard->hh.tbl) {
                free(heard);
                return NULL;
        }
        bus->topics.n_heard++;
        return heard;
}

static void hear(p2pbus *bus, RemoteWriter *writer, const char *topic, size_t n_topic,
                 const PacketId *id) {
        HeardTopic *heard = heard_find(writer, topic, n_topic);

        if (!heard) {
                heard = heard_new(bus, writer, topic, n_topic);
                if (heard)
                        heard->last = *id;
        } else if (packet_id_is_later(id, &heard->last)) {
                heard->last = *id;
        }
}

/* One writer */

static void writer_free(p2pbus *bus, RemoteWriter *writer) {
        heard_free_all(bus, writer);
        HASH_DELETE(hh, bus->topics.writers, writer);
        free(writer);
}

/* It counts anew: most likely it is another life of that process. */
static void writer_begin(p2pbus *bus, RemoteWriter *writer, uint64_t session, uint64_t seq) {
        heard_free_all(bus, writer);
        writer->session = session;
        writer->next = seq;
}

static RemoteWriter *writer_get(p2pbus *bus, const PublicKey *key, uint64_t session, uint64_t seq) {
        RemoteWriter *writer;

        HASH_FIND(hh, bus->topics.writers, key, sizeof(*key), writer);
        if (writer)
                return writer;
        if (HASH_COUNT(bus->topics.writers) >= REMOTE_WRITERS_MAX)
                writer_free(bus, bus->topics.writers); /* the one that was new first */
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

/* Return: whether it is for the application. */
static bool take_retained(RemoteWriter *writer, const RecordMessage *head, const char *topic,
                          size_t n_topic) {
        const HeardTopic *heard = heard_find(writer, topic, n_topic);

        return !heard || packet_id_is_later(&head->id, &heard->last);
}

/* Return: the same. */
static bool take_next(p2pbus *bus, RemoteWriter *writer, uint64_t seq) {
        uint64_t n_lost = seq - writer->next;

        if (seq < writer->next)
                return false; /* doubled, or counted as lost */
        writer->next = seq + 1;
        bus->topics.n_lost += MIN(n_lost, (uint64_t)UINT32_MAX);
        return true;
}

void remote_writer_on_published(p2pbus *bus, const PeerSource *source, const Record *record) {
        const RecordMessage *head = &record->message;
        uint32_t wanted = SUBSCRIBE_END;
        RemoteWriter *writer;
        const uint8_t *bytes;
        const char *topic;
        size_t n_topic;
        Peer *peer;

        bytes = record_extension(head->extensions, head->n_extensions, MESSAGE_EXT_TOPIC, &n_topic);
        topic = (const char *)bytes;
        if (topic && topic_is_valid(topic, n_topic) && !topic_is_own(topic, n_topic))
                wanted = topic_wanted(bus, topic, n_topic);
        /* In the clear the daemon brings it, which knows who may publish to whom. */
        if (!source->key || !source->is_remote || head->kind != MESSAGE_ONE_WAY ||
            head->total != head->n_data || wanted == SUBSCRIBE_END) {
                bus->counters.bad_packets++;
                return;
        }
        writer = writer_get(bus, source->key, record->session, record->seq);
        if (!writer)
                return;
        if (writer->session != record->session)
                writer_begin(bus, writer, record->session, record->seq);
        if (record->flags & RECORD_RETAINED
                    ? wanted != SUBSCRIBE_RETAINED || !take_retained(writer, head, topic, n_topic)
                    : !take_next(bus, writer, record->seq))
                return;
        peer = peer_find(bus, source->address, source->key);
        if (peer)
                peer->published_usec = bus->now_usec;
        if (topic_put(bus, record, topic, n_topic, source) && wanted == SUBSCRIBE_RETAINED)
                hear(bus, writer, topic, n_topic, &head->id);
}

void remote_writer_forget(p2pbus *bus, const char *pattern) {
        RemoteWriter *writer;

        for (writer = bus->topics.writers; writer; writer = writer->hh.next) {
                HeardTopic *heard, *next;

                HASH_ITER (hh, writer->heard, heard, next)
                        if (topic_matches(pattern, strlen(pattern), heard->topic, heard->n_topic) &&
                            topic_wanted(bus, heard->topic, heard->n_topic) != SUBSCRIBE_RETAINED)
                                heard_free(bus, writer, heard);
        }
}

void remote_writer_free_all(p2pbus *bus) {
        while (bus->topics.writers)
                writer_free(bus, bus->topics.writers);
}
