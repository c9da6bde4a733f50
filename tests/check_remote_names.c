/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Names across hosts as the daemon has them: what its processes tell others, and whom of others it
 * believes. The gateway is this test. T41 is of the design's list of abuses.
 */

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "daemon/remote-names.h"
#include "libcore/provider.h"
#include "libsecure/service-record.h"
#include "tests/harness.h"
#include "tests/main.h"

#define NAME "org.example.clock"
#define HOUR_USEC (UINT64_C(3600) * USEC_PER_SEC)

static Daemon d;
static Client g, a;
static PacketId asked; /* the last question to the gateway */
static IdentityKey *far[2], *realm, *strange;
static char full[2][KEY_TEXT_SIZE], realm_full[KEY_TEXT_SIZE];

static IdentityKey *key_of(uint8_t number) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { number, 41 };
        IdentityKey *key;

        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        return key;
}

static void make_keys(void) {
        ck_assert_int_eq(crypto_init(), 0);
        for (unsigned i = 0; i < 2; i++) {
                far[i] = key_of((uint8_t)(1 + i));
                (void)key_format(identity_public(far[i]), full[i]);
        }
        realm = key_of(10);
        strange = key_of(11);
        (void)key_format(identity_public(realm), realm_full);
}

static void free_keys(void) {
        for (unsigned i = 0; i < 2; i++)
                identity_free(far[i]);
        identity_free(realm);
        identity_free(strange);
}

/* For their full forms; start() makes them again. */
static void name_keys(void) {
        make_keys();
        free_keys();
}

/* The daemon with these lines below [Names], and the gateway, which has heard from its links. */
static void start(const char *names) {
        char config[1024];

        make_keys();
        (void)snprintf(config, sizeof(config), "[Names]\n%s\n", names);
        daemon_start(&d, "--user", config);
        client_open_gateway(&g, &d);
        client_say(&g, &(Control){ .verb = CONTROL_SYNCED });
}

static void open_asker(void) {
        client_open(&a, &d, ATTACH_OFF_HOST);
        expect_word(&a, CONTROL_LEASE_REQUEST);
}

static void stop(void) {
        client_close(&g);
        free_keys();
        daemon_stop(&d);
}

/* @line, with @text for the %s in it. */
static const char *with(const char *line, const char *text) {
        static char whole[256];
        const char *at = strstr(line, "%s");

        if (!at)
                return line;
        (void)snprintf(whole, sizeof(whole), "%.*s%s%s", (int)(at - line), line, text, at + 2);
        return whole;
}

/* What @signer says of @name; with the grant of @grantor, for @subject and @pattern, that has ended or not. */
typedef struct Said {
        const IdentityKey *signer;
        const char *name;
        uint16_t priority;
        uint8_t flags;
        int issued; /* seconds from now */
        const IdentityKey *grantor, *subject;
        const char *pattern;
        int grant_ends; /* the same */
} Said;

static uint64_t wall(int seconds) {
        return now_usec(CLOCK_REALTIME) + (uint64_t)((int64_t)seconds * (int64_t)USEC_PER_SEC);
}

static size_t sign(const Said *said, uint8_t *out) {
        const SignedRecord record = {
                .type = SIGNED_RECORD_SERVICE,
                .flags = said->flags,
                .issued_usec = wall(said->issued),
                .not_after_usec = wall(said->issued) + HOUR_USEC,
                .service = { .priority = said->priority,
                             .weight = 7,
                             .name = { said->name, strlen(said->name) },
                             .meta = { "far", 3 } },
        };
        uint8_t grant[GRANT_SIZE_MAX], bytes[SERVICE_RECORD_SIZE_MAX];
        char text[GRANT_TEXT_SIZE];
        size_t n_grant = 0, n;
        SignedRecord read;

        if (said->grantor) {
                ck_assert_int_eq(grant_sign(said->grantor, identity_public(said->subject),
                                            said->pattern, wall(-7200), wall(said->grant_ends),
                                            text),
                                 0);
                ck_assert_int_eq(grant_parse(text, grant, &n_grant, &read), 0);
        }
        ck_assert_int_eq(service_record_sign(&record, said->signer, grant, n_grant, bytes, &n), 0);
        memcpy(out, bytes, n);
        return n;
}

