/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/block-pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "libcore/util.h"
#include "tests/main.h"

#define N_THREADS 4
#define N_ROUNDS 2000
#define N_BLOCKS 64
#define SIZE_MAX_ASKED (BLOCK_POOL_SIZE_MAX + 200)

static size_t size_of(uint64_t i) {
        return 16 + i * 37 % (SIZE_MAX_ASKED - 16);
}

/* Takes blocks of all sizes, fills each with a mark of its own, looks for it, gives them back. */
static void *take_and_give(void *mark) {
        uint8_t *blocks[N_BLOCKS];
        uintptr_t n_spoiled = 0;

        for (uint64_t round = 0; round < N_ROUNDS; round++) {
                for (uint64_t i = 0; i < N_BLOCKS; i++) {
                        blocks[i] = block_new(size_of(round + i));
                        if (!blocks[i])
                                abort();
                        memset(blocks[i], (uint8_t)(*(uint8_t *)mark + i), size_of(round + i));
                }
                for (uint64_t i = 0; i < N_BLOCKS; i++) {
                        for (size_t k = 0; k < size_of(round + i); k++)
                                n_spoiled += blocks[i][k] != (uint8_t)(*(uint8_t *)mark + i);
                        block_free(blocks[i], size_of(round + i));
                }
        }
        return (void *)n_spoiled;
}

START_TEST(each_block_has_one_owner) {
        pthread_t threads[N_THREADS];
        uint8_t marks[N_THREADS];
        void *n_spoiled;

        for (unsigned i = 0; i < N_THREADS; i++) {
                marks[i] = (uint8_t)(i * N_BLOCKS);
                ck_assert_int_eq(pthread_create(&threads[i], NULL, take_and_give, &marks[i]), 0);
        }
        for (unsigned i = 0; i < N_THREADS; i++) {
                ck_assert_int_eq(pthread_join(threads[i], &n_spoiled), 0);
                ck_assert_ptr_null(n_spoiled);
        }
        block_pool_trim();
}
END_TEST

START_TEST(what_is_given_back_serves_the_next_burst_of_that_size) {
        static void *blocks[BLOCK_POOL_MAX + 1];
        const unsigned max = BLOCK_POOL_MAX;
        unsigned n_known = 0;
        void *other;

        for (unsigned i = 0; i < max; i++)
                ck_assert_ptr_nonnull(blocks[i] = block_new(600));
        for (unsigned i = 0; i < max; i++)
                block_free(blocks[i], 600);
        for (unsigned i = max; i > 0; i--) {
                void *again = block_new(640); /* of the same class */

                n_known += again == blocks[i - 1];
                blocks[i - 1] = again;
        }
        ck_assert_uint_eq(n_known, max);
        for (unsigned i = 0; i < max; i++)
                block_free(blocks[i], 640);
        ck_assert_uint_eq(block_pool_size(), max);
        other = block_new(100); /* one of another size takes the place of one of these */
        block_free(other, 100);
        ck_assert_uint_eq(block_pool_size(), max);
        if (max > 0) {
                ck_assert_ptr_eq(block_new(100), other);
                block_free(other, 100);
        }
        block_pool_trim();
        ck_assert_uint_eq(block_pool_size(), 0);
}
END_TEST

START_TEST(a_large_block_is_not_kept) {
        block_free(block_new(BLOCK_POOL_SIZE_MAX + 1), BLOCK_POOL_SIZE_MAX + 1);
        ck_assert_uint_eq(block_pool_size(), 0);
}
END_TEST

Suite *check_suite(void) {
        Suite *s = suite_create("block pool");
        TCase *t = tcase_create("block pool");

        tcase_add_test(t, each_block_has_one_owner);
        tcase_add_test(t, what_is_given_back_serves_the_next_burst_of_that_size);
        tcase_add_test(t, a_large_block_is_not_kept);
        suite_add_tcase(s, t);
        return s;
}
