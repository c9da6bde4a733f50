/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/transfer.h"

#include <sys/socket.h>

#include "libcore/err.h"

#define TURN_READS 16

int outgoing_init(Outgoing *out, Budget *budget, char *data, size_t n) {
        if (!budget_take(budget, n)) {
                free(data);
                return -EDQUOT;
        }
        *out = (Outgoing){ .data = data, .n = n, .n_charged = n, .budget = budget };
        return 0;
}

void outgoing_done(Outgoing *out) {
        if (out->n_charged > 0)
                budget_give(out->budget, out->n_charged);
        free(out->data);
        *out = (Outgoing){ 0 };
}

static bool is_broken(void) {
        return errno != EAGAIN && errno != EINTR;
}

int transfer_read(int fd, PbReader *reader, int *ret_problem) {
        for (unsigned i = 0; i < TURN_READS; i++) {
                uint8_t *room;
                ssize_t n;
                size_t n_room;
                int r;

                r = pb_reader_room(reader, &room, &n_room);
                if (r < 0)
                        return err_trace(r);
                if (r > 0) {
                        *ret_problem = r;
                        return TRANSFER_E_PROBLEM;
                }
                n = recv(fd, room, n_room, MSG_DONTWAIT);
                if (n < 0)
                        return is_broken() ? TRANSFER_E_GONE : TRANSFER_E_AGAIN;
                if (n == 0)
                        return TRANSFER_E_EOF;
                r = pb_reader_fed(reader, (size_t)n);
                if (r == 0)
                        return 0;
                if (r != PB_E_MORE) {
                        *ret_problem = r;
                        return TRANSFER_E_PROBLEM;
                }
        }
        return TRANSFER_E_AGAIN;
}

int transfer_write(int fd, Outgoing *out) {
        while (out->at < out->n) {
                ssize_t n = send(fd, out->data + out->at, out->n - out->at,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n < 0)
                        return is_broken() ? TRANSFER_E_GONE : TRANSFER_E_AGAIN;
                out->at += (size_t)n;
        }
        return 0;
}

int transfer_drain(int fd, uint64_t *left) {
        char bytes[16384];

        for (unsigned i = 0; i < TURN_READS; i++) {
                ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

                if (n < 0)
                        return is_broken() ? 0 : TRANSFER_E_AGAIN;
                if (n == 0 || (uint64_t)n > *left)
                        return 0;
                *left -= (uint64_t)n;
        }
        return TRANSFER_E_AGAIN;
}
