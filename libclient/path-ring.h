/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * RingPath: records to and from a process of this host, through shared memory
 *
 * Two files, two bells (PROTOCOL.md, "Rings"). introduction.c makes a RingPath when the daemon has
 * brought two processes together and ends it; in between it is the peer's path. What stands in an
 * entry is what a packet of kind RECORDS has behind its header, and is put there where it stays: the
 * session writes its records into the ring, and reads them out of it.
 *
 * A ring is *awake* while it is looked at in each turn, and *asleep* when it has asked the other
 * side for a bell. All are asleep before the handle waits for anything. A ring wakes by its bell,
 * or when somebody looks and finds something.
 */

#include "libclient/daemon.h"
#include "libclient/loan.h"
#include "libcore/ring-file.h"

#define RING_PATH_SIZE 262144 /* bytes of data in our file */
#define RING_PATH_MAX 256     /* rings of one handle */
/* Room for the records of one session_produce(). */
#define RING_PATH_ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

struct RingPath {
        Peer *peer;
        PacketId offer; /* id of the packet with our offer, or our answer */
        PacketId id;    /* the ring's, as the daemon knows it */
        bool has_id;
        bool is_open; /* both files are mapped */
        bool is_awake;
        bool waits_for_room;
        uint64_t full_usec; /* since when */
        bool is_dead; /* freed, but somebody may still look at its memory */
        bool is_gone; /* its bell said so: nobody is at the other end */
        bool is_reserved; /* somebody composes a message in it: nothing else is put there */
        unsigned n_holds; /* who looks at its memory, whether or not it is dead */
        int bell_in, bell_out;
        RingFile file;
        RingView view;
        RingProducer out;
        RingConsumer in;
        Loans loans;
        Ask keep; /* RING_KEEP, after an attach */
        uint64_t published_usec;
        uint64_t used_usec;    /* when something last passed, either way */
        RingPath *prev, *next; /* in bus->rings.awake or .asleep */
};

/* Makes our side's file and counts the ring. @ret_fd is the caller's. Return: 0, -errno. */
int ring_path_new(Peer *peer, RingPath **ret, int *ret_fd);
/* Unmaps and closes. The peer's path is its caller's to change. Accepts NULL, returns NULL. */
RingPath *ring_path_free(RingPath *ring);
/* Takes both ends on success only. Return: 0, -errno. */
int ring_path_set_bells(RingPath *ring, int bell_in, int bell_out);
/* The other side's file has come; @fd stays the caller's. Return: 0; RING_FILE_E_X; -errno. */
int ring_path_open(RingPath *ring, int fd, uint32_t size);

/* Room for the records of one session_produce(), RING_PATH_ROOM bytes. Return: 0; RING_E_FULL: its
 * peer is marked when there is some; RING_E_VIOLATION. */
int ring_path_reserve(RingPath *ring, uint8_t **ret);
void ring_path_commit(RingPath *ring, size_t n);
/*
 * The same for somebody who takes time: room for an entry of @n bytes, which stays mapped until
 * ring_path_leave_room(). Until then nothing else can be put into the ring: ring_path_reserve() says
 * FULL, ring_path_send() false. Return: whether there is room, and nobody else has it.
 */
bool ring_path_hold_room(RingPath *ring, size_t n, uint8_t **ret);
/* The entry that stands in this room has @n bytes: commits and publishes it. */
void ring_path_commit_room(RingPath *ring, size_t n);
/* The room is not used, or was. Careful: @ring may be gone from here. */
void ring_path_leave_room(p2pbus *bus, RingPath *ring);
/* Shows the other side what was committed. */
void ring_path_publish(RingPath *ring);
/* Some records of the library's own. Return: whether there was room. */
bool ring_path_send(RingPath *ring, const uint8_t *records, size_t n_records);

/*
 * Takes what has come. Return: 0; RING_E_EMPTY: there was nothing; RING_E_VIOLATION.
 */
int ring_path_read(RingPath *ring);

/* Gives the other side the room of what was read and is not lent. */
void ring_path_give_back(RingPath *ring);

/* Reads all rings that are awake, ends those that are over. Return: whether anything came. */
bool rings_read(p2pbus *bus);
/* Asks for bells. Return: false: something is there already. */
bool rings_sleep(p2pbus *bus);
/* It is to be looked at in the next turn. */
void rings_wake(RingPath *ring);
/* Its bell is to be heard. Careful: @ring may be gone from here. */
void rings_on_bell(RingPath *ring);
/* Whoever led does not any more: frees what it may have been looking at. */
void rings_bury(p2pbus *bus);
