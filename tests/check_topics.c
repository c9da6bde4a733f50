/* SPDX-License-Identifier: Apache-2.0 */

/* Raw clients publish and subscribe at a real p2pbusd, and do what the library never would. */

#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/topics.h"
#include "libcore/record.h"
#include "tests/harness.h"
#include "tests/main.h"

static Daemon d;
static Client a, b, c;

static void start(void) {
        daemon_start(&d, "--user", NULL);
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
        client_open(&c, &d, 0);
}

static void stop(void) {
        client_close(&a);
        client_close(&b);
        client_close(&c);
        daemon_stop(&d);
}

/* --- words --- */

static void say_subscribe(Client *who, const char *pattern, uint32_t value) {
        client_say(who, &(Control){ .verb = CONTROL_SUBSCRIBE,
                                    .value = value,
                                    .body = (const uint8_t *)pattern,
                                    .n_body = strlen(pattern) });
}

static void subscribe(Client *who, const char *pattern) {
        say_subscribe(who, pattern, SUBSCRIBE_BEGIN);
        (void)expect_word(who, CONTROL_OK);
}

static void unsubscribe(Client *who, const char *pattern) {
        say_subscribe(who, pattern, SUBSCRIBE_END);
        (void)expect_word(who, CONTROL_OK);
}

/* A MSG record on @topic; NULL: on none. Return: its size. */
static size_t make_record(Record *r, const char *topic, const void *data, size_t n, uint8_t *out) {
        static uint8_t extension[3 + CONTROL_NAME_MAX + 1];
        size_t n_topic = topic ? strlen(topic) : 0;

        *r = (Record){
                .type = RECORD_MSG,
                .message = { .kind = MESSAGE_ONE_WAY, .total = n, .data = data, .n_data = n },
        };
        memset(r->message.id.bytes, 'i', sizeof(r->message.id.bytes));
        if (topic) {
                extension[0] = MESSAGE_EXT_TOPIC;
                extension[1] = (uint8_t)n_topic;
                extension[2] = (uint8_t)(n_topic >> 8);
                memcpy(extension + 3, topic, n_topic);
                r->message.extensions = extension;
                r->message.n_extensions = (uint16_t)(3 + n_topic);
        }
        record_encode(r, out);
        return record_size(r);
}

static void publish_bytes(Client *who, const char *topic, uint32_t value, const void *data,
                          size_t n) {
        static uint8_t bytes[FRAME_SIZE_MAX];
        Record r;

        client_say(who, &(Control){ .verb = CONTROL_PUBLISH,
                                    .value = value,
                                    .body = bytes,
                                    .n_body = make_record(&r, topic, data, n, bytes) });
}

static void publish(Client *who, const char *topic, const char *text) {
        publish_bytes(who, topic, 0, text, strlen(text));
}

static void retain(Client *who, const char *topic, const char *text) {
        publish_bytes(who, topic, PUBLISH_RETAIN | PUBLISH_ANSWER, text, strlen(text));
        (void)expect_word(who, CONTROL_OK);
}

static void expect_bytes(Client *who, const Client *from, const char *topic, const void *data,
                         size_t n) {
        const Control *word = expect_word(who, CONTROL_PUBLISHED);
        const uint8_t *found;
        size_t at = 0, n_found;
        Record r;

        if (from) {
                ck_assert(address_equal(word->address, from->address));
                ck_assert_mem_eq(word->body, identity_public(from->key)->bytes, CONTROL_KEY_SIZE);
        }
        ck_assert(who->last.header.dst.pid == PID_EVERYONE);
        ck_assert_int_eq(record_decode(word->body + CONTROL_KEY_SIZE,
                                       word->n_body - CONTROL_KEY_SIZE, &at, &r),
                         0);
        found = record_extension(r.message.extensions, r.message.n_extensions, MESSAGE_EXT_TOPIC,
                                 &n_found);
        ck_assert_ptr_nonnull(found);
        ck_assert_uint_eq(n_found, strlen(topic));
        ck_assert_mem_eq(found, topic, n_found);
        ck_assert_uint_eq(r.message.n_data, n);
        ck_assert_mem_eq(r.message.data, data, n);
}

static void expect(Client *who, const Client *from, const char *topic, const char *text) {
        expect_bytes(who, from, topic, text, strlen(text));
}

