/* SPDX-License-Identifier: Apache-2.0 */

/*
 * vwire: a wire between two network namespaces, slow and lossy on purpose
 *
 *      vwire [-c FILE] [-s SEED] [-j JITTER_MS] [-b KBIT] NAMESPACE_A IFACE_A NAMESPACE_B IFACE_B
 *            DELAY_MS LOSS_PERCENT
 *
 * Each end is a TUN device in its namespace; what goes in at one comes out at the other, DELAY_MS
 * later, unless it is among the LOSS_PERCENT that are lost; both count for one direction. Which are
 * lost depends on SEED alone. With -c everything that enters the wire, lost or not, is kept in FILE.
 * With -j each packet takes up to JITTER_MS longer, so that it may be overtaken. With -b no more than
 * KBIT pass in a second; what would have to wait for longer than QUEUE_USEC is lost.
 *
 * Kernels without netem have no other way. Writes "ready" when both devices exist. SIGUSR1 cuts the
 * wire and writes "cut", SIGUSR2 mends it and writes "mended"; what is sent to a wire that is cut is
 * lost, and so is what was on it. SIGTERM or SIGINT ends it with a count on stderr.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "libcore/util.h"

#define PACKET_MAX 65535
#define TURN_MAX 64                 /* packets of one end before the other has its turn */
#define HELD_MAX (64 * 1024 * 1024) /* bytes on the wire; what is more is lost */

#define QUEUE_USEC (300 * USEC_PER_MSEC)

typedef struct Held Held;

struct Held {
        Held *prev, *next;
        uint64_t leave_usec;
        size_t size;
        uint8_t bytes[];
};

typedef struct Direction {
        const char *name;
        int from, to;       /* TUN devices */
        Held *held;         /* in the order in which they leave */
        uint64_t free_usec; /* when all that came was put on the wire */
        size_t n_held_bytes;
        unsigned long n_in, n_lost;
        uint64_t random;
} Direction;

static const char *arg_capture;
static uint64_t arg_seed = 1;
static uint64_t arg_delay_usec;
static uint64_t arg_jitter_usec;
static uint64_t arg_kbit; /* 0: without a limit */
static double arg_loss;   /* 0 to 1 */

static volatile sig_atomic_t ended;
static volatile sig_atomic_t wanted_cut;
static bool is_cut;

static void on_signal(int signal) {
        if (signal == SIGUSR1 || signal == SIGUSR2)
                wanted_cut = signal == SIGUSR1;
        else
                ended = 1;
}

_printf_(1, 2) static void die(const char *format, ...) {
        va_list args;

        fputs("vwire: ", stderr);
        va_start(args, format);
        vfprintf(stderr, format, args);
        va_end(args);
        fputc('\n', stderr);
        exit(EXIT_FAILURE);
}

/* splitmix64: good enough to lose packets by, and the same everywhere. */
static double random_unit(uint64_t *state) {
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return (double)((z ^ z >> 31) >> 11) / (double)(UINT64_C(1) << 53);
}

/* The device stays in the namespace it was made in; this process moves on to the next. */
static int make_end(const char *namespace, const char *name) {
        struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
        char path[256];
        int fd;

        snprintf(path, sizeof(path), "/run/netns/%s", namespace);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
                die("%s: %s", path, strerror(errno));
        close(fd);

        snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
        fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
                die("%s: %s", name, strerror(errno));
        return fd;
}

static void keep(FILE *capture, const uint8_t *bytes, size_t n) {
        if (capture && fwrite(bytes, 1, n, capture) != n)
                die("%s: %s", arg_capture, strerror(errno));
}

/* Return: when a packet that comes now leaves, or USEC_NEVER: there is no room for it. */
static uint64_t leave_usec(Direction *d, size_t n, uint64_t now) {
        uint64_t usec = MAX(now, d->free_usec);

        if (usec - now > QUEUE_USEC)
                return USEC_NEVER;
        if (arg_kbit > 0)
                usec += n * 8 * 1000 / arg_kbit;
        d->free_usec = usec;
        if (arg_jitter_usec > 0)
                usec += (uint64_t)(random_unit(&d->random) * (double)arg_jitter_usec);
        return usec + arg_delay_usec;
}

static void put(Direction *d, Held *held) {
        Held *before = d->held ? d->held->prev : NULL; /* the last one */

        while (before && before->leave_usec > held->leave_usec)
                before = before == d->held ? NULL : before->prev;
        if (before)
                DL_APPEND_ELEM(d->held, before, held);
        else
                DL_PREPEND(d->held, held);
        d->n_held_bytes += held->size;
}

static void take_in(Direction *d, FILE *capture) {
        static uint8_t bytes[PACKET_MAX];

        for (unsigned i = 0; i < TURN_MAX; i++) {
                ssize_t n = read(d->from, bytes, sizeof(bytes));
                uint64_t leave;
                Held *held;

                if (n <= 0)
                        return;
                d->n_in++;
                keep(capture, bytes, (size_t)n);
                leave = leave_usec(d, (size_t)n, now_usec(CLOCK_MONOTONIC));
                if (random_unit(&d->random) < arg_loss || leave == USEC_NEVER || is_cut ||
                    d->n_held_bytes + (size_t)n > HELD_MAX) {
                        d->n_lost++;
                        continue;
                }
                held = malloc(sizeof(*held) + (size_t)n);
                if (!held)
                        die("out of memory");
                held->leave_usec = leave;
                held->size = (size_t)n;
                memcpy(held->bytes, bytes, (size_t)n);
                put(d, held);
        }
}

