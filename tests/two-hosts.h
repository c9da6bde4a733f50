/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Two hosts: two real p2pbusd, and between them a gateway of this file's, which sees what bridge and relay
 * would see, and may lose, double, reorder and falsify it. a and b are processes on either.
 */

#include <pthread.h>

#include "libclient/connection.h"
#include "libclient/p2pbus.h"
#include "libcore/buf.h"
#include "libsecure/seal.h"
#include "libsecure/service-record.h"
#include "libsecure/signed-answer.h"
#include "tests/harness.h"

#define NACK_AGE_USEC (5 * 60 * USEC_PER_SEC)
#define PATIENCE (30 * SECOND)
#define STRANGER "0123456789abcdef"
#define SECRET "THE-SECRET-OF-THIS-TEST"
#define LEASES_MAX 16
#define SERVICES_MAX 4
#define REMEMBERED_MAX 256
#define SWALLOWED_MAX 64

/* What the one in the middle does to sealed packets. */
typedef enum Mischief {
        MISCHIEF_NONE,
        MISCHIEF_LOSE,     /* one of eight */
        MISCHIEF_SHUFFLE,  /* each in its turn: double it, or keep it back behind the next */
        MISCHIEF_FALSIFY,  /* one of four has one bit changed */
        MISCHIEF_SWALLOW,  /* all of them */
        MISCHIEF_REMEMBER, /* passed, and once more later: repeat_all() */
        MISCHIEF_ACCUSE,   /* swallowed at first, and of each is said that another met nobody */
        MISCHIEF_CUT,      /* nothing passes, which is said, and the one end knows of nobody at the other */
} Mischief;

typedef struct End {
        Daemon d;
        IdentityKey *key;
        Connection *c;
        bool is_gateway;
        struct {
                Address address;
                uint8_t bytes[CONTROL_LEASE_SIZE];
        } leases[LEASES_MAX];
        unsigned n_leases;
        struct {
                uint8_t bytes[SERVICE_RECORD_SIZE_MAX];
                size_t n;
        } services[SERVICES_MAX]; /* names of one process of it */
        unsigned n_services;      /* atomic */
        uint8_t kept[FRAME_SIZE_MAX]; /* a packet for this end that comes late */
        size_t n_kept;
} End;

typedef struct Middle {
        End ends[2];
        pthread_t thread;
        int stop[2];
        int mischief;        /* atomic */
        unsigned n_sealed;   /* atomic */
        unsigned n_of[8];    /* atomic; by SealedType */
        unsigned n_uneven[2]; /* atomic; DATA for that end whose size nobody has rounded up */
        unsigned n_resolved; /* atomic */
        struct {
                End *to;
                uint8_t *bytes;
                size_t n;
        } remembered[REMEMBERED_MAX];
        unsigned n_remembered;
        unsigned n_accused;
        uint8_t swallowed[SWALLOWED_MAX][PACKET_HEADER_SIZE]; /* for ends[1], and not refused yet */
        unsigned n_swallowed;                                 /* atomic */
        uint8_t nacks[SWALLOWED_MAX][PACKET_HEADER_SIZE + SIGNED_ANSWER_SIZE]; /* of them */
        unsigned n_nacks;
        uint8_t last_data[PACKET_HEADER_SIZE + 16]; /* for ends[1]: the clear part of a DATA */
        unsigned n_done; /* atomic; of what was asked of it through stop[] */
        bool saw_clear, saw_secret;
        bool settles;     /* atomic; and cannot say who provides a name */
        unsigned n_named; /* atomic; how often it was asked that then */
        bool lies;    /* atomic; that whoever wants something wants all */
        bool refuses; /* atomic; to let anybody want anything */
        bool spoils;  /* atomic; what b's leases say is to be sealed for */
        unsigned n_pings; /* atomic; how often it was asked whether the other end has heard of all */
        uint64_t seed;
        uint32_t generation; /* atomic: PATH_CHANGED is said when it grows */
        uint32_t generation_said;
} Middle;

extern Middle middle;
extern p2pbus *a, *b;
extern p2pbus *home;       /* on a's host, does not go to others; or NULL */
extern char key_of_b[128]; /* the file of its key, once that is kept */

/* The fixture; nothing may have gone in the clear when it ends. */
void two_hosts_start(void);
/* The same for what is done by names: b's key is kept, and home is there. */
void two_hosts_start_for_names(void);
void two_hosts_stop(void);
p2pbus *open_as(unsigned host, uint32_t flags, const char *key_file);
p2pbus *open_at(unsigned host, uint32_t flags);
/* b is another one from here on, with a key that is kept: else it would have no name elsewhere. */
void keep_key_of_b(void);

void set_mischief(Mischief mischief);
/* Has the one in the middle do something, and waits until its packets are on their way. */
void tell_middle(char what);
/* How many sealed packets to b it has swallowed, that were not refused yet. */
unsigned count_swallowed(void);
/* How many it has seen. */
unsigned count_of(SealedType type);
/* How often it was asked for somebody's lease. */
unsigned count_resolved(void);
/* Nothing passes from host to host any more; or again, and all try at once. */
void cut(void);
void mend(void);
/* Waits until it has heard of @n names that @bus, at host @i, provides. */
void until_said(unsigned i, p2pbus *bus, unsigned n);
/* Epochs that @bus makes from now on wear out sooner, and may follow each other at once. */
void wear_out(p2pbus *bus, uint64_t rekey_packets);

/* "@i SECRET" */
p2pbus_message *numbered(unsigned i);
/* From a to b, each in a packet of its own, nearly. */
void send_numbers(unsigned first, unsigned n);
/* @n requests of a to b, each answered before the next. */
void ask(unsigned first, unsigned n);

/* A thread that takes what b gets: "0 SECRET", "1 SECRET", ... each once, in order; it answers. */
typedef struct Taker {
        pthread_t thread;
        unsigned n;
        bool moves; /* from host to host */
} Taker;

void *take_in_order(void *taker);
void taker_start(Taker *taker);
/* The same, and a has asked it 5 times: they have keys in common, which do not wear out. Return: how many
 * OPENs that took. */
unsigned taker_meet(Taker *taker);
void taker_stop(Taker *taker);
/* The same, when it has taken @n. */
void taker_stop_after(Taker *taker, unsigned n);

/* Policy at host @i, of which @bus there has heard when this returns; NULL: none. */
void set_policy(unsigned i, p2pbus *bus, const char *text);
void expect_denied(p2pbus *bus, const char *to);
/* @to is there, and answers. */
void ask_and_be_answered(p2pbus *from, p2pbus *to);
/* @to is there, and refuses. */
void be_refused(p2pbus *from, p2pbus *to);