/* Of the daemon: a line that begins so. */
static void expect_own(Client *who, const char *topic, const char *text) {
        const Control *word = expect_word(who, CONTROL_PUBLISHED);
        const uint8_t *found;
        size_t at = 0, n_found;
        Record r;

        ck_assert(word->address.pid == PID_DAEMON);
        ck_assert_int_eq(record_decode(word->body + CONTROL_KEY_SIZE,
                                       word->n_body - CONTROL_KEY_SIZE, &at, &r),
                         0);
        found = record_extension(r.message.extensions, r.message.n_extensions, MESSAGE_EXT_TOPIC,
                                 &n_found);
        ck_assert_uint_eq(n_found, strlen(topic));
        ck_assert_mem_eq(found, topic, n_found);
        ck_assert_uint_ge(r.message.n_data, strlen(text));
        ck_assert_mem_eq(r.message.data, text, strlen(text));
}

/* --- who gets what --- */

START_TEST(each_pattern_that_fits_gets_it) {
        subscribe(&a, "weather.*.temperature");
        subscribe(&b, "weather.>");
        publish(&c, "weather.paris.temperature", "21");
        publish(&c, "weather.paris.rain", "no");
        publish(&c, "weather", "fine");
        publish(&c, "news", "none");
        expect(&a, &c, "weather.paris.temperature", "21");
        expect(&b, &c, "weather.paris.temperature", "21");
        expect(&b, &c, "weather.paris.rain", "no");
        expect_silence(&a);
        expect_silence(&b);
        expect_silence(&c);
}
END_TEST

START_TEST(who_has_several_patterns_gets_one_copy) {
        static const char *const patterns[] = { "a.b", "a.*", "*.b", "*.*", ">", "a.>", "*.>" };

        for (unsigned i = 0; i < ELEMENTSOF(patterns); i++)
                subscribe(&a, patterns[i]);
        subscribe(&a, "a.b"); /* again is nothing new */
        publish(&b, "a.b", "once");
        expect(&a, &b, "a.b", "once");
        expect_silence(&a);
        for (unsigned i = 0; i < ELEMENTSOF(patterns); i++) {
                unsubscribe(&a, patterns[i]);
                publish(&b, "a.b", "again");
                if (i + 1 < ELEMENTSOF(patterns))
                        expect(&a, &b, "a.b", "again");
        }
        expect_silence(&a);
        say_subscribe(&a, "a.b", SUBSCRIBE_END);
        expect_error(&a, CODE_NO_PROVIDER);
}
END_TEST

START_TEST(a_publisher_hears_itself_if_it_wants_to) {
        subscribe(&a, "echo");
        publish(&a, "echo", "me");
        expect(&a, &a, "echo", "me");
}
END_TEST

START_TEST(who_left_is_forgotten) {
        Client gone;

        client_open(&gone, &d, 0);
        subscribe(&gone, "a.b.c.d");
        subscribe(&gone, ">");
        client_close(&gone);
        expect_silence(&a); /* so the daemon has noticed */
        publish(&a, "a.b.c.d", "anybody?");
        expect_silence(&a);
        subscribe(&b, "a.b.c.d");
        publish(&a, "a.b.c.d", "you");
        expect(&b, &a, "a.b.c.d", "you");
}
END_TEST

/* Several in a page, more than one takes, and as large as it gets. */
START_TEST(any_size_arrives_whole) {
        static const size_t sizes[] = { 0, 1, TOPIC_PAGE_MAX / 4, TOPIC_PAGE_MAX, 60000 };
        static uint8_t data[60000];

        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i * 7 + i / 256);
        subscribe(&a, "size.>");
        subscribe(&b, "size.*");
        for (unsigned round = 0; round < 3; round++)
                for (unsigned i = 0; i < ELEMENTSOF(sizes); i++)
                        publish_bytes(&c, "size.x", 0, data, sizes[i]);
        for (unsigned round = 0; round < 3; round++)
                for (unsigned i = 0; i < ELEMENTSOF(sizes); i++) {
                        expect_bytes(&a, &c, "size.x", data, sizes[i]);
                        expect_bytes(&b, &c, "size.x", data, sizes[i]);
                }
}
END_TEST

/* Memory that the daemon has for itself, in bytes. */
static size_t memory_of_daemon(void) {
        char path[64], line[256];
        size_t kib = 0;
        FILE *status;

        (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)d.os_pid);
        status = fopen(path, "re");
        ck_assert_ptr_nonnull(status);
        while (kib == 0 && fgets(line, sizeof(line), status))
                (void)sscanf(line, "RssAnon: %zu kB", &kib);
        (void)fclose(status);
        ck_assert_uint_gt(kib, 0);
        return kib * 1024;
}

