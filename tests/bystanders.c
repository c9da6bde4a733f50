/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/bystanders.h"

#include <stdio.h>
#include <unistd.h>

#include "libcore/log.h"
#include "tests/main.h"

Daemon d;
Client x, y;

void bystanders_start(const char *config) {
        daemon_start(&d, "--user", config);
        client_open(&x, &d, 0);
        client_open(&y, &d, 0);
}

void bystanders_are_well(void) {
        client_send(&x, y.address, PACKET_RECORDS, "ping", 4);
        expect_payload(&y, PACKET_RECORDS, "ping", 4);
        client_send(&y, x.address, PACKET_RECORDS, "pong", 4);
        expect_payload(&x, PACKET_RECORDS, "pong", 4);
}

void bystanders_stop(void) {
        bystanders_are_well();
        client_close(&x);
        client_close(&y);
        daemon_stop(&d);
}

void expect_logged(const char *what, unsigned n) {
        ck_assert_uint_ge(daemon_said_times(&d, what), MIN(n, (unsigned)LOG_RATE_BURST));
        ck_assert_uint_le(daemon_said_times(&d, what), n);
}

void send_with_fds(Client *from, Address dst, const int *fds, uint8_t n_fds) {
        PacketHeader header = {
                .size = PACKET_HEADER_SIZE + 3,
                .n_fds = n_fds,
                .src = from->address,
                .dst = dst,
                .kind = PACKET_RECORDS,
        };
        uint8_t packet[PACKET_HEADER_SIZE + 3];

        packet_header_encode(&header, packet);
        memcpy(packet + PACKET_HEADER_SIZE, "fds", 3);
        ck_assert(client_write_fds(from, packet, sizeof(packet), fds, n_fds));
}

bool is_root(const char *what) {
        if (geteuid() == 0)
                return true;
        printf("# SKIP %s: needs root\n", what);
        return false;
}
