/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What policy files say, question by question, and which line says so; and files that are no good.
 * T5, T77 and T78 are here.
 */

#include "daemon/policy.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "libcore/control.h"
#include "libcore/record.h"
#include "libcore/util.h"
#include "libsecure/identity.h"
#include "tests/main.h"

enum {
        DAEMON = 100,
        BRIDGE = 200,
        ALICE = 1000,
        BOB = 1001,
        ORDERS = 1002,
        NET = 300,
        STAFF = 301
};

static uint32_t find_user(const char *name) {
        static const struct {
                const char *name;
                uint32_t uid;
        } users[] = { { "alice", ALICE },
                      { "bob", BOB },
                      { "orders", ORDERS },
                      { "p2pbus-bridge", BRIDGE } };

        for (unsigned i = 0; i < ELEMENTSOF(users); i++)
                if (strcmp(users[i].name, name) == 0)
                        return users[i].uid;
        return CREDENTIALS_NOBODY;
}

static uint32_t find_group(const char *name) {
        return strcmp(name, "p2pbus-net") == 0 ? NET
               : strcmp(name, "staff") == 0    ? STAFF
                                               : CREDENTIALS_NOBODY;
}

static const Accounts accounts = { find_user, find_group, CREDENTIALS_NOBODY };

/* --- folders of a test's own --- */

static char top[64];
static char folders[2][96]; /* the second masks the first */

