/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Bare rings: the least that shared memory can do between two processes
 *
 * Two rings, one each way and 8 MiB large: eight bytes of size, the payload, up to the next multiple
 * of eight. No addresses, no checks, no acknowledgements, nothing survives anything.
 * Who finds nothing looks again (spin), or says so and sleeps (futex, eventfd). What a library adds to
 * this is its price.
 */

#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define RING_SIZE ((size_t)8 * 1024 * 1024)
#define STEP ((size_t)64 * 1024) /* what is published at once, at most */

/* Somebody who may sleep until the other side has moved on. */
typedef struct Sleeper {
        _Alignas(64) _Atomic uint32_t asleep;
        int fd; /* eventfd */
} Sleeper;

/* Positions count bytes and never wrap; each side keeps what it knows of the other's. */
typedef struct Ring {
        _Alignas(64) _Atomic uint64_t written;
        uint64_t writer_seen;
        _Alignas(64) _Atomic uint64_t read;
        uint64_t reader_seen;
        uint64_t reader_at; /* read so far; published in steps */
        Sleeper reader, writer;
        _Alignas(64) uint8_t data[RING_SIZE];
} Ring;

typedef enum Wait { SPIN, FUTEX, EVENTFD } Wait;

struct Endpoint {
        Ring *out, *in;
        Wait wait;
};

static Ring *rings; /* by inheritance across fork() */

static int limit_prepare(void) {
        rings = mmap(NULL, 2 * sizeof(Ring), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (rings == MAP_FAILED)
                return err_origin(-errno);
        for (unsigned i = 0; i < 2; i++) {
                rings[i].reader.fd = eventfd(0, EFD_CLOEXEC);
                rings[i].writer.fd = eventfd(0, EFD_CLOEXEC);
                if (rings[i].reader.fd < 0 || rings[i].writer.fd < 0)
                        return err_origin(-errno);
        }
        return 0;
}

static int limit_open(Endpoint **ret, unsigned number, char address[static SYSTEM_ADDRESS_SIZE],
                      Wait wait) {
        Endpoint *e = calloc(1, sizeof(*e));

        if (!e)
                return err_origin(-ENOMEM);
        if (number > 1)
                return err_origin(-EINVAL);
        *e = (Endpoint){ .out = &rings[number], .in = &rings[1 - number], .wait = wait };
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%u", number);
        *ret = e;
        return 0;
}

static int open_spin(Endpoint **ret, const char *path, unsigned number,
                     char address[static SYSTEM_ADDRESS_SIZE]) {
        (void)path;
        return limit_open(ret, number, address, SPIN);
}

static int open_futex(Endpoint **ret, const char *path, unsigned number,
                      char address[static SYSTEM_ADDRESS_SIZE]) {
        (void)path;
        return limit_open(ret, number, address, FUTEX);
}

static int open_eventfd(Endpoint **ret, const char *path, unsigned number,
                        char address[static SYSTEM_ADDRESS_SIZE]) {
        (void)path;
        return limit_open(ret, number, address, EVENTFD);
}

static void limit_close(Endpoint *e) {
        free(e);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#endif
}

/* After a position was published: the fence is the price of being able to sleep. */
static void wake(const Endpoint *e, Sleeper *s) {
        static const uint64_t one = 1;

        if (e->wait == SPIN)
                return;
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load_explicit(&s->asleep, memory_order_relaxed) == 0)
                return;
        if (atomic_exchange(&s->asleep, 0) == 0)
                return;
        if (e->wait == FUTEX)
                (void)syscall(SYS_futex, &s->asleep, FUTEX_WAKE, 1, NULL, NULL, 0);
        else
                (void)!write(s->fd, &one, sizeof(one));
}

/* Until @position has reached @goal; returns it. */
static uint64_t wait_for(const Endpoint *e, _Atomic uint64_t *position, uint64_t goal, Sleeper *s) {
        uint64_t seen, count;

        while ((seen = atomic_load_explicit(position, memory_order_acquire)) < goal) {
                if (e->wait == SPIN) {
                        relax();
                        continue;
                }
                atomic_store(&s->asleep, 1);
                if (atomic_load(position) >= goal) {
                        /* If the other side was faster, its word lies in the eventfd. */
                        if (atomic_exchange(&s->asleep, 0) == 0 && e->wait == EVENTFD)
                                (void)!read(s->fd, &count, sizeof(count));
                        continue;
                }
                if (e->wait == EVENTFD)
                        (void)!read(s->fd, &count, sizeof(count));
                else
                        while (atomic_load(&s->asleep) != 0)
                                (void)syscall(SYS_futex, &s->asleep, FUTEX_WAIT, 1, NULL, NULL, 0);
        }
        return seen;
}

