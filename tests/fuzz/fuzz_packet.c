/* SPDX-License-Identifier: Apache-2.0 */

/* A header that is accepted is the encoding of what was read: no two inputs mean the same. */

#include <assert.h>
#include <string.h>

#include "libcore/packet.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        uint8_t again[PACKET_HEADER_SIZE];
        FramePrefix prefix;
        PacketHeader h;

        if (frame_prefix_decode(data, n_data, &prefix) == 0) {
                assert(prefix.size <= FRAME_SIZE_MAX && prefix.n_fds <= FRAME_FDS_MAX);
                frame_prefix_encode(&prefix, again);
                assert(memcmp(again, data, FRAME_PREFIX_SIZE) == 0);
        }
        if (packet_header_decode(data, n_data, &h) == 0) {
                assert(h.fragment <= h.last_fragment && h.size >= PACKET_HEADER_SIZE);
                packet_header_encode(&h, again);
                assert(memcmp(again, data, PACKET_HEADER_SIZE) == 0);
        }
        return 0;
}
