/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * ProcBridge packets
 *
 *      offset size field
 *      0      2    flag          "pb"
 *      2      2    version       major, minor: 1.1 or 1.0
 *      4      1    status        0 request, 1 good response, 2 bad response
 *      5      2    reserved      written as zeros, read as anything
 *      7      4    body length   bytes, little endian
 *      11          body          one JSON object, UTF-8
 *
 * A PbReader takes the bytes of one packet as they come, in any pieces, and holds no more than what has
 * come: what a peer announces is not yet what it gets. No I/O here and no clock.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"
#include "procbridge/budget.h"
#include "procbridge/text.h"

#define PB_HEADER_SIZE 11

typedef enum PbVersion {
        PB_1_0 = 0x0100,
        PB_1_1 = 0x0101,
} PbVersion;

typedef enum PbStatus {
        PB_REQUEST = 0,
        PB_GOOD = 1,
        PB_BAD = 2,
} PbStatus;

typedef struct PbHeader {
        uint16_t version; /* perhaps none that we know */
        uint8_t status;   /* perhaps none that we know */
        uint32_t n_body;
} PbHeader;

enum {
        _PB_E_SUCCESS,

        PB_E_MORE,    /* not a whole packet yet */
        PB_E_FLAG,    /* no ProcBridge */
        PB_E_VERSION, /* neither 1.0 nor 1.1; there is a header */
        PB_E_TOO_BIG, /* over the largest body; there is a header */
        PB_E_BUDGET,  /* no room in the budget */
};

typedef struct PbReader {
        uint8_t *data;
        size_t n, allocated;
        PbHeader header;
        bool has_header;
        size_t body_max;
        Budget *budget;
} PbReader;

/* @n bytes of the begin of a packet. Return: 0, PB_E_MORE, PB_E_FLAG (as soon as that can be seen). */
int pb_header_decode(const uint8_t *data, size_t n, PbHeader *ret);
void pb_header_encode(const PbHeader *header, uint8_t out[static PB_HEADER_SIZE]);

void pb_reader_init(PbReader *reader, size_t body_max, Budget *budget);
/* Frees what it holds; again is harmless. */
void pb_reader_done(PbReader *reader);
/* Where the next bytes go, and how many fit, at least one. Return: 0, PB_E_BUDGET, -ENOMEM. */
int pb_reader_room(PbReader *reader, uint8_t **ret_room, size_t *ret_n);
/*
 * @n bytes are there now. Return: 0: a whole packet (what came behind it is not looked at), PB_E_MORE,
 * PB_E_FLAG, PB_E_VERSION, PB_E_TOO_BIG.
 */
int pb_reader_fed(PbReader *reader, size_t n);

static inline const uint8_t *pb_reader_body(const PbReader *reader) {
        return reader->data + PB_HEADER_SIZE;
}

/* A packet is written behind room for its header, which comes last: so it goes out in one write. */
void pb_packet_begin(Text *text);
/* Return: the packet, to be freed, and its size; NULL: there was no memory, or it is over 4 GiB. */
char *pb_packet_end(Text *text, PbVersion version, PbStatus status, size_t *ret_n);
