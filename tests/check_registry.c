/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/registry.h"

#include "libcore/util.h"
#include "libsecure/crypto.h"
#include "libsecure/identity.h"
#include "tests/main.h"

static Registry registry;
static RegistryEntry entries[8];

static void setup(void) {
        registry_init(&registry, 8);
        memset(entries, 0, sizeof(entries));
}

static void teardown(void) {
        registry_done(&registry);
}

static RegistryEntry *make(unsigned i, Pid pid, uint32_t tag) {
        RegistryEntry *entry = &entries[i];

        memset(entry, 0, sizeof(*entry));
        entry->kid[0] = (uint8_t)i;
        entry->kid[1] = 1;
        entry->address = (Address){ pid, tag };
        return entry;
}

START_TEST(an_address_finds_its_entry) {
        RegistryEntry *found = NULL;
        uint64_t generation = registry.generation;

        ck_assert_int_eq(registry_add(&registry, make(0, 0x1122334455667788, 7)), 0);
        ck_assert_uint_ne(registry.generation, generation);
        ck_assert_int_eq(registry_find(&registry, (Address){ 0x1122334455667788, 0 }, &found), 0);
        ck_assert_ptr_eq(found, &entries[0]);
        ck_assert_int_eq(registry_find(&registry, (Address){ 0x1122334455667788, 7 }, &found), 0);
        ck_assert_int_eq(registry_find(&registry, (Address){ 0x1122334455667788, 8 }, &found),
                         REGISTRY_E_WRONG_KEY);
        ck_assert_int_eq(registry_find(&registry, (Address){ 0x1122334455667789, 0 }, &found),
                         REGISTRY_E_NOT_HERE);
        ck_assert_ptr_eq(registry_find_kid(&registry, entries[0].kid), &entries[0]);
        generation = registry.generation;
        registry_remove(&registry, &entries[0]);
        ck_assert_uint_ne(registry.generation, generation);
        ck_assert_int_eq(registry_find(&registry, (Address){ 0x1122334455667788, 7 }, &found),
                         REGISTRY_E_NOT_HERE);
        ck_assert_ptr_null(registry_find_kid(&registry, entries[0].kid));
}
END_TEST

START_TEST(a_key_is_here_once) {
        RegistryEntry same;

        ck_assert_int_eq(registry_add(&registry, make(0, 5, 7)), 0);
        same = entries[0];
        ck_assert_int_eq(registry_add(&registry, &same), REGISTRY_E_TAKEN);
        registry_remove(&registry, &entries[0]);
}
END_TEST

/* Same PID, other keys: as in collisions, in every order of leaving. */
START_TEST(entries_that_share_a_pid_are_told_apart_by_tag) {
        unsigned order = (unsigned)_i, gone = 0;
        RegistryEntry *found;

        for (unsigned i = 0; i < REGISTRY_SAME_PID_MAX; i++)
                ck_assert_int_eq(registry_add(&registry, make(i, 99, i + 1)), 0);
        ck_assert_int_eq(registry_add(&registry, make(5, 99, 6)), REGISTRY_E_FULL);
        for (unsigned n = REGISTRY_SAME_PID_MAX; n > 0; n--) {
                unsigned leaving;

                ck_assert_int_eq(registry_find(&registry, (Address){ 99, 0 }, &found),
                                 n > 1 ? REGISTRY_E_AMBIGUOUS : 0);
                for (unsigned i = 0; i < REGISTRY_SAME_PID_MAX; i++) {
                        bool here = !(gone & 1U << i);

                        ck_assert_int_eq(registry_find(&registry, (Address){ 99, i + 1 }, &found),
                                         here ? 0 : REGISTRY_E_WRONG_KEY);
                        if (here)
                                ck_assert_ptr_eq(found, &entries[i]);
                }
                for (leaving = order++ % REGISTRY_SAME_PID_MAX; gone & 1U << leaving;)
                        leaving = (leaving + 1) % REGISTRY_SAME_PID_MAX;
                registry_remove(&registry, &entries[leaving]);
                gone |= 1U << leaving;
        }
        ck_assert_int_eq(registry_find(&registry, (Address){ 99, 1 }, &found), REGISTRY_E_NOT_HERE);
}
END_TEST

