/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A real p2pbusd introduces raw clients to each other. Every test ends with a daemon that holds no
 * ring and as many descriptors as before it.
 */

#include "config.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libcore/log.h"
#include "libsecure/crypto.h"
#include "tests/harness.h"
#include "tests/main.h"

#define NOWHERE ((Address){ UINT64_C(0x1234567812345678), 0 })
#define KIB64 65536U
#define ALL_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

static Daemon d;
static Client a, b, c;
static unsigned n_daemon_fds; /* before the test */

/* What one side has in its hands. */
typedef struct Hand {
        PacketId id;
        int file; /* the other side's */
        int bell_in, bell_out;
} Hand;

/* --- the daemon --- */

/* Descriptors that the daemon has open; 0 if we may not look, which only root may. */
static unsigned daemon_fds(uint64_t *ret_mask) {
        unsigned n = 0;
        const struct dirent *entry;
        char path[64];
        DIR *folder;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)d.os_pid);
        folder = opendir(path);
        if (ret_mask)
                *ret_mask = 0;
        if (!folder)
                return 0;
        while ((entry = readdir(folder)) != NULL) {
                unsigned long fd = strtoul(entry->d_name, NULL, 10);

                if (entry->d_name[0] == '.')
                        continue;
                n++;
                if (ret_mask && fd < 64)
                        *ret_mask |= UINT64_C(1) << fd;
        }
        (void)closedir(folder);
        return n;
}

static void open_clients(void) {
        client_open(&a, &d, 0);
        client_open(&b, &d, 0);
        client_open(&c, &d, 0);
        n_daemon_fds = daemon_fds(NULL);
}

static void close_clients(void) {
        client_close(&a);
        client_close(&b);
        client_close(&c);
}

static void start(const char *config) {
        daemon_start(&d, "--user", config);
        open_clients();
}

static void stop(void) {
        /* Who has just been closed may still be there. */
        while (daemon_fds(NULL) != n_daemon_fds)
                expect_silence(&a);
        ck_assert_uint_eq(daemon_status(&d, "rings"), 0);
        ck_assert_uint_eq(daemon_status(&d, "ring_bytes"), 0);
        expect_silence(&a);
        expect_silence(&b);
        expect_silence(&c);
        close_clients();
        daemon_stop(&d);
}

static void reload(Client *who, const char *config) {
        daemon_configure(&d, config);
        client_say(who, &(Control){ .verb = CONTROL_RELOAD });
        expect_word(who, CONTROL_OK);
}

static bool is_root(const char *what) {
        if (geteuid() == 0)
                return true;
        printf("# SKIP %s: needs root\n", what);
        return false;
}

/* --- files and words --- */

