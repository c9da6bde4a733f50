/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Small helpers that every folder uses: cleanup attributes, ownership moves, container_of,
 * little- and big-endian loads and stores. Tables are uthash's, lists are utlist's.
 */

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f), unused))
#define _public_ __attribute__((visibility("default")))
#define _printf_(a, b) __attribute__((format(printf, a, b)))

#define TAKE_PTR(p)                                                                                \
        ({                                                                                         \
                __typeof__(p) _taken = (p);                                                        \
                (p) = NULL;                                                                        \
                _taken;                                                                            \
        })

#define TAKE_FD(fd)                                                                                \
        ({                                                                                         \
                int _taken = (fd);                                                                 \
                (fd) = -EBADF;                                                                     \
                _taken;                                                                            \
        })

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p)-offsetof(type, member)))

/* Defines x_freep(), to be used as _cleanup_(x_freep), for a destructor that takes a pointer. */
#define DEFINE_CLEANUP(type, destructor)                                                           \
        static inline void destructor##p(type **p) {                                               \
                if (*p)                                                                            \
                        destructor(*p);                                                            \
        }

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_NEVER UINT64_MAX

static inline void freep(void *p) {
        free(*(void **)p);
}

/* Closes and returns -EBADF, so that `fd = fd_close(fd)` leaves nothing behind; errno is kept. */
static inline int fd_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd); /* nothing can be done about a failing close of our own */
                errno = saved;
        }
        return -EBADF;
}

static inline void fd_closep(int *fd) {
        *fd = fd_close(*fd);
}

/* Microseconds on @clock; none of the clocks in use can fail. */
static inline uint64_t now_usec(clockid_t clock) {
        struct timespec ts;

        (void)clock_gettime(clock, &ts);
        return (uint64_t)ts.tv_sec * USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/*
 * Numbers in bytes, which need not be aligned: one load or store each, turned round where the
 * machine has the other order.
 */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define UTIL_LE(bits, v) (v)
#define UTIL_BE(bits, v) __builtin_bswap##bits(v)
#else
#define UTIL_LE(bits, v) __builtin_bswap##bits(v)
#define UTIL_BE(bits, v) (v)
#endif

#define UTIL_DEFINE_BYTES(order, bits, turn)                                                       \
        static inline uint##bits##_t load_##order##bits(const uint8_t *p) {                        \
                uint##bits##_t v;                                                                  \
                                                                                                   \
                memcpy(&v, p, sizeof(v));                                                          \
                return turn(bits, v);                                                              \
        }                                                                                          \
        static inline void store_##order##bits(uint8_t *p, uint##bits##_t v) {                     \
                v = turn(bits, v);                                                                 \
                memcpy(p, &v, sizeof(v));                                                          \
        }

UTIL_DEFINE_BYTES(le, 16, UTIL_LE)
UTIL_DEFINE_BYTES(le, 32, UTIL_LE)
UTIL_DEFINE_BYTES(le, 64, UTIL_LE)
UTIL_DEFINE_BYTES(be, 32, UTIL_BE)
UTIL_DEFINE_BYTES(be, 64, UTIL_BE)