static PacketId ask(Client *c, uint32_t value) {
        return client_say(c, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                         .value = value,
                                         .body = (const uint8_t *)NAME,
                                         .n_body = strlen(NAME) });
}

/* The gateway is asked for the name. */
static void expect_question(uint32_t value) {
        const Control *word = expect_word(&g, CONTROL_RESOLVE_NAME);

        ck_assert_uint_eq(word->value, value);
        ck_assert_uint_eq(word->n_body, strlen(NAME));
        ck_assert_mem_eq(word->body, NAME, strlen(NAME));
        asked = g.last.header.id;
}

/* Asks for the name for a, which the gateway is asked for in turn. */
static PacketId ask_others(uint32_t value) {
        PacketId id = ask(&a, value);

        expect_question(RESOLVE_NAME_ONCE);
        return id;
}

static void answer(uint16_t code, const uint8_t *body, size_t n_body) {
        client_say(&g, &(Control){ .verb = CONTROL_SERVICES,
                                   .code = code,
                                   .ref = asked,
                                   .body = body,
                                   .n_body = n_body });
}

static void answer_with(const Said *said) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX];

        answer(CODE_OK, body, sign(said, body));
}

/* The gateway says that @provider is one. */
static void answer_provider(const IdentityKey *provider) {
        answer_with(&(Said){ .signer = provider, .name = NAME });
}

/* Return: how many providers. */
static size_t expect_named(Client *c, const PacketId *ref, uint32_t value) {
        const Control *word = expect_word(c, CONTROL_NAMED);

        ck_assert_mem_eq(word->ref.bytes, ref->bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->value, value);
        ck_assert_uint_eq(word->code, word->n_body == 0 ? CODE_NO_PROVIDER : CODE_OK);
        return word->n_body / PROVIDER_ENTRY_SIZE;
}

/* a has asked others for the name, and knows that far[0] provides it. */
static PacketId start_and_learn(uint32_t value) {
        PacketId id;

        start("TrustNames=any");
        open_asker();
        id = ask_others(value);
        answer_provider(far[0]);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        return id;
}

static void expect_settling(Client *c, const PacketId *ref) {
        const Control *word = expect_word(c, CONTROL_NAMED);

        ck_assert_mem_eq(word->ref.bytes, ref->bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->code, CODE_SETTLING);
        ck_assert_uint_eq(word->value + word->n_body, 0);
}

static ProviderEntry entry_of(const Client *c, size_t i) {
        ProviderEntry entry;

        provider_entry_decode(c->last.word.body + i * PROVIDER_ENTRY_SIZE, &entry);
        return entry;
}

static void own(Client *c, uint32_t value) {
        client_say(c, &(Control){ .verb = CONTROL_OWN,
                                  .value = value,
                                  .body = (const uint8_t *)NAME,
                                  .n_body = strlen(NAME) });
        expect_word(c, CONTROL_OK);
}

/* Who is believed */

enum { FAR, OTHER, REALM, STRANGE, NOBODY };

