/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Remote readers: processes on other hosts to which this one publishes
 *
 * Each has a number for every message that is published for it, sent or not, so that it can count what
 * it missed. What cannot go at once, for there is no lease yet, no keys in common, or no room on the
 * socket, waits in a queue that is bounded for each and for all; what finds no place there, and what has
 * waited for too long, is lost for that reader. Nobody waits for a reader.
 *
 * Who begins to want something may be another life of a process that we have sent to, which cannot open
 * what we seal with what we know, or opens nothing that our clock says is of before it was there. It says
 * so, and how it can be reached, in a NACK. So what goes to it first is kept for a moment, and goes again
 * then: else the first message would be lost.
 *
 * A reader whose way is said to be full gets less a second, and slowly more again.
 */

#include "libclient/bus.h"
#include "libclient/daemon.h"

#define REMOTE_READERS_MAX 1024
#define REMOTE_WAITING_MAX 4096 /* messages that wait for one answer */
#define REMOTE_WAITING_BYTES (1U << 20)
#define REMOTE_WAITING_ALL_BYTES (16U << 20) /* of a handle */
#define REMOTE_WAIT_USEC (10 * USEC_PER_SEC)
#define REMOTE_KEPT_MAX 64 /* messages that are kept, their bytes, */
#define REMOTE_KEPT_BYTES 65536
#define REMOTE_KEPT_USEC (2 * USEC_PER_SEC) /* and how long, from the first of them on */
/* Of what was retained, for readers may come again and again: bytes a second to all of them; */
#define REMOTE_RETAINED_RATE (4U << 20)
/* and it waits only while no more than this does, so that what is published now finds room. */
#define REMOTE_RETAINED_WAITING_BYTES (REMOTE_WAITING_ALL_BYTES / 2)

/* An encoded record; those who wait for something share it. */
typedef struct Copy {
        unsigned n_refs;
        size_t n;
        uint8_t bytes[];
} Copy;

typedef struct Waiting Waiting;
struct Waiting {
        Waiting *prev, *next;
        Copy *copy;
        uint64_t seq; /* for that reader */
        uint64_t since_usec;
};

/* In the order of publishing. */
typedef struct WaitingList {
        Waiting *first;
        unsigned n, n_live; /* live: not retained */
        size_t n_bytes;
} WaitingList;

/* Bytes a second, once somebody on the way was full. */
typedef struct Pace {
        uint64_t rate; /* 0: as many as there are */
        uint64_t room; /* bytes that may go now */
        uint64_t filled_usec;
        uint64_t slower_usec;       /* when it was last made slower */
        uint64_t counted_usec;      /* a second begins, in which @n_bytes went */
        uint64_t n_bytes, n_before; /* and before it in the last one */
} Pace;

struct RemoteReader {
        p2pbus *bus;
        UT_hash_handle hh; /* by @key */
        PublicKey key;
        Address address;
        unsigned n_topics;
        uint64_t session, seq;
        Ask ask; /* for its lease */
        uint64_t asked_usec;
        uint64_t absent_until_usec;
        WaitingList waiting;
        bool is_new;      /* what goes from now on is kept: it has begun to want something */
        WaitingList kept; /* in the order in which it went */
        uint64_t kept_until_usec;
        Timer timer; /* set while anything waits, or is kept */
        Pace pace;
};

/* NULL: no memory. */
Copy *copy_new(const uint8_t *record, size_t n);
void copy_unref(Copy *copy);
PacketId copy_message_id(const Copy *copy);

/* Return: whether it waits; else there is no room. */
bool waiting_put(p2pbus *bus, WaitingList *list, Copy *copy, uint64_t seq);
void waiting_drop_first(p2pbus *bus, WaitingList *list);
void waiting_drop_all(p2pbus *bus, WaitingList *list);
static inline bool waiting_is_old(const p2pbus *bus, const Waiting *waiting) {
        return bus->now_usec - waiting->since_usec >= REMOTE_WAIT_USEC;
}

/* Who has @key; NULL: no room, or no memory. */
RemoteReader *remote_reader_get(p2pbus *bus, const PublicKey *key);
/* NULL: it is none. */
RemoteReader *remote_reader_find(const p2pbus *bus, const PublicKey *key);
/*
 * It begins to want @topic, or wants it anew: it may be another life of its process, for which nothing is
 * that went before.
 */
void remote_reader_begin(RemoteReader *reader, const char *topic);
/* It was, as a NACK said: what went to it lately goes again, in front of what waits. */
void remote_reader_again(RemoteReader *reader);
/* One more message for it: is sent, waits, or is lost. */
void remote_reader_give(RemoteReader *reader, Copy *copy);
/*
 * What was published before it came, flagged so: in front of all that is published from now on. It has
 * the number of the next one, and is not missed if it is lost. Return: false: there is no room now.
 */
bool remote_reader_give_retained(RemoteReader *reader, Copy *copy);
/* So many more were published for it, and are lost. */
void remote_reader_lose(RemoteReader *reader, uint64_t n);
/* Tries what waits. */
void remote_reader_flush(RemoteReader *reader);
/* A packet to it was refused. */
void remote_reader_on_refused(RemoteReader *reader, uint16_t code);
void remote_reader_free(RemoteReader *reader);