#ifdef __SANITIZE_ADDRESS__ /* it keeps back what was freed */
#define MEMORY_PARTS 1
#else
#define MEMORY_PARTS 4
#endif

/* Everybody's queue has all of it, which as a copy for each would be 72 or 16 MB. */
START_TEST(what_waits_for_many_is_kept_once) {
        enum { READERS = 20 };
        static const struct {
                unsigned n;
                size_t size;
        } frames[] = { { 60, 60000 }, { 2000, 300 } };
        const unsigned n_frames = frames[_i].n;
        const size_t size = frames[_i].size;
        static uint8_t data[60000];
        static Client readers[READERS];
        size_t before, after;

        for (unsigned i = 0; i < READERS; i++) {
                client_open(&readers[i], &d, 0);
                subscribe(&readers[i], "many.>");
        }
        before = memory_of_daemon();
        for (unsigned n = 0; n < n_frames; n++) {
                memset(data, (int)n, size);
                publish_bytes(&a, "many.x", PUBLISH_ANSWER, data, size);
                (void)expect_word(&a, CONTROL_OK);
        }
        after = memory_of_daemon();
        ck_assert_uint_lt(after - MIN(before, after), READERS * n_frames * size / MEMORY_PARTS);
        for (unsigned i = 0; i < READERS; i++) {
                for (unsigned n = 0; n < n_frames; n++) {
                        memset(data, (int)n, size);
                        expect_bytes(&readers[i], &a, "many.x", data, size);
                }
                client_close(&readers[i]);
        }
}
END_TEST

/* --- what is retained --- */

START_TEST(the_last_retained_comes_to_who_asks) {
        retain(&a, "state.x", "old");
        retain(&a, "state.x", "new");
        retain(&a, "state.y", "other");
        publish(&a, "state.x", "not kept");
        say_subscribe(&b, "state.x", SUBSCRIBE_RETAINED);
        expect(&b, &a, "state.x", "new");
        (void)expect_word(&b, CONTROL_OK);
        subscribe(&c, "state.*"); /* does not ask */
        expect_silence(&c);
        retain(&a, "state.x", "newer");
        expect(&b, &a, "state.x", "newer");
        expect(&c, &a, "state.x", "newer");

        retain(&a, "state.x", "");
        expect(&b, &a, "state.x", "");
        expect(&c, &a, "state.x", "");
        say_subscribe(&c, "state.*", SUBSCRIBE_RETAINED);
        expect(&c, &a, "state.y", "other");
        (void)expect_word(&c, CONTROL_OK);
        expect_silence(&c);
}
END_TEST

START_TEST(what_was_retained_outlives_its_publisher) {
        Client gone;

        client_open(&gone, &d, 0);
        retain(&gone, "will", "read me");
        client_close(&gone);
        say_subscribe(&a, "will", SUBSCRIBE_RETAINED);
        expect(&a, NULL, "will", "read me");
        (void)expect_word(&a, CONTROL_OK);
}
END_TEST

/* --- a reader that does not read --- */

/* Reads all that was queued before an answer that is asked for now. Return: how many were published,
 * or, as the daemon says, left out between them. */
static unsigned read_all(Client *who) {
        unsigned n = 0;

        say_subscribe(who, "another", SUBSCRIBE_BEGIN);
        for (;;) {
                (void)expect_packet(who);
                if (who->last.word.verb == CONTROL_OK)
                        return n;
                if (who->last.word.verb == CONTROL_TOPIC_LOST) {
                        n += who->last.word.value;
                } else {
                        ck_assert_uint_eq(who->last.word.verb, CONTROL_PUBLISHED);
                        n++;
                }
        }
}

START_TEST(who_does_not_read_is_told_how_much_it_missed) {
        static uint8_t data[50000];
        const unsigned n_sent = 400;
        const Control *word;
        unsigned n_known;

        subscribe(&a, "flood");
        subscribe(&b, "flood");
        for (unsigned i = 0; i < n_sent; i++) {
                publish_bytes(&c, "flood", PUBLISH_ANSWER, data, sizeof(data));
                (void)expect_word(&c, CONTROL_OK);
                expect_bytes(&b, &c, "flood", data, sizeof(data)); /* is not disturbed */
        }
        n_known = read_all(&a);
        ck_assert_uint_lt(n_known, n_sent);
        publish(&c, "flood", "last");
        word = expect_word(&a, CONTROL_TOPIC_LOST);
        ck_assert_uint_eq(word->value, n_sent - n_known);
        expect(&a, &c, "flood", "last");
        publish(&c, "flood", "and now");
        expect(&a, &c, "flood", "and now"); /* said once */
}
END_TEST

