/* SPDX-License-Identifier: Apache-2.0 */

/* Who provides which name behind which link, by a table that has no network and no clock. */

#include "relay/services.h"

#include <stdio.h>

#include "tests/main.h"

#define HOUR_USEC (UINT64_C(3600) * USEC_PER_SEC)
#define WALL_USEC UINT64_C(1800000000000000)
#define NOW_USEC (100 * USEC_PER_SEC)

static RelayServices *services;
static ServicesRoute routes[3];
static uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
static IdentityKey *keys[256];

static void setup(void) {
        ck_assert_int_eq(crypto_init(), 0);
        ck_assert_int_eq(relay_services_new(&services), 0);
        for (unsigned i = 0; i < ELEMENTSOF(routes); i++)
                relay_services_open_route(&routes[i], 200);
}

static void teardown(void) {
        for (unsigned i = 0; i < ELEMENTSOF(routes); i++)
                relay_services_close_route(services, &routes[i], NOW_USEC);
        ck_assert_uint_eq(relay_services_size(services), 0);
        relay_services_free(services);
        for (unsigned i = 0; i < ELEMENTSOF(keys); i++)
                keys[i] = identity_free(keys[i]);
}

static const IdentityKey *key_of(unsigned number) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { (uint8_t)number, 1 };

        if (!keys[number])
                ck_assert_int_eq(identity_new_from_seed(&keys[number], seed), 0);
        return keys[number];
}

static Address address_of(unsigned number) {
        return identity_hash(key_of(number))->address;
}

/* What process @number says, @issued seconds from now. */
static ServiceRecord said(unsigned number, const char *name, int issued, uint8_t flags) {
        uint64_t issued_usec = WALL_USEC + (uint64_t)((int64_t)issued * (int64_t)USEC_PER_SEC);
        const SignedRecord record = {
                .type = SIGNED_RECORD_SERVICE,
                .flags = flags,
                .issued_usec = issued_usec,
                .not_after_usec = issued_usec + HOUR_USEC,
                .service = { .priority = 1, .weight = 1, .name = { name, strlen(name) } },
        };
        ServiceRecord ret;
        size_t n;

        ck_assert_int_eq(service_record_sign(&record, key_of(number), NULL, 0, bytes, &n), 0);
        ck_assert_int_eq(service_record_decode_whole(bytes, n, &ret), 0);
        return ret;
}

static int put(unsigned route, unsigned number, const char *name, int issued) {
        const ServiceRecord record = said(number, name, issued, 0);

        return relay_services_put(services, &routes[route], &record, WALL_USEC);
}

static bool is_leased = true;

static bool count(const RelayService *service, void *userdata) {
        (void)service;
        *(unsigned *)userdata += is_leased;
        return is_leased;
}

static unsigned n_found(const char *name, const ServicesRoute *except, uint64_t wall_usec,
                        RelayServicesAnswer expected) {
        unsigned n = 0;

        ck_assert_int_eq(relay_services_find(services, name, strlen(name), except, wall_usec,
                                             NOW_USEC, count, &n),
                         expected);
        return n;
}

START_TEST(a_name_has_those_who_said_it) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        ck_assert_int_eq(put(1, 2, "a.b", 0), 0);
        ck_assert_int_eq(put(1, 2, "a.c", 0), 0);
        ck_assert_uint_eq(n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_SOME), 2);
        ck_assert_uint_eq(n_found("a.b", &routes[0], WALL_USEC, RELAY_SERVICES_SOME), 1);
        ck_assert_uint_eq(n_found("a.c", NULL, WALL_USEC, RELAY_SERVICES_SOME), 1);
        ck_assert_uint_eq(n_found("a.c", &routes[1], WALL_USEC, RELAY_SERVICES_NONE), 0);
        ck_assert_uint_eq(n_found("a.d", NULL, WALL_USEC, RELAY_SERVICES_NONE), 0);
}
END_TEST

START_TEST(who_has_no_lease_is_not_given_out) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        is_leased = false;
        (void)n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_NONE);
        is_leased = true;
}
END_TEST

START_TEST(the_newest_word_counts) {
        ServiceRecord record;

        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        ck_assert_int_eq(put(0, 1, "a.b", 0), RELAY_SERVICES_E_HELD);
        ck_assert_int_eq(put(0, 1, "a.b", -1), RELAY_SERVICES_E_HELD);
        ck_assert_int_eq(put(0, 1, "a.b", 1), 0);
        ck_assert_uint_eq(relay_services_size(services), 1);
        record = said(1, "a.b", 1, 0);
        ck_assert(relay_services_knows(services, &record));
        record = said(1, "a.b", 2, 0);
        ck_assert(!relay_services_knows(services, &record));
}
END_TEST