static int make_file(uint32_t size, int seals) {
        int fd = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(posix_fallocate(fd, 0, 4096 + (off_t)size), 0);
        ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static PacketId say_with_fds(Client *from, const Control *word, const int *fds, size_t n_fds) {
        uint8_t packet[PACKET_HEADER_SIZE + CONTROL_HEAD_SIZE + 16];
        PacketId id = packet_id_make(now_usec(CLOCK_REALTIME), ++from->n_sent);

        control_packet_encode(word, from->address, (Address){ PID_DAEMON, 0 }, &id, packet);
        packet_set_n_fds(packet, n_fds);
        ck_assert(client_write_fds(from, packet, control_packet_size(word), fds, n_fds));
        return id;
}

/* The word and a file; both are closed here. */
static PacketId say_with_file(Client *from, const Control *word, int file) {
        PacketId id = say_with_fds(from, word, &file, 1);

        close(file);
        return id;
}

static PacketId offer(Client *from, Address to, uint32_t size) {
        Control word = { .verb = CONTROL_RING_OFFER, .value = size, .address = to };

        return say_with_file(from, &word, make_file(size, ALL_SEALS));
}

static void answer(Client *from, const PacketId *ring, uint32_t size) {
        Control word = { .verb = CONTROL_RING_ANSWER, .value = size, .ref = *ring };

        (void)say_with_file(from, &word, make_file(size, ALL_SEALS));
}

static void decline(Client *from, const PacketId *ring, ControlCode code) {
        client_say(from,
                   &(Control){ .verb = CONTROL_RING_ANSWER, .code = (uint16_t)code, .ref = *ring });
}

static PacketId keep(Client *from, const PacketId *ring, Address with, uint32_t size) {
        return client_say(from, &(Control){ .verb = CONTROL_RING_KEEP,
                                            .value = size,
                                            .ref = *ring,
                                            .address = with });
}

static void end(Client *from, const PacketId *ring, ControlCode code) {
        client_say(from,
                   &(Control){ .verb = CONTROL_RING_END, .code = (uint16_t)code, .ref = *ring });
}

static void hand_close(Hand *hand) {
        close(hand->file);
        close(hand->bell_in);
        close(hand->bell_out);
}

static void close_received(const Client *who) {
        for (unsigned i = 0; i < who->last.header.n_fds; i++)
                close(who->last.fds[i]);
}

static void expect_bells(Client *who, Address other, const PacketId *offer_id, Hand *ret) {
        const Control *word = expect_word(who, CONTROL_RING_BELLS);

        ck_assert(address_equal(word->address, other));
        ck_assert_mem_eq(word->body, offer_id->bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(who->last.header.n_fds, 2);
        *ret = (Hand){ word->ref, -EBADF, who->last.fds[0], who->last.fds[1] };
}

static void expect_offered(Client *who, Address other, uint32_t size, Hand *ret) {
        const Control *word = expect_word(who, CONTROL_RING_OFFERED);

        ck_assert(address_equal(word->address, other));
        ck_assert_uint_eq(word->value, size);
        ck_assert_uint_eq(who->last.header.n_fds, 3);
        *ret = (Hand){ word->ref, who->last.fds[0], who->last.fds[1], who->last.fds[2] };
}

static void expect_answered(Client *who, Address other, uint32_t size, Hand *hand) {
        const Control *word = expect_word(who, CONTROL_RING_ANSWERED);

        ck_assert_uint_eq(word->code, CODE_OK);
        ck_assert(address_equal(word->address, other));
        ck_assert_mem_eq(word->ref.bytes, hand->id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(word->value, size);
        ck_assert_uint_eq(who->last.header.n_fds, 1);
        hand->file = who->last.fds[0];
}

static void expect_end(Client *who, Address other, const PacketId *ring, ControlCode code) {
        const Control *word = expect_word(who, CONTROL_RING_END);

        ck_assert_msg(word->code == code, "ended: %s", control_code_text(word->code));
        ck_assert(address_equal(word->address, other));
        ck_assert_mem_eq(word->ref.bytes, ring->bytes, PACKET_ID_SIZE);
}

static void expect_refused(Client *who, ControlCode code, const PacketId *ref) {
        ck_assert_mem_eq(expect_error(who, code)->ref.bytes, ref->bytes, PACKET_ID_SIZE);
}

static void expect_kept(Client *who, const PacketId *ref) {
        ck_assert_mem_eq(expect_word(who, CONTROL_OK)->ref.bytes, ref->bytes, PACKET_ID_SIZE);
}

/* @first offers, @second does not answer yet. */
static void make_offer(Client *first, Client *second, Hand *of_first, Hand *of_second) {
        PacketId id = offer(first, second->address, KIB64);

        expect_bells(first, second->address, &id, of_first);
        expect_offered(second, first->address, KIB64, of_second);
        ck_assert_mem_eq(of_first->id.bytes, of_second->id.bytes, PACKET_ID_SIZE);
}

static void make_ring(Client *first, Client *second, Hand *of_first, Hand *of_second) {
        make_offer(first, second, of_first, of_second);
        answer(second, &of_second->id, KIB64);
        expect_answered(first, second->address, KIB64, of_first);
}

/* Both have made this ring; nobody holds on to what came with it. */
static PacketId make_ring_without_hands(Client *first, Client *second) {
        Hand of_first, of_second;

        make_ring(first, second, &of_first, &of_second);
        hand_close(&of_first);
        hand_close(&of_second);
        return of_first.id;
}

static void end_ring(Client *from, Client *other, const PacketId *ring) {
        end(from, ring, CODE_OK);
        expect_end(other, from->address, ring, CODE_OK);
}

/* --- the plain case --- */

static void rings_the_bell(const Hand *from, const Hand *to) {
        uint8_t byte = 1;

        ck_assert(fcntl(from->bell_out, F_GETFL) & O_NONBLOCK);
        ck_assert(fcntl(to->bell_in, F_GETFL) & O_NONBLOCK);
        ck_assert_int_lt(read(to->bell_in, &byte, 1), 0);
        ck_assert_int_eq(errno, EAGAIN);
        ck_assert_int_eq(write(from->bell_out, &byte, 1), 1);
        ck_assert_int_eq(read(to->bell_in, &byte, 1), 1);
}

static bool is_same_file(int fd, const struct stat *st) {
        struct stat other;

        return fstat(fd, &other) == 0 && other.st_ino == st->st_ino && other.st_dev == st->st_dev;
}

START_TEST(both_get_the_file_of_the_other_and_bells_that_ring) {
        int file_a = make_file(KIB64, ALL_SEALS), file_b = make_file(16U << 20, ALL_SEALS);
        Control to_b = { .verb = CONTROL_RING_OFFER, .value = KIB64 };
        Control to_a = { .verb = CONTROL_RING_ANSWER, .value = 16U << 20 };
        struct stat st_a, st_b;
        Hand of_a, of_b;
        PacketId id;

        start(NULL);
        ck_assert_uint_eq(load_le32(a.hello + 20), HELLO_RINGS);
        ck_assert_int_eq(fstat(file_a, &st_a), 0);
        ck_assert_int_eq(fstat(file_b, &st_b), 0);
        to_b.address = b.address;
        id = say_with_file(&a, &to_b, file_a);
        expect_bells(&a, b.address, &id, &of_a);
        expect_offered(&b, a.address, KIB64, &of_b);
        ck_assert(is_same_file(of_b.file, &st_a));
        /* The bells ring before it is answered. */
        rings_the_bell(&of_a, &of_b);
        rings_the_bell(&of_b, &of_a);

        to_a.ref = of_b.id;
        say_with_file(&b, &to_a, file_b);
        expect_answered(&a, b.address, 16U << 20, &of_a);
        ck_assert(is_same_file(of_a.file, &st_b));
        ck_assert_uint_eq(daemon_status(&d, "rings"), 1);
        ck_assert_uint_eq(daemon_status(&d, "ring_bytes"), KIB64 + (16U << 20));
        ck_assert_uint_eq(daemon_status(&d, "rings_made"), 1);

        end(&b, &of_b.id, CODE_OK);
        expect_end(&a, b.address, &of_a.id, CODE_OK);
        hand_close(&of_a);
        hand_close(&of_b);
        stop();
}
END_TEST

/* What the daemon might have kept would keep the bell from its end. */
START_TEST(a_bell_ends_when_the_other_process_does) {
        Hand of_a, of_b;
        uint8_t byte;
        Client dying;

        (void)signal(SIGPIPE, SIG_IGN);
        start(NULL);
        client_open(&dying, &d, 0);
        make_ring(&a, &dying, &of_a, &of_b);
        hand_close(&of_b);
        ck_assert_int_eq(read(of_a.bell_in, &byte, 1), 0);
        ck_assert_int_lt(write(of_a.bell_out, "x", 1), 0);
        ck_assert_int_eq(errno, EPIPE);
        client_close(&dying);
        expect_end(&a, dying.address, &of_a.id, CODE_GONE);
        hand_close(&of_a);
        stop();
}
END_TEST

START_TEST(a_declined_offer_leaves_nothing) {
        Hand of_a, of_b;
        const Control *word;
        uint8_t byte;
        int ends[2];

        start(NULL);
        make_offer(&a, &b, &of_a, &of_b);
        decline(&b, &of_b.id, CODE_QUOTA);
        word = expect_word(&a, CONTROL_RING_ANSWERED);
        ck_assert_uint_eq(word->code, CODE_QUOTA);
        ck_assert_mem_eq(word->ref.bytes, of_a.id.bytes, PACKET_ID_SIZE);
        ck_assert_uint_eq(a.last.header.n_fds, 0);
        hand_close(&of_a);
        hand_close(&of_b);
        ck_assert_uint_eq(daemon_status(&d, "rings"), 0);

        /* Another one may be made; a descriptor that comes with a refusal is closed. */
        make_offer(&b, &a, &of_b, &of_a);
        ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
        say_with_file(
                &a,
                &(Control){ .verb = CONTROL_RING_ANSWER, .code = CODE_UNSUPPORTED, .ref = of_a.id },
                ends[1]);
        ck_assert_uint_eq(expect_word(&b, CONTROL_RING_ANSWERED)->code, CODE_UNSUPPORTED);
        ck_assert_int_eq(read(ends[0], &byte, 1), 0);
        close(ends[0]);
        hand_close(&of_a);
        hand_close(&of_b);
        stop();
}
END_TEST

START_TEST(words_that_take_no_descriptor_have_theirs_closed) {
        static const ControlVerb verbs[] = { CONTROL_RESOLVE, CONTROL_RING_END, CONTROL_RING_KEEP,
                                             CONTROL_PING, CONTROL_LINKS };
        uint8_t byte;
        int ends[2];

        start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(verbs); i++) {
                ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
                say_with_file(&a, &(Control){ .verb = (uint16_t)verbs[i] }, ends[1]);
                ck_assert_int_eq(read(ends[0], &byte, 1), 0);
                close(ends[0]);
        }
        ck_assert_uint_eq(expect_word(&a, CONTROL_RESOLVED)->code, CODE_NOT_HERE);
        expect_error(&a, CODE_VIOLATION); /* a ring of no size */
        expect_word(&a, CONTROL_PONG);
        expect_error(&a, CODE_UNSUPPORTED); /* it is no gateway */
        stop();
}
END_TEST

/* --- refused offers --- */

static int plain_file(void) {
        int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd >= 0)
                ck_assert_int_eq(ftruncate(fd, 4096 + KIB64), 0);
        return fd >= 0 ? fd : open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

static int dev_zero(void) {
        return open("/dev/zero", O_RDWR | O_CLOEXEC);
}

static int bus_socket(void) {
        return fcntl(a.fd, F_DUPFD_CLOEXEC, 0);
}

/* A file that is not what it must be: @seals and @real_size of a file in memory, or @make's. */
static const struct {
        const char *what;
        int seals;
        uint32_t real_size;
        uint32_t size; /* that is announced */
        int (*make)(void);
        ControlCode code;
} bad_files[] = {
        { "no seal", 0, KIB64, KIB64, NULL, CODE_DENIED },
        { "may shrink", ALL_SEALS & ~F_SEAL_SHRINK, KIB64, KIB64, NULL, CODE_DENIED },
        { "may grow", ALL_SEALS & ~F_SEAL_GROW, KIB64, KIB64, NULL, CODE_DENIED },
        { "writable", ALL_SEALS & ~F_SEAL_FUTURE_WRITE, KIB64, KIB64, NULL, CODE_DENIED },
        { "may be sealed", ALL_SEALS & ~F_SEAL_SEAL, KIB64, KIB64, NULL, CODE_DENIED },
        { "smaller than announced", ALL_SEALS, KIB64, 2 * KIB64, NULL, CODE_DENIED },
        { "larger than announced", ALL_SEALS, 2 * KIB64, KIB64, NULL, CODE_DENIED },
        { "a byte too long", ALL_SEALS, KIB64 + 1, KIB64, NULL, CODE_DENIED },
        { "without a head", ALL_SEALS, KIB64 - 4096, KIB64, NULL, CODE_DENIED },
        { "no power of two", ALL_SEALS, 3 * KIB64, 3 * KIB64, NULL, CODE_VIOLATION },
        { "too small", ALL_SEALS, KIB64 / 2, KIB64 / 2, NULL, CODE_VIOLATION },
        { "over the cap", ALL_SEALS, 32U << 20, 32U << 20, NULL, CODE_VIOLATION },
        { "nothing", ALL_SEALS, 0, 0, NULL, CODE_VIOLATION },
        { "plain file", 0, 0, KIB64, plain_file, CODE_DENIED },
        { "/dev/zero", 0, 0, KIB64, dev_zero, CODE_DENIED },
        { "the bus itself", 0, 0, KIB64, bus_socket, CODE_DENIED },
};

static int make_bad_file(unsigned i) {
        int fd = bad_files[i].make ? bad_files[i].make()
                                   : make_file(bad_files[i].real_size, bad_files[i].seals);

        ck_assert_msg(fd >= 0, "%s: %s", bad_files[i].what, strerror(errno));
        return fd;
}

START_TEST(an_offer_with_a_bad_file_is_refused) {
        unsigned n_denied = 0;

        start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(bad_files); i++) {
                Control word = { .verb = CONTROL_RING_OFFER, .value = bad_files[i].size };
                PacketId id;

                word.address = b.address;
                id = say_with_file(&a, &word, make_bad_file(i));
                expect_refused(&a, bad_files[i].code, &id);
                expect_silence(&b);
                n_denied += bad_files[i].code == CODE_DENIED;
                /* Of what comes after the burst, one is told in a while. */
                ck_assert_uint_ge(daemon_said_times(&d, "reason=ring_file"),
                                  MIN(n_denied, (unsigned)LOG_RATE_BURST));
                ck_assert_uint_le(daemon_said_times(&d, "reason=ring_file"), n_denied);
        }
        stop();
}
END_TEST

START_TEST(an_answer_with_a_bad_file_ends_the_offer) {
        start(NULL);
        for (unsigned i = 0; i < ELEMENTSOF(bad_files); i++) {
                Control word = { .verb = CONTROL_RING_ANSWER, .value = bad_files[i].size };
                Hand of_a, of_b;
                PacketId id;

                make_offer(&a, &b, &of_a, &of_b);
                word.ref = of_b.id;
                id = say_with_file(&b, &word, make_bad_file(i));
                expect_refused(&b, bad_files[i].code, &id);
                expect_end(&a, b.address, &of_a.id, bad_files[i].code);
                hand_close(&of_a);
                hand_close(&of_b);
        }
        stop();
}
END_TEST

START_TEST(one_descriptor_comes_with_offer_and_answer) {
        Control to_b = { .verb = CONTROL_RING_OFFER, .value = KIB64 };
        Control to_a = { .verb = CONTROL_RING_ANSWER, .value = KIB64 };
        static const unsigned counts[] = { 0, 2, 4 };
        int files[4];

        start(NULL);
        for (unsigned i = 0; i < 4; i++)
                files[i] = make_file(KIB64, ALL_SEALS);
        to_b.address = b.address;
        for (unsigned i = 0; i < ELEMENTSOF(counts); i++) {
                Hand of_a, of_b;
                PacketId id = say_with_fds(&a, &to_b, files, counts[i]);

                expect_refused(&a, CODE_VIOLATION, &id);
                expect_silence(&b);

                make_offer(&a, &b, &of_a, &of_b);
                to_a.ref = of_b.id;
                id = say_with_fds(&b, &to_a, files, counts[i]);
                expect_refused(&b, CODE_VIOLATION, &id);
                expect_end(&a, b.address, &of_a.id, CODE_VIOLATION);
                hand_close(&of_a);
                hand_close(&of_b);
        }
        for (unsigned i = 0; i < 4; i++)
                close(files[i]);
        stop();
}
END_TEST

START_TEST(an_offer_to_nobody_or_oneself_is_refused) {
        PacketId id;

        start(NULL);
        id = offer(&a, NOWHERE, KIB64);
        expect_refused(&a, CODE_NOT_HERE, &id);
        ck_assert_uint_eq(a.last.word.address.pid, NOWHERE.pid);
        id = offer(&a, (Address){ PID_DAEMON, 0 }, KIB64);
        expect_refused(&a, CODE_NOT_HERE, &id);
        id = offer(&a, (Address){ b.address.pid, b.address.tag ^ 1 }, KIB64);
        expect_refused(&a, CODE_WRONG_KEY, &id);
        id = offer(&a, a.address, KIB64);
        expect_refused(&a, CODE_VIOLATION, &id);
        ck_assert_uint_eq(daemon_status(&d, "refused, no such destination"), 2);
        stop();
}
END_TEST

START_TEST(two_processes_have_one_ring) {
        Hand of_a, of_b;
        PacketId id;

        start(NULL);
        make_offer(&a, &b, &of_a, &of_b);
        for (unsigned i = 0; i < 2; i++) {
                id = offer(&a, b.address, KIB64);
                expect_refused(&a, CODE_BUSY, &id);
                id = offer(&b, a.address, KIB64);
                expect_refused(&b, CODE_BUSY, &id);
                if (i > 0)
                        break;
                answer(&b, &of_b.id, KIB64);
                expect_answered(&a, b.address, KIB64, &of_a);
        }
        hand_close(&of_a);
        hand_close(&of_b);
        /* With others they may have more. */
        id = make_ring_without_hands(&c, &a);
        end_ring(&a, &c, &id);
        end_ring(&a, &b, &of_a.id);
        id = make_ring_without_hands(&b, &a);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

START_TEST(sixteen_offers_of_a_process_may_wait) {
        Client others[17];
        Hand of_a, of_others[17];
        PacketId id;

        start(NULL);
        for (unsigned i = 0; i < 17; i++)
                client_open(&others[i], &d, 0);
        for (unsigned i = 0; i < 16; i++) {
                make_offer(&a, &others[i], &of_a, &of_others[i]);
                hand_close(&of_a);
                hand_close(&of_others[i]);
        }
        id = offer(&a, others[16].address, KIB64);
        expect_refused(&a, CODE_QUOTA, &id);
        /* Offers to it are another matter. */
        id = make_ring_without_hands(&b, &a);
        end_ring(&a, &b, &id);

        answer(&others[3], &of_others[3].id, KIB64);
        expect_answered(&a, others[3].address, KIB64, &of_others[3]);
        close(of_others[3].file);
        make_offer(&a, &others[16], &of_a, &of_others[16]);
        hand_close(&of_a);
        hand_close(&of_others[16]);
        for (unsigned i = 0; i < 17; i++) {
                client_close(&others[i]);
                expect_end(&a, others[i].address, &of_others[i].id, CODE_GONE);
        }
        stop();
}
END_TEST

/* --- answers --- */

START_TEST(only_the_other_side_answers_and_once) {
        Hand of_a, of_b;
        PacketId other;

        start(NULL);
        make_offer(&a, &b, &of_a, &of_b);
        crypto_random(other.bytes, sizeof(other.bytes));
        answer(&b, &other, KIB64);
        expect_error(&b, CODE_NOT_HERE);
        answer(&c, &of_b.id, KIB64);
        expect_error(&c, CODE_NOT_HERE);
        decline(&c, &of_b.id, CODE_DENIED);
        expect_error(&c, CODE_NOT_HERE);
        answer(&a, &of_b.id, KIB64);
        expect_error(&a, CODE_NOT_HERE);

        answer(&b, &of_b.id, KIB64);
        expect_answered(&a, b.address, KIB64, &of_a);
        answer(&b, &of_b.id, KIB64);
        expect_error(&b, CODE_NOT_HERE);
        decline(&b, &of_b.id, CODE_DENIED);
        expect_error(&b, CODE_NOT_HERE);
        expect_silence(&a);
        hand_close(&of_a);
        hand_close(&of_b);
        end_ring(&a, &b, &of_a.id);
        stop();
}
END_TEST

START_TEST(an_offer_ends_with_the_process_that_made_it) {
        Client dying;
        Hand of_dying, of_b;
        uint8_t byte;

        start(NULL);
        client_open(&dying, &d, 0);
        make_offer(&dying, &b, &of_dying, &of_b);
        hand_close(&of_dying);
        client_close(&dying);
        expect_end(&b, dying.address, &of_b.id, CODE_GONE);
        ck_assert_int_eq(read(of_b.bell_in, &byte, 1), 0);
        answer(&b, &of_b.id, KIB64);
        expect_error(&b, CODE_NOT_HERE);
        hand_close(&of_b);
        stop();
}
END_TEST

START_TEST(an_offer_ends_with_the_process_that_it_was_made) {
        Client dying;
        Hand of_a;
        PacketId id;

        start(NULL);
        client_open(&dying, &d, 0);
        id = offer(&a, dying.address, KIB64);
        expect_bells(&a, dying.address, &id, &of_a);
        client_close(&dying); /* and never read it */
        expect_end(&a, dying.address, &of_a.id, CODE_GONE);
        hand_close(&of_a);
        stop();
}
END_TEST

START_TEST(an_offer_that_nobody_answers_ends_in_time) {
        Hand of_a, of_b, again;
        PacketId id;

        start("[Bus]\nRingTimeout=1h\n");
        make_offer(&a, &b, &of_a, &of_b);
        reload(&c, "[Bus]\nRingTimeout=10ms\n");
        expect_end(&a, b.address, &of_a.id, CODE_TIMEOUT);
        expect_end(&b, a.address, &of_b.id, CODE_TIMEOUT);
        ck_assert_uint_eq(daemon_status(&d, "ring_timeouts"), 1);
        answer(&b, &of_b.id, KIB64);
        expect_error(&b, CODE_NOT_HERE);
        hand_close(&of_a);
        hand_close(&of_b);

        /* The next one has its own time; and one that was made has all the time. */
        id = offer(&a, b.address, KIB64);
        expect_bells(&a, b.address, &id, &again);
        expect_end(&a, b.address, &again.id, CODE_TIMEOUT);
        expect_offered(&b, a.address, KIB64, &of_b);
        expect_end(&b, a.address, &of_b.id, CODE_TIMEOUT);
        close(again.bell_in);
        close(again.bell_out);
        hand_close(&of_b);
        reload(&c, "[Bus]\nRingTimeout=1h\n");
        id = make_ring_without_hands(&a, &b);
        reload(&c, "[Bus]\nRingTimeout=10ms\n");
        make_offer(&a, &c, &of_a, &of_b);
        expect_end(&a, c.address, &of_a.id, CODE_TIMEOUT);
        expect_end(&c, a.address, &of_b.id, CODE_TIMEOUT);
        hand_close(&of_a);
        hand_close(&of_b);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

/* --- ends --- */

START_TEST(a_ring_ends_for_both_when_one_says_so) {
        Hand of_a, of_b;
        PacketId id;

        start(NULL);
        id = make_ring_without_hands(&a, &b);
        end(&c, &id, CODE_OK); /* not its own */
        expect_silence(&c);
        end(&a, &id, CODE_VIOLATION);
        expect_silence(&a);
        end(&b, &id, CODE_OK); /* it has not heard yet */
        expect_end(&b, a.address, &id, CODE_VIOLATION);
        expect_silence(&b);
        expect_silence(&a);
        ck_assert_uint_eq(daemon_status(&d, "ring_violations"), 1);
        ck_assert_uint_eq(daemon_said_times(&d, "reason=ring_violation"), 1);
        ck_assert_uint_eq(daemon_said_times(&d, "time 1 of this user"), 1);

        /* An offer is withdrawn, or was a bad one. Nobody speaks for the daemon. */
        make_offer(&a, &b, &of_a, &of_b);
        end(&a, &of_a.id, CODE_DENIED);
        expect_end(&b, a.address, &of_b.id, CODE_OK);
        hand_close(&of_a);
        hand_close(&of_b);
        make_offer(&a, &b, &of_a, &of_b);
        end(&b, &of_a.id, CODE_VIOLATION);
        expect_end(&a, b.address, &of_a.id, CODE_VIOLATION);
        ck_assert_uint_eq(daemon_said_times(&d, "time 2 of this user"), 1);
        hand_close(&of_a);
        hand_close(&of_b);
        stop();
}
END_TEST

START_TEST(a_reload_that_forbids_rings_ends_them) {
        Hand of_b, of_c;
        PacketId made, id;

        start(NULL);
        made = make_ring_without_hands(&a, &b);
        make_offer(&b, &c, &of_b, &of_c);
        daemon_configure(&d, "[Bus]\nRings=no\n");
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        expect_end(&a, b.address, &made, CODE_DENIED);
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOTICE)->value, 0);
        expect_word(&a, CONTROL_OK);
        expect_end(&b, a.address, &made, CODE_DENIED);
        expect_end(&b, c.address, &of_b.id, CODE_DENIED);
        expect_end(&c, b.address, &of_c.id, CODE_DENIED);
        hand_close(&of_b);
        hand_close(&of_c);
        id = offer(&a, b.address, KIB64);
        expect_refused(&a, CODE_UNSUPPORTED, &id);
        id = keep(&a, &made, b.address, KIB64);
        expect_refused(&a, CODE_UNSUPPORTED, &id);

        daemon_configure(&d, "");
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        ck_assert_uint_eq(expect_word(&a, CONTROL_NOTICE)->value, HELLO_RINGS);
        expect_word(&a, CONTROL_OK);
        id = make_ring_without_hands(&a, &b);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

/* T23 */
START_TEST(a_new_policy_takes_rings_away) {
        PacketId made;

        start(NULL);
        made = make_ring_without_hands(&a, &b);
        daemon_rule(&d, "50-test.policy", "[Talk]\nDenySendTo=same-user\n");
        client_say(&a, &(Control){ .verb = CONTROL_RELOAD });
        expect_end(&a, b.address, &made, CODE_DENIED);
        expect_word(&a, CONTROL_OK);
        expect_end(&b, a.address, &made, CODE_DENIED);
        made = offer(&a, b.address, KIB64);
        expect_refused(&a, CODE_DENIED, &made);
        ck_assert_ptr_nonnull(memmem(a.last.word.body, a.last.word.n_body,
                                     "50-test.policy:2: the sender's [Talk] DenySendTo=same-user",
                                     58));

        daemon_rule(&d, "50-test.policy", NULL);
        reload(&a, "");
        made = make_ring_without_hands(&a, &b);
        end_ring(&a, &b, &made);
        stop();
}
END_TEST

START_TEST(a_process_that_takes_over_has_no_ring) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { 44 };
        IdentityKey *keys[2];
        Client old, fresh;
        PacketId id;

        start(NULL);
        for (unsigned i = 0; i < 2; i++)
                ck_assert_int_eq(identity_new_from_seed(&keys[i], seed), 0);
        client_connect(&old, &d, keys[0]);
        client_attach(&old, 0);
        id = make_ring_without_hands(&a, &old);
        client_connect(&fresh, &d, keys[1]);
        client_attach(&fresh, ATTACH_TAKEOVER);
        expect_word(&old, CONTROL_GOODBYE);
        expect_end(&a, old.address, &id, CODE_GONE);
        client_close(&old);
        id = make_ring_without_hands(&a, &fresh);
        client_close(&fresh);
        expect_end(&a, fresh.address, &id, CODE_GONE);
        stop();
}
END_TEST

/* --- over a restart --- */

static void attach_again(Client *who, uint8_t seed_byte) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { seed_byte };
        IdentityKey *key;

        ck_assert_int_eq(identity_new_from_seed(&key, seed), 0);
        client_connect(who, &d, key);
        client_attach(who, 0);
}