static void make_folders(void) {
        (void)snprintf(top, sizeof(top), "/tmp/p2pbus-policy.XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(top));
        for (unsigned i = 0; i < 2; i++) {
                (void)snprintf(folders[i], sizeof(folders[i]), "%s/%u", top, i);
                ck_assert_int_eq(mkdir(folders[i], 0755), 0);
        }
}

static void remove_folders(void) {
        char command[96];

        (void)snprintf(command, sizeof(command), "rm -rf %s", top);
        ck_assert_int_eq(system(command), 0);
}

static const char *path_in(unsigned folder, const char *name) {
        static char path[256];

        (void)snprintf(path, sizeof(path), "%s/%s", folders[folder], name);
        return path;
}

static void write_bytes(unsigned folder, const char *name, const void *text, size_t n) {
        FILE *out = fopen(path_in(folder, name), "w");

        ck_assert_ptr_nonnull(out);
        ck_assert_uint_eq(fwrite(text, 1, n, out), n);
        ck_assert_int_eq(fclose(out), 0);
        ck_assert_int_eq(chmod(path_in(folder, name), 0644), 0);
}

static void write_file(unsigned folder, const char *name, const char *text) {
        write_bytes(folder, name, text, strlen(text));
}

static int load(bool user_bus, Policy **ret, ConfError *error) {
        const PolicyOptions options = {
                .user_bus = user_bus,
                .accounts = &accounts,
                .own_uid = DAEMON,
                .folders = { .paths = { folders[0], folders[1] }, .is_own_fine = true },
        };

        return policy_new(ret, &options, NULL, error);
}

static Policy *load_good(bool user_bus) {
        ConfError error = { "" };
        Policy *policy = NULL;

        ck_assert_msg(load(user_bus, &policy, &error) == 0, "%s", error.text);
        return policy;
}

/* What it says of the one that was written as 50-test.policy. */
static void expect_bad(const char *what) {
        ConfError error = { "" };
        Policy *policy = NULL;

        ck_assert_int_eq(load(false, &policy, &error), CONF_E_BAD);
        ck_assert_ptr_null(policy);
        ck_assert_msg(strstr(error.text, what), "not '%s' but '%s'", what, error.text);
}

/* --- whom it is about --- */

typedef struct Who {
        uint32_t uid;
        uint32_t group; /* 0: none beside its own */
        const char *unit;
        const char *name; /* that it owns */
        unsigned key;     /* 1, 2: one of keys[] */
} Who;

static PublicKey keys[3];
static char key_texts[3][KEY_TEXT_SIZE];

static void make_keys(void) {
        for (unsigned i = 0; i < ELEMENTSOF(keys); i++) {
                uint8_t seed[32] = { (uint8_t)(i + 1) };
                IdentityKey *identity;

                ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
                keys[i] = *identity_public(identity);
                (void)key_format(&keys[i], key_texts[i]);
                identity_free(identity);
        }
}

static Subject *subject(Policy *policy, const Who *who) {
        const Credentials creds = {
                .os_pid = 1,
                .uid = who->uid,
                .gid = 5,
                .groups = &who->group,
                .n_groups = who->group > 0,
                .unit = who->unit,
        };
        Subject *found;

        policy_describe(policy, &creds, &keys[who->key]);
        if (who->name)
                policy_describe_name(policy, who->name, strlen(who->name));
        found = policy_subject(policy);
        ck_assert_ptr_nonnull(found);
        return found;
}

/* --- the table --- */

typedef enum Ask {
        OWN,
        TALK, /* to @other */
        PUBLISH,
        SUBSCRIBE,
        MONITOR,
        GATEWAY,
        ADMIN,
        OFF_HOST,
        PUBLISH_OFF_HOST,
} Ask;

static const Who alice = { .uid = ALICE }, bob = { .uid = BOB }, root = { .uid = 0 };
static const Who in_net = { .uid = ALICE, .group = NET }, in_staff = { .uid = BOB, .group = STAFF };
static const Who the_bridge = { .uid = BRIDGE }, owner = { .uid = DAEMON };
static const Who shop = { .uid = BOB, .name = "com.example.shop" };
static const Who first_key = { .uid = BOB, .key = 1 };
static const Who in_unit = { .uid = BOB, .unit = "web@1.service" };

/* %1 and %2 in a text are the full forms of two keys. */
/* clang-format off */
static const struct Row {
        const char *claim;
        const char *text; /* of 50-test.policy; NULL: there is none */
        bool user_bus;
        const Who *who;
        Ask ask;
        const char *what;
        const Who *other;
        bool is_allowed;
        const char *place; /* end of it */
} rows[] = {
        /* What holds without any file. */
        { "one owns what is below one's own", NULL, false, &alice, OWN, "user.alice.x", NULL, true, "(built-in) 00-default.policy:6" },
        { "and not what is below others'", NULL, false, &alice, OWN, "user.bob.x", NULL, false, "00-default.policy:6" },
        { "nor that itself", NULL, false, &alice, OWN, "user.alice", NULL, false, "00-default.policy:6" },
        { "root owns what it likes", NULL, false, &root, OWN, "com.example.x", NULL, true, "10-root.policy:8" },
        { "one sends to oneself", NULL, false, &alice, TALK, NULL, &alice, true, "00-default.policy:10" },
        { "root sends to all", NULL, false, &root, TALK, NULL, &alice, true, "00-default.policy:10" },
        { "but nobody to root", NULL, false, &alice, TALK, NULL, &root, false, "00-default.policy:10" },
        { "nor to others", NULL, false, &alice, TALK, NULL, &bob, false, "00-default.policy:10" },
        { "everybody publishes", NULL, false, &alice, PUBLISH, "a.b", NULL, true, "00-default.policy:13" },
        { "and subscribes", NULL, false, &alice, SUBSCRIBE, "a.>", NULL, true, "00-default.policy:14" },
        { "also to what the daemon says", NULL, false, &alice, SUBSCRIBE, "p2pbus.>", NULL, true, "00-default.policy:14" },
        { "nobody monitors", NULL, false, &alice, MONITOR, NULL, NULL, false, "00-default.policy:24" },
        { "but root", NULL, false, &root, MONITOR, NULL, NULL, true, "10-root.policy:11" },
        { "nobody administers", NULL, false, &alice, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "but root", NULL, false, &root, ADMIN, NULL, NULL, true, "10-root.policy:12" },
        { "nobody is the gateway", NULL, false, &root, GATEWAY, NULL, NULL, false, "00-default.policy:23" },
        { "but the bridge's user", NULL, false, &the_bridge, GATEWAY, NULL, NULL, true, "20-bridge.policy:9" },
        { "nobody goes off-host", NULL, false, &root, OFF_HOST, NULL, NULL, false, "00-default.policy:17" },
        { "but members of p2pbus-net", NULL, false, &in_net, OFF_HOST, NULL, NULL, true, "30-net.policy:11" },
        { "who own the bus own what they like", NULL, true, &owner, OWN, "a.b", NULL, true, "40-owner.policy:9" },
        { "are the gateway", NULL, true, &owner, GATEWAY, NULL, NULL, true, "40-owner.policy:18" },
        { "and go off-host", NULL, true, &owner, OFF_HOST, NULL, NULL, true, "40-owner.policy:12" },
        { "others do not on a user bus, whatever their group", NULL, true, &in_net, OFF_HOST, NULL, NULL, false, "00-default.policy:17" },
        { "the daemon's user has no rights on the system bus", NULL, false, &owner, ADMIN, NULL, NULL, false, "00-default.policy:25" },

        /* T78 */
        { "deny beats allow before it", "[Own]\nName=com.example.*\nDenyName=com.example.hr.*\n", false, &alice, OWN, "com.example.hr.x", NULL, false, "50-test.policy:3" },
        { "and behind it", "[Own]\nDenyName=com.example.hr.*\nName=com.example.*\n", false, &alice, OWN, "com.example.hr.x", NULL, false, "50-test.policy:2" },
        { "and leaves the rest", "[Own]\nDenyName=com.example.hr.*\nName=com.example.*\n", false, &alice, OWN, "com.example.x", NULL, true, "50-test.policy:3" },
        { "lists append over files", "[Own]\nName=com.example.*\n", false, &alice, OWN, "user.alice.x", NULL, true, "00-default.policy:6" },
        { "an empty assignment resets", "[Own]\nName=\n", false, &alice, OWN, "user.alice.x", NULL, false, "50-test.policy:2" },
        { "what is behind it counts", "[Own]\nName=\nName=a.b\n", false, &alice, OWN, "a.b", NULL, true, "50-test.policy:3" },
        { "denials are reset, too", "[Own]\nDenyName=a.b\nDenyName=\nName=a.b\n", false, &alice, OWN, "a.b", NULL, true, "50-test.policy:4" },
        { "none resets", "[Talk]\nReceiveFrom=none\n", false, &alice, TALK, NULL, &alice, false, "50-test.policy:2" },
        { "the last value counts", "[Role]\nAdmin=yes\nAdmin=no\n", false, &root, ADMIN, NULL, NULL, false, "50-test.policy:3" },

        /* [Match] */
        { "a file is for its user", "[Match]\nUser=bob\n[Role]\nAdmin=yes\n", false, &bob, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "and for nobody else", "[Match]\nUser=bob\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "values are alternatives", "[Match]\nUser=bob alice\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "over lines, too", "[Match]\nUser=bob\nUser=1000\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, true, "50-test.policy:5" },
        { "! keeps out", "[Match]\nUser=!bob\n[Role]\nAdmin=yes\n", false, &bob, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "and lets the rest in", "[Match]\nUser=!bob\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "all keys must fit", "[Match]\nUser=alice\nGroup=staff\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "a group is one of those that one has", "[Match]\nGroup=staff\n[Role]\nAdmin=yes\n", false, &in_staff, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "or one's own", "[Match]\nGroup=5\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "an account that does not exist is nobody", "[Match]\nUser=carol\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "a key is whose it is", "[Match]\nKey=%1\n[Role]\nAdmin=yes\n", false, &first_key, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "and not another's", "[Match]\nKey=%2\n[Role]\nAdmin=yes\n", false, &first_key, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "a unit is a pattern", "[Match]\nUnit=web@*.service\n[Role]\nAdmin=yes\n", false, &in_unit, ADMIN, NULL, NULL, true, "50-test.policy:4" },
        { "no unit fits no pattern", "[Match]\nUnit=*\n[Role]\nAdmin=yes\n", false, &bob, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "no unit does not fit its negation, either", "[Match]\nUnit=!x\n[Role]\nAdmin=yes\n", false, &bob, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "the other bus's file says nothing", "[Match]\nBus=user\n[Role]\nAdmin=yes\n", false, &alice, ADMIN, NULL, NULL, false, "00-default.policy:25" },
        { "this bus's does", "[Match]\nBus=user\n[Role]\nAdmin=yes\n", true, &alice, ADMIN, NULL, NULL, true, "50-test.policy:4" },

        /* [Talk] */
        { "a user is let in", "[Talk]\nReceiveFrom=user:alice\n", false, &alice, TALK, NULL, &bob, true, "50-test.policy:2" },
        { "a group is let in", "[Talk]\nReceiveFrom=group:staff\n", false, &in_staff, TALK, NULL, &alice, true, "50-test.policy:2" },
        { "and not who is not in it", "[Talk]\nReceiveFrom=group:staff\n", false, &alice, TALK, NULL, &bob, false, "50-test.policy:2" },
        { "who owns a name is let in", "[Talk]\nReceiveFrom=name:com.example.*\n", false, &shop, TALK, NULL, &alice, true, "50-test.policy:2" },
        { "and not who owns none", "[Talk]\nReceiveFrom=name:com.example.*\n", false, &bob, TALK, NULL, &alice, false, "50-test.policy:2" },
        { "a key is let in", "[Talk]\nReceiveFrom=key:%1\n", false, &first_key, TALK, NULL, &alice, true, "50-test.policy:2" },
        { "and not another", "[Talk]\nReceiveFrom=key:%2\n", false, &first_key, TALK, NULL, &alice, false, "50-test.policy:2" },
        { "any is everybody", "[Talk]\nReceiveFrom=any\n", false, &alice, TALK, NULL, &root, true, "50-test.policy:2" },
        { "both sides must agree", "[Talk]\nReceiveFrom=any\nSendTo=none\nSendTo=same-user\n", false, &alice, TALK, NULL, &bob, false, "50-test.policy:4" },
        { "a sender's denial counts", "[Talk]\nReceiveFrom=any\nDenySendTo=name:com.example.*\n", false, &alice, TALK, NULL, &shop, false, "50-test.policy:3" },
        { "a receiver's denial counts", "[Talk]\nReceiveFrom=any\nDenyReceiveFrom=group:staff\n", false, &in_staff, TALK, NULL, &alice, false, "50-test.policy:3" },
        { "remote is nobody of this host", "[Talk]\nReceiveFrom=remote\n", false, &alice, TALK, NULL, &bob, false, "50-test.policy:2" },

        /* [Topics] */
        { "publishing is denied by pattern", "[Topics]\nDenyPublish=prices.>\n", false, &alice, PUBLISH, "prices.gold", NULL, false, "50-test.policy:2" },
        { "and only there", "[Topics]\nDenyPublish=prices.>\n", false, &alice, PUBLISH, "news", NULL, true, "00-default.policy:13" },
        { "subscribing is, also by half", "[Topics]\nDenySubscribe=hr.>\n", false, &alice, SUBSCRIBE, ">", NULL, false, "50-test.policy:2" },
        { "what does not meet it is fine", "[Topics]\nDenySubscribe=hr.>\n", false, &alice, SUBSCRIBE, "news.*", NULL, true, "00-default.policy:14" },
        { "one must be allowed the whole pattern", "[Topics]\nSubscribe=\nSubscribe=news.*\n", false, &alice, SUBSCRIBE, "news.>", NULL, false, "50-test.policy:3" },
        { "and may ask for less", "[Topics]\nSubscribe=\nSubscribe=news.*\n", false, &alice, SUBSCRIBE, "news.at", NULL, true, "50-test.policy:3" },

        /* [Network] */
        { "what is published leaves no host of the system bus", NULL, false, &in_net, PUBLISH_OFF_HOST, "a.b", NULL, false, "00-default.policy:20" },
        { "unless its topic is named", "[Network]\nTopics=prices.>\n", false, &in_net, PUBLISH_OFF_HOST, "prices.gold", NULL, true, "50-test.policy:2" },
        { "and no other", "[Network]\nTopics=prices.>\n", false, &in_net, PUBLISH_OFF_HOST, "a.b", NULL, false, "50-test.policy:2" },
        { "on a user bus all leave it", NULL, true, &owner, PUBLISH_OFF_HOST, "a.b", NULL, true, "40-owner.policy:15" },
        { "but what is denied", "[Network]\nDenyTopics=secret.>\n", true, &owner, PUBLISH_OFF_HOST, "secret.x", NULL, false, "50-test.policy:2" },
        { "or all of them", "[Network]\nTopics=\n", true, &owner, PUBLISH_OFF_HOST, "a.b", NULL, false, "50-test.policy:2" },
        { "who may not be known is not off-host", "[Network]\nPublish=no\n", false, &in_net, OFF_HOST, NULL, NULL, false, "50-test.policy:2" },
        { "who may neither say nor hear anything is not, either", "[Network]\nSend=none\nReceiveFrom=none\n", false, &in_net, OFF_HOST, NULL, NULL, false, "50-test.policy:2" },
        { "denials of remote count", "[Talk]\nDenySendTo=remote\nDenyReceiveFrom=remote\n", false, &in_net, OFF_HOST, NULL, NULL, false, "50-test.policy:2" },
        { "who has no relay is not off-host", "[Network]\nRelays=none\n", false, &in_net, OFF_HOST, NULL, NULL, false, "50-test.policy:2" },
        { "who has some is", "[Network]\nRelays=wss://a.example\n", false, &in_net, OFF_HOST, NULL, NULL, true, "30-net.policy:11" },
        { "also after none", "[Network]\nRelays=none\nRelays=wss://a.example\n", false, &in_net, OFF_HOST, NULL, NULL, true, "30-net.policy:11" },
        { "but not before it", "[Network]\nRelays=wss://a.example\nRelays=none\n", false, &in_net, OFF_HOST, NULL, NULL, false, "50-test.policy:3" },
        { "what is taken back was not said", "[Network]\nRelays=none\nRelays=\n", false, &in_net, OFF_HOST, NULL, NULL, true, "30-net.policy:11" },
        { "one direction is enough", "[Talk]\nDenySendTo=remote\n", false, &in_net, OFF_HOST, NULL, NULL, true, "30-net.policy:11" },
};
/* clang-format on */

static void write_text(const char *text) {
        char out[1024];
        size_t n = 0;

        for (; *text != '\0'; text++)
                if (text[0] == '%' && (text[1] == '1' || text[1] == '2')) {
                        n += (size_t)snprintf(out + n, sizeof(out) - n, "%s",
                                              key_texts[*++text - '0']);
                } else {
                        out[n++] = *text;
                }
        out[n] = '\0';
        write_file(0, "50-test.policy", out);
}

static PolicyAnswer ask(const struct Row *row, Subject *self, Subject *other) {
        static const char *const names[] = { [ALICE - ALICE] = "alice", [BOB - ALICE] = "bob" };
        const char *account =
                self->uid >= ALICE && self->uid <= BOB ? names[self->uid - ALICE] : "";

        switch (row->ask) {
        case OWN:
                return policy_own(self, account, row->what, strlen(row->what));
        case TALK:
                return policy_talk(self, other);
        case PUBLISH:
                return policy_publish(self, row->what, strlen(row->what));
        case SUBSCRIBE:
                return policy_subscribe(self, row->what, strlen(row->what));
        case PUBLISH_OFF_HOST:
                return policy_publish_off_host(self, row->what, strlen(row->what));
        case MONITOR:
                return policy_role(self, POLICY_MONITOR);
        case GATEWAY:
                return policy_role(self, POLICY_GATEWAY);
        case ADMIN:
                return policy_role(self, POLICY_ADMIN);
        default:
                return policy_off_host(self);
        }
}

START_TEST(each_question_has_the_answer_and_its_line) {
        const struct Row *row = &rows[_i];
        Subject *self, *other = NULL;
        char place[POLICY_ANSWER_MAX];
        PolicyAnswer answer;
        Policy *policy;
        size_t n;

        if (row->text)
                write_text(row->text);
        policy = load_good(row->user_bus);
        self = subject(policy, row->who);
        if (row->other)
                other = subject(policy, row->other);
        answer = ask(row, self, other);
        (void)policy_answer_place(&answer, place);
        n = strlen(place);
        ck_assert_msg(answer.is_allowed == row->is_allowed, "%s: %s by %s", row->claim,
                      answer.is_allowed ? "allowed" : "denied", place);
        ck_assert_msg(n >= strlen(row->place) &&
                              strcmp(place + n - strlen(row->place), row->place) == 0,
                      "%s: by %s", row->claim, place);
        if (row->ask == TALK)
                ck_assert(policy_may_send(self, other) == row->is_allowed);
        if (row->ask == OFF_HOST)
                ck_assert(self->caps.off_host == row->is_allowed);
        subject_unref(self);
        subject_unref(other);
        policy_free(policy);
}
END_TEST

/* --- files that are no good --- */

static const struct {
        const char *what;
        const char *text;
        const char *said;
} bad_texts[] = {
        { "unknown section", "[Foo]\nX=1\n", ":1: unknown section [Foo]" },
        { "unknown key", "[Own]\nNames=a.b\n", ":2: unknown key Names= in section [Own]" },
        { "Relay=, which is the bridge's", "[Network]\nRelay=wss://a\n", ":2: unknown key Relay=" },
        { "no URL of a relay", "[Network]\nRelays=https://a\n",
          ":2: Relays=https://a: neither none nor a URL" },
        { "a relay's key", "[Network]\nRelays=wss://a#k\n", "leave out # and it" },
        { "no relay and one", "[Network]\nRelays=none wss://a\n", "none stands alone" },
        { "duplicate section", "[Own]\nName=a.b\n[Own]\n",
          ":3: section [Own]: stands in this file twice" },
        { "neither", "[Own]\nfoo\n", ":2: neither [Section] nor Key=value" },
        { "no section", "Name=a.b\n", ":1: Name= stands before the first section" },
        { "bare PID", "[Match]\nKey=0123456789abcdef\n",
          ":2: Key=0123456789abcdef: a PID stands for no key" },
        { "no key", "[Match]\nKey=xyz\n", "not the full form of a key" },
        { "no name", "[Own]\nName=Foo.Bar\n", "neither a name nor a pattern" },
        { "star in the middle", "[Own]\nName=a.*.b\n", "neither a name nor a pattern" },
        { "star in an element", "[Own]\nName=a.b*\n", "neither a name nor a pattern" },
        { "%u in a selector", "[Talk]\nSendTo=name:user.%u.*\n", "neither a name nor a pattern" },
        { "unknown selector", "[Talk]\nSendTo=everybody\n", "SendTo=everybody: neither any, none" },
        { "negated selector", "[Talk]\nSendTo=!root\n", "neither any, none" },
        { "user: without one", "[Talk]\nSendTo=user:\n", "a user is missing" },
        { "none with others", "[Talk]\nSendTo=none root\n", "none stands alone" },
        { "no topic", "[Topics]\nPublish=a..b\n", "neither a topic nor a pattern" },
        { "local selector off-host", "[Network]\nSend=same-user\n", "neither any, none, pinned" },
        { "names do not prove who sends", "[Network]\nReceiveFrom=name:a.b\n",
          "neither any, none, pinned" },
        { "no boolean", "[Role]\nGateway=maybe\n", "neither yes nor no" },
        { "no level", "[Role]\nMonitor=yes\n", "neither none, headers nor full" },
        { "no number", "[Limits]\nRings=many\n", "not a number" },
        { "too small", "[Limits]\nQueueBytes=1K\n", "too small" },
        { "the other word is as big", "[Limits]\nBytes=1K\n", "Bytes=1K: too small" },
        { "connections of a group", "[Match]\nGroup=staff\n[Limits]\nRings=1\nConnections=1\n",
          ":5: Connections= is decided before a process has attached: beside it, [Match] may have "
          "User= and Bus= only" },
        { "connections of a unit", "[Limits]\nUnattached=1\n[Match]\nUser=bob\nUnit=x\n",
          ":2: Unattached= is decided before a process has attached" },
        { "attaches of a key",
          "[Match]\nKey=e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n"
          "[Limits]\nAttachRate=1\n",
          ":4: AttachRate= is decided before a process has attached" },
        { "attaches of all but a group", "[Match]\nGroup=!staff\n[Limits]\nAttachBurst=1\n",
          ":4: AttachBurst= is decided before a process has attached" },
        { "no bus", "[Match]\nBus=session\n", "neither system nor user" },
};

START_TEST(bad_text_is_refused_with_its_line) {
        write_file(0, "50-test.policy", bad_texts[_i].text);
        expect_bad(bad_texts[_i].said);
        expect_bad("50-test.policy:");
}
END_TEST

START_TEST(a_nul_and_a_huge_line_are_refused) {
        char *huge = malloc(10 << 20);

        write_bytes(0, "50-test.policy", "[Own]\nName=a.b\0c\n", 17);
        expect_bad("NUL byte");

        ck_assert_ptr_nonnull(huge);
        memset(huge, 'a', 10 << 20);
        write_bytes(0, "50-test.policy", huge, 10 << 20);
        expect_bad("file too big");
        write_bytes(0, "50-test.policy", huge, 100000);
        expect_bad("line too long");
        free(huge);
}
END_TEST

START_TEST(files_that_others_could_write_are_refused) {
        write_file(0, "50-test.policy", "[Role]\nAdmin=yes\n");
        ck_assert_int_eq(chmod(path_in(0, "50-test.policy"), 0664), 0);
        expect_bad("50-test.policy: can be written by others than its owner");
        ck_assert_int_eq(chmod(path_in(0, "50-test.policy"), 0646), 0);
        expect_bad("can be written by others than its owner");
        ck_assert_int_eq(chmod(path_in(0, "50-test.policy"), 0644), 0);
        ck_assert_int_eq(chmod(folders[0], 0777), 0);
        expect_bad("/0: can be written by others than its owner");
        ck_assert_int_eq(chmod(folders[0], 0755), 0);
        if (geteuid() == 0) {
                ck_assert_int_eq(chown(path_in(0, "50-test.policy"), 65534, 0), 0);
                expect_bad("belongs to neither root nor the daemon's user");
        }
}
END_TEST

START_TEST(links_and_pipes_are_refused) {
        char target[256];

        write_file(1, "x", "[Role]\nAdmin=yes\n");
        (void)snprintf(target, sizeof(target), "%s", path_in(1, "x"));
        ck_assert_int_eq(symlink(target, path_in(0, "50-test.policy")), 0);
        expect_bad("is a link, and not one to /dev/null");
        ck_assert_int_eq(unlink(path_in(0, "50-test.policy")), 0);
        ck_assert_int_eq(mkfifo(path_in(0, "50-test.policy"), 0600), 0);
        expect_bad("not a regular file");
}
END_TEST

/* --- which files count --- */

static bool has_admin(const Who *who) {
        Policy *policy = load_good(false);
        Subject *self = subject(policy, who);
        bool admin = self->caps.admin;

        subject_unref(self);
        policy_free(policy);
        return admin;
}

START_TEST(a_later_folder_masks_by_name) {
        write_file(0, "50-test.policy", "[Role]\nAdmin=yes\n");
        ck_assert(has_admin(&alice));
        write_file(1, "50-test.policy", "[Role]\nMonitor=full\n");
        ck_assert(!has_admin(&alice));
        ck_assert_int_eq(unlink(path_in(1, "50-test.policy")), 0);
        ck_assert_int_eq(symlink("/dev/null", path_in(1, "50-test.policy")), 0);
        ck_assert(!has_admin(&alice));
}
END_TEST

START_TEST(what_is_compiled_in_can_be_masked_and_removed) {
        ck_assert(has_admin(&root));
        write_file(0, "10-root.policy", "[Match]\nUser=alice\n[Role]\nAdmin=yes\n");
        ck_assert(!has_admin(&root));
        ck_assert(has_admin(&alice));
        ck_assert_int_eq(symlink("/dev/null", path_in(1, "10-root.policy")), 0);
        ck_assert(!has_admin(&root));
        ck_assert(!has_admin(&alice));
}
END_TEST

START_TEST(drop_ins_add_to_their_file) {
        char folder[256];

        /* Of what is compiled in, too; in the order of names over both folders. */
        for (unsigned i = 0; i < 2; i++) {
                (void)snprintf(folder, sizeof(folder), "%s", path_in(i, "10-root.policy.d"));
                ck_assert_int_eq(mkdir(folder, 0755), 0);
        }
        write_file(0, "10-root.policy.d/20.conf", "[Role]\nAdmin=no\n");
        ck_assert(!has_admin(&root));
        write_file(1, "10-root.policy.d/30.conf", "[Role]\nAdmin=yes\n");
        ck_assert(has_admin(&root));
        write_file(1, "10-root.policy.d/10.conf", "[Match]\nUser=alice\n");
        ck_assert(has_admin(&alice));
        write_file(0, "10-root.policy.d/40.conf", "[Role]\nAdmin=no\n");
        ck_assert(!has_admin(&root));
        write_file(1, "10-root.policy.d/40.conf", "");
        ck_assert(has_admin(&root));
        write_file(1, "10-root.policy.d/40.txt", "nonsense");
        ck_assert(has_admin(&root));
}
END_TEST

START_TEST(the_default_can_be_widened_by_a_drop_in) {
        char folder[256];
        Policy *policy;
        Subject *a, *b;

        (void)snprintf(folder, sizeof(folder), "%s", path_in(0, "00-default.policy.d"));
        ck_assert_int_eq(mkdir(folder, 0755), 0);
        write_file(0, "00-default.policy.d/open.conf", "[Talk]\nReceiveFrom=any\n");
        policy = load_good(false);
        a = subject(policy, &alice);
        b = subject(policy, &bob);
        ck_assert(policy_may_send(a, b));
        subject_unref(a);
        subject_unref(b);
        policy_free(policy);
}
END_TEST

/* --- subjects --- */

START_TEST(who_is_treated_alike_is_one_subject) {
        static const Who other_group = { .uid = ALICE, .group = 77 };
        Policy *policy = load_good(false);
        Subject *a = subject(policy, &alice), *b = subject(policy, &other_group);
        Subject *c = subject(policy, &in_net), *d = subject(policy, &bob);

        ck_assert_ptr_eq(a, b);
        ck_assert_ptr_ne(a, c);
        ck_assert_ptr_ne(a, d);
        subject_unref(a);
        subject_unref(b);
        subject_unref(c);
        subject_unref(d);
        policy_free(policy);
}
END_TEST

/* However many come and go, only so many are remembered, and all that is said stays true. */
START_TEST(subjects_that_nobody_has_are_forgotten) {
        Policy *policy = load_good(false);
        Subject *stays = subject(policy, &alice);

        for (uint32_t uid = 2000; uid < 2000 + 3 * POLICY_SUBJECTS_KEPT; uid++) {
                const Who who = { .uid = uid };
                Subject *passes = subject(policy, &who);

                ck_assert(!policy_may_send(passes, stays));
                ck_assert(policy_may_send(passes, passes));
                subject_unref(passes);
        }
        subject_unref(stays);
        policy_free(policy);
}
END_TEST

START_TEST(a_denial_is_news_once) {
        Policy *policy = load_good(false);
        Subject *a = subject(policy, &alice), *b = subject(policy, &bob);
        const char *text;
        bool is_news;

        text = policy_denial(a, b, &is_news);
        ck_assert(is_news);
        ck_assert_str_eq(text, "(built-in) 00-default.policy:10: the receiver's [Talk] "
                               "ReceiveFrom=same-user root does not have it");
        ck_assert_str_eq(policy_denial(a, b, &is_news), text);
        ck_assert(!is_news);
        (void)policy_denial(b, a, &is_news);
        ck_assert(is_news);
        subject_unref(a);
        subject_unref(b);
        policy_free(policy);
}
END_TEST

START_TEST(limits_are_those_of_the_user) {
        UserLimits limits = { .max = { [QUOTA_RINGS] = 256, [QUOTA_NAMES] = 64 },
                              .attach_rate = 50 };
        Policy *policy;

        write_file(0, "50-test.policy",
                   "[Match]\nUser=alice\n[Limits]\nRings=3\nQueueBytes=32M\n"
                   "AttachRate=7\n");
        policy = load_good(false);
        policy_adjust_limits(policy, BOB, NULL, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_RINGS], 256);
        policy_adjust_limits(policy, ALICE, NULL, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_RINGS], 3);
        ck_assert_uint_eq(limits.max[QUOTA_BYTES], 32 << 20);
        ck_assert_uint_eq(limits.max[QUOTA_NAMES], 64);
        ck_assert_uint_eq(limits.attach_rate, 7);
        policy_free(policy);
}
END_TEST