static const struct {
        const char *what;
        const char *names; /* a %s is the key of the far provider, or of the realm */
        int key;
        int grantor;
        const char *pattern;
        int ends;
        int signer, subject;
        bool is_believed;
} trusts[] = {
        // clang-format off
        { "pinned",                "Pin=" NAME " %s",           FAR,   NOBODY,  NULL,         0,     FAR, FAR, true },
        { "pinned below",          "Pin=org.example.* %s",      FAR,   NOBODY,  NULL,         0,     FAR, FAR, true },
        { "another key is pinned", "Pin=" NAME " %s",           FAR,   NOBODY,  NULL,         0,     OTHER, OTHER, false },
        { "granted",               "RealmKey=%s",               REALM, REALM,   NAME,         3600,  FAR, FAR, true },
        { "granted below",         "RealmKey=%s",               REALM, REALM,   "org.*",      3600,  FAR, FAR, true },
        { "no grant",              "RealmKey=%s",               REALM, NOBODY,  NULL,         0,     FAR, FAR, false },
        { "another name",          "RealmKey=%s",               REALM, REALM,   "org.other",  3600,  FAR, FAR, false },
        { "another subject",       "RealmKey=%s",               REALM, REALM,   NAME,         3600,  FAR, OTHER, false },
        { "another realm",         "RealmKey=%s",               REALM, STRANGE, NAME,         3600,  FAR, FAR, false },
        { "a grant that ended",    "RealmKey=%s",               REALM, REALM,   NAME,         -3600, FAR, FAR, false },
        { "its own grant",         "RealmKey=%s",               REALM, FAR,     NAME,         3600,  FAR, FAR, false },
        { "anybody",               "TrustNames=any",            FAR,   NOBODY,  NULL,         0,     FAR, FAR, true },
        // clang-format on
};

START_TEST(T41_only_who_is_pinned_or_granted_is_believed) {
        const IdentityKey *keys[] = { NULL, NULL, NULL, NULL, NULL };
        Said said = { .name = NAME, .pattern = trusts[_i].pattern, .grant_ends = trusts[_i].ends };
        PacketId id;

        name_keys();
        start(with(trusts[_i].names, trusts[_i].key == REALM ? realm_full : full[0]));
        keys[FAR] = far[0];
        keys[OTHER] = far[1];
        keys[REALM] = realm;
        keys[STRANGE] = strange;
        said.signer = keys[trusts[_i].signer];
        said.subject = keys[trusts[_i].subject];
        said.grantor = keys[trusts[_i].grantor];
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        answer_with(&said);
        ck_assert_msg(expect_named(&a, &id, 0) == (trusts[_i].is_believed ? 1 : 0), "%s",
                      trusts[_i].what);
        if (trusts[_i].is_believed) {
                const ProviderEntry entry = entry_of(&a, 0);

                ck_assert_mem_eq(entry.key, identity_public(said.signer)->bytes, KEY_SIZE);
                ck_assert_uint_eq(entry.rank.weight, 7);
                ck_assert_uint_eq(entry.rank.flags, PROVIDER_REMOTE);
        }
        client_close(&a);
        stop();
}
END_TEST

static const struct {
        const char *what;
        const char *name;
        uint8_t flags;
        int issued;
        bool is_changed; /* one byte of it */
} lies[] = {
        // clang-format off
        { "another name",    "org.example.cloc", 0,                       0,     false },
        { "withdrawn",       NAME,               SIGNED_RECORD_WITHDRAWN, 0,     false },
        { "it has ended",    NAME,               0,                       -3600, false },
        { "it is of later",  NAME,               0,                       3600,  false },
        { "not signed",      NAME,               0,                       0,     true },
        // clang-format on
};