static void attach_all(void) {
        attach_again(&a, 1);
        attach_again(&b, 2);
        attach_again(&c, 3);
        n_daemon_fds = daemon_fds(NULL);
}

/* Two with a ring, and a daemon that has come back. */
static PacketId restart_with_ring(const char *config) {
        PacketId id;

        daemon_start(&d, "--user", config);
        attach_all();
        id = make_ring_without_hands(&a, &b);
        daemon_end(&d);
        /* That the daemon goes does not end the ring. */
        ck_assert_uint_eq(expect_word(&a, CONTROL_GOODBYE)->code, CODE_SHUTDOWN);
        expect_closed(&a);
        ck_assert_uint_eq(expect_word(&b, CONTROL_GOODBYE)->code, CODE_SHUTDOWN);
        close_clients();
        daemon_restart(&d, "--user");
        attach_all();
        return id;
}

START_TEST(a_ring_that_both_keep_goes_on) {
        PacketId id = restart_with_ring(NULL), first, second;

        first = keep(&a, &id, b.address, KIB64);
        expect_silence(&a);
        ck_assert_uint_eq(daemon_status(&d, "ring_bytes"), KIB64);
        second = keep(&b, &id, a.address, 2 * KIB64);
        expect_kept(&b, &second);
        expect_kept(&a, &first);
        ck_assert_uint_eq(daemon_status(&d, "rings"), 1);
        ck_assert_uint_eq(daemon_status(&d, "ring_bytes"), 3 * KIB64);

        /* Whoever asks once more is told the same. */
        first = keep(&a, &id, b.address, KIB64);
        expect_kept(&a, &first);
        first = keep(&a, &id, c.address, KIB64);
        expect_refused(&a, CODE_NOT_HERE, &first);
        first = offer(&a, b.address, KIB64);
        expect_refused(&a, CODE_BUSY, &first);
        end_ring(&b, &a, &id);
        stop();
}
END_TEST