/* One limit, whichever of its words says it; each is shown as it stands. */
START_TEST(bytes_are_queue_bytes) {
        UserLimits limits = { .max = { 0 } };
        Policy *policy;
        Subject *self;

        write_file(0, "50-test.policy", "[Limits]\nBytes=32M\nQueueBytes=16M\n");
        write_file(0, "60-test.policy", "[Match]\nUser=alice\n[Limits]\nBytes=8M\n");
        policy = load_good(false);
        policy_adjust_limits(policy, BOB, NULL, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_BYTES], 16 << 20);
        policy_adjust_limits(policy, ALICE, NULL, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_BYTES], 8 << 20);
        self = subject(policy, &bob);
        ck_assert_str_eq(self->said[POLICY_QUEUE_BYTES].items[0]->key, "QueueBytes");
        subject_unref(self);
        self = subject(policy, &alice);
        ck_assert_str_eq(self->said[POLICY_QUEUE_BYTES].items[0]->key, "Bytes");
        subject_unref(self);
        policy_free(policy);
}
END_TEST

/* All that a file can have, together. */
START_TEST(a_file_for_a_key_and_a_unit_may_have_limits) {
        static const char full[] = "e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        const Credentials creds = { .uid = ORDERS, .unit = "orders@7.service" };
        UserLimits limits = { .max = { 0 } };
        const Statement *said[_POLICY_SLOTS];
        Policy *policy;
        Subject *self;
        KeyText key;

        write_file(0, "50-orders.policy",
                   "[Match]\n"
                   "User=orders\n"
                   "Unit=orders@*.service\n"
                   "Key=e85004f63798e2c0:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n"
                   "\n"
                   "[Own]\n"
                   "Name=com.example.orders com.example.orders.*\n"
                   "\n"
                   "[Talk]\n"
                   "SendTo=name:com.example.* same-user\n"
                   "ReceiveFrom=user:web group:billing\n"
                   "DenySendTo=name:com.example.hr.*\n"
                   "\n"
                   "[Network]\n"
                   "Publish=yes\n"
                   "Send=name:com.example.*\n"
                   "ReceiveFrom=granted\n"
                   "\n"
                   "[Role]\n"
                   "Gateway=no\n"
                   "Monitor=none\n"
                   "Admin=no\n"
                   "\n"
                   "[Limits]\n"
                   "Bytes=32M\n"
                   "Rings=64\n");
        policy = load_good(false);
        ck_assert_int_eq(key_text_parse(full, &key), 0);
        policy_describe(policy, &creds, &key.key);
        self = policy_subject(policy);
        ck_assert(self->brings_limits);
        ck_assert(policy_own(self, "orders", "com.example.orders", 18).is_allowed);

        /* They are said before it attaches, and count from then on. */
        policy_find_limits(policy, ORDERS, NULL, self, said);
        ck_assert_uint_eq(said[POLICY_QUEUE_BYTES]->line, 25);
        ck_assert_ptr_null(said[POLICY_NAMES]);
        policy_adjust_limits(policy, ORDERS, NULL, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_RINGS], 0);
        policy_adjust_limits(policy, ORDERS, self, &limits);
        ck_assert_uint_eq(limits.max[QUOTA_RINGS], 64);
        ck_assert_uint_eq(limits.max[QUOTA_BYTES], 32 << 20);
        subject_unref(self);
        policy_free(policy);
}
END_TEST