START_TEST(lies_of_the_gateway_are_not_believed) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX];
        PacketId id;
        size_t n;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        n = sign(&(Said){ .signer = far[0],
                          .name = lies[_i].name,
                          .flags = lies[_i].flags,
                          .issued = lies[_i].issued },
                 body);
        if (lies[_i].is_changed)
                body[n - 1] ^= 1;
        answer(CODE_OK, body, n);
        ck_assert_msg(expect_named(&a, &id, 0) == 0, "%s", lies[_i].what);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(without_trust_nobody_is_asked) {
        PacketId id;

        start("TrustNames=granted");
        open_asker();
        id = ask(&a, RESOLVE_NAME_ONCE);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        expect_silence(&g);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(who_stays_on_this_host_hears_of_no_other) {
        PacketId id;

        start("TrustNames=any");
        client_open(&a, &d, 0);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        expect_silence(&g);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(answers_may_come_in_parts_and_of_several_relays) {
        uint8_t body[4 * SERVICE_RECORD_SIZE_MAX];
        PacketId id;
        size_t n;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        n = sign(&(Said){ .signer = far[0], .name = NAME, .priority = 5 }, body);
        n += sign(&(Said){ .signer = far[1], .name = NAME, .priority = 3 }, body + n);
        n += sign(&(Said){ .signer = far[1], .name = NAME, .priority = 9, .issued = 1 }, body + n);
        client_say(&g, &(Control){ .verb = CONTROL_SERVICES,
                                   .value = SERVICES_MORE,
                                   .ref = asked,
                                   .body = body,
                                   .n_body = n });
        answer(CODE_OK, NULL, 0);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 2);
        ck_assert_uint_eq(entry_of(&a, 0).rank.priority, 5);
        ck_assert_uint_eq(entry_of(&a, 1).rank.priority, 9); /* the newer one */
        client_close(&a);
        stop();
}
END_TEST

START_TEST(who_is_of_this_host_is_not_told_by_others) {
        PacketId id;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        answer_provider(a.key);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(this_host_is_not_kept_waiting_for_others) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX];
        PacketId id;
        Client p;
        size_t n;

        start("TrustNames=any");
        client_open(&p, &d, 0);
        own(&p, OWN_CLAIM);
        open_asker();
        id = ask(&a, RESOLVE_NAME_ONCE); /* once: what is here will do */
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, NAMED_MORE), 1);
        expect_question(RESOLVE_NAME_ONCE);
        n = sign(&(Said){ .signer = far[0], .name = NAME, .priority = 1 }, body);
        answer(CODE_OK, body, n);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 2);
        ck_assert_uint_eq(entry_of(&a, 0).rank.flags, 0);
        ck_assert_uint_eq(entry_of(&a, 1).rank.flags, PROVIDER_REMOTE);
        client_close(&p);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(an_answer_of_nobody_ends_what_was_announced) {
        PacketId id;
        Client p;

        start("TrustNames=any");
        client_open(&p, &d, 0);
        own(&p, OWN_CLAIM);
        open_asker();
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, NAMED_MORE), 1);
        expect_question(RESOLVE_NAME_ONCE);
        answer(CODE_NO_PROVIDER, NULL, 0);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&p);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(one_question_is_for_all_who_ask) {
        PacketId ids[3];
        Client b;

        start("TrustNames=any");
        open_asker();
        client_open(&b, &d, ATTACH_OFF_HOST);
        expect_word(&b, CONTROL_LEASE_REQUEST);
        ids[0] = ask(&a, RESOLVE_NAME_WATCH);
        ids[1] = ask(&a, RESOLVE_NAME_ONCE);
        expect_question(RESOLVE_NAME_ONCE);
        ids[2] = ask(&b, RESOLVE_NAME_ONCE);
        expect_silence(&b);
        answer_provider(far[0]);
        ck_assert_uint_eq(expect_named(&a, &ids[1], 0), 1);
        ck_assert_uint_eq(expect_named(&a, &ids[0], 0), 1);
        ck_assert_uint_eq(expect_named(&b, &ids[2], 0), 1);
        client_close(&a);
        client_close(&b);
        stop();
}
END_TEST

START_TEST(a_gateway_that_settles_is_asked_again_and_one_that_is_silent_waited_for_a_while) {
        PacketId id;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        answer(CODE_SETTLING, NULL, 0);
        expect_question(RESOLVE_NAME_ONCE);
        answer_provider(far[0]);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&a);

        open_asker();
        id = client_say(&a, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                        .body = (const uint8_t *)"org.silent",
                                        .n_body = 10 });
        expect_settling(&a, &id); /* that nobody is there nobody said */
        client_close(&a);
        stop();
}
END_TEST

START_TEST(without_a_gateway_the_answer_comes_at_once) {
        PacketId id;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        client_close(&g);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        /* One that comes is asked for what is watched. */
        client_open_gateway(&g, &d);
        client_say(&g, &(Control){ .verb = CONTROL_SYNCED });
        expect_question(RESOLVE_NAME_AGAIN);
        client_close(&a);
        stop();
}
END_TEST

static void die_and_come_back(void) {
        ck_assert_int_eq(kill(d.os_pid, SIGKILL), 0);
        ck_assert_int_eq(waitpid(d.os_pid, NULL, 0), d.os_pid);
        daemon_restart(&d, "--user");
}