START_TEST(a_ring_that_one_keeps_ends_in_time) {
        PacketId id = restart_with_ring("[Bus]\nRingTimeout=1h\n"), first;

        first = keep(&a, &id, b.address, KIB64);
        expect_silence(&a);
        reload(&c, "[Bus]\nRingTimeout=10ms\n");
        expect_refused(&a, CODE_TIMEOUT, &first);
        ck_assert(address_equal(a.last.word.address, b.address));
        ck_assert_uint_eq(daemon_status(&d, "ring_timeouts"), 1);
        stop();
}
END_TEST

START_TEST(a_ring_that_one_keeps_ends_when_the_other_offers_another) {
        PacketId id = restart_with_ring(NULL), first, refused;
        Hand of_a, of_b;

        first = keep(&a, &id, b.address, KIB64);
        refused = keep(&a, &id, b.address, KIB64); /* it has said so */
        expect_refused(&a, CODE_BUSY, &refused);
        refused = offer(&a, b.address, KIB64); /* it has one */
        expect_refused(&a, CODE_BUSY, &refused);

        refused = offer(&b, a.address, KIB64);
        expect_refused(&a, CODE_GONE, &first);
        expect_bells(&b, a.address, &refused, &of_b);
        expect_offered(&a, b.address, KIB64, &of_a);
        answer(&a, &of_a.id, KIB64);
        expect_answered(&b, a.address, KIB64, &of_b);
        hand_close(&of_a);
        hand_close(&of_b);
        /* The old one is not to be had any more. */
        refused = keep(&a, &id, b.address, KIB64);
        expect_refused(&a, CODE_BUSY, &refused);
        end_ring(&a, &b, &of_a.id);
        stop();
}
END_TEST

