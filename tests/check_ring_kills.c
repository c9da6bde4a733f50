/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One process talks with others that are killed, each at some other point: while a ring is made,
 * used, given back. Some kill themselves after so many calls, some are stopped and killed at a system
 * call, the rest is killed by the survivor, which has seen so many calls begin. They have a few keys in turn, so that most are a process
 * that comes back.
 *
 * The survivor never blocks, what it reads is whole and in order and is all that was committed in a
 * ring, nothing of what one life took is said to the next, and nothing of a ring is left behind.
 */

#include "config.h"

#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/main.h"
#include "tests/partner.h"

#ifdef __SANITIZE_ADDRESS__ /* several times as slow; the points are the same */
#define N_ROUNDS 200
#else
#define N_ROUNDS 2000
#endif
#define N_KEYS 4
#define TURN_MSEC 10
#define TURNS_MAX (EXPECT_MSEC / TURN_MSEC) /* with nothing in them, in a row */

/* What a victim is told. Numbers are its life and, below that, count from 0. */
typedef struct Round {
        uint64_t seed;
        uint32_t life, key;
        uint32_t n_calls; /* it kills itself before this one; 0: it goes on */
        uint32_t n_stops; /* it is killed here, at the beginning or end of a system call; 0: not */
        bool asks;        /* for a ring */
} Round;

/* What the nursery and the victims say, in one pipe, in one piece. */
typedef struct Report {
        enum {
                BORN,  /* value: process id */
                CALL,  /* a victim is about to make one */
                BURIED /* value: status */
        } what;
        int value;
} Report;

/* Memory that all have. */
typedef struct Shared {
        char survivor[P2PBUS_FULL_SIZE];
        char key_files[N_KEYS][128];
        uint64_t committed;     /* numbers below are in a ring by now, or have come already */
        uint64_t unknown;       /* but so many, of which this life heard that they may be lost */
        uint64_t taken[N_KEYS]; /* all numbers below came to one of the lives, or never will */
} Shared;

static Daemon daemon_of_test;
static Daemon *const d = &daemon_of_test;
static Shared *shared;

static int pipe_down[2], pipe_up[2];

static void report(int what, int value) {
        const Report r = { what, value };

        partner_claim(write(pipe_up[1], &r, sizeof(r)) == sizeof(r), "%s", strerror(errno));
}

/* A message of 16 to 200 bytes, one in eight of up to 5,000, one in 64 of up to 150,000. */
static size_t random_size(uint64_t *state) {
        uint64_t r = talk_random(state), which = r % 64;

        return (r >> 8) % (which == 0 ? 150000 : which < 8 ? 5000 : 200);
}

static int compose(p2pbus *bus, const char *to, uint64_t number, void (*between)(void *),
                   void *userdata) {
        p2pbus_message *m;
        uint64_t *data;
        int r;

        r = p2pbus_reserve(bus, to, 2 * sizeof(*data), &m, (void **)&data);
        if (r < 0)
                return r;
        data[0] = data[1] = number; /* the checksum of nothing is the number */
        between(userdata);
        r = p2pbus_commit(bus, m, 2 * sizeof(*data), 0, NULL);
        p2pbus_message_unref(m);
        return r;
}

/* ---- Victims ---- */

typedef struct Victim {
        const Round *round;
        p2pbus *bus;
        uint64_t state;
        uint32_t n_calls, n_sent;
} Victim;

static void before_a_call(void *userdata) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };
        Victim *v = userdata;

        if (v->bus) {
                ok(p2pbus_get_counters(v->bus, &counters));
                shared->unknown = counters.unknown;
        }
        report(CALL, 0);
        if (++v->n_calls == v->round->n_calls)
                (void)raise(SIGKILL);
}

static void victim_send(Victim *v) {
        uint64_t number = (uint64_t)v->round->life << 32 | v->n_sent;
        int r = talk_random(&v->state) % 4 == 0
                        ? compose(v->bus, shared->survivor, number, before_a_call, v)
                        : talk_try_send(v->bus, shared->survivor, number, random_size(&v->state));

        partner_claim(r == 0 || r == -EAGAIN, "%d", r);
        v->n_sent += r == 0;
}

