/* SPDX-License-Identifier: Apache-2.0 */

#include "tests/ring-pair.h"

#include <check.h>

#include "libcore/util.h"

void ring_pair_open(RingPair *pair, uint32_t size_a, uint32_t size_b) {
        int fd_a, fd_b;

        ck_assert_int_eq(ring_file_make(&pair->a.own, size_a, &fd_a), 0);
        ck_assert_int_eq(ring_file_make(&pair->b.own, size_b, &fd_b), 0);
        ck_assert_int_eq(ring_view_open(&pair->a.other, fd_b, size_b, RING_SIZE_MAX), 0);
        ck_assert_int_eq(ring_view_open(&pair->b.other, fd_a, size_a, RING_SIZE_MAX), 0);
        fd_close(fd_a);
        fd_close(fd_b);
        ring_file_connect(&pair->a.own, &pair->a.other, &pair->a.producer, &pair->a.consumer);
        ring_file_connect(&pair->b.own, &pair->b.other, &pair->b.producer, &pair->b.consumer);
}

void ring_pair_close(RingPair *pair) {
        ring_view_done(&pair->a.other);
        ring_view_done(&pair->b.other);
        ring_file_done(&pair->a.own);
        ring_file_done(&pair->b.own);
}

void ring_put(RingProducer *p, size_t n, uint8_t seed) {
        uint8_t *entry;

        ck_assert_int_eq(ring_reserve(p, n, &entry), 0);
        for (size_t i = 0; i < n; i++)
                entry[i] = (uint8_t)(seed + i);
        ring_commit(p, n);
}

void ring_expect_entry(RingConsumer *c, size_t n, uint8_t seed) {
        const uint8_t *entry;
        size_t n_entry;

        ck_assert_int_eq(ring_peek(c, &entry, &n_entry), 0);
        ck_assert_uint_eq(n_entry, n);
        /* An assertion tells Check's runner where it is, even if it holds: none for each byte. */
        for (size_t i = 0; i < n; i++)
                if (entry[i] != (uint8_t)(seed + i))
                        ck_abort_msg("byte %zu of %zu", i, n);
        ring_advance(c);
}

void ring_expect_no_entry(RingConsumer *c, int condition) {
        const uint8_t *entry = (const uint8_t *)c;
        size_t n = 77;

        ck_assert_int_eq(ring_peek(c, &entry, &n), condition);
        ck_assert_ptr_eq(entry, c); /* untouched */
        ck_assert_uint_eq(n, 77);
}

void ring_expect_no_room(RingProducer *p, size_t n, int condition) {
        uint8_t *entry = (uint8_t *)p;

        ck_assert_int_eq(ring_reserve(p, n, &entry), condition);
        ck_assert_ptr_eq(entry, p);
}

void ring_pass(RingProducer *p, RingConsumer *c, size_t n) {
        const uint8_t *entry;
        uint8_t *room;
        size_t n_entry;

        if (ring_reserve(p, n, &room) != 0)
                ck_abort();
        ring_commit(p, n);
        ring_publish(p);
        if (ring_peek(c, &entry, &n_entry) != 0 || n_entry != n)
                ck_abort();
        ring_advance(c);
        ring_release(c, ring_position(c));
}