START_TEST(nobody_keeps_the_ring_of_others) {
        PacketId id = restart_with_ring("[Bus]\nRingTimeout=1h\n"), first, second, third;

        first = keep(&a, &id, b.address, KIB64);
        expect_silence(&a); /* it is the first */
        third = keep(&c, &id, a.address, KIB64);
        expect_refused(&c, CODE_NOT_HERE, &third);
        third = keep(&c, &id, b.address, KIB64);
        expect_refused(&c, CODE_NOT_HERE, &third);
        second = keep(&b, &id, c.address, KIB64);
        expect_refused(&b, CODE_NOT_HERE, &second);
        second = keep(&b, &id, b.address, KIB64);
        expect_refused(&b, CODE_VIOLATION, &second);
        second = keep(&b, &id, a.address, KIB64 + 1);
        expect_refused(&b, CODE_VIOLATION, &second);
        expect_silence(&a);
        second = keep(&b, &id, a.address, KIB64);
        expect_kept(&b, &second);
        expect_kept(&a, &first);
        third = keep(&c, &id, a.address, KIB64);
        expect_refused(&c, CODE_NOT_HERE, &third);
        end_ring(&a, &b, &id);

        /* Given up while it waits for the other; or its process goes. */
        keep(&a, &id, b.address, KIB64);
        end(&a, &id, CODE_OK);
        expect_silence(&a);
        ck_assert_uint_eq(daemon_status(&d, "rings"), 0);
        keep(&c, &id, a.address, KIB64);
        client_close(&c);
        attach_again(&c, 3);
        stop();
}
END_TEST

