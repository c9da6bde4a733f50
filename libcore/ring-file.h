/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The two files of a ring, and their mappings
 *
 * A RingFile is our side's: made here, mapped writable, then sealed, so that nobody can change its
 * size, make holes in it or map it writable again. A RingView is the other side's, mapped read-only
 * after the same was checked: without the seals a peer could take the memory away under our reads,
 * which ends in SIGBUS. The data is mapped twice, back to back: an entry that wraps is contiguous.
 *
 * Mappings need no descriptor: close it as soon as it was passed, or mapped.
 */

#include "libcore/ring.h"

typedef struct RingFile {
        struct ring_abi_page *page; /* NULL: none */
        uint8_t *data;
        uint32_t size;
} RingFile;

typedef struct RingView {
        const struct ring_abi_page *page; /* NULL: none */
        const uint8_t *data;
        uint32_t size;
} RingView;

enum {
        _RING_FILE_E_SUCCESS,

        RING_FILE_E_VIOLATION,   /* not what it must be */
        RING_FILE_E_UNSUPPORTED, /* of a version, or with a feature, that is not known here */
};

/*
 * Makes, maps and seals a file with @size bytes of data, all its memory allocated. @ret_fd is the
 * caller's, to be passed to the other side.
 * Return: 0; -EINVAL: @size is not legal; -EOPNOTSUPP: this machine has other pages; -ENOSPC or
 * -ENOMEM: no memory; another -errno. Both are untouched then.
 */
int ring_file_make(RingFile *ret, uint32_t size, int *ret_fd);
/* Takes the zero state. */
void ring_file_done(RingFile *file);

/*
 * Is @fd a file that can be mapped without fear: of exactly @size bytes of data, at most @size_max,
 * sealed and without holes? Who only passes it on does this and no more.
 * Return: 0; RING_FILE_E_VIOLATION; -errno.
 */
int ring_file_check(int fd, uint32_t size, uint32_t size_max);
/*
 * Checks, maps, and looks at the head. @fd stays the caller's.
 * Return: 0; RING_FILE_E_VIOLATION; RING_FILE_E_UNSUPPORTED; -EOPNOTSUPP: this machine has other
 * pages; another -errno. @ret is untouched unless 0.
 */
int ring_view_open(RingView *ret, int fd, uint32_t size, uint32_t size_max);
/* Takes the zero state. */
void ring_view_done(RingView *view);

/* Our producer and consumer over both files, which must outlive them. */
void ring_file_connect(const RingFile *own, const RingView *other, RingProducer *ret_producer,
                       RingConsumer *ret_consumer);
