/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the files of an uplink share; nobody else includes this
 *
 *      uplink.c     its life, what goes out and comes in, time
 *      handshake.c  the way up: who is the relay, and does it take us
 */

#include "bridge/backoff.h"
#include "bridge/batch.h"
#include "bridge/heartbeat.h"
#include "bridge/uplink.h"
#include "libcore/stream.h"
#include "libsecure/link.h"

struct Uplink {
        UplinkOptions options;
        char *url;  /* as configured */
        char *name; /* without fragment: for people, and for known_relays */
        WsUrl parsed;
        PublicKey pin;
        bool has_pin; /* in the URL */

        UplinkState state;
        uint64_t deadline_usec; /* of WAITING, and of the way up */
        uint64_t reborn_usec;   /* when an old link is to be replaced */
        Backoff backoff;
        bool failing; /* already said so: retries are not news */
        bool paused;

        Transport *transport;
        Link *link;
        Stream *stream; /* frames that come in, control words that go out */
        PublicKey relay;
        uint8_t handshake[TRANSPORT_HEADROOM + LINK_HANDSHAKE_MAX];
        size_t n_handshake; /* to be sent */

        Batch batch; /* what goes out */

        Heartbeat heartbeat;
        uint64_t round_trip_usec; /* of the life before, until this one is measured */
        uint8_t buffer[TRANSPORT_HEADROOM + LINK_MESSAGE_MAX];
};

static inline uint64_t uplink_clock_usec(void) {
        return now_usec(CLOCK_BOOTTIME);
}

/* Logs an event of this link, to which the entry's fields point. */
_printf_(3, 4) void uplink_log(const Uplink *uplink, LogLevel level, const char *format, ...);
/* This attempt or link is over; another is made after a while. @reason is for people. */
void uplink_fail(Uplink *uplink, const char *reason);
/* Something is to be sent. */
void uplink_want_write(Uplink *uplink);
/* Asks whether the relay is still there, if it is time to. */
void uplink_beat(Uplink *uplink, uint64_t now_usec);

/* The transport is open: step 1. */
void handshake_begin(Uplink *uplink);
/* Step 2 of the handshake came: judge the relay, then name ourselves in step 3. */
void handshake_judge(Uplink *uplink, const uint8_t *data, size_t n_data);
/* The relay's first words: it took us. */
void handshake_done(Uplink *uplink);