/* --- users --- */

static void start_system(const char *config) {
        daemon_start(&d, "--system", config);
        client_open(&a, &d, 0);
        client_open_as(&b, &d, 0, 12345);
        client_open_as(&c, &d, 0, 12346);
        n_daemon_fds = daemon_fds(NULL);
}

START_TEST(both_must_be_allowed_to_send_to_each_other) {
        Client same;
        PacketId id, ring;

        if (!is_root("rings between users"))
                return;
        start_system(NULL);
        id = offer(&a, b.address, KIB64); /* only this direction is allowed */
        expect_refused(&a, CODE_DENIED, &id);
        id = offer(&b, a.address, KIB64);
        expect_refused(&b, CODE_DENIED, &id);
        id = offer(&b, c.address, KIB64);
        expect_refused(&b, CODE_DENIED, &id);
        client_open_as(&same, &d, 0, 12345);
        ring = make_ring_without_hands(&b, &same);

        /* An id of others is no help, neither now nor after a restart. */
        id = keep(&c, &ring, b.address, KIB64);
        expect_refused(&c, CODE_NOT_HERE, &id);
        end_ring(&b, &same, &ring);
        id = keep(&c, &ring, b.address, KIB64);
        expect_refused(&c, CODE_DENIED, &id);
        id = keep(&a, &ring, b.address, KIB64);
        expect_refused(&a, CODE_DENIED, &id);
        client_close(&same);
        stop();
}
END_TEST

START_TEST(policy_is_asked_when_the_second_says_that_it_keeps_a_ring) {
        PacketId ring, first, second;
        Client late;
        IdentityKey *key;
        Address address;

        if (!is_root("rings between users"))
                return;
        start_system(NULL);
        crypto_random(ring.bytes, sizeof(ring.bytes));
        ck_assert_int_eq(identity_new_random(&key), 0);
        address = identity_hash(key)->address;
        first = keep(&a, &ring, address, KIB64);
        expect_silence(&a);
        client_connect_as(&late, &d, key, 12345);
        client_attach(&late, 0);
        second = keep(&late, &ring, a.address, KIB64);
        expect_refused(&late, CODE_DENIED, &second);
        expect_refused(&a, CODE_DENIED, &first);
        client_close(&late);
        stop();
}
END_TEST