static void victim_receive(Victim *v) {
        uint64_t *taken = &shared->taken[v->round->key];
        p2pbus_message *m;

        while (p2pbus_receive(v->bus, 0, &m) == 0) {
                uint64_t number = talk_number(m);

                partner_claim(number >= *taken, "number %" PRIu64 " after %" PRIu64, number,
                              *taken);
                *taken = number + 1;
                before_a_call(v);
                p2pbus_message_unref(m);
        }
}

/* Now it is in a ring, or, of those sent before there was one, known to have come. */
static void victim_hand_over(Victim *v) {
        uint32_t n = v->n_sent;

        if (talk_path(v->bus, shared->survivor) == P2PBUS_PATH_RING &&
            p2pbus_hand_over(v->bus, SECOND) == 0 &&
            talk_path(v->bus, shared->survivor) == P2PBUS_PATH_RING)
                shared->committed = n;
}

static void victim_set_ring(Victim *v, int rule) {
        ok(p2pbus_set_ring(v->bus, shared->survivor, rule));
}

static void live(const Round *round) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = d->socket,
                .key_file = shared->key_files[round->key],
                .flags = P2PBUS_TAKEOVER, /* the daemon may still hold the life before */
        };
        Victim v = { .round = round, .state = round->seed };

        before_a_call(&v);
        ok(p2pbus_open(&v.bus, &options));
        for (;;) {
                uint64_t what = talk_random(&v.state) % 32;

                before_a_call(&v);
                if (v.n_sent == 0 || what < 14)
                        victim_send(&v);
                else if (what < 20)
                        victim_receive(&v);
                else if (what < 24)
                        ok(p2pbus_wait(v.bus, SECOND / 5000));
                else if (what < 26)
                        victim_hand_over(&v);
                else if (what == 26)
                        victim_set_ring(&v, P2PBUS_RING_NEVER);
                else if (what < 30 && round->asks)
                        victim_set_ring(&v, P2PBUS_RING_ALWAYS);
                else
                        ok(p2pbus_process(v.bus));
                if (what == 26)
                        victim_set_ring(&v, P2PBUS_RING_AUTO);
        }
}

/* Its parent counts its system calls. Where nobody may do that, it lives no longer. */
static void be_stepped(void) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                (void)raise(SIGKILL);
        (void)raise(SIGSTOP);
}

static int wait_for(pid_t child) {
        int status;

        partner_claim(waitpid(child, &status, 0) == child, "%s", strerror(errno));
        return status;
}

/* Return: its last status. */
static int step(pid_t child, uint32_t n_stops) {
        int status = wait_for(child);

        while (WIFSTOPPED(status)) {
                if (n_stops-- == 0)
                        (void)kill(child, SIGKILL);
                else
                        (void)ptrace(PTRACE_SYSCALL, child, NULL, NULL);
                status = wait_for(child);
        }
        return status;
}

/* Forks them: a process that has little itself, and is not the survivor. Until the pipe is closed. */
static void keep_nursery(void) {
        Round round;
        pid_t child;

        partner_begin();
        (void)alarm(0);
        (void)close(pipe_down[1]);
        while (read(pipe_down[0], &round, sizeof(round)) == sizeof(round)) {
                child = fork();
                partner_claim(child >= 0, "%s", strerror(errno));
                if (child == 0) {
                        partner_begin();
                        if (round.n_stops > 0)
                                be_stepped();
                        live(&round);
                }
                report(BORN, child);
                report(BURIED, round.n_stops > 0 ? step(child, round.n_stops) : wait_for(child));
        }
        _exit(0);
}

/* ---- The survivor ---- */

typedef struct Key {
        char full[P2PBUS_FULL_SIZE];
        uint32_t life, n_came, next; /* of whom we last heard */
        uint64_t n_sent;
} Key;

typedef struct Survivor {
        p2pbus *bus;
        uint64_t state;
        Key keys[N_KEYS];
        unsigned n_idle; /* turns in a row */
        pid_t victim;
        unsigned n_calls, kill_at; /* 0: it does that itself */
        bool is_over;
} Survivor;

static void take_one(Survivor *s, p2pbus_message *m) {
        uint64_t number = talk_number(m);
        uint32_t life = (uint32_t)(number >> 32), n = (uint32_t)number;
        Key *key = s->keys;

        while (strcmp(key->full, p2pbus_message_get_from(m)) != 0)
                ck_assert_ptr_ne(++key, s->keys + N_KEYS);
        if (life != key->life) {
                ck_assert_uint_gt(life, key->life);
                key->life = life;
                key->n_came = key->next = 0;
        }
        ck_assert_msg(n >= key->next, "life %u: %u after %u", life, n, key->next);
        key->next = n + 1;
        key->n_came++;
        s->n_idle = 0;
}

