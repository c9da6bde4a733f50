/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/partner.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/main.h"

#define HEAD_SIZE (2 * sizeof(uint64_t))
#define ALARM_SECONDS 120 /* ends a partner that hangs */

static bool is_partner;

void partner_fail(const char *file, int line, const char *claim, const char *format, ...) {
        char text[512];
        va_list list;

        va_start(list, format);
        (void)vsnprintf(text, sizeof(text), format, list);
        va_end(list);
        if (!is_partner)
                ck_abort_msg("%s:%d: %s: %s", file, line, claim, text);
        fprintf(stderr, "%s:%d: partner: %s: %s\n", file, line, claim, text);
        _exit(1);
}

/* Processes */

void partner_begin(void) {
        is_partner = true;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)alarm(ALARM_SECONDS);
}

static void close_all_but(int a, int b) {
        for (int fd = 3; fd < 1024; fd++)
                if (fd != a && fd != b)
                        (void)close(fd);
}

static void run_child(const PartnerOptions *options, Partner *self) {
        p2pbus_options how = {
                .struct_size = sizeof(how),
                .socket_path = options->daemon->socket,
                .key_file = options->key_file,
        };
        p2pbus *bus;

        partner_begin();
        close_all_but(self->in, self->out);
        if (options->uid != 0)
                partner_claim(setresgid(options->uid, options->uid, options->uid) == 0 &&
                                      setresuid(options->uid, options->uid, options->uid) == 0,
                              "%s", strerror(errno));
        ok(p2pbus_open(&bus, &how));
        partner_claim(write(self->out, p2pbus_get_full(bus), P2PBUS_FULL_SIZE) == P2PBUS_FULL_SIZE,
                      "%s", strerror(errno));
        options->run(bus, self);
        p2pbus_unref(bus);
        _exit(0);
}

static void read_all(int fd, void *data, size_t n) {
        uint8_t *at = data;

        while (n > 0) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                ssize_t done;

                partner_claim(poll(&p, 1, EXPECT_MSEC) != 0, "the other one says nothing");
                done = read(fd, at, n);
                partner_claim(done > 0 || (done < 0 && errno == EINTR), "the other one has gone");
                if (done > 0) {
                        at += done;
                        n -= (size_t)done;
                }
        }
}

void partner_start(Partner *p, const PartnerOptions *options) {
        int up[2], down[2];

        ck_assert_int_eq(pipe2(up, O_CLOEXEC), 0);
        ck_assert_int_eq(pipe2(down, O_CLOEXEC), 0);
        (void)fflush(NULL);
        p->os_pid = test_fork();
        if (p->os_pid == 0) {
                *p = (Partner){ .in = down[0], .out = up[1] };
                run_child(options, p);
        }
        (void)close(up[1]);
        (void)close(down[0]);
        p->in = up[0];
        p->out = down[1];
        read_all(p->in, p->full, sizeof(p->full));
}

void partner_tell(Partner *p, uint64_t number) {
        partner_claim(write(p->out, &number, sizeof(number)) == sizeof(number), "%s",
                      strerror(errno));
}

uint64_t partner_hear(Partner *p) {
        uint64_t number;

        read_all(p->in, &number, sizeof(number));
        return number;
}

bool partner_hear_now(Partner *p, uint64_t *ret) {
        struct pollfd poll_in = { .fd = p->in, .events = POLLIN };

        if (poll(&poll_in, 1, 0) <= 0 || !(poll_in.revents & POLLIN))
                return false;
        *ret = partner_hear(p);
        return true;
}

static int end(Partner *p) {
        int status;

        (void)close(p->in);
        (void)close(p->out);
        ck_assert_int_eq(waitpid(p->os_pid, &status, 0), p->os_pid);
        return status;
}

void partner_stop(Partner *p) {
        int status = end(p);

        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "partner ended with %#x",
                      (unsigned)status);
}

void partner_bury(Partner *p) {
        int status = end(p);

        ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "partner ended with %#x",
                      (unsigned)status);
}

void partner_kill(Partner *p) {
        ck_assert_int_eq(kill(p->os_pid, SIGKILL), 0);
        partner_bury(p);
}

/* Messages with numbers */