START_TEST(a_user_has_so_many_rings_and_so_much_in_their_files) {
        Hand of_b, of_same;
        Client same[2];
        PacketId ring, id;

        if (!is_root("quota of a user"))
                return;
        start_system("[Limits]\nRings=1\nRingBytes=256K\n");
        for (unsigned i = 0; i < 2; i++)
                client_open_as(&same[i], &d, 0, 12345);
        ring = make_ring_without_hands(&b, &same[0]); /* one, though both are this user's */
        id = offer(&b, same[1].address, KIB64);
        expect_refused(&b, CODE_QUOTA, &id);
        end_ring(&b, &same[0], &ring);

        id = offer(&b, same[1].address, 8 * KIB64);
        expect_refused(&b, CODE_QUOTA, &id);
        make_offer(&b, &same[1], &of_b, &of_same);
        answer(&same[1], &of_same.id, 4 * KIB64);
        expect_error(&same[1], CODE_QUOTA);
        expect_end(&b, same[1].address, &of_b.id, CODE_QUOTA);
        hand_close(&of_b);
        hand_close(&of_same);

        /* The same of those that are to be kept. */
        id = keep(&b, &ring, same[0].address, 8 * KIB64);
        expect_refused(&b, CODE_QUOTA, &id);
        expect_end(&same[0], b.address, &ring, CODE_QUOTA);
        keep(&b, &ring, same[0].address, KIB64);
        expect_silence(&b);
        id = keep(&same[0], &ring, b.address, 4 * KIB64);
        expect_refused(&same[0], CODE_QUOTA, &id);
        expect_error(&b, CODE_QUOTA);
        ring = make_ring_without_hands(&b, &same[0]);
        for (unsigned i = 0; i < 2; i++)
                client_close(&same[i]);
        expect_end(&b, same[0].address, &ring, CODE_GONE);
        stop();
}
END_TEST

