/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/ping.h"

#include <utlist.h>

#include "libclient/reason.h"

void ping_begin(p2pbus *bus, Ping *ping, Address address) {
        *ping = (Ping){ .address = address };
        crypto_random(ping->data, sizeof(ping->data));
        DL_APPEND(bus->pings, ping);
}

void ping_end(p2pbus *bus, Ping *ping) {
        DL_DELETE(bus->pings, ping);
}

size_t ping_encode(const Ping *ping, uint8_t bytes[RECORD_HEADER_SIZE + RECORD_PING_SIZE]) {
        Record record = { .type = RECORD_PING };

        memcpy(record.ping, ping->data, sizeof(record.ping));
        record_encode(&record, bytes);
        return record_size(&record);
}

bool ping_on_refused(p2pbus *bus, const Control *word) {
        Ping *ping;

        DL_FOREACH (bus->pings, ping)
                if (packet_id_equal(&ping->id, &word->ref)) {
                        if (word->code == CODE_DENIED) {
                                ping->is_denied = true;
                                reason_copy_text(word->body, word->n_body, ping->denial);
                                bus_happened(bus);
                        }
                        return true; /* what else stands in the way may pass */
                }
        return false;
}

void ping_on_pong(p2pbus *bus, const PeerSource *source, const uint8_t data[RECORD_PING_SIZE]) {
        Ping *ping;

        DL_FOREACH (bus->pings, ping)
                if (address_equal(ping->address, source->address) &&
                    crypto_equal(ping->data, data, sizeof(ping->data))) {
                        ping->is_answered = true;
                        bus_happened(bus);
                }
}