uint64_t talk_random(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

/* Fills what is behind the head. Return: its checksum. */
static uint64_t fill(uint64_t number, uint8_t *data, size_t n) {
        uint64_t state = number ^ UINT64_C(0x5bd1e995), sum = number;

        for (size_t at = 0; at < n; at += sizeof(uint64_t)) {
                uint64_t word = talk_random(&state);

                memcpy(data + at, &word, MIN(sizeof(word), n - at));
                sum = (sum ^ word) * UINT64_C(0x100000001b3);
        }
        return sum;
}

static p2pbus_message *new_number(uint64_t number, size_t size) {
        uint8_t *data = malloc(MAX(size, HEAD_SIZE));
        p2pbus_message *m;
        uint64_t sum;

        size = MAX(size, HEAD_SIZE);
        sum = fill(number, data + HEAD_SIZE, size - HEAD_SIZE);
        memcpy(data, &number, sizeof(number));
        memcpy(data + sizeof(number), &sum, sizeof(sum));
        ok(p2pbus_message_new_take(&m, data, size));
        return m;
}

uint64_t talk_number(p2pbus_message *m) {
        const uint8_t *data = p2pbus_message_get_payload(m);
        size_t size = p2pbus_message_get_size(m);
        uint64_t number, sum;
        uint8_t *good;

        partner_claim(size >= HEAD_SIZE, "%zu bytes", size);
        memcpy(&number, data, sizeof(number));
        memcpy(&sum, data + sizeof(number), sizeof(sum));
        good = malloc(size);
        partner_claim(fill(number, good, size - HEAD_SIZE) == sum &&
                              memcmp(good, data + HEAD_SIZE, size - HEAD_SIZE) == 0,
                      "message %" PRIu64 " is not as it was sent", number);
        free(good);
        return number;
}

int talk_try_send(p2pbus *bus, const char *dest, uint64_t number, size_t size) {
        p2pbus_message *m = new_number(number, size);
        int r = p2pbus_send(bus, dest, m, 0, NULL);

        p2pbus_message_unref(m);
        return r;
}

int talk_send(p2pbus *bus, const char *dest, uint64_t number, size_t size) {
        int r;

        while ((r = talk_try_send(bus, dest, number, size)) == -EAGAIN)
                if (p2pbus_wait(bus, PATIENCE) < 0)
                        break;
        return r;
}

void talk_both_ways(p2pbus *bus, const char *dest, uint64_t n, size_t size_max, uint64_t seed) {
        size_t size = talk_random(&seed) % size_max;
        p2pbus_message *m;
        int r;

        for (uint64_t sent = 0, came = 0; sent < n || came < n;) {
                r = sent < n ? talk_try_send(bus, dest, sent, size) : -EAGAIN;
                if (r == 0) {
                        sent++;
                        size = talk_random(&seed) % size_max;
                }
                partner_claim(r == 0 || r == -EAGAIN, "%d", r);
                while (p2pbus_receive(bus, 0, &m) == 0) {
                        uint64_t number = talk_number(m);

                        partner_claim(number == came, "number %" PRIu64 " instead of %" PRIu64,
                                      number, came);
                        came++;
                        p2pbus_message_unref(m);
                }
                if (r != 0 && came < n)
                        ok(p2pbus_wait(bus, PATIENCE));
        }
        ok(p2pbus_flush(bus, PATIENCE));
}

uint64_t talk_receive(p2pbus *bus) {
        p2pbus_message *m;
        uint64_t number;

        ok(p2pbus_receive(bus, PATIENCE, &m));
        number = talk_number(m);
        p2pbus_message_unref(m);
        return number;
}

static bool begins_with(p2pbus_message *m, const char *text) {
        size_t n = strlen(text);

        return p2pbus_message_get_size(m) >= n &&
               memcmp(p2pbus_message_get_payload(m), text, n) == 0;
}

static void answer(p2pbus *bus, p2pbus_message *request, uint64_t n_numbers) {
        p2pbus_message *reply;
        char text[32];

        if (begins_with(request, "count"))
                (void)snprintf(text, sizeof(text), "%" PRIu64, n_numbers);
        else if (begins_with(request, "path"))
                (void)snprintf(text, sizeof(text), "%d",
                               talk_path(bus, p2pbus_message_get_from(request)));
        else if (begins_with(request, "rule ")) {
                const char *rule = (const char *)p2pbus_message_get_payload(request) + 5;

                ok(p2pbus_set_ring(bus, p2pbus_message_get_from(request), *rule - '0'));
                strcpy(text, "0");
        } else
                text[0] = '\0';
        if (*text)
                ok(p2pbus_message_new(&reply, text, strlen(text)));
        else
                ok(p2pbus_message_new(&reply, p2pbus_message_get_payload(request),
                                      p2pbus_message_get_size(request)));
        ok(p2pbus_reply(bus, request, reply));
        p2pbus_message_unref(reply);
}

static bool parent_has_gone(const Partner *self) {
        struct pollfd p = { .fd = self->in, .events = POLLIN };

        return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

void partner_echo(p2pbus *bus, Partner *self) {
        struct pollfd fds[] = {
                { .fd = p2pbus_get_fd(bus), .events = POLLIN },
                { .fd = self->in, .events = POLLIN },
        };
        uint64_t n = 0, usec;
        p2pbus_message *m;

        while (!parent_has_gone(self)) {
                while (p2pbus_receive(bus, 0, &m) == 0) {
                        if (p2pbus_message_get_kind(m) == P2PBUS_KIND_REQUEST) {
                                answer(bus, m, n);
                        } else {
                                uint64_t number = talk_number(m);

                                partner_claim(number == n, "number %" PRIu64 " instead of %" PRIu64,
                                              number, n);
                                n++;
                        }
                        p2pbus_message_unref(m);
                }
                ok(p2pbus_get_timeout(bus, &usec));
                (void)poll(fds, ELEMENTSOF(fds),
                           usec == P2PBUS_FOREVER ? -1 : (int)((usec + 999) / 1000));
                ok(p2pbus_process(bus));
        }
}

/* The parent's side */

p2pbus *talk_open(const Daemon *d, uint32_t flags) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = d->socket,
                .flags = flags,
        };
        p2pbus *bus = NULL;

        ok(p2pbus_open(&bus, &options));
        return bus;
}