static void take_all(Survivor *s, uint64_t timeout_usec) {
        p2pbus_message *m;

        for (; p2pbus_receive(s->bus, timeout_usec, &m) == 0; p2pbus_message_unref(m))
                take_one(s, m);
}

static void hear(Survivor *s) {
        Report r;

        while (!s->is_over && read(pipe_up[0], &r, sizeof(r)) == sizeof(r)) {
                s->n_idle = 0;
                if (r.what == BORN)
                        s->victim = r.value;
                else if (r.what == CALL)
                        s->n_calls++;
                else {
                        s->is_over = true;
                        ck_assert_msg(WIFSIGNALED(r.value) && WTERMSIG(r.value) == SIGKILL,
                                      "it ended with %#x", (unsigned)r.value);
                }
        }
        if (!s->is_over && s->kill_at > 0 && s->n_calls >= s->kill_at && s->victim > 0) {
                ck_assert_int_eq(kill(s->victim, SIGKILL), 0);
                s->kill_at = 0;
        }
}

/* Either what a loop of a program's own does, or a call that waits. */
static void turn(Survivor *s) {
        struct pollfd fds[] = {
                { .fd = p2pbus_get_fd(s->bus), .events = POLLIN },
                { .fd = pipe_up[0], .events = POLLIN },
        };
        uint64_t usec;

        ck_assert_uint_lt(++s->n_idle, TURNS_MAX);
        if (talk_random(&s->state) % 8 == 0) {
                take_all(s, SECOND / 5000);
        } else {
                ok(p2pbus_get_timeout(s->bus, &usec));
                ck_assert_int_ge(
                        poll(fds, s->is_over ? 1 : 2, (int)MIN(usec / 1000, (uint64_t)TURN_MSEC)),
                        0);
                ok(p2pbus_process(s->bus));
                take_all(s, 0);
        }
        hear(s);
}

static void nothing_between(void *userdata) {
        (void)userdata;
}

static void say_something(Survivor *s, Key *key) {
        int r = talk_random(&s->state) % 4 == 0
                        ? compose(s->bus, key->full, key->n_sent, nothing_between, NULL)
                        : talk_try_send(s->bus, key->full, key->n_sent, random_size(&s->state));

        ck_assert_msg(r == 0 || r == -EAGAIN, "%d", r);
        key->n_sent += r == 0;
}

static Round play(Survivor *s, uint32_t life) {
        uint64_t bits = talk_random(&s->state);
        unsigned n = (unsigned)(1 + (bits >> 32) % (UINT64_C(8) << bits % 6));
        bool steps = (bits >> 20 & 3) == 0, kills = !steps && (bits >> 8 & 1);
        bool sends = (bits >> 9 & 7) != 0, asks = bits >> 12 & 1;
        Round round = {
                .seed = talk_random(&s->state),
                .life = life,
                .key = (uint32_t)(bits >> 16) % N_KEYS,
                .n_calls = kills || steps ? 0 : n,
                .n_stops = steps ? 8 * n : 0,
                .asks = !asks || (bits >> 13 & 1),
        };
        Key *key = &s->keys[round.key];

        s->n_calls = s->n_idle = 0;
        s->victim = 0;
        s->kill_at = kills ? n : 0;
        s->is_over = false;
        shared->committed = shared->unknown = 0;
        ck_assert_int_eq(write(pipe_down[1], &round, sizeof(round)), sizeof(round));
        ok(p2pbus_set_ring(s->bus, key->full, asks ? P2PBUS_RING_ALWAYS : P2PBUS_RING_AUTO));
        while (!s->is_over) {
                for (uint64_t i = talk_random(&s->state) % 4; sends && i > 0; i--)
                        say_something(s, key);
                turn(s);
        }
        ok(p2pbus_set_ring(s->bus, key->full, P2PBUS_RING_AUTO));
        return round;
}

