/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Bounded reader and writer: the only code that touches raw protocol bytes
 *
 * Neither ever runs past its end. The first overrun makes it fail, from then on it yields zeros
 * or drops what is written, and buf_..._ok() says so once at the end: a decoder reads its
 * fields in the order of their table and asks at the end.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "libcore/util.h"

typedef struct BufReader {
        const uint8_t *data;
        size_t size;
        size_t at;
        bool failed;
} BufReader;

typedef struct BufWriter {
        uint8_t *data;
        size_t size;
        size_t at;
        bool failed;
} BufWriter;

static inline BufReader buf_reader(const uint8_t *data, size_t size) {
        return (BufReader){ .data = data, .size = size };
}

static inline BufWriter buf_writer(uint8_t *data, size_t size) {
        return (BufWriter){ .data = data, .size = size };
}

static inline size_t buf_left(const BufReader *r) {
        return r->failed ? 0 : r->size - r->at;
}

/* All fields were there and nothing is left over. */
static inline bool buf_reader_done(const BufReader *r) {
        return !r->failed && r->at == r->size;
}

/* The next @n bytes, borrowed, or NULL (and failed) if they are not there. */
static inline const uint8_t *buf_get(BufReader *r, size_t n) {
        const uint8_t *p;

        if (r->failed || n > r->size - r->at) {
                r->failed = true;
                return NULL;
        }
        p = r->data + r->at;
        r->at += n;
        return p;
}

static inline void buf_get_bytes(BufReader *r, void *to, size_t n) {
        const uint8_t *p = buf_get(r, n);

        if (p)
                memcpy(to, p, n);
        else
                memset(to, 0, n);
}

static inline uint8_t buf_get_u8(BufReader *r) {
        const uint8_t *p = buf_get(r, 1);

        return p ? *p : 0;
}

static inline uint16_t buf_get_le16(BufReader *r) {
        const uint8_t *p = buf_get(r, 2);

        return p ? load_le16(p) : 0;
}

static inline uint32_t buf_get_le32(BufReader *r) {
        const uint8_t *p = buf_get(r, 4);

        return p ? load_le32(p) : 0;
}

static inline uint64_t buf_get_le64(BufReader *r) {
        const uint8_t *p = buf_get(r, 8);

        return p ? load_le64(p) : 0;
}

static inline uint64_t buf_get_be64(BufReader *r) {
        const uint8_t *p = buf_get(r, 8);

        return p ? load_be64(p) : 0;
}

/* TAGs are the one 32-bit field in hash order. */
static inline uint32_t buf_get_be32(BufReader *r) {
        const uint8_t *p = buf_get(r, 4);

        return p ? load_be32(p) : 0;
}

/* Fails unless the next @n bytes are all zero: reserved fields. */
static inline void buf_get_zero(BufReader *r, size_t n) {
        const uint8_t *p = buf_get(r, n);

        for (size_t i = 0; p && i < n; i++)
                if (p[i] != 0)
                        r->failed = true;
}

static inline uint8_t *buf_put(BufWriter *w, size_t n) {
        uint8_t *p;

        if (w->failed || n > w->size - w->at) {
                w->failed = true;
                return NULL;
        }
        p = w->data + w->at;
        w->at += n;
        return p;
}

static inline void buf_put_bytes(BufWriter *w, const void *from, size_t n) {
        uint8_t *p = buf_put(w, n);

        if (p && n > 0)
                memcpy(p, from, n);
}

static inline void buf_put_zero(BufWriter *w, size_t n) {
        uint8_t *p = buf_put(w, n);

        if (p)
                memset(p, 0, n);
}

static inline void buf_put_u8(BufWriter *w, uint8_t v) {
        buf_put_bytes(w, &v, 1);
}

static inline void buf_put_le16(BufWriter *w, uint16_t v) {
        uint8_t *p = buf_put(w, 2);

        if (p)
                store_le16(p, v);
}

static inline void buf_put_le32(BufWriter *w, uint32_t v) {
        uint8_t *p = buf_put(w, 4);

        if (p)
                store_le32(p, v);
}

static inline void buf_put_le64(BufWriter *w, uint64_t v) {
        uint8_t *p = buf_put(w, 8);

        if (p)
                store_le64(p, v);
}

static inline void buf_put_be64(BufWriter *w, uint64_t v) {
        uint8_t *p = buf_put(w, 8);

        if (p)
                store_be64(p, v);
}

static inline void buf_put_be32(BufWriter *w, uint32_t v) {
        uint8_t *p = buf_put(w, 4);

        if (p)
                store_be32(p, v);
}
