/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/policy.h"

#include <string.h>

#include "libcore/control.h"
#include "libcore/record.h"
#include "libcore/util.h"
#include "tests/main.h"

enum { BRIDGE = 200, OWNER = 1000, OTHER = 1001, NET = 300, ATTACH = 400 };

static const Policy system_bus = {
        .own_uid = 100,
        .gateway_uid = BRIDGE,
        .net_gid = NET,
        .attach_gid = POLICY_NOBODY,
};
static const Policy user_bus = {
        .user_bus = true,
        .own_uid = OWNER,
        .gateway_uid = POLICY_NOBODY,
        .net_gid = POLICY_NOBODY,
        .attach_gid = POLICY_NOBODY,
};
static const Policy narrow_bus = {
        .own_uid = 100,
        .gateway_uid = POLICY_NOBODY,
        .net_gid = POLICY_NOBODY,
        .attach_gid = ATTACH,
        .attach_is_narrow = true,
};

static const uint32_t net_groups[] = { 50, NET }, attach_groups[] = { ATTACH };

/* The table of SECURITY 7.4, line by line. */
static const struct {
        const char *what;
        const Policy *policy;
        Credentials who;
        Capabilities expected;
} rows[] = {
        { "anybody on the system bus",
          &system_bus,
          { 1, OTHER, 5, NULL, 0 },
          { true, OWN_BELOW_USER, 0, false, false, false } },
        { "a member of p2pbus-net",
          &system_bus,
          { 1, OTHER, 5, net_groups, 2 },
          { true, OWN_BELOW_USER, 0, false, false, true } },
        { "primary group p2pbus-net",
          &system_bus,
          { 1, OTHER, NET, NULL, 0 },
          { true, OWN_BELOW_USER, 0, false, false, true } },
        { "root on the system bus",
          &system_bus,
          { 1, 0, 0, NULL, 0 },
          { true, OWN_ANYTHING, MONITOR_HEADERS, true, false, false } },
        { "the bridge's user",
          &system_bus,
          { 1, BRIDGE, 5, NULL, 0 },
          { true, OWN_BELOW_USER, 0, false, true, false } },
        { "the daemon's own user on the system bus",
          &system_bus,
          { 1, 100, 5, NULL, 0 },
          { true, OWN_BELOW_USER, 0, false, false, false } },
        { "the owner of a user bus",
          &user_bus,
          { 1, OWNER, 5, NULL, 0 },
          { true, OWN_ANYTHING, MONITOR_FULL, true, true, true } },
        { "somebody else on a user bus",
          &user_bus,
          { 1, OTHER, 5, net_groups, 2 },
          { true, OWN_BELOW_USER, 0, false, false, false } },
        { "root on a user bus",
          &user_bus,
          { 1, 0, 0, NULL, 0 },
          { true, OWN_ANYTHING, MONITOR_HEADERS, true, false, false } },
        { "uid nobody-at-all is not the bridge",
          &user_bus,
          { 1, POLICY_NOBODY, POLICY_NOBODY, NULL, 0 },
          { true, OWN_BELOW_USER, 0, false, false, false } },
        { "outside AttachGroup=",
          &narrow_bus,
          { 1, OTHER, 5, net_groups, 2 },
          { false, OWN_BELOW_USER, 0, false, false, false } },
        { "inside AttachGroup=",
          &narrow_bus,
          { 1, OTHER, 5, attach_groups, 1 },
          { true, OWN_BELOW_USER, 0, false, false, false } },
        { "root is never kept out",
          &narrow_bus,
          { 1, 0, 0, NULL, 0 },
          { true, OWN_ANYTHING, MONITOR_HEADERS, true, false, false } },
};

START_TEST(capabilities_are_those_of_the_table) {
        Capabilities got = policy_evaluate(rows[_i].policy, &rows[_i].who);
        const Capabilities *want = &rows[_i].expected;

        ck_assert_msg(got.attach == want->attach && got.own == want->own &&
                              got.monitor == want->monitor && got.admin == want->admin &&
                              got.gateway == want->gateway && got.off_host == want->off_host,
                      "%s", rows[_i].what);
}
END_TEST

START_TEST(one_sends_to_oneself_and_root_to_all) {
        ck_assert(policy_may_send(&system_bus, 1, 1));
        ck_assert(policy_may_send(&system_bus, 0, 1));
        ck_assert(!policy_may_send(&system_bus, 1, 2));
        ck_assert(!policy_may_send(&system_bus, 1, 0));
        ck_assert(!policy_may_send(&user_bus, OTHER, OWNER));
}
END_TEST

START_TEST(names_below_ones_own) {
        static const char name[] = "user.alice.x";

        ck_assert(policy_may_own(OWN_ANYTHING, "", name, 12));
        ck_assert(policy_may_own(OWN_BELOW_USER, "alice", name, 12));
        ck_assert(!policy_may_own(OWN_BELOW_USER, "ali", name, 12));
        ck_assert(!policy_may_own(OWN_BELOW_USER, "bob", name, 12));
        ck_assert(!policy_may_own(OWN_BELOW_USER, "", name, 12));
        ck_assert(!policy_may_own(OWN_NOTHING, "alice", name, 12));
}
END_TEST

static size_t add_message(uint8_t *out, uint8_t kind) {
        Record record = {
                .type = RECORD_MSG,
                .session = 1,
                .message = { .kind = kind },
        };

        record_encode(&record, out);
        return record_size(&record);
}

static size_t add_close(uint8_t *out) {
        Record record = { .type = RECORD_CLOSE, .session = 1 };

        record_encode(&record, out);
        return record_size(&record);
}

START_TEST(answers_are_told_from_questions) {
        uint8_t bytes[1024] = { 0 };
        size_t n;

        ck_assert(policy_is_answer(bytes, 0));
        n = add_close(bytes);
        ck_assert(policy_is_answer(bytes, n));
        ck_assert(!policy_is_answer(bytes, n - 1));
        ck_assert(policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_REPLY)));
        ck_assert(policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_ERROR)));
        ck_assert(!policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_ONE_WAY)));
        ck_assert(!policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_REQUEST)));
        memset(bytes, 0xff, sizeof(bytes));
        ck_assert(!policy_is_answer(bytes, sizeof(bytes)));
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("policy");
        TCase *tcase = tcase_create("policy");

        tcase_add_loop_test(tcase, capabilities_are_those_of_the_table, 0, ELEMENTSOF(rows));
        tcase_add_test(tcase, one_sends_to_oneself_and_root_to_all);
        tcase_add_test(tcase, names_below_ones_own);
        tcase_add_test(tcase, answers_are_told_from_questions);
        suite_add_tcase(suite, tcase);
        return suite;
}