/* The last file that says one counts, whoever brought it and when. */
START_TEST(limits_that_processes_bring_are_in_the_order_of_files) {
        static const Who keyed = { .uid = BOB, .key = 1 };
        static const struct {
                unsigned n;
                const Who *who[2]; /* in the order of their coming */
                uint64_t rings, names;
        } rows_brought[] = {
                { 0, { NULL, NULL }, 0, 6 },        { 1, { &keyed, NULL }, 5, 6 },
                { 1, { &in_staff, NULL }, 0, 7 },   { 2, { &keyed, &in_staff }, 5, 7 },
                { 2, { &in_staff, &keyed }, 5, 7 },
        };
        Policy *policy;

        write_text("[Match]\nKey=%1\n[Limits]\nNames=5\nRings=5\n");
        write_file(0, "60-test.policy", "[Match]\nUser=bob\n[Limits]\nNames=6\n");
        write_file(0, "70-test.policy", "[Match]\nGroup=staff\n[Limits]\nNames=7\n");
        policy = load_good(false);
        for (unsigned i = 0; i < ELEMENTSOF(rows_brought); i++) {
                UserLimits limits = { .max = { 0 } };
                Subject *brought = NULL, *self;

                for (unsigned k = 0; k < rows_brought[i].n; k++) {
                        self = subject(policy, rows_brought[i].who[k]);
                        LL_PREPEND2(brought, self, next_brought);
                }
                policy_adjust_limits(policy, BOB, brought, &limits);
                ck_assert_uint_eq(limits.max[QUOTA_RINGS], rows_brought[i].rings);
                ck_assert_uint_eq(limits.max[QUOTA_NAMES], rows_brought[i].names);
                for (self = brought; self; self = self->next_brought)
                        subject_unref(self);
        }
        policy_free(policy);
}
END_TEST

