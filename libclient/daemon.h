/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The daemon as the library sees it: questions, answers, hints
 *
 * An Ask is one control word that wants an answer. It is asked again after each new attach until
 * it is answered or dropped; all words asked this way may be said twice.
 */

#include "libclient/bus.h"

struct Ask {
        Control control; /* body borrowed from whoever asks */
        PacketId id;
        bool is_answered;
        uint16_t code;     /* CODE_OK or why not */
        uint32_t value;
        Address address;
        uint8_t *body; /* owned; a NUL stands behind it */
        size_t n_body;
        void (*on_answer)(p2pbus *bus, Ask *ask); /* or NULL: somebody waits in daemon_ask() */
        Ask *prev, *next;
};

#define ASK_BODY_MAX (64U << 20)

/* Sends @ask, or keeps it for the next attach. The caller keeps it alive until it is dropped. */
void daemon_ask(p2pbus *bus, Ask *ask);
/* Takes it out and frees its body. Harmless if it was never asked. */
void daemon_drop(p2pbus *bus, Ask *ask);
/*
 * Asks and waits for the answer, at most until @until_usec. daemon_drop() it in any case.
 * Return: 0; otherwise noted: by the answer's code, -ETIMEDOUT, -ENOTCONN.
 */
int daemon_ask_wait(p2pbus *bus, Ask *ask, uint64_t until_usec);
/* After an attach. */
void daemon_ask_again(p2pbus *bus);
/* One control packet has come. */
void daemon_consume(p2pbus *bus, const PacketHeader *header, const uint8_t *packet);