/* Whatever was under way ends, and nothing of a ring is left. */
static void mourn(Survivor *s, const Key *key, unsigned n_fds) {
        s->n_idle = 0;
        while (talk_path(s->bus, key->full) == P2PBUS_PATH_RING || talk_count_maps(0) > 0 ||
               talk_count_fds(0) > n_fds)
                turn(s);
        ck_assert_uint_eq(talk_count_fds(0), n_fds);
}

/*
 * All that was committed has come. Between two lives of a process it may happen that both sides begin
 * a session at once; who gives way does not know the fate of what it had said, and hears that.
 */
static uint64_t count(const Key *key, const Round *round) {
        uint32_t came = key->life == round->life ? key->n_came : 0;
        uint32_t next = key->life == round->life ? key->next : 0;

        ck_assert_msg(next >= shared->committed,
                      "life %u: the first %" PRIu64 " were committed, %u came", round->life,
                      shared->committed, next);
        /* Who kills itself has said what it knows; else the kill may have been faster. */
        if (round->n_calls > 0)
                ck_assert_msg(next - came <= shared->unknown,
                              "life %u: %u of %u are missing, it knows of %" PRIu64, round->life,
                              next - came, next, shared->unknown);
        return came;
}

static void prepare(Survivor *s) {
        shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                      0);
        ck_assert_ptr_ne(shared, MAP_FAILED);
        for (unsigned i = 0; i < N_KEYS; i++) {
                (void)snprintf(shared->key_files[i], sizeof(shared->key_files[i]), "%s/key-%u",
                               d->folder, i);
                ok(p2pbus_key_generate(shared->key_files[i], s->keys[i].full));
        }
        ck_assert_int_eq(pipe2(pipe_down, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(pipe_up, O_CLOEXEC), 0);
}

START_TEST(whoever_is_killed_when_the_survivor_is_well) {
        const char *given = getenv("RING_KILLS_SEED");
        Survivor s = { .state = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) };
        const char *more = getenv("RING_KILLS_ROUNDS");
        const uint32_t n_rounds = more ? (uint32_t)strtoul(more, NULL, 0) : N_ROUNDS;
        unsigned n_fds, n_daemon_fds;
        uint64_t n_came = 0, n_committed = 0;
        int status;
        pid_t nursery;

        printf("# seed %" PRIu64 " (RING_KILLS_SEED), %u rounds (RING_KILLS_ROUNDS)\n", s.state,
               n_rounds);
        (void)fflush(stdout);
        ck_assert_int_eq(unsetenv("P2PBUS_KEY"), 0);
        daemon_start(d, "--user", NULL);
        prepare(&s);
        nursery = test_fork();
        if (nursery == 0)
                keep_nursery();
        (void)close(pipe_down[0]);
        (void)close(pipe_up[1]);
        ck_assert_int_eq(fcntl(pipe_up[0], F_SETFL, O_NONBLOCK), 0);

        s.bus = talk_open(d, 0);
        strcpy(shared->survivor, p2pbus_get_full(s.bus));
        n_fds = talk_count_fds(0);
        n_daemon_fds = talk_count_fds(d->os_pid);
        for (uint32_t life = 1; life <= n_rounds; life++) {
                Round round = play(&s, life);

                mourn(&s, &s.keys[round.key], n_fds);
                n_came += count(&s.keys[round.key], &round);
                n_committed += shared->committed;
                if (life % 50 == 0)
                        talk_until_rings(d, 0);
        }
        talk_until_rings(d, 0);
        printf("# %" PRIu64 " rings, %" PRIu64 " messages, %" PRIu64 " certainly\n",
               daemon_status(d, "rings_made"), n_came, n_committed);
        ck_assert_uint_gt(daemon_status(d, "rings_made"), n_rounds / 10);
        ck_assert_uint_eq(daemon_status(d, "ring_violations"), 0);
        for (unsigned i = 0; talk_count_fds(d->os_pid) != n_daemon_fds; i++)
                ck_assert_uint_lt(i, TURNS_MAX);

        (void)close(pipe_down[1]);
        ck_assert_int_eq(waitpid(nursery, &status, 0), nursery);
        ck_assert_int_eq(status, 0);
        p2pbus_unref(s.bus);
        daemon_stop(d);
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("ring kills");
        TCase *kills = tcase_create("kills");

        tcase_set_timeout(kills, 400);
        tcase_add_test(kills, whoever_is_killed_when_the_survivor_is_well);
        suite_add_tcase(suite, kills);
        return suite;
}