START_TEST(who_has_no_more_limits_than_its_user_brings_none) {
        Policy *policy;
        Subject *self;

        write_text("[Match]\nUser=bob\n[Limits]\nNames=6\n");
        write_file(0, "60-test.policy", "[Match]\nGroup=staff\n[Own]\nName=a.b\n");
        write_file(0, "70-test.policy", "[Match]\nGroup=p2pbus-net\n[Limits]\nNames=7\n");
        policy = load_good(false);
        self = subject(policy, &in_staff);
        ck_assert(!self->brings_limits);
        subject_unref(self);
        self = subject(policy, &in_net);
        ck_assert(self->brings_limits);
        subject_unref(self);
        policy_free(policy);
}
END_TEST

START_TEST(what_libraries_enforce_is_told_in_entries) {
        uint8_t out[1024];
        Policy *policy;
        Subject *self;
        size_t n, n_why;

        write_text("[Network]\nSend=none\nSend=name:a.* key:%1\nReceiveFrom=none\n"
                   "ReceiveFrom=pinned granted\n");
        policy = load_good(false);
        self = subject(policy, &in_net);
        ck_assert(!self->network_is_open);
        n = policy_write_network(self, out, sizeof(out));
        n_why = n - 55;
        ck_assert_uint_eq(n, 4 + 3 + 4 + 32 + 4 + 4 + 4 + n_why);
        ck_assert_mem_eq(out,
                         "\x01\x05\x03\x00"
                         "a.*"
                         "\x01\x04\x20\x00",
                         11);
        ck_assert_mem_eq(out + 11, keys[1].bytes, 32);
        ck_assert_mem_eq(out + 43, "\x02\x02\x00\x00\x02\x03\x00\x00", 8);
        ck_assert_mem_eq(out + 51, "\x01\x06", 2);
        ck_assert_uint_eq(load_le16(out + 53), n_why);
        ck_assert(memmem(out + 55, n_why, ".policy:3: [Network] Send=name:a.* key:", 39));
        /* There need be no room for that; what else does not fit allows nothing. */
        ck_assert_uint_eq(policy_write_network(self, out, 51), 51);
        ck_assert_uint_eq(policy_write_network(self, out, 50), 0);
        subject_unref(self);
        policy_free(policy);
}
END_TEST