static void copy_in(Ring *r, uint64_t at, const uint8_t *data, size_t n) {
        size_t offset = at % RING_SIZE, first = MIN(n, RING_SIZE - offset);

        memcpy(r->data + offset, data, first);
        memcpy(r->data, data + first, n - first);
}

static void copy_out(const Ring *r, uint64_t at, uint8_t *data, size_t n) {
        size_t offset = at % RING_SIZE, first = MIN(n, RING_SIZE - offset);

        memcpy(data, r->data + offset, first);
        memcpy(data + first, r->data, n - first);
}

static int limit_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        Ring *ring = e->out;
        uint64_t at = atomic_load_explicit(&ring->written, memory_order_relaxed), size = n_data;
        const uint8_t *from = data;

        (void)address;
        for (size_t head = sizeof(size); head > 0 || n_data > 0; head = 0) {
                size_t n = MIN(n_data, STEP - head), padded = head + ((n + 7) & ~(size_t)7);

                if (at + padded - ring->writer_seen > RING_SIZE)
                        /* Not for a few bytes at a time. */
                        ring->writer_seen =
                                wait_for(e, &ring->read, at - RING_SIZE / 2, &ring->writer);
                if (head > 0)
                        copy_in(ring, at, (const uint8_t *)&size, sizeof(size));
                copy_in(ring, at + head, from, n);
                from += n;
                n_data -= n;
                at += padded;
                atomic_store_explicit(&ring->written, at, memory_order_release);
                wake(e, &ring->reader);
        }
        return 0;
}

static int limit_flush(Endpoint *e) {
        (void)e;
        return 0;
}

/* Bytes up to @goal are there; what was read before is given back in steps, or before sleeping. */
static void reader_wait(Endpoint *e, uint64_t goal) {
        Ring *ring = e->in;

        if (ring->reader_seen >= goal)
                return;
        ring->reader_seen = atomic_load_explicit(&ring->written, memory_order_acquire);
        if (ring->reader_seen >= goal)
                return;
        atomic_store_explicit(&ring->read, ring->reader_at, memory_order_release);
        wake(e, &ring->writer);
        ring->reader_seen = wait_for(e, &ring->written, goal, &ring->reader);
}

static void reader_advance(Endpoint *e, size_t n) {
        Ring *ring = e->in;

        ring->reader_at += n;
        if (ring->reader_at - atomic_load_explicit(&ring->read, memory_order_relaxed) >= STEP) {
                atomic_store_explicit(&ring->read, ring->reader_at, memory_order_release);
                wake(e, &ring->writer);
        }
}

static int limit_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        Ring *ring = e->in;
        uint8_t *to = data;
        uint64_t size;
        size_t left;

        reader_wait(e, ring->reader_at + sizeof(size));
        copy_out(ring, ring->reader_at, (uint8_t *)&size, sizeof(size));
        if (size > n_max)
                return err_origin(-EMSGSIZE);
        left = size;
        for (size_t head = sizeof(size); head > 0 || left > 0; head = 0) {
                size_t n = MIN(left, STEP - head), padded = head + ((n + 7) & ~(size_t)7);

                reader_wait(e, ring->reader_at + padded);
                copy_out(ring, ring->reader_at + head, to, n);
                to += n;
                left -= n;
                reader_advance(e, padded);
        }
        *ret_n = size;
        return 0;
}

static int limit_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        if (atomic_load_explicit(&e->in->written, memory_order_acquire) == e->in->reader_at)
                return -EAGAIN;
        return limit_receive(e, data, n_max, ret_n);
}

static int limit_get_fd(Endpoint *e) {
        return e->in->reader.fd;
}

const System system_limit_spin = {
        .name = "limit-spin",
        .prepare = limit_prepare,
        .open = open_spin,
        .close = limit_close,
        .send = limit_send,
        .flush = limit_flush,
        .receive = limit_receive,
        .poll = limit_poll,
        .get_fd = limit_get_fd,
};

const System system_limit_futex = {
        .name = "limit-futex",
        .prepare = limit_prepare,
        .open = open_futex,
        .close = limit_close,
        .send = limit_send,
        .flush = limit_flush,
        .receive = limit_receive,
        .poll = limit_poll,
        .get_fd = limit_get_fd,
};

const System system_limit_eventfd = {
        .name = "limit-eventfd",
        .prepare = limit_prepare,
        .open = open_eventfd,
        .close = limit_close,
        .send = limit_send,
        .flush = limit_flush,
        .receive = limit_receive,
        .poll = limit_poll,
        .get_fd = limit_get_fd,
};