uint64_t talk_ask(p2pbus *bus, const char *dest, const char *text) {
        p2pbus_message *question, *reply;
        char digits[32] = "";

        ok(p2pbus_message_new(&question, text, strlen(text)));
        ok(p2pbus_request(bus, dest, question, PATIENCE, &reply));
        memcpy(digits, p2pbus_message_get_payload(reply),
               MIN(p2pbus_message_get_size(reply), sizeof(digits) - 1));
        p2pbus_message_unref(reply);
        p2pbus_message_unref(question);
        return strtoull(digits, NULL, 10);
}

int talk_path(p2pbus *bus, const char *dest) {
        p2pbus_peer_info info = { .struct_size = sizeof(info) };

        return p2pbus_get_peer(bus, dest, &info) == 0 ? info.path : P2PBUS_PATH_NONE;
}

void talk_until_path(p2pbus *bus, const char *dest, int path) {
        for (unsigned n = 0; talk_path(bus, dest) != path; n++) {
                partner_claim(n < 1000000, "path stays %d", talk_path(bus, dest));
                (void)talk_ask(bus, dest, "0");
        }
}

void talk_get_ring(p2pbus *bus, const char *dest) {
        unsigned n = 0;

        (void)talk_ask(bus, dest, "0");
        ok(p2pbus_set_ring(bus, dest, P2PBUS_RING_ALWAYS));
        talk_until_path(bus, dest, P2PBUS_PATH_RING);
        while (talk_ask(bus, dest, "path") != P2PBUS_PATH_RING)
                partner_claim(++n < 1000000, "the other side does not use it");
}

/* What is held */

static unsigned count_entries(const char *path) {
        unsigned n = 0;
        DIR *folder = opendir(path);

        if (!folder)
                return 0;
        while (readdir(folder))
                n++;
        (void)closedir(folder);
        return n;
}

unsigned talk_count_fds(pid_t os_pid) {
        char path[64];

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)(os_pid ? os_pid : getpid()));
        return count_entries(path);
}

unsigned talk_count_maps(pid_t os_pid) {
        char path[64], line[512];
        unsigned n = 0;
        FILE *f;

        (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)(os_pid ? os_pid : getpid()));
        f = fopen(path, "re");
        while (f && fgets(line, sizeof(line), f))
                n += strstr(line, "p2pbus-ring") != NULL;
        if (f)
                (void)fclose(f);
        return n;
}

void talk_until_rings(const Daemon *d, uint64_t n) {
        for (unsigned i = 0; daemon_status(d, "rings") != n; i++)
                ck_assert_msg(i < 100000, "the daemon has %u rings",
                              (unsigned)daemon_status(d, "rings"));
}