START_TEST(withdrawn_is_gone_by_a_newer_word_alone) {
        ServiceRecord record;

        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        record = said(1, "a.b", -1, SIGNED_RECORD_WITHDRAWN);
        ck_assert_int_eq(relay_services_put(services, &routes[0], &record, WALL_USEC),
                         RELAY_SERVICES_E_HELD);
        record = said(1, "a.b", 1, SIGNED_RECORD_WITHDRAWN);
        ck_assert_int_eq(relay_services_put(services, &routes[0], &record, WALL_USEC), 0);
        ck_assert_uint_eq(relay_services_size(services), 0);
        ck_assert_int_eq(relay_services_put(services, &routes[0], &record, WALL_USEC),
                         RELAY_SERVICES_E_HELD);
}
END_TEST

START_TEST(what_is_not_signed_or_not_of_now_is_refused) {
        ServiceRecord record = said(1, "a.b", 0, 0);

        bytes[record.bytes.size - 1] ^= 1;
        ck_assert_int_eq(relay_services_put(services, &routes[0], &record, WALL_USEC),
                         RELAY_SERVICES_E_SIGNATURE);
        ck_assert_int_eq(put(0, 1, "a.b", 301), RELAY_SERVICES_E_CLOCK);
        ck_assert_int_eq(put(0, 1, "a.b", -3600 - 300), RELAY_SERVICES_E_EXPIRED);
        ck_assert_int_eq(put(0, 1, "a.b", -3600 - 299), 0);
}
END_TEST

START_TEST(what_has_ended_is_not_given_out_and_swept) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        (void)n_found("a.b", NULL, WALL_USEC + HOUR_USEC + SIGNED_RECORD_SKEW_USEC,
                      RELAY_SERVICES_NONE);
        ck_assert_uint_eq(relay_services_size(services), 1);
}
END_TEST

static bool is_not_1(const RelayService *service, void *userdata) {
        (void)userdata;
        return !address_equal(service->address, address_of(1));
}

START_TEST(whoever_has_no_lease_any_more_is_swept) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        ck_assert_int_eq(put(0, 1, "a.c", 0), 0);
        ck_assert_int_eq(put(0, 2, "a.b", 0), 0);
        relay_services_sweep(services, WALL_USEC, NOW_USEC, is_not_1, NULL);
        ck_assert_uint_eq(relay_services_size(services), 1);
        relay_services_sweep(services, WALL_USEC + HOUR_USEC + SIGNED_RECORD_SKEW_USEC, NOW_USEC,
                             is_not_1, NULL);
        ck_assert_uint_eq(relay_services_size(services), 0);
}
END_TEST

START_TEST(names_go_one_by_one_or_with_their_process) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        ck_assert_int_eq(put(0, 1, "a.c", 0), 0);
        ck_assert_int_eq(put(0, 2, "a.b", 0), 0);
        relay_services_drop(services, address_of(1), "a.x", 3, NULL);
        ck_assert_uint_eq(relay_services_size(services), 3);
        relay_services_drop(services, address_of(1), "a.b", 3, NULL);
        ck_assert_uint_eq(relay_services_size(services), 2);
        relay_services_drop(services, address_of(1), NULL, 0, &routes[0]);
        ck_assert_uint_eq(relay_services_size(services), 2);
        relay_services_drop(services, address_of(1), NULL, 0, &routes[1]);
        ck_assert_uint_eq(relay_services_size(services), 1);
        ck_assert_uint_eq(n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_SOME), 1);
}
END_TEST

START_TEST(what_a_link_takes_along_may_come_back) {
        unsigned n = 0;

        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        relay_services_close_route(services, &routes[0], NOW_USEC);
        ck_assert_uint_eq(relay_services_size(services), 0);
        (void)n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_LOST);
        ck_assert_int_eq(relay_services_find(services, "a.b", 3, NULL, WALL_USEC,
                                             NOW_USEC + RELAY_SERVICES_LOST_USEC, count, &n),
                         RELAY_SERVICES_NONE);
        /* The same bytes, and not older ones. */
        ck_assert_int_eq(put(0, 1, "a.b", -1), RELAY_SERVICES_E_HELD);
        ck_assert_int_eq(put(1, 1, "a.b", 0), 0);
        (void)n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_SOME);
        relay_services_close_route(services, &routes[1], NOW_USEC);
        relay_services_sweep(services, WALL_USEC, NOW_USEC + RELAY_SERVICES_LOST_USEC, is_not_1,
                             NULL);
        (void)n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_NONE);
}
END_TEST