/* What the bridge hears of @who: these @n bytes; NULL: nothing, it may use all. */
static void expect_relays(const char *text, const Who *who, const char *relays, size_t n) {
        uint8_t out[CONTROL_RELAYS_MAX];
        Policy *policy;
        Subject *self;

        write_text(text);
        policy = load_good(false);
        self = subject(policy, who);
        ck_assert(self->has_some_relays == (relays != NULL));
        ck_assert_uint_eq(policy_write_relays(self, out), n);
        if (relays)
                ck_assert_mem_eq(out, relays, n);
        subject_unref(self);
        policy_free(policy);
}

START_TEST(relays_are_told_as_urls_with_zeros) {
        write_file(0, "40-more.policy",
                   "[Match]\nUser=bob\n[Network]\nRelays=wss://b.example/p2pbus\n");
        expect_relays("[Own]\n", &alice, NULL, 0);
        expect_relays("[Network]\nRelays=ws://a:1 wss://[::1]/\n", &alice, "ws://a:1\0wss://[::1]/",
                      22);
        expect_relays("[Network]\nRelays=ws://a:1\n", &bob, "wss://b.example/p2pbus\0ws://a:1", 32);
        expect_relays("[Network]\nRelays=none\nRelays=ws://a:1\n", &bob, "ws://a:1", 9);
        expect_relays("[Network]\nRelays=\n", &bob, NULL, 0);
        expect_relays("[Network]\nRelays=none\n", &bob, "", 0);
}
END_TEST

