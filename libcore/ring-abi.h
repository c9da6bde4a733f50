/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Layout of a ring's files
 *
 * Two processes of one host have one file each, which it alone writes and the other maps
 * read-only (PROTOCOL.md, "Rings"):
 *
 *         0   head       magic, version, size, features   written once, before the file is passed
 *        64   producer   produced, wake_at                of the data in this file
 *       128   consumer   consumed, wake_at                of the data in the other file
 *      4096   data[size] entries back to back: size u32, stamp u32, payload, padding to 8
 *
 * Positions count bytes from 0, run freely and are masked on use; all are multiples of 8. Nothing is
 * unread when `produced` and `consumed` are equal, nothing fits when they are `size` apart. What is
 * written by different processes stands on different cache lines.
 *
 * Integers are the machine's own, and that is little-endian everywhere this runs.
 */

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rings are little-endian"
#endif

#define RING_ABI_MAGIC UINT32_C(0x52503250) /* "P2PR" */
#define RING_ABI_VERSION 1
#define RING_ABI_LINE_SIZE 64
#define RING_ABI_PAGE_SIZE 4096 /* where the data begins */
#define RING_SIZE_MIN 65536     /* bytes of data; a power of two */
#define RING_SIZE_MAX 16777216  /* 16 MiB */
#define RING_HEAD_SIZE 8        /* in front of each entry */
#define RING_ENTRY_MAX 65528    /* bytes of payload: with its head it fills the smallest ring */

struct ring_abi_head {
        uint32_t magic;
        uint16_t version;
        uint16_t zero;
        uint32_t size;
        uint32_t features; /* none yet */
        uint8_t reserved[48];
};

struct ring_abi_producer {
        uint64_t produced;
        uint64_t wake_at; /* waits for room: ring when `consumed` has reached this */
        uint8_t reserved[48];
};

struct ring_abi_consumer {
        uint64_t consumed;
        uint64_t wake_at; /* sleeps: ring when `produced` has reached this */
        uint8_t reserved[48];
};

struct ring_abi_page {
        struct ring_abi_head head;
        struct ring_abi_producer producer;
        struct ring_abi_consumer consumer;
        uint8_t reserved[RING_ABI_PAGE_SIZE - 3 * RING_ABI_LINE_SIZE];
};

static_assert(sizeof(struct ring_abi_head) == RING_ABI_LINE_SIZE, "ring ABI moved");
static_assert(offsetof(struct ring_abi_head, size) == 8, "ring ABI moved");
static_assert(offsetof(struct ring_abi_page, producer) == 64, "ring ABI moved");
static_assert(offsetof(struct ring_abi_page, consumer) == 128, "ring ABI moved");
static_assert(offsetof(struct ring_abi_producer, wake_at) == 8, "ring ABI moved");
static_assert(offsetof(struct ring_abi_consumer, wake_at) == 8, "ring ABI moved");
static_assert(sizeof(struct ring_abi_page) == RING_ABI_PAGE_SIZE, "ring ABI moved");
static_assert(RING_HEAD_SIZE + RING_ENTRY_MAX <= RING_SIZE_MIN, "no ring holds the largest entry");
