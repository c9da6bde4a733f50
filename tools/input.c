/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/input.h"

#include <unistd.h>

#include "tools/common.h"

#define READ_SIZE 65536

void input_init(Input *input, InputMode mode, size_t chunk_size, uint64_t max) {
        *input = (Input){ .mode = mode, .chunk_size = chunk_size, .max = max };
}

void input_done(Input *input) {
        free(input->data);
        *input = (Input){ 0 };
}

/* Room for one more read: what was handed out goes first, then the buffer grows. */
static int make_room(Input *input) {
        size_t n_allocated;
        char *data;

        if (input->at > 0) {
                memmove(input->data, input->data + input->at, input->n_data - input->at);
                input->n_data -= input->at;
                input->scanned -= input->at;
                input->at = 0;
        }
        if (input->n_allocated - input->n_data >= READ_SIZE)
                return 0;

        n_allocated = MAX(input->n_allocated * 2, input->n_data + READ_SIZE);
        data = realloc(input->data, n_allocated);
        if (!data)
                return -ENOMEM;
        input->data = data;
        input->n_allocated = n_allocated;
        return 0;
}

int input_fill(Input *input, int fd) {
        ssize_t n;
        int r;

        if (input->ended)
                return 0;
        r = make_room(input);
        if (r < 0)
                return r;

        n = read(fd, input->data + input->n_data, READ_SIZE);
        if (n < 0)
                return errno == EINTR ? -EAGAIN : -errno;
        if (n == 0)
                input->ended = true;
        input->n_data += (size_t)n;
        return 0;
}

/* Where the message that begins at @at ends, if that can be known yet. */
static bool find_end(Input *input, size_t *ret_end, size_t *ret_next) {
        size_t n = input->n_data - input->at;
        char *newline = NULL;

        if (input->mode == INPUT_CHUNKS && n + input->n_over >= input->chunk_size) {
                *ret_end = *ret_next = input->at + input->chunk_size - (size_t)input->n_over;
                return true;
        }
        if (input->mode == INPUT_LINES && input->n_data > input->scanned)
                newline =
                        memchr(input->data + input->scanned, '\n', input->n_data - input->scanned);
        input->scanned = input->n_data;
        if (newline) {
                *ret_end = (size_t)(newline - input->data);
                *ret_next = *ret_end + 1;
                return true;
        }
        if (!input->ended)
                return false;
        *ret_end = *ret_next = input->n_data;
        return true;
}

int input_next(Input *input, const char **ret_data, uint64_t *ret_n) {
        size_t end, next;
        uint64_t n;

        if (input->done)
                return INPUT_E_END;

        if (!find_end(input, &end, &next)) {
                if (input->over || input->n_data - input->at > input->max) {
                        input->over = true;
                        input->n_over += input->n_data - input->at;
                        input->at = input->scanned = input->n_data;
                }
                return INPUT_E_MORE;
        }

        /* Nothing behind the last newline, the last chunk, or in an empty stream of either. */
        if (input->mode != INPUT_WHOLE && input->ended && input->n_over == 0 &&
            input->at == input->n_data) {
                input->done = true;
                return INPUT_E_END;
        }
        if (input->mode == INPUT_WHOLE)
                input->done = true;

        n = input->n_over + (end - input->at);
        *ret_n = n;
        *ret_data = input->data ? input->data + input->at : "";
        input->at = input->scanned = next;
        input->n_over = 0;
        input->over = false;
        return n > input->max ? INPUT_E_TOO_BIG : 0;
}
