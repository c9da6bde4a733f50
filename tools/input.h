/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Input: a stream of bytes cut into messages
 *
 * All of it is one message, each line is one, or each SIZE bytes are. The caller polls the
 * descriptor and calls input_fill() when it is readable; input_next() hands out what is whole. A
 * message over the limit is never held: its bytes are only counted, so that its size can be told.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum InputMode {
        INPUT_WHOLE,
        INPUT_LINES,
        INPUT_CHUNKS,
} InputMode;

typedef struct Input {
        InputMode mode;
        size_t chunk_size; /* INPUT_CHUNKS */
        uint64_t max;      /* bytes of the largest message */

        char *data;
        size_t n_data;
        size_t n_allocated;
        size_t at;       /* where the next message begins */
        size_t scanned;  /* there is no newline between @at and here */
        uint64_t n_over; /* bytes of a message over @max that were counted and let go */
        bool over;
        bool ended;
        bool done; /* the last message was handed out */
} Input;

enum {
        _INPUT_E_SUCCESS,

        INPUT_E_MORE,    /* input_fill() first */
        INPUT_E_END,     /* there are no more messages */
        INPUT_E_TOO_BIG, /* the next message is over the limit; @ret_n is its size */
};

void input_init(Input *input, InputMode mode, size_t chunk_size, uint64_t max);
void input_done(Input *input);

/* Reads once from @fd. Return: 0, -EAGAIN, another -errno. At the end of @fd input->ended is set. */
int input_fill(Input *input, int fd);

/*
 * The next message; @ret_data is borrowed until the next call for @input.
 * Return: 0, INPUT_E_MORE, INPUT_E_END, INPUT_E_TOO_BIG.
 */
int input_next(Input *input, const char **ret_data, uint64_t *ret_n);