START_TEST(a_host_that_just_booted_waits_for_its_gateway) {
        PacketId id;

        start("TrustNames=any");
        die_and_come_back();
        client_open(&a, &d, ATTACH_OFF_HOST);
        id = ask(&a, RESOLVE_NAME_ONCE);
        expect_settling(&a, &id);
        id = ask(&a, RESOLVE_NAME_WATCH);
        expect_settling(&a, &id);
        client_close(&a);
        client_open(&a, &d, 0);
        id = ask(&a, RESOLVE_NAME_ONCE);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0); /* it needs no gateway */
        client_close(&a);
        stop();

        start("TrustNames=pinned");
        die_and_come_back();
        client_open(&a, &d, ATTACH_OFF_HOST);
        id = ask(&a, RESOLVE_NAME_ONCE);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0); /* nobody elsewhere would be believed */
        client_close(&a);
        stop();
}
END_TEST

START_TEST(a_gateway_that_is_restarted_takes_no_provider_along) {
        PacketId id = start_and_learn(RESOLVE_NAME_WATCH);

        client_close(&g);
        expect_word(&a, CONTROL_NOTICE);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_open_gateway(&g, &d);
        expect_word(&a, CONTROL_LEASE_REQUEST);
        client_say(&g, &(Control){ .verb = CONTROL_SYNCED });
        expect_question(RESOLVE_NAME_AGAIN);
        answer(CODE_NO_PROVIDER, NULL, 0);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        client_close(&a);
        stop();
}
END_TEST

/* The gateway says that what the asker sent to @gone met nobody. */
static void refuse_packet(Address gone) {
        PacketHeader header = { .src = { PID_BRIDGE, 0 },
                                .dst = a.address,
                                .kind = PACKET_CONTROL };
        Control refused = { .verb = CONTROL_ERROR, .code = CODE_GONE, .address = gone };
        uint8_t payload[CONTROL_HEAD_SIZE];

        control_encode(&refused, payload);
        ck_assert(client_send_header(&g, header, payload, sizeof(payload)));
        expect_error(&a, CODE_GONE);
}

/* A question for a name of its own. */
static void ask_for(Client *c, const char *name, uint32_t value) {
        client_say(c, &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                  .value = value,
                                  .body = (const uint8_t *)name,
                                  .n_body = strlen(name) });
}

START_TEST(who_asks_and_goes_takes_no_room_from_others) {
        char text[32];
        Client b;

        start("TrustNames=any");
        open_asker();
        client_open(&b, &d, ATTACH_OFF_HOST);
        for (unsigned i = 0; i < REMOTE_NAMES_MAX; i++) {
                (void)snprintf(text, sizeof(text), "org.flood.n%u", i);
                ask_for(&a, text, RESOLVE_NAME_WATCH);
                ask_for(&a, text, RESOLVE_NAME_END);
                (void)expect_word(&g, CONTROL_RESOLVE_NAME);
        }
        ask_for(&b, NAME, RESOLVE_NAME_ONCE);
        expect_question(RESOLVE_NAME_ONCE);
        client_close(&a);
        client_close(&b);
        stop();
}
END_TEST

/* A relay may make up whatever it likes, and each lie costs a verification. */
START_TEST(lies_are_not_verified_without_end) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX], made_up[CONTROL_BODY_MAX];
        size_t n, n_made_up = 0, n_bytes = 0;
        PacketId id;

        start("TrustNames=any");
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        n = sign(&(Said){ .signer = far[0], .name = NAME }, body);
        for (; n_bytes + n <= sizeof(made_up); n_bytes += n, n_made_up++) {
                memcpy(made_up + n_bytes, body, n);
                made_up[n_bytes + n - 1] ^= 1;
        }
        ck_assert_uint_gt(n_made_up, (unsigned)REMOTE_NAMES_JUDGED_BURST);
        answer(CODE_OK, made_up, n_bytes);
        /* What was left out may have been true: it is asked for again, and then there is time for it. */
        expect_question(RESOLVE_NAME_ONCE);
        answer(CODE_OK, body, n);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&a);
        stop();
}
END_TEST

