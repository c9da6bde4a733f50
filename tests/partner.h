/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Partner: another process of a test, with a handle of its own; and messages with numbers
 *
 * A partner is a child with nothing of its parent's but two pipes, over which the two tell each other
 * numbers. It dies with the test. What it finds wrong it writes to stderr and ends with 1, which
 * partner_stop() sees; tests therefore say no more than what the parent itself can see.
 *
 * A message with a number carries it, a checksum, and bytes that follow from it.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "libclient/p2pbus.h"
#include "tests/harness.h"

#define SECOND UINT64_C(1000000)
#define PATIENCE (30 * SECOND) /* of waits that must not end by themselves */

/* For library calls, in the test and in partners alike. */
#define ok(call)                                                                                   \
        do {                                                                                       \
                int ok_r = (call);                                                                 \
                partner_claim(ok_r >= 0, "%s: %d, %s", #call, ok_r, p2pbus_get_explanation());     \
        } while (0)

#define partner_claim(claim, ...)                                                                  \
        do {                                                                                       \
                if (!(claim))                                                                      \
                        partner_fail(__FILE__, __LINE__, #claim, __VA_ARGS__);                     \
        } while (0)

typedef struct Partner Partner;
struct Partner {
        pid_t os_pid;
        int in, out;
        char full[P2PBUS_FULL_SIZE]; /* of the partner's handle */
};

typedef struct PartnerOptions {
        const Daemon *daemon;
        void (*run)(p2pbus *bus, Partner *self); /* in the child; it ends when this returns */
        const char *key_file; /* NULL: a fresh key */
        uid_t uid;            /* 0: as we are */
} PartnerOptions;

/* Fails the test, or ends the partner in which it is called. */
__attribute__((format(printf, 4, 5), noreturn)) void partner_fail(const char *file, int line,
                                                                  const char *claim,
                                                                  const char *format, ...);

/* This child of a test is a partner from here on: it dies with its parent, and alone if it hangs. */
void partner_begin(void);
void partner_start(Partner *p, const PartnerOptions *options);
/* Over the pipe; partner_hear() fails if the other has gone. */
void partner_tell(Partner *p, uint64_t number);
uint64_t partner_hear(Partner *p);
/* The same without waiting. Return: false: it has said nothing. */
bool partner_hear_now(Partner *p, uint64_t *ret);
/* Closes the pipes and waits for its end, which must be a good one. */
void partner_stop(Partner *p);
/* SIGKILL. */
void partner_kill(Partner *p);
/* It kills itself: waits for that. */
void partner_bury(Partner *p);

/*
 * What most partners do: answers requests with their own payload; numbers must come as 0, 1, 2 and so
 * on. "count": how many there were. "path": its path to whoever asks, a digit. "rule N": its
 * p2pbus_set_ring() for whoever asks. Until the parent closes the pipe.
 */
void partner_echo(p2pbus *bus, Partner *self);

p2pbus *talk_open(const Daemon *d, uint32_t flags);
/* Return: as p2pbus_send(); talk_send() waits for credit. */
int talk_try_send(p2pbus *bus, const char *dest, uint64_t number, size_t size);
int talk_send(p2pbus *bus, const char *dest, uint64_t number, size_t size);
/* The number of a message; it must be whole. */
uint64_t talk_number(p2pbus_message *m);
/* The next message with a number; fails if none comes. */
uint64_t talk_receive(p2pbus *bus);
/* Sends the numbers below @n, each at most @size_max bytes, and takes as many, in their order. */
void talk_both_ways(p2pbus *bus, const char *dest, uint64_t n, size_t size_max, uint64_t seed);
/* A request with this text. Return: the number in front of the reply's text. */
uint64_t talk_ask(p2pbus *bus, const char *dest, const char *text);
int talk_path(p2pbus *bus, const char *dest);
/* Asks until it is so. */
void talk_until_path(p2pbus *bus, const char *dest, int path);
/* Ring both ways: asks for one and waits until both sides say so. */
void talk_get_ring(p2pbus *bus, const char *dest);

/* splitmix64 */
uint64_t talk_random(uint64_t *state);
/* Descriptors and mappings of a process, 0: ourselves. */
unsigned talk_count_fds(pid_t os_pid);
unsigned talk_count_maps(pid_t os_pid);
/* Until the daemon has so many rings. */
void talk_until_rings(const Daemon *d, uint64_t n);
