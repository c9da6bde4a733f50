/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/limits.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/main.h"

#define START UINT64_C(1000000000)

static const BucketRate ten = { 10, 20 };

START_TEST(bucket_gives_its_burst_and_then_its_rate) {
        uint64_t now = START;
        Bucket b;

        bucket_init(&b, &ten, now);
        for (unsigned i = 0; i < 20; i++)
                ck_assert(bucket_take(&b, &ten, 1, now));
        ck_assert(!bucket_take(&b, &ten, 1, now));
        ck_assert(!bucket_take(&b, &ten, 1, now + 99999));
        ck_assert(bucket_take(&b, &ten, 1, now + 100000));
        ck_assert(!bucket_take(&b, &ten, 1, now + 100000));

        /* After an age it holds one burst, not more; time that runs back gives nothing. */
        now += 1000 * USEC_PER_SEC;
        ck_assert(!bucket_take(&b, &ten, 21, now));
        ck_assert(bucket_take(&b, &ten, 20, now));
        ck_assert(!bucket_take(&b, &ten, 1, START));
}
END_TEST

START_TEST(debt_has_to_be_waited_for) {
        uint64_t now = START;
        Bucket b;

        bucket_init(&b, &ten, now);
        ck_assert(bucket_spend(&b, &ten, 20, now));
        ck_assert_uint_eq(bucket_wait_usec(&b, &ten, now), 0);
        ck_assert(!bucket_spend(&b, &ten, 5, now));
        ck_assert_uint_eq(bucket_wait_usec(&b, &ten, now), 500001);
        ck_assert_uint_eq(bucket_wait_usec(&b, &ten, now + 500000), 0);
}
END_TEST

START_TEST(rate_zero_is_without_limit) {
        static const BucketRate none = { 0, 0 };
        Bucket b;

        bucket_init(&b, &none, START);
        ck_assert(bucket_take(&b, &none, UINT32_MAX, START));
        ck_assert(bucket_spend(&b, &none, UINT32_MAX, START));
        ck_assert_uint_eq(bucket_wait_usec(&b, &none, START), 0);
}
END_TEST

START_TEST(huge_rates_do_not_overflow) {
        static const BucketRate huge = { 256 << 20, 256 << 20 };
        Bucket b;

        bucket_init(&b, &huge, START);
        for (unsigned i = 0; i < 100; i++)
                (void)bucket_spend(&b, &huge, 65535, START);
        ck_assert(bucket_spend(&b, &huge, 1, START + UINT64_C(1000000) * USEC_PER_SEC));
        ck_assert(b.balance <= (int64_t)huge.burst * 1000000);
        ck_assert(bucket_spend(&b, &huge, 1, UINT64_MAX));
        ck_assert(b.balance <= (int64_t)huge.burst * 1000000 && b.balance > 0);
}
END_TEST

static struct sockaddr_storage address(const char *text) {
        struct sockaddr_storage storage = { 0 };
        struct sockaddr_in *v4 = (struct sockaddr_in *)&storage;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&storage;

        if (inet_pton(AF_INET, text, &v4->sin_addr) == 1)
                v4->sin_family = AF_INET;
        else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1)
                v6->sin6_family = AF_INET6;
        else
                ck_abort_msg("%s", text);
        return storage;
}

static const SocketLimits small = {
        .per_address = { 2, 4 },
        .in_all = { 100, 100 },
        .unproven = 8,
        .unproven_per_address = 3,
        .open_per_address = 2,
};

static bool enter(AddressTable *t, const char *text, uint64_t now) {
        struct sockaddr_storage a = address(text);

        return address_table_enter(t, (struct sockaddr *)&a, now);
}

static bool prove(AddressTable *t, const char *text, bool open) {
        struct sockaddr_storage a = address(text);

        return address_table_prove(t, (struct sockaddr *)&a, open);
}

static void leave(AddressTable *t, const char *text, bool proven, bool open) {
        struct sockaddr_storage a = address(text);

        address_table_leave(t, (struct sockaddr *)&a, proven, open);
}