/* Those of other realms may be many. */
START_TEST(who_cannot_be_believed_takes_no_time_from_who_can) {
        uint8_t stranger[SERVICE_RECORD_SIZE_MAX], pinned[SERVICE_RECORD_SIZE_MAX];
        uint8_t all[CONTROL_BODY_MAX];
        size_t n, n_pinned, n_all = 0;
        PacketId id;

        name_keys();
        start(with("Pin=" NAME " %s", full[1]));
        open_asker();
        id = ask_others(RESOLVE_NAME_ONCE);
        n = sign(&(Said){ .signer = far[0], .name = NAME }, stranger);
        n_pinned = sign(&(Said){ .signer = far[1], .name = NAME }, pinned);
        for (; n_all + n + n_pinned <= sizeof(all); n_all += n)
                memcpy(all + n_all, stranger, n);
        memcpy(all + n_all, pinned, n_pinned);
        answer(CODE_OK, all, n_all + n_pinned);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(who_has_gone_is_not_named_from_memory_alone) {
        PacketId id = start_and_learn(RESOLVE_NAME_ONCE);

        refuse_packet(identity_hash(far[0])->address);
        id = ask(&a, RESOLVE_NAME_WATCH);
        ck_assert_uint_eq(expect_named(&a, &id, NAMED_MORE), 1);
        expect_question(RESOLVE_NAME_ONCE);
        answer(CODE_NO_PROVIDER, NULL, 0);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(who_watches_sees_who_comes_and_goes) {
        PacketId id = start_and_learn(RESOLVE_NAME_WATCH);

        /* It is time to ask. */
        refuse_packet(identity_hash(far[0])->address);
        expect_question(RESOLVE_NAME_AGAIN);
        answer_provider(far[1]);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        ck_assert_mem_eq(entry_of(&a, 0).key, identity_public(far[1])->bytes, KEY_SIZE);
        /* And so it goes on by itself. */
        expect_question(RESOLVE_NAME_AGAIN);
        answer(CODE_NO_PROVIDER, NULL, 0);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 0);
        client_close(&a);
        stop();
}
END_TEST

START_TEST(another_trust_counts_from_the_reload_on) {
        PacketId id = start_and_learn(RESOLVE_NAME_WATCH);

        daemon_configure(&d, with("[Names]\nPin=" NAME " %s\n", full[1]));
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(&a, CONTROL_OK);
        expect_settling(&a, &id); /* the other may be there */
        expect_question(RESOLVE_NAME_AGAIN);
        answer_provider(far[1]);
        ck_assert_uint_eq(expect_named(&a, &id, 0), 1);
        client_close(&a);
        stop();
}
END_TEST

/* What is told of this host */

static void take_lease(Client *c) {
        client_give_lease(c, NULL);
        expect_word(&g, CONTROL_LEASE);
}

static void say_service(Client *c, const uint8_t *body, size_t n) {
        client_say(c, &(Control){ .verb = CONTROL_SERVICE, .body = body, .n_body = n });
}

static void expect_service(uint16_t code, const void *body, size_t n) {
        const Control *word = expect_word(&g, CONTROL_SERVICE);

        ck_assert_uint_eq(word->code, code);
        ck_assert_uint_eq(word->n_body, n);
        ck_assert_mem_eq(word->body, body, n);
}

START_TEST(what_a_process_signs_of_its_name_goes_to_each_gateway) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX], withdrawn[SERVICE_RECORD_SIZE_MAX];
        size_t n, n_withdrawn;
        Client p;

        start("TrustNames=any");
        client_close(&g);
        client_begin_gateway(&g, &d, key_of(77));
        expect_word(&g, CONTROL_SYNCED);
        client_open(&p, &d, ATTACH_OFF_HOST);
        take_lease(&p);
        own(&p, OWN_CLAIM);
        n = sign(&(Said){ .signer = p.key,
                          .name = NAME,
                          .grantor = realm,
                          .subject = p.key,
                          .pattern = "org.*",
                          .grant_ends = 3600 },
                 body);
        say_service(&p, body, n);
        expect_service(CODE_OK, body, n);
        client_close(&g);

        client_begin_gateway(&g, &d, key_of(77));
        expect_word(&g, CONTROL_LEASE);
        expect_service(CODE_OK, body, n);
        expect_word(&g, CONTROL_SYNCED);

        n_withdrawn = sign(&(Said){ .signer = p.key,
                                    .name = NAME,
                                    .flags = SIGNED_RECORD_WITHDRAWN,
                                    .issued = 1 },
                           withdrawn);
        say_service(&p, withdrawn, n_withdrawn);
        expect_service(CODE_OK, withdrawn, n_withdrawn);
        n = sign(&(Said){ .signer = p.key, .name = NAME, .issued = 2 }, body);
        say_service(&p, body, n);
        expect_service(CODE_OK, body, n);
        own(&p, OWN_RELEASE);
        expect_service(CODE_GONE, NAME, strlen(NAME));
        client_close(&p);
        expect_word(&g, CONTROL_DETACHED);
        expect_silence(&g);
        stop();
}
END_TEST