START_TEST(who_may_use_the_same_relays_is_told_from_others) {
        Subject *a, *b, *c;
        Policy *policy;

        write_text("[Network]\nRelays=wss://a.example\n");
        write_file(0, "60-more.policy", "[Match]\nUser=bob\n[Network]\nRelays=wss://b.example\n");
        write_file(0, "70-more.policy", "[Match]\nUser=root\n[Network]\nRelays=\n");
        policy = load_good(false);
        a = subject(policy, &alice);
        b = subject(policy, &bob);
        c = subject(policy, &root);
        ck_assert(policy_has_same_relays(a, a));
        ck_assert(policy_has_same_relays(c, c));
        ck_assert(!policy_has_same_relays(a, b));
        ck_assert(!policy_has_same_relays(a, c));
        ck_assert(!policy_has_same_relays(c, a));
        subject_unref(a);
        subject_unref(b);
        subject_unref(c);
        policy_free(policy);
}
END_TEST

START_TEST(more_relays_than_a_word_has_room_for_are_refused) {
        char text[CONTROL_RELAYS_MAX + 512] = "[Network]\n";
        size_t n = strlen(text);
        Policy *policy;

        for (unsigned i = 0; i < CONTROL_RELAYS_MAX / 128; i++)
                n += (size_t)snprintf(text + n, sizeof(text) - n, "Relays=ws://a/%0120u\n", i);
        write_file(0, "50-test.policy", text);
        policy = load_good(false);
        policy_free(policy);
        write_file(0, "60-more.policy", "[Match]\nUser=bob\n\n[Network]\nRelays=ws://a\n");
        {
                ConfError error = { "" };

                ck_assert_int_eq(load(false, &policy, &error), CONF_E_BAD);
                ck_assert_msg(strstr(error.text, "60-more.policy:5: Relays=: more than 8192 bytes"),
                              "%s", error.text);
        }
}
END_TEST

