/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Bodies: what requests and responses say
 *
 *                      1.1, and calls on the bus          1.0
 *      request         {"method": TEXT, "payload": ANY}   {"api": TEXT, "body": OBJECT}
 *      good response   {"payload": ANY}                   {"body": OBJECT}
 *      bad response    {"message": TEXT}                  {"msg": TEXT}
 *
 * Calls on the bus (p2pbus(7)) are 1.1 without its packet, and an error reply for the bad response. In
 * 1.1 all members may be left out, and null is as good as left out; in 1.0 "api" may not. What is not
 * known is ignored, and of a member that stands there twice the last counts. Payloads are passed on byte
 * by byte.
 */

#include "procbridge/json-text.h"
#include "procbridge/packet.h"
#include "procbridge/text.h"

enum {
        _BODY_E_SUCCESS,

        BODY_E_INVALID, /* not what the table has */
        BODY_E_CLOSE,   /* 1.0's word for closing the connection, which is not answered */
};

typedef struct BodyRequest {
        char *method;     /* to be freed; NULL: none */
        JsonText payload; /* borrows the body's bytes */
} BodyRequest;

/*
 * Reads a request. A method that is a number, true or false becomes its text, as Python and Node have it.
 * Return: 0, BODY_E_INVALID, BODY_E_CLOSE, -ENOMEM.
 */
int body_read_request(PbVersion version, const void *body, size_t n, BodyRequest *ret);
/* The payload of a good response, borrowed. Return: 0, BODY_E_INVALID. */
int body_read_good(PbVersion version, const void *body, size_t n, JsonText *ret_payload);
/* The text of a bad response, to be freed; "unknown server error" if it has none. Return: 0,
 * BODY_E_INVALID, -ENOMEM. */
int body_read_bad(PbVersion version, const void *body, size_t n, char **ret_message);

/* @method may be NULL, @payload not there. Of 1.1. */
void body_put_request(Text *text, const char *method, JsonText payload);
/* Return: 0; BODY_E_INVALID: 1.0 cannot say it, for it is no object. */
int body_put_good(Text *text, PbVersion version, JsonText payload);
/* @n bytes of text; what is not UTF-8 of it becomes "?". */
void body_put_bad(Text *text, PbVersion version, const char *message, size_t n);