START_TEST(what_is_not_true_of_a_process_is_refused) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX];
        Client p;
        size_t n;

        start("TrustNames=any");
        client_open(&p, &d, ATTACH_OFF_HOST);
        take_lease(&p);
        n = sign(&(Said){ .signer = p.key, .name = NAME }, body);
        say_service(&p, body, n); /* which it does not provide */
        expect_error(&p, CODE_NO_PROVIDER);
        own(&p, OWN_CLAIM);
        say_service(&p, body, n - 1);
        expect_error(&p, CODE_UNSUPPORTED);
        body[n - 1] ^= 1;
        say_service(&p, body, n);
        expect_error(&p, CODE_BAD_SIGNATURE);
        n = sign(&(Said){ .signer = far[0], .name = NAME }, body);
        say_service(&p, body, n);
        expect_error(&p, CODE_BAD_SIGNATURE);
        n = sign(&(Said){ .signer = p.key, .name = NAME, .issued = 3600 }, body);
        say_service(&p, body, n);
        expect_error(&p, CODE_CLOCK);
        n = sign(&(Said){ .signer = p.key, .name = NAME, .issued = -3600 }, body);
        say_service(&p, body, n);
        expect_error(&p, CODE_EXPIRED);
        n = sign(&(Said){ .signer = p.key, .name = NAME }, body);
        say_service(&p, body, n);
        expect_service(CODE_OK, body, n);
        say_service(&p, body, n); /* not newer */
        expect_error(&p, CODE_EXPIRED);
        client_close(&p);
        expect_word(&g, CONTROL_DETACHED);

        client_open(&p, &d, ATTACH_OFF_HOST | ATTACH_EPHEMERAL);
        take_lease(&p);
        own(&p, OWN_CLAIM);
        n = sign(&(Said){ .signer = p.key, .name = NAME }, body);
        say_service(&p, body, n);
        expect_error(&p, CODE_DENIED);
        client_close(&p);
        client_open(&p, &d, 0);
        own(&p, OWN_CLAIM);
        n = sign(&(Said){ .signer = p.key, .name = NAME }, body);
        say_service(&p, body, n);
        expect_error(&p, CODE_DENIED);
        client_close(&p);
        stop();
}
END_TEST