START_TEST(attach_group_keeps_others_out) {
        const PolicyOptions options = {
                .accounts = &accounts,
                .own_uid = DAEMON,
                .attach_group = "staff",
        };
        const uint32_t group = STAFF;
        const Credentials member = { .uid = BOB, .groups = &group, .n_groups = 1 };
        const Credentials other = { .uid = ALICE };
        const Credentials superuser = { .uid = 0 }, own = { .uid = DAEMON };
        ConfError error;
        Policy *policy;

        ck_assert_int_eq(policy_new(&policy, &options, NULL, &error), 0);
        ck_assert(policy_may_attach(policy, &member));
        ck_assert(policy_may_attach(policy, &superuser));
        ck_assert(policy_may_attach(policy, &own));
        ck_assert(!policy_may_attach(policy, &other));
        policy_free(policy);
}
END_TEST

/* --- names --- */

static const struct {
        const char *pattern, *user, *name;
        bool fits;
} name_rows[] = {
        { "a.b", "", "a.b", true },
        { "a.b", "", "a.b.c", false },
        { "a.*", "", "a.b", true },
        { "a.*", "", "a.b.c", true },
        { "a.b.*", "", "a.b", false },
        { "a.b.*", "", "a.bc.d", false },
        { "*", "", "x.y", true },
        { "user.%u.*", "alice", "user.alice.x", true },
        { "user.%u.*", "", "user..x", false },
        { "user.%u.*", "ali", "user.alice.x", false },
        { "user.%u", "alice", "user.alice", true },
        { "x-%u.y", "bob", "x-bob.y", true },
        { "user.%u.*", "a.b", "user.a.b.x", false },
        { "user.%u.*", "Bob", "user.Bob.x", false },
};

START_TEST(names_fit_patterns) {
        ck_assert(name_pattern_is_valid(name_rows[_i].pattern));
        ck_assert_msg(name_pattern_fits(name_rows[_i].pattern, name_rows[_i].user,
                                        name_rows[_i].name,
                                        strlen(name_rows[_i].name)) == name_rows[_i].fits,
                      "%s %s", name_rows[_i].pattern, name_rows[_i].name);
}
END_TEST

/* --- answers --- */

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
        ck_assert(policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_PROGRESS)));
        ck_assert(!policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_ONE_WAY)));
        ck_assert(!policy_is_answer(bytes, n + add_message(bytes + n, MESSAGE_REQUEST)));
        memset(bytes, 0xff, sizeof(bytes));
        ck_assert(!policy_is_answer(bytes, sizeof(bytes)));
}
END_TEST

/* --- what is shipped --- */

START_TEST(what_is_installed_is_what_is_compiled_in) {
        const char *source = getenv("top_srcdir");
        unsigned n = 0;

        for (const BuiltinPolicy *p = builtin_policies; p->name; p++, n++) {
                char path[512], text[4096];
                FILE *in;
                size_t n_text;

                (void)snprintf(path, sizeof(path), "%s/daemon/policy.d/%s", source ? source : ".",
                               p->name);
                in = fopen(path, "r");
                ck_assert_msg(in, "%s", path);
                n_text = fread(text, 1, sizeof(text) - 1, in);
                text[n_text] = '\0';
                (void)fclose(in);
                ck_assert_str_eq(text, p->text);
        }
        ck_assert_uint_eq(n, 5);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("policy");
        TCase *tcase = tcase_create("policy"), *files = tcase_create("files");

        tcase_add_test(tcase, answers_are_told_from_questions);
        tcase_add_test(tcase, what_is_installed_is_what_is_compiled_in);
        tcase_add_test(tcase, attach_group_keeps_others_out);
        tcase_add_loop_test(tcase, names_fit_patterns, 0, ELEMENTSOF(name_rows));
        suite_add_tcase(suite, tcase);

        tcase_add_unchecked_fixture(files, make_keys, NULL);
        tcase_add_checked_fixture(files, make_folders, remove_folders);
        tcase_add_loop_test(files, each_question_has_the_answer_and_its_line, 0, ELEMENTSOF(rows));
        tcase_add_loop_test(files, bad_text_is_refused_with_its_line, 0, ELEMENTSOF(bad_texts));
        tcase_add_test(files, a_nul_and_a_huge_line_are_refused);
        tcase_add_test(files, files_that_others_could_write_are_refused);
        tcase_add_test(files, links_and_pipes_are_refused);
        tcase_add_test(files, a_later_folder_masks_by_name);
        tcase_add_test(files, what_is_compiled_in_can_be_masked_and_removed);
        tcase_add_test(files, drop_ins_add_to_their_file);
        tcase_add_test(files, the_default_can_be_widened_by_a_drop_in);
        tcase_add_test(files, who_is_treated_alike_is_one_subject);
        tcase_add_test(files, subjects_that_nobody_has_are_forgotten);
        tcase_add_test(files, a_denial_is_news_once);
        tcase_add_test(files, limits_are_those_of_the_user);
        tcase_add_test(files, bytes_are_queue_bytes);
        tcase_add_test(files, a_file_for_a_key_and_a_unit_may_have_limits);
        tcase_add_test(files, limits_that_processes_bring_are_in_the_order_of_files);
        tcase_add_test(files, who_has_no_more_limits_than_its_user_brings_none);
        tcase_add_test(files, what_libraries_enforce_is_told_in_entries);
        tcase_add_test(files, relays_are_told_as_urls_with_zeros);
        tcase_add_test(files, who_may_use_the_same_relays_is_told_from_others);
        tcase_add_test(files, more_relays_than_a_word_has_room_for_are_refused);
        suite_add_tcase(suite, files);
        return suite;
}
