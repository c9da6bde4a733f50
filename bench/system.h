/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * System: one message system under measurement
 *
 * The programs of bench/ speak to every system through these few functions, so that all of them
 * do the same work: the payload is copied in by the sender and out by the receiver, both block
 * when there is nothing to do, and no system gets a loop of its own. The exceptions say so by their
 * names: "-poll" never sleeps, "-zero" copies nothing, only the first byte of a message is written
 * and read.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SYSTEM_ADDRESS_SIZE 128

typedef struct Endpoint Endpoint;

typedef struct System {
        const char *name;

        /* Before the two processes of a pair part: memory that both will have. May be NULL. */
        int (*prepare)(void);
        /*
         * Connects to the broker at @path. No other endpoint of this measurement has @number; they
         * begin at 0. @address receives what others send to.
         */
        int (*open)(Endpoint **ret, const char *path, unsigned number,
                    char address[static SYSTEM_ADDRESS_SIZE]);
        void (*close)(Endpoint *endpoint);
        /* Of a pair, on both sides: returns when the way to @address is as it will be. May be NULL. */
        int (*connect)(Endpoint *endpoint, const char *address);

        /* Sends one message; blocks while the system has no room for it. */
        int (*send)(Endpoint *endpoint, const char *address, const void *data, size_t n_data);
        /* What was sent must leave this process now. */
        int (*flush)(Endpoint *endpoint);
        /* Waits for one message and copies it to @data; @ret_n receives its size. */
        int (*receive)(Endpoint *endpoint, void *data, size_t n_max, size_t *ret_n);
        /* As receive(), but -EAGAIN if there is none now. */
        int (*poll)(Endpoint *endpoint, void *data, size_t n_max, size_t *ret_n);
        /* A descriptor that is readable when poll() may have something. */
        int (*get_fd)(Endpoint *endpoint);
        /*
         * Waits until poll() may have something, at most @timeout_usec. May be NULL, as the next,
         * which waits until each message that was sent has come, or is known never to: -errno then.
         */
        int (*wait)(Endpoint *endpoint, uint64_t timeout_usec);
        int (*settle)(Endpoint *endpoint, uint64_t timeout_usec);

        /* Topics: subscribe() returns when all that is published from then on will come. May be NULL. */
        int (*subscribe)(Endpoint *endpoint, const char *topic);
        int (*publish)(Endpoint *endpoint, const char *topic, const void *data, size_t n_data);

        /* Decides by the CPUs it may run on: placed on one like all others, but not held there. */
        bool roams;
        /* Has no back pressure of its own: the bench keeps this many bytes in flight at most. */
        size_t flight_max;
} System;

extern const System system_p2pbus;      /* through the daemon */
extern const System system_p2pbus_ring; /* as an application has it by default */
extern const System system_p2pbus_ring_poll;
extern const System system_p2pbus_ring_sleep; /* never looks before it sleeps */
extern const System system_p2pbus_ring_zero;
extern const System system_zeromq;  /* HAVE_ZMQ */
extern const System system_iceoryx; /* HAVE_ICEORYX; sleeps in a wait set */
extern const System system_iceoryx_poll;
extern const System system_iceoryx_zero;
extern const System system_router;
extern const System system_dbus;
extern const System system_nats;
extern const System system_mqtt; /* mosquitto */
extern const System system_redis;
/* Bare rings in shared memory. */
extern const System system_limit_spin;
extern const System system_limit_futex;
extern const System system_limit_eventfd;
/* Relays. */
extern const System system_relay;
extern const System system_lws;
extern const System system_nats_ws;

/* By name; NULL if there is none. */
const System *system_find(const char *name);

/* "Allow=FULL" lines, for the configuration of a relay that is to admit endpoints 0 to @n - 1. */
void system_relay_print_allow(unsigned n);