START_TEST(a_process_tells_of_sixteen_names_and_not_too_often) {
        uint8_t body[SERVICE_RECORD_SIZE_MAX];
        char name[32];
        Client p;
        size_t n;

        start("TrustNames=any");
        client_open(&p, &d, ATTACH_OFF_HOST);
        take_lease(&p);
        for (unsigned i = 0; i < 17; i++) {
                (void)snprintf(name, sizeof(name), "org.n%u", i);
                client_say(&p, &(Control){ .verb = CONTROL_OWN,
                                           .value = OWN_CLAIM,
                                           .body = (const uint8_t *)name,
                                           .n_body = strlen(name) });
                expect_word(&p, CONTROL_OK);
                n = sign(&(Said){ .signer = p.key, .name = name }, body);
                say_service(&p, body, n);
                if (i < 16)
                        expect_service(CODE_OK, body, n);
                else
                        expect_error(&p, CODE_QUOTA);
        }
        /* Each costs a verification, also those that come to nothing. */
        n = sign(&(Said){ .signer = p.key, .name = "org.n1", .issued = 1 }, body);
        body[n - 1] ^= 1;
        for (unsigned i = 0; i < 1000; i++) {
                say_service(&p, body, n);
                ck_assert(expect_word(&p, CONTROL_ERROR)->code == CODE_BAD_SIGNATURE ||
                          p.last.word.code == CODE_RATE);
                if (p.last.word.code == CODE_RATE)
                        break;
        }
        ck_assert_uint_eq(p.last.word.code, CODE_RATE);
        client_close(&p);
        stop();
}
END_TEST

START_TEST(bad_settings_are_refused) {
        static const char *const bad[] = {
                "Pin=clock %s",
                "Pin=org.example.clock",
                "Pin=org.example.clock 0123456789abcdef",
                "RealmKey=0123456789abcdef",
                "TrustNames=some",
                "Pin=%s org.example.clock",
        };
        char config[512], *said;

        start("TrustNames=any");
        (void)snprintf(config, sizeof(config), "[Names]\n%s\n", with(bad[_i], full[0]));
        daemon_configure(&d, config);
        client_open(&a, &d, 0);
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        expect_error(&a, CODE_UNSUPPORTED);
        said = daemon_said(&d);
        ck_assert_msg(strstr(said, ":2: "), "%s: %s", bad[_i], said);
        free(said);
        client_close(&a);
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("remote_names");
        TCase *others = tcase_create("others"), *own = tcase_create("own");

        tcase_add_loop_test(others, T41_only_who_is_pinned_or_granted_is_believed, 0,
                            ELEMENTSOF(trusts));
        tcase_add_loop_test(others, lies_of_the_gateway_are_not_believed, 0, ELEMENTSOF(lies));
        tcase_add_test(others, without_trust_nobody_is_asked);
        tcase_add_test(others, who_stays_on_this_host_hears_of_no_other);
        tcase_add_test(others, answers_may_come_in_parts_and_of_several_relays);
        tcase_add_test(others, who_is_of_this_host_is_not_told_by_others);
        tcase_add_test(others, this_host_is_not_kept_waiting_for_others);
        tcase_add_test(others, an_answer_of_nobody_ends_what_was_announced);
        tcase_add_test(others, one_question_is_for_all_who_ask);
        tcase_add_test(
                others,
                a_gateway_that_settles_is_asked_again_and_one_that_is_silent_waited_for_a_while);
        tcase_add_test(others, without_a_gateway_the_answer_comes_at_once);
        tcase_add_test(others, a_host_that_just_booted_waits_for_its_gateway);
        tcase_add_test(others, a_gateway_that_is_restarted_takes_no_provider_along);
        tcase_add_test(others, who_asks_and_goes_takes_no_room_from_others);
        tcase_add_test(others, lies_are_not_verified_without_end);
        tcase_add_test(others, who_cannot_be_believed_takes_no_time_from_who_can);
        tcase_add_test(others, who_has_gone_is_not_named_from_memory_alone);
        tcase_add_test(others, who_watches_sees_who_comes_and_goes);
        tcase_add_test(others, another_trust_counts_from_the_reload_on);
        tcase_add_loop_test(others, bad_settings_are_refused, 0, 6);
        tcase_add_test(own, what_a_process_signs_of_its_name_goes_to_each_gateway);
        tcase_add_test(own, what_is_not_true_of_a_process_is_refused);
        tcase_add_test(own, a_process_tells_of_sixteen_names_and_not_too_often);
        tcase_set_timeout(others, 120);
        tcase_set_timeout(own, 120);
        suite_add_tcase(suite, others);
        suite_add_tcase(suite, own);
        return suite;
}