/* --- what is refused --- */

static const char *const bad_patterns[] = { ".", "a.", "a..b", ">.a", "a*", "a b", "\x01", "\xff" };

START_TEST(what_is_no_pattern_is_refused) {
        say_subscribe(&a, bad_patterns[_i], SUBSCRIBE_BEGIN);
        expect_error(&a, CODE_UNSUPPORTED);
}
END_TEST

START_TEST(what_is_no_message_on_a_topic_is_refused) {
        static const char *const bad_topics[] = { "a.*", ">", "a..b", "", "a b" };
        uint8_t bytes[1024];
        size_t n;
        Record r;

        subscribe(&b, ">");
        for (unsigned i = 0; i < ELEMENTSOF(bad_topics); i++) {
                publish(&a, bad_topics[i], "x");
                expect_error(&a, CODE_UNSUPPORTED);
        }
        publish_bytes(&a, NULL, 0, "x", 1);
        expect_error(&a, CODE_UNSUPPORTED);

        n = make_record(&r, "a", "text", 4, bytes);
        for (unsigned change = 0; change < 6; change++) {
                uint8_t changed[sizeof(bytes)];
                size_t n_changed = n;

                memcpy(changed, bytes, n);
                switch (change) {
                case 0:
                        n_changed--; /* cut short */
                        break;
                case 1:
                        changed[n_changed++] = 0; /* something behind it */
                        break;
                case 2:
                        changed[0] = RECORD_ACK;
                        break;
                case 3:
                        changed[8] = 1; /* of a session */
                        break;
                case 4:
                        changed[RECORD_HEADER_SIZE] = MESSAGE_REQUEST;
                        break;
                default:
                        changed[RECORD_HEADER_SIZE + 40]++; /* more is to come */
                }
                client_say(&a, &(Control){ .verb = CONTROL_PUBLISH,
                                           .body = changed,
                                           .n_body = n_changed });
                expect_error(&a, CODE_VIOLATION);
        }
        expect_silence(&b);
        publish(&a, "a", "still welcome");
        expect(&b, &a, "a", "still welcome");
}
END_TEST

START_TEST(limits_hold) {
        char topic[16];
        Client user;

        if (geteuid() != 0) {
                printf("# SKIP limits of topics: needs root\n");
                return;
        }
        daemon_start(&d, "--system", "[Limits]\nSubscriptions=2\nRetained=2\n");
        client_open_as(&user, &d, 0, 12345);
        subscribe(&user, "a");
        subscribe(&user, "b.>");
        say_subscribe(&user, "c", SUBSCRIBE_BEGIN);
        expect_error(&user, CODE_QUOTA);
        unsubscribe(&user, "a");
        subscribe(&user, "c");
        for (unsigned i = 0; i < 2; i++) {
                (void)snprintf(topic, sizeof(topic), "t%u", i);
                retain(&user, topic, "x");
        }
        retain(&user, topic, "y"); /* in the place of its own */
        publish_bytes(&user, "c", PUBLISH_RETAIN, "z", 1);
        expect(&user, &user, "c", "z"); /* who is subscribed gets it */
        expect_error(&user, CODE_QUOTA);
        retain(&user, topic, "");
        publish_bytes(&user, "c", PUBLISH_RETAIN | PUBLISH_ANSWER, "z", 1);
        expect(&user, &user, "c", "z");
        (void)expect_word(&user, CONTROL_OK);
        client_close(&user);
        daemon_stop(&d);
}
END_TEST

START_TEST(other_users_neither_hear_nor_replace_it) {
        Client root, one, two;

        if (geteuid() != 0) {
                printf("# SKIP topics of other users: needs root\n");
                return;
        }
        daemon_start(&d, "--system", NULL);
        client_open(&root, &d, 0);
        client_open_as(&one, &d, 0, 12345);
        client_open_as(&two, &d, 0, 12346);
        subscribe(&root, "x");
        subscribe(&one, "x");
        retain(&two, "x", "two's");
        publish_bytes(&root, "x", PUBLISH_RETAIN, "root's", 6);
        expect(&root, &root, "x", "root's");
        expect(&one, &root, "x", "root's");
        expect_silence(&one);
        expect_silence(&root);
        unsubscribe(&one, "x");
        say_subscribe(&one, "x", SUBSCRIBE_RETAINED);
        expect(&one, &root, "x", "root's");
        (void)expect_word(&one, CONTROL_OK);
        say_subscribe(&two, "x", SUBSCRIBE_RETAINED);
        expect(&two, &two, "x", "two's");
        expect(&two, &root, "x", "root's");
        (void)expect_word(&two, CONTROL_OK);
        client_close(&root);
        client_close(&one);
        client_close(&two);
        daemon_stop(&d);
}
END_TEST