START_TEST(one_address_cannot_take_all_places) {
        AddressTable *t;

        ck_assert_int_eq(address_table_new(&t, &small, START), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(!enter(t, "192.0.2.1", START));
        ck_assert(enter(t, "192.0.2.2", START));
        ck_assert_uint_eq(address_table_n_unproven(t), 4);

        /* One leaves, one proves itself: two places, but only one more is in the bucket. */
        leave(t, "192.0.2.1", false, false);
        ck_assert(prove(t, "192.0.2.1", false));
        ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(!enter(t, "192.0.2.1", START));
        ck_assert(enter(t, "192.0.2.1", START + USEC_PER_SEC));
        address_table_free(t);
}
END_TEST

START_TEST(all_addresses_together_have_a_limit) {
        AddressTable *t;
        char text[32];

        ck_assert_int_eq(address_table_new(&t, &small, START), 0);
        for (unsigned i = 0; i < 8; i++) {
                snprintf(text, sizeof(text), "192.0.2.%u", i);
                ck_assert(enter(t, text, START));
        }
        ck_assert(!enter(t, "192.0.2.99", START));
        leave(t, "192.0.2.0", false, false);
        ck_assert(enter(t, "192.0.2.99", START));
        address_table_free(t);
}
END_TEST

START_TEST(a_network_of_ipv6_counts_as_one) {
        AddressTable *t;

        ck_assert_int_eq(address_table_new(&t, &small, START), 0);
        ck_assert(enter(t, "2001:db8:0:1::1", START));
        ck_assert(enter(t, "2001:db8:0:1::2", START));
        ck_assert(enter(t, "2001:db8:0:1:ffff::3", START));
        ck_assert(!enter(t, "2001:db8:0:1::4", START));
        ck_assert(enter(t, "2001:db8:0:2::4", START));
        ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(enter(t, "::ffff:192.0.2.1", START)); /* the same as the one above */
        ck_assert_uint_eq(address_table_size(t), 3);
        address_table_free(t);
}
END_TEST

START_TEST(links_that_were_not_admitted_are_few_an_address) {
        AddressTable *t;

        ck_assert_int_eq(address_table_new(&t, &small, START), 0);
        for (unsigned i = 0; i < 3; i++)
                ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(prove(t, "192.0.2.1", true));
        ck_assert(prove(t, "192.0.2.1", true));
        ck_assert(!prove(t, "192.0.2.1", true));
        ck_assert(prove(t, "192.0.2.1", false)); /* an admitted one is welcome */
        leave(t, "192.0.2.1", true, true);
        ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(prove(t, "192.0.2.1", true));
        ck_assert(!prove(t, "192.0.2.9", true)); /* never entered */
        address_table_free(t);
}
END_TEST

START_TEST(quiet_addresses_are_forgotten) {
        AddressTable *t;

        ck_assert_int_eq(address_table_new(&t, &small, START), 0);
        ck_assert(enter(t, "192.0.2.1", START));
        ck_assert(enter(t, "192.0.2.2", START));
        leave(t, "192.0.2.1", false, false);
        address_table_sweep(t, START);
        ck_assert_uint_eq(address_table_size(t), 2); /* its bucket is not full again */
        address_table_sweep(t, START + USEC_PER_SEC);
        ck_assert_uint_eq(address_table_size(t), 1); /* the other one has a socket */
        leave(t, "192.0.2.2", false, false);
        address_table_sweep(t, START + USEC_PER_SEC);
        address_table_free(t);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_limits");
        TCase *tcase = tcase_create("relay_limits");

        tcase_add_test(tcase, bucket_gives_its_burst_and_then_its_rate);
        tcase_add_test(tcase, debt_has_to_be_waited_for);
        tcase_add_test(tcase, rate_zero_is_without_limit);
        tcase_add_test(tcase, huge_rates_do_not_overflow);
        tcase_add_test(tcase, one_address_cannot_take_all_places);
        tcase_add_test(tcase, all_addresses_together_have_a_limit);
        tcase_add_test(tcase, a_network_of_ipv6_counts_as_one);
        tcase_add_test(tcase, links_that_were_not_admitted_are_few_an_address);
        tcase_add_test(tcase, quiet_addresses_are_forgotten);
        suite_add_tcase(suite, tcase);
        return suite;
}