START_TEST(a_process_that_moves_takes_its_names_along) {
        ck_assert_int_eq(put(0, 1, "a.b", 0), 0);
        ck_assert_int_eq(put(1, 1, "a.b", 0), 0);
        ck_assert_uint_eq(routes[0].n_services, 0);
        ck_assert_uint_eq(routes[1].n_services, 1);
        ck_assert_int_eq(put(0, 1, "a.b", 1), 0);
        ck_assert_uint_eq(routes[0].n_services, 1);
        ck_assert_uint_eq(routes[1].n_services, 0);
}
END_TEST

START_TEST(a_process_has_sixteen_names) {
        char name[16];

        for (unsigned i = 0; i < RELAY_SERVICES_PROCESS_MAX; i++) {
                (void)snprintf(name, sizeof(name), "a.n%u", i);
                ck_assert_int_eq(put(0, 1, name, 0), 0);
        }
        ck_assert_int_eq(put(0, 1, "a.more", 0), RELAY_SERVICES_E_QUOTA);
        ck_assert_int_eq(put(0, 1, "a.n0", 1), 0);
        ck_assert_int_eq(put(0, 2, "a.more", 0), 0);
        relay_services_drop(services, address_of(1), "a.n3", 4, NULL);
        ck_assert_int_eq(put(0, 1, "a.more", 0), 0);
}
END_TEST

START_TEST(a_link_has_its_share) {
        char name[16];

        routes[0].services_max = 20;
        for (unsigned i = 0; i < 20; i++) {
                (void)snprintf(name, sizeof(name), "a.n%u", i);
                ck_assert_int_eq(put(0, 1 + i / 10, name, 0), 0);
        }
        ck_assert_int_eq(put(0, 3, "a.more", 0), RELAY_SERVICES_E_QUOTA);
        ck_assert_int_eq(put(0, 1, "a.n0", 1), 0);
        ck_assert_int_eq(put(1, 3, "a.more", 0), 0);
        ck_assert_int_eq(put(0, 3, "a.more", 1), RELAY_SERVICES_E_QUOTA); /* nor by moving */
}
END_TEST

START_TEST(nobody_crowds_others_out_of_a_name) {
        for (unsigned i = 0; i < RELAY_SERVICES_NAME_MAX; i++)
                ck_assert_int_eq(put(0, i, "a.b", 0), 0);
        ck_assert_int_eq(put(0, 200, "a.b", 0), RELAY_SERVICES_E_QUOTA);
        for (unsigned i = 0; i < 3; i++)
                ck_assert_int_eq(put(1, 201 + i, "a.b", 0), 0);
        ck_assert_uint_eq(routes[0].n_services, RELAY_SERVICES_NAME_MAX - 3);
        ck_assert_uint_eq(n_found("a.b", NULL, WALL_USEC, RELAY_SERVICES_SOME),
                          RELAY_SERVICES_NAME_MAX);
        ck_assert_uint_eq(n_found("a.b", &routes[0], WALL_USEC, RELAY_SERVICES_SOME), 3);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_services");
        TCase *tcase = tcase_create("table");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, a_name_has_those_who_said_it);
        tcase_add_test(tcase, who_has_no_lease_is_not_given_out);
        tcase_add_test(tcase, the_newest_word_counts);
        tcase_add_test(tcase, withdrawn_is_gone_by_a_newer_word_alone);
        tcase_add_test(tcase, what_is_not_signed_or_not_of_now_is_refused);
        tcase_add_test(tcase, what_has_ended_is_not_given_out_and_swept);
        tcase_add_test(tcase, whoever_has_no_lease_any_more_is_swept);
        tcase_add_test(tcase, names_go_one_by_one_or_with_their_process);
        tcase_add_test(tcase, what_a_link_takes_along_may_come_back);
        tcase_add_test(tcase, a_process_that_moves_takes_its_names_along);
        tcase_add_test(tcase, a_process_has_sixteen_names);
        tcase_add_test(tcase, a_link_has_its_share);
        tcase_add_test(tcase, nobody_crowds_others_out_of_a_name);
        suite_add_tcase(suite, tcase);
        return suite;
}
