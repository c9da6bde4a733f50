/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "libclient/remote-writer.h"

#include "libclient/peer.h"
#include "libclient/topic.h"
#include "libcore/topic.h"

/* Whose messages come here. */
struct RemoteWriter {
        UT_hash_handle hh; /* by @key */
        PublicKey key;
        uint64_t session, next; /* the number that is due */
};

static RemoteWriter *writer_get(p2pbus *bus, const PublicKey *key, uint64_t session, uint64_t seq) {
        RemoteWriter *writer;

        HASH_FIND(hh, bus->topics.writers, key, sizeof(*key), writer);
        if (writer)
                return writer;
        if (HASH_COUNT(bus->topics.writers) >= REMOTE_WRITERS_MAX) {
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

void remote_writer_on_published(p2pbus *bus, const PeerSource *source, const Record *record) {
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

void remote_writer_free_all(p2pbus *bus) {
        RemoteWriter *writer, *next;

        HASH_ITER (hh, bus->topics.writers, writer, next) {
                HASH_DELETE(hh, bus->topics.writers, writer);
                free(writer);
        }
}