/* SECURITY T3, with real keys: the index looks at two bytes of the PID, so that two keys collide. */
START_TEST(colliding_keys_are_ambiguous_without_a_tag) {
        const unsigned n_keys = 2000; /* of 65536: a collision is all but certain */
        RegistryEntry *all = calloc(n_keys, sizeof(*all)), *found, *first = NULL, *second = NULL;
        uint8_t seed[IDENTITY_SEED_SIZE] = { 3 };
        unsigned n = 0;

        ck_assert_int_eq(crypto_init(), 0);
        registry_done(&registry);
        registry_init(&registry, 2);
        while (n < n_keys && !second) {
                IdentityKey *key;
                const KeyHash *hash;

                store_le32(seed + 4, n);
                ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
                hash = identity_hash(key);
                memcpy(all[n].kid, hash->kid, sizeof(all[n].kid));
                all[n].address = hash->address;
                ck_assert_int_eq(registry_add(&registry, &all[n]), 0);
                if (registry_find(&registry, (Address){ hash->address.pid, 0 }, &found) ==
                    REGISTRY_E_AMBIGUOUS)
                        second = &all[n];
                identity_free(key);
                n++;
        }
        ck_assert_ptr_nonnull(second);
        for (unsigned i = 0; i + 1 < n; i++)
                if (all[i].index == second->index)
                        first = &all[i];
        ck_assert_ptr_nonnull(first);

        ck_assert_int_eq(registry_find(&registry, first->address, &found), 0);
        ck_assert_ptr_eq(found, first);
        ck_assert_int_eq(registry_find(&registry, second->address, &found), 0);
        ck_assert_ptr_eq(found, second);
        ck_assert_int_eq(registry_find(&registry,
                                       (Address){ first->address.pid,
                                                  first->address.tag ^ second->address.tag ^ 1 },
                                       &found),
                         REGISTRY_E_WRONG_KEY);
        for (unsigned i = 0; i < n; i++)
                registry_remove(&registry, &all[i]);
        free(all);
}
END_TEST

START_TEST(who_left_is_remembered_within_bounds) {
        for (unsigned i = 0; i < REGISTRY_DEPARTED_MAX + 10; i++) {
                ck_assert_int_eq(registry_add(&registry, make(0, 0x10000 + i, 1)), 0);
                registry_remove(&registry, &entries[0]);
        }
        ck_assert_uint_eq(registry.n_departed, REGISTRY_DEPARTED_MAX);
        ck_assert(!registry_has_left(&registry, (Address){ 0x10000 + 9, 0 }));
        ck_assert(registry_has_left(&registry, (Address){ 0x10000 + 10, 0 }));
        ck_assert(registry_has_left(&registry, (Address){ 0x10000 + 10, 1 }));
        ck_assert(!registry_has_left(&registry, (Address){ 0x10000 + 10, 2 }));

        /* Who comes back has not left. */
        ck_assert_int_eq(registry_add(&registry, make(0, 0x10000 + 20, 1)), 0);
        ck_assert(!registry_has_left(&registry, (Address){ 0x10000 + 20, 1 }));
        registry_remove(&registry, &entries[0]);
        ck_assert(registry_has_left(&registry, (Address){ 0x10000 + 20, 1 }));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("registry");
        TCase *tcase = tcase_create("registry");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, an_address_finds_its_entry);
        tcase_add_test(tcase, a_key_is_here_once);
        tcase_add_loop_test(tcase, entries_that_share_a_pid_are_told_apart_by_tag, 0,
                            REGISTRY_SAME_PID_MAX);
        tcase_add_test(tcase, colliding_keys_are_ambiguous_without_a_tag);
        tcase_add_test(tcase, who_left_is_remembered_within_bounds);
        suite_add_tcase(suite, tcase);
        return suite;
}
