/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Uplink: the bridge's end of its link to one relay, for as long as that relay is configured
 *
 * Connects, proves itself, presents leases, carries packets, notices death, waits, begins again:
 *
 *      WAITING --(deadline)--> CONNECTING --(transport open)--> HANDSHAKE --(msg3 sent)--> PROVEN
 *         ^                                                                      (relay speaks) |
 *         |                                                                                     v
 *         +------------------------- any failure --------------- SYNCED <--(its SYNCED)------- UP
 *
 * uplink_rest() leads to WAITING, too, without a deadline.
 *
 * PROVEN: we know the relay, it may still refuse us. UP: it has spoken, so it took us; packets pass.
 * SYNCED: it also has judged all our leases, and its "not here" can be believed.
 *
 * What goes out is made up when the transport can take it, as one message of up to 64 KiB: control
 * words first, then packets as the outbox says. DETACHED waits until the outbox holds nothing of
 * that process any more: its last acknowledgement often stands right before it.
 *
 * Where this stands in the life of a message: bridge/forward.c chose this uplink; libsecure/link.c
 * encrypts what is sent; the transport sends it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "bridge/known-relays.h"
#include "bridge/parcel.h"
#include "bridge/presence.h"
#include "bridge/transport.h"
#include "libcore/control.h"
#include "libcore/log.h"
#include "libcore/packet.h"
#include "libcore/util.h"

#define UPLINK_RETRY_LEAST_USEC (500 * USEC_PER_MSEC)
#define UPLINK_RETRY_GREATEST_USEC (30 * USEC_PER_SEC)
#define UPLINK_HANDSHAKE_USEC (10 * USEC_PER_SEC)

/*
 * A PING whose id has this bit in its last 8 bytes is not the heartbeat's: on_control has its PONG, as it
 * has PINGs with PING_ALL.
 */
#define UPLINK_NO_HEARTBEAT (UINT64_C(1) << 63)

typedef struct Uplink Uplink;

typedef enum UplinkState {
        UPLINK_WAITING,
        UPLINK_CONNECTING,
        UPLINK_HANDSHAKE,
        UPLINK_PROVEN,
        UPLINK_UP,
        UPLINK_SYNCED,
} UplinkState;

/* An uplink must not be freed in any of them. */
typedef struct UplinkHandlers {
        /* PROVEN: all leases are to be presented now, and SYNCED said. */
        void (*on_proven)(Uplink *uplink, void *userdata);
        void (*on_up)(Uplink *uplink, void *userdata);
        void (*on_synced)(Uplink *uplink, void *userdata);
        /* Its round trip was measured once more. */
        void (*on_measured)(Uplink *uplink, void *userdata);
        /* It was up and is no more; its outbox is empty. */
        void (*on_down)(Uplink *uplink, void *userdata);
        /* A SEALED packet came, from elsewhere; @packet may be written to. */
        void (*on_packet)(Uplink *uplink, const PacketHeader *header, uint8_t *packet,
                          void *userdata);
        /* A control word that is not about the link itself. */
        void (*on_control)(Uplink *uplink, const PacketHeader *header, const Control *control,
                           void *userdata);
        /* @parcel, of one of our processes, will not be sent: @code says why. To be freed. */
        void (*on_refused)(Uplink *uplink, Parcel *parcel, uint16_t code, void *userdata);
} UplinkHandlers;

typedef struct UplinkOptions {
        unsigned slot;   /* bridge/routes.h */
        const char *url; /* valid, with its fragment; copied */
        TransportDriver *driver;
        ParcelPool *pool;
        Presence *presence;
        KnownRelays *known;
        const Log *log;
        uint64_t heartbeat_usec;
        const UplinkHandlers *handlers;
        void *userdata;
} UplinkOptions;

enum {
        _UPLINK_E_SUCCESS,

        UPLINK_E_URL, /* malformed, or ws:// without the relay's key */
};

/*
 * What is wrong with @url as the address of a relay: a static text for people, NULL if nothing is.
 * @ret_no_key tells the one mistake that has an exit status of its own.
 */
const char *uplink_check_url(const char *url, bool *ret_no_key);

/* All that @options points to is borrowed, but for the URL. Return: 0, -ENOMEM, UPLINK_E_URL. */
int uplink_new(Uplink **ret, const UplinkOptions *options);
/* Closes politely, without its callbacks. Accepts NULL, returns NULL. */
Uplink *uplink_free(Uplink *uplink);
DEFINE_CLEANUP(Uplink, uplink_free)

unsigned uplink_slot(const Uplink *uplink);
/* As configured. */
const char *uplink_url(const Uplink *uplink);
/* Without the key of the relay. */
const char *uplink_name(const Uplink *uplink);
UplinkState uplink_state(const Uplink *uplink);
/* PROVEN or better: leases go to it. */
static inline bool uplink_takes_leases(const Uplink *uplink) {
        return uplink_state(uplink) >= UPLINK_PROVEN;
}
static inline bool uplink_is_up(const Uplink *uplink) {
        return uplink_state(uplink) >= UPLINK_UP;
}
static inline bool uplink_is_synced(const Uplink *uplink) {
        return uplink_state(uplink) == UPLINK_SYNCED;
}
/* Smoothed; USEC_NEVER until it was measured. */
uint64_t uplink_round_trip_usec(const Uplink *uplink);
void uplink_set_heartbeat(Uplink *uplink, uint64_t heartbeat_usec);

/* When uplink_tick() is to be called, CLOCK_BOOTTIME; changes with every event. */
uint64_t uplink_deadline(const Uplink *uplink);
void uplink_tick(Uplink *uplink, uint64_t now_usec);
/* Does not wait for the next attempt any longer: somebody thinks that it would work now. */
void uplink_hurry(Uplink *uplink);
/* The machine was asleep: asks the relay at once, or hurries. */
void uplink_resume(Uplink *uplink, uint64_t now_usec);
/* Closes the link, or stops trying to have one, until uplink_hurry(): there is nothing to carry. */
void uplink_rest(Uplink *uplink);

/*
 * Says @control to the relay, or, by its neighbours, to @dst; PROVEN or better. What the relay does
 * not read for long ends the link. Nothing happens on a link that is not there.
 */
void uplink_say(Uplink *uplink, const Control *control, Address dst, const PacketId *id);
/* The same for words that a peer can cause: left out when many already wait. */
void uplink_say_lossy(Uplink *uplink, const Control *control, Address dst, const PacketId *id);
/* Presents a lease; takes back an uplink_detach() of the same process. */
void uplink_present(Uplink *uplink, Address address, const uint8_t *lease);
/* Tells the relay that the process has left, behind its last packet. */
void uplink_detach(Uplink *uplink, Address address);
/* Queues a packet on a link that is up; the parcel is the uplink's. May call on_refused. */
void uplink_queue(Uplink *uplink, Parcel *parcel);
/*
 * The packet with @id, if it was sent not long ago; it is the caller's then. NULL: forgotten.
 */
Parcel *uplink_take_back(Uplink *uplink, const PacketId *id);

/* Stops or resumes reading: the daemon does not keep up. */
void uplink_pause(Uplink *uplink, bool paused);
/* Whether anything still waits to be sent. */
bool uplink_is_busy(const Uplink *uplink);
