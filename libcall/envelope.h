/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Envelope: {"method": ..., "payload": ...} and {"payload": ...}, text in, values out
 *
 * What others wrote is looked at before a parser builds anything of it: how deep it is, and how many
 * values it can have at most. Both are known from its brackets and commas. No I/O.
 */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

#include "libcall/p2pbus-call.h"

#define ENVELOPE_TYPE "application/json"
#define ENVELOPE_WHY_SIZE 160

#define _public_ __attribute__((visibility("default")))

enum {
        _ENVELOPE_E_SUCCESS,

        ENVELOPE_E_TOO_BIG,   /* over a limit of p2pbus-call.h */
        ENVELOPE_E_MALFORMED, /* no JSON, or not of this form */
};

typedef struct Envelope {
        json_t *whole;
        const char *method; /* of a request: inside @whole; NULL: none */
        json_t *payload;    /* the same, or json_null() */
} Envelope;

/* Return: 0; ENVELOPE_E_X, and @why says it in words; -ENOMEM. */
int envelope_decode_request(const void *text, size_t n, Envelope *ret,
                            char why[static ENVELOPE_WHY_SIZE]);
int envelope_decode_answer(const void *text, size_t n, Envelope *ret,
                           char why[static ENVELOPE_WHY_SIZE]);
/* Accepts one that is all zero. */
void envelope_done(Envelope *envelope);

/* Steal @payload; NULL: left out. Return: the text, to be freed; NULL: no memory, or what JSON cannot say. */
char *envelope_encode_request(const char *method, json_t *payload, size_t *ret_n);
char *envelope_encode_answer(json_t *payload, size_t *ret_n);

/* Steals what these two returned. Return: 0 and a message of it; -EINVAL, -ENOMEM. */
static inline int envelope_to_message(char *text, size_t n, p2pbus_message **ret) {
        p2pbus_message *message;
        int r;

        if (!text)
                return -ENOMEM;
        r = p2pbus_message_new_take(&message, text, n);
        if (r < 0) {
                free(text);
                return r;
        }
        r = p2pbus_message_set_type(message, ENVELOPE_TYPE);
        if (r < 0) {
                p2pbus_message_unref(message);
                return r;
        }
        *ret = message;
        return 0;
}