START_TEST(only_the_daemon_tells_who_comes_and_goes) {
        char line[256], full[KEY_TEXT_SIZE];
        Client other;

        subscribe(&a, "p2pbus.*.*");
        subscribe(&b, ">");
        subscribe(&b, "*.process.here");
        publish(&c, "p2pbus.process.here", "me");
        expect_error(&c, CODE_DENIED);
        client_open(&other, &d, 0);
        (void)key_format(identity_public(other.key), full);
        (void)snprintf(line, sizeof(line), "%s\t%u\t%d\t", full, (unsigned)getuid(), (int)getpid());
        expect_own(&a, "p2pbus.process.here", line);
        client_say(&other, &(Control){ .verb = CONTROL_OWN,
                                       .value = OWN_CLAIM,
                                       .body = (const uint8_t *)"test.name",
                                       .n_body = 9 });
        (void)expect_word(&other, CONTROL_OK);
        (void)snprintf(line, sizeof(line), "test.name\t%s", full);
        expect_own(&a, "p2pbus.name.here", line);
        client_close(&other);
        expect_own(&a, "p2pbus.name.gone", line);
        expect_own(&a, "p2pbus.process.gone", full);
        expect_silence(&b); /* patterns that do not name it do not mean it */
}
END_TEST

START_TEST(a_monitor_sees_it_once) {
        uint8_t bytes[1024];
        const Control *word;
        PacketHeader header;
        size_t n;
        Record r;

        subscribe(&a, "x");
        subscribe(&b, "x");
        client_say(&c, &(Control){ .verb = CONTROL_MONITOR, .value = MONITOR_FULL });
        (void)expect_word(&c, CONTROL_OK);
        n = make_record(&r, "x", "seen", 4, bytes);
        publish(&a, "x", "seen");
        word = expect_word(&c, CONTROL_MONITORED);
        ck_assert_int_eq(packet_header_decode(word->body + CONTROL_MONITORED_HEAD_SIZE,
                                              word->n_body - CONTROL_MONITORED_HEAD_SIZE, &header),
                         0);
        ck_assert(address_equal(header.src, a.address));
        ck_assert(header.dst.pid == PID_EVERYONE);
        ck_assert_uint_eq(word->n_body, CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE + n);
        ck_assert_mem_eq(word->body + CONTROL_MONITORED_HEAD_SIZE + PACKET_HEADER_SIZE, bytes, n);
        expect(&a, &a, "x", "seen");
        expect(&b, &a, "x", "seen");
        expect_silence(&c);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("topics");
        TCase *plain = tcase_create("plain"), *users = tcase_create("users");

        tcase_add_test(plain, each_pattern_that_fits_gets_it);
        tcase_add_test(plain, who_has_several_patterns_gets_one_copy);
        tcase_add_test(plain, a_publisher_hears_itself_if_it_wants_to);
        tcase_add_test(plain, who_left_is_forgotten);
        tcase_add_test(plain, any_size_arrives_whole);
        tcase_add_loop_test(plain, what_waits_for_many_is_kept_once, 0, 2);
        tcase_add_test(plain, the_last_retained_comes_to_who_asks);
        tcase_add_test(plain, what_was_retained_outlives_its_publisher);
        tcase_add_test(plain, who_does_not_read_is_told_how_much_it_missed);
        tcase_add_loop_test(plain, what_is_no_pattern_is_refused, 0, ELEMENTSOF(bad_patterns));
        tcase_add_test(plain, what_is_no_message_on_a_topic_is_refused);
        tcase_add_test(plain, only_the_daemon_tells_who_comes_and_goes);
        tcase_add_test(plain, a_monitor_sees_it_once);
        tcase_add_checked_fixture(plain, start, stop);
        suite_add_tcase(suite, plain);

        tcase_add_test(users, limits_hold);
        tcase_add_test(users, other_users_neither_hear_nor_replace_it);
        suite_add_tcase(suite, users);
        return suite;
}