static void drop(Direction *d, Held *held) {
        DL_DELETE(d->held, held);
        d->n_held_bytes -= held->size;
        free(held);
}

static void let_out(Direction *d) {
        uint64_t now = now_usec(CLOCK_MONOTONIC);

        while (d->held && d->held->leave_usec <= now) {
                /* An end that is down or full loses it, as a real one would. */
                if (write(d->to, d->held->bytes, d->held->size) < 0)
                        d->n_lost++;
                drop(d, d->held);
        }
}

static void cut_or_mend(Direction directions[2]) {
        if (is_cut == (wanted_cut != 0))
                return;
        is_cut = !is_cut;
        for (unsigned i = 0; i < 2; i++)
                for (; directions[i].held; directions[i].n_lost++)
                        drop(&directions[i], directions[i].held);
        puts(is_cut ? "cut" : "mended");
        fflush(stdout);
}

static struct timespec time_left(const Direction directions[2], bool *ret_any) {
        uint64_t now = now_usec(CLOCK_MONOTONIC), least = UINT64_MAX;

        for (unsigned i = 0; i < 2; i++)
                if (directions[i].held)
                        least = MIN(least, directions[i].held->leave_usec);
        *ret_any = least != UINT64_MAX;
        least = *ret_any && least > now ? least - now : 0;
        return (struct timespec){
                .tv_sec = (time_t)(least / USEC_PER_SEC),
                .tv_nsec = (long)(least % USEC_PER_SEC) * 1000,
        };
}

static void run(Direction directions[2], FILE *capture, const sigset_t *unblocked) {
        while (!ended) {
                struct pollfd fds[2] = {
                        { .fd = directions[0].from, .events = POLLIN },
                        { .fd = directions[1].from, .events = POLLIN },
                };
                bool any;
                struct timespec left = time_left(directions, &any);

                /* A signal is told by ended and wanted_cut. */
                (void)ppoll(fds, 2, any ? &left : NULL, unblocked);
                cut_or_mend(directions);
                for (unsigned i = 0; i < 2; i++) {
                        take_in(&directions[i], capture);
                        let_out(&directions[i]);
                }
        }
}

static void usage(void) {
        die("usage: vwire [-c FILE] [-s SEED] [-j JITTER_MS] [-b KBIT] NAMESPACE_A IFACE_A "
            "NAMESPACE_B IFACE_B DELAY_MS LOSS_PERCENT");
}

int main(int argc, char **argv) {
        static const int signals[] = { SIGTERM, SIGINT, SIGUSR1, SIGUSR2 };
        struct sigaction action = { .sa_handler = on_signal };
        Direction directions[2] = { { .name = "there" }, { .name = "back" } };
        sigset_t blocked, unblocked;
        FILE *capture = NULL;
        int c;

        while ((c = getopt(argc, argv, "b:c:j:s:")) >= 0)
                switch (c) {
                case 'b':
                        arg_kbit = strtoull(optarg, NULL, 10);
                        break;
                case 'c':
                        arg_capture = optarg;
                        break;
                case 'j':
                        arg_jitter_usec = (uint64_t)(strtod(optarg, NULL) * 1000);
                        break;
                case 's':
                        arg_seed = strtoull(optarg, NULL, 10);
                        break;
                default:
                        usage();
                }
        if (argc - optind != 6)
                usage();
        arg_delay_usec = (uint64_t)(strtod(argv[optind + 4], NULL) * 1000);
        arg_loss = strtod(argv[optind + 5], NULL) / 100;

        /* Signals come only while we wait, so that none is missed between the look and the wait. */
        sigemptyset(&blocked);
        for (unsigned i = 0; i < ELEMENTSOF(signals); i++) {
                sigaddset(&blocked, signals[i]);
                sigaction(signals[i], &action, NULL);
        }
        sigprocmask(SIG_BLOCK, &blocked, &unblocked);

        if (arg_capture) {
                capture = fopen(arg_capture, "w");
                if (!capture)
                        die("%s: %s", arg_capture, strerror(errno));
                setvbuf(capture, NULL, _IONBF, 0); /* the test reads it while we write */
        }
        directions[0].from = directions[1].to = make_end(argv[optind], argv[optind + 1]);
        directions[1].from = directions[0].to = make_end(argv[optind + 2], argv[optind + 3]);
        for (unsigned i = 0; i < 2; i++) {
                directions[i].random = arg_seed * 2 + i;
        }
        puts("ready");
        fflush(stdout);

        run(directions, capture, &unblocked);

        for (unsigned i = 0; i < 2; i++)
                fprintf(stderr, "%s: %lu packets, %lu lost\n", directions[i].name,
                        directions[i].n_in, directions[i].n_lost);
        if (capture && fclose(capture) != 0)
                die("%s: %s", arg_capture, strerror(errno));
        return EXIT_SUCCESS;
}