START_TEST(on_a_user_bus_nobody_counts_rings) {
        PacketId id;

        start("[Limits]\nRings=0\nRingBytes=0\n");
        id = make_ring_without_hands(&a, &b);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

/* --- descriptors and queues --- */

START_TEST(without_descriptors_for_the_bells_an_offer_is_refused) {
        struct rlimit limit, few;
        uint64_t used;
        PacketId id;

        start(NULL);
        if (daemon_fds(&used) == 0 || used == UINT64_MAX ||
            prlimit(d.os_pid, RLIMIT_NOFILE, NULL, &limit) < 0) {
                printf("# SKIP no descriptors for bells: needs root\n");
                stop();
                return;
        }
        /* Room for the file and @free_fds ends of the four. */
        for (unsigned free_fds = 0; free_fds < 4; free_fds++) {
                unsigned n = 0;

                for (few = limit, few.rlim_cur = 0; n < free_fds + 1; few.rlim_cur++)
                        n += !(used >> few.rlim_cur & 1);
                ck_assert_int_eq(prlimit(d.os_pid, RLIMIT_NOFILE, &few, NULL), 0);
                id = offer(&a, b.address, KIB64);
                expect_refused(&a, CODE_QUOTA, &id);
        }
        expect_silence(&b);
        ck_assert_int_eq(prlimit(d.os_pid, RLIMIT_NOFILE, &limit, NULL), 0);
        id = make_ring_without_hands(&a, &b);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

static void fill_socket(Client *from, const Client *sleeper, unsigned n) {
        uint8_t payload[16384] = { 0 };

        for (unsigned i = 0; i < n; i++)
                client_send(from, sleeper->address, PACKET_RECORDS, payload, sizeof(payload));
        expect_silence(from);
}

static void read_records(Client *who, unsigned n) {
        for (unsigned i = 0; i < n; i++)
                ck_assert_uint_eq(expect_packet(who)->header.kind, PACKET_RECORDS);
}

START_TEST(descriptors_for_one_who_does_not_read_are_charged_to_its_user) {
        /* Eight in all: three of each offer wait, and two pass through. */
        const char *config =
                geteuid() == 0 ? "[Limits]\nDescriptors=1\n" : "[Limits]\nDescriptors=8\n";
        Hand of_a, of_b, of_sleeper;
        Client sleeper;
        PacketId id;

        start(config);
        client_open(&sleeper, &d, 0);
        fill_socket(&c, &sleeper, 40);
        id = offer(&a, sleeper.address, KIB64);
        expect_bells(&a, sleeper.address, &id, &of_a);
        id = offer(&b, sleeper.address, KIB64);
        expect_bells(&b, sleeper.address, &id, &of_b);
        expect_silence(&a); /* what was written is closed by now */
        if (n_daemon_fds > 0)
                ck_assert_uint_eq(daemon_fds(NULL), n_daemon_fds + 1 + 6);
        id = offer(&c, sleeper.address, KIB64);
        expect_refused(&c, CODE_QUEUE_FULL, &id);
        ck_assert_uint_eq(daemon_status(&d, "rings"), 2);
        expect_silence(&a); /* what was written is closed by now */
        if (n_daemon_fds > 0)
                ck_assert_uint_eq(daemon_fds(NULL), n_daemon_fds + 1 + 6);

        /* It reads, and the third may try again. */
        read_records(&sleeper, 40);
        expect_offered(&sleeper, a.address, KIB64, &of_sleeper);
        hand_close(&of_sleeper);
        expect_offered(&sleeper, b.address, KIB64, &of_sleeper);
        hand_close(&of_sleeper);
        ck_assert(address_equal(expect_word(&c, CONTROL_QUEUE_SPACE)->address, sleeper.address));
        id = make_ring_without_hands(&c, &sleeper);
        client_close(&sleeper);
        expect_end(&a, sleeper.address, &of_a.id, CODE_GONE);
        expect_end(&b, sleeper.address, &of_b.id, CODE_GONE);
        expect_end(&c, sleeper.address, &id, CODE_GONE);
        hand_close(&of_a);
        hand_close(&of_b);
        stop();
}
END_TEST

START_TEST(what_was_never_read_goes_with_its_process) {
        Client sleeper;
        Hand of_a;
        uint8_t byte;
        PacketId id;

        start(NULL);
        client_open(&sleeper, &d, 0);
        fill_socket(&c, &sleeper, 40);
        id = offer(&a, sleeper.address, KIB64);
        expect_bells(&a, sleeper.address, &id, &of_a);
        client_close(&sleeper);
        expect_end(&a, sleeper.address, &of_a.id, CODE_GONE);
        expect_silence(&a); /* the next turn: what died is freed */
        ck_assert_int_eq(read(of_a.bell_in, &byte, 1), 0);
        hand_close(&of_a);
        stop();
}
END_TEST

START_TEST(an_answer_that_does_not_fit_ends_the_offer) {
        const char *config = "[Limits]\nQueueBytes=1M\nConnectionQueue=256K\n";
        uint8_t payload[16384] = { 0 };
        unsigned n_refused = 0, n_sent = 0;
        Hand of_a, of_b;
        PacketId id;

        start(config);
        make_offer(&a, &b, &of_a, &of_b);
        /* Until the queue of the offerer, who does not read, is full to the last byte but some. */
        for (size_t size = sizeof(payload); size > 0; size /= 4) {
                unsigned before = n_refused;

                while (n_refused == before) {
                        client_send(&c, a.address, PACKET_RECORDS, payload, size);
                        n_sent++;
                        id = client_say(
                                &c, &(Control){ .verb = CONTROL_RESOLVE, .address = c.address });
                        while (expect_packet(&c)->word.verb != CONTROL_RESOLVED) {
                                ck_assert_uint_eq(c.last.word.code, CODE_QUEUE_FULL);
                                n_refused++;
                        }
                }
        }
        answer(&b, &of_b.id, KIB64);
        expect_error(&b, CODE_QUEUE_FULL);
        id = offer(&b, a.address, KIB64);
        expect_refused(&b, CODE_QUEUE_FULL, &id);
        read_records(&a, n_sent - n_refused);
        expect_end(&a, b.address, &of_a.id, CODE_QUEUE_FULL);
        ck_assert(address_equal(expect_word(&b, CONTROL_QUEUE_SPACE)->address, a.address));
        expect_word(&c, CONTROL_QUEUE_SPACE);
        hand_close(&of_a);
        hand_close(&of_b);
        stop();
}
END_TEST

/*
 * The kernel counts what is under way for a user, in sockets that nobody reads: here for the daemon,
 * which may not have more than 64, unless it is privileged.
 */
START_TEST(descriptors_that_cannot_go_end_no_connection) {
        unsigned n_whole = 0, n_bare = 0;
        struct rlimit limit, few;
        PacketId id;

        /* What this process has it keeps; the daemon will not get it. */
        (void)prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0);
        (void)prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0);
        start(NULL);
        ck_assert_int_eq(prlimit(d.os_pid, RLIMIT_NOFILE, NULL, &limit), 0);
        few = limit;
        few.rlim_cur = 64;
        ck_assert_int_eq(prlimit(d.os_pid, RLIMIT_NOFILE, &few, NULL), 0);
        for (unsigned i = 0; i < 40; i++) {
                (void)offer(&a, b.address, KIB64);
                id = expect_word(&a, CONTROL_RING_BELLS)->ref;
                close_received(&a);
                end(&a, &id, CODE_OK);
        }
        for (unsigned i = 0; i < 40; i++) {
                id = expect_word(&b, CONTROL_RING_OFFERED)->ref;
                if (b.last.header.n_fds == 3)
                        n_whole++;
                else
                        n_bare++;
                close_received(&b);
                expect_end(&b, a.address, &id, CODE_OK);
        }
        ck_assert_uint_eq(n_whole + n_bare, 40);
        ck_assert_uint_gt(n_bare, 0);
        /* Now that all is read there is room again. */
        ck_assert_int_eq(prlimit(d.os_pid, RLIMIT_NOFILE, &limit, NULL), 0);
        id = make_ring_without_hands(&a, &b);
        end_ring(&a, &b, &id);
        stop();
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("introduction");
        TCase *made = tcase_create("made"), *refused = tcase_create("refused"),
              *answers = tcase_create("answers"), *ends = tcase_create("ends"),
              *kept = tcase_create("kept"), *users = tcase_create("users"),
              *fds = tcase_create("descriptors");

        tcase_add_test(made, both_get_the_file_of_the_other_and_bells_that_ring);
        tcase_add_test(made, a_bell_ends_when_the_other_process_does);
        tcase_add_test(made, a_declined_offer_leaves_nothing);
        tcase_add_test(made, words_that_take_no_descriptor_have_theirs_closed);

        tcase_add_test(refused, an_offer_with_a_bad_file_is_refused);
        tcase_add_test(refused, one_descriptor_comes_with_offer_and_answer);
        tcase_add_test(refused, an_offer_to_nobody_or_oneself_is_refused);
        tcase_add_test(refused, two_processes_have_one_ring);
        tcase_add_test(refused, sixteen_offers_of_a_process_may_wait);

        tcase_add_test(answers, an_answer_with_a_bad_file_ends_the_offer);
        tcase_add_test(answers, only_the_other_side_answers_and_once);
        tcase_add_test(answers, an_offer_ends_with_the_process_that_made_it);
        tcase_add_test(answers, an_offer_ends_with_the_process_that_it_was_made);
        tcase_add_test(answers, an_offer_that_nobody_answers_ends_in_time);

        tcase_add_test(ends, a_ring_ends_for_both_when_one_says_so);
        tcase_add_test(ends, a_reload_that_forbids_rings_ends_them);
        tcase_add_test(ends, a_new_policy_takes_rings_away);
        tcase_add_test(ends, a_process_that_takes_over_has_no_ring);

        tcase_add_test(kept, a_ring_that_both_keep_goes_on);
        tcase_add_test(kept, a_ring_that_one_keeps_ends_in_time);
        tcase_add_test(kept, a_ring_that_one_keeps_ends_when_the_other_offers_another);
        tcase_add_test(kept, nobody_keeps_the_ring_of_others);

        tcase_add_test(users, both_must_be_allowed_to_send_to_each_other);
        tcase_add_test(users, policy_is_asked_when_the_second_says_that_it_keeps_a_ring);
        tcase_add_test(users, a_user_has_so_many_rings_and_so_much_in_their_files);
        tcase_add_test(users, on_a_user_bus_nobody_counts_rings);

        tcase_add_test(fds, without_descriptors_for_the_bells_an_offer_is_refused);
        tcase_add_test(fds, descriptors_for_one_who_does_not_read_are_charged_to_its_user);
        tcase_add_test(fds, what_was_never_read_goes_with_its_process);
        tcase_add_test(fds, an_answer_that_does_not_fit_ends_the_offer);
        tcase_add_test(fds, descriptors_that_cannot_go_end_no_connection);

        suite_add_tcase(suite, made);
        suite_add_tcase(suite, refused);
        suite_add_tcase(suite, answers);
        suite_add_tcase(suite, ends);
        suite_add_tcase(suite, kept);
        suite_add_tcase(suite, users);
        suite_add_tcase(suite, fds);
        return suite;
}
