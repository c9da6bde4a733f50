/* SPDX-License-Identifier: Apache-2.0 */

#include "bench/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "libcore/err.h"
#include "libcore/util.h"

#define FINAL 0x80
#define MASKED 0x80
#define HEADER_MAX 14

enum {
        OPCODE_BINARY = 2,
        OPCODE_CLOSE = 8,
        OPCODE_PING = 9,
        OPCODE_PONG = 10,
};

int websocket_upgrade(Connection *c, const char *protocol) {
        static const char accepted[] = "HTTP/1.1 101";
        char request[512];
        uint8_t *end;
        int n, r;

        n = snprintf(request, sizeof(request),
                     "GET / HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: YmVuY2gncyBzaXh0ZWVuIQ==\r\n%s%s%s\r\n",
                     protocol ? "Sec-WebSocket-Protocol: " : "", protocol ? protocol : "",
                     protocol ? "\r\n" : "");
        r = connection_put(c, request, (size_t)n);
        if (r < 0)
                return err_trace(r);
        do {
                r = connection_fill(c, true);
                if (r < 0)
                        return err_trace(r);
                end = memmem(c->in.data + c->in.at, buffer_used(&c->in), "\r\n\r\n", 4);
        } while (!end);
        if (memcmp(c->in.data + c->in.at, accepted, strlen(accepted)) != 0)
                return err_origin(-EPROTO);
        c->in.at = (size_t)(end - c->in.data) + 4;
        return 0;
}

static size_t header_encode(uint8_t header[static HEADER_MAX], uint8_t opcode, size_t n) {
        header[0] = FINAL | opcode;
        if (n < 126) {
                header[1] = MASKED | (uint8_t)n;
                return 2;
        }
        if (n <= UINT16_MAX) {
                header[1] = MASKED | 126;
                header[2] = (uint8_t)(n >> 8);
                header[3] = (uint8_t)n;
                return 4;
        }
        header[1] = MASKED | 127;
        store_be64(header + 2, n);
        return 10;
}

/* The mask hides nothing here; it is put on because servers take it off, and that costs them. */
static int put_frame(Connection *c, uint8_t opcode, const uint8_t *data, size_t n) {
        static const uint8_t mask[8] = { 0x3a, 0x91, 0x5c, 0xe7, 0x3a, 0x91, 0x5c, 0xe7 };
        uint8_t header[HEADER_MAX], *to;
        size_t n_header = header_encode(header, opcode, n), i = 0;
        uint64_t wide, word;
        int r;

        memcpy(header + n_header, mask, 4);
        n_header += 4;
        if (buffer_used(&c->out) > 0 && buffer_used(&c->out) + n_header + n > CONNECTION_GATHER) {
                r = connection_flush(c);
                if (r < 0)
                        return err_trace(r);
        }
        r = buffer_reserve(&c->out, n_header + n);
        if (r < 0)
                return err_trace(r);
        to = c->out.data + c->out.end;
        memcpy(to, header, n_header);
        to += n_header;
        memcpy(&wide, mask, sizeof(wide));
        for (; i + sizeof(word) <= n; i += sizeof(word)) {
                memcpy(&word, data + i, sizeof(word));
                word ^= wide;
                memcpy(to + i, &word, sizeof(word));
        }
        for (; i < n; i++)
                to[i] = data[i] ^ mask[i % 4];
        c->out.end += n_header + n;
        return 0;
}

int websocket_put(Connection *c, const void *data, size_t n) {
        return put_frame(c, OPCODE_BINARY, data, n);
}

/* The frame that begins the input. Return: 0, -EAGAIN, -EBADMSG. */
static int take_frame(Connection *c, uint8_t *ret_opcode, uint8_t **ret_data, size_t *ret_n) {
        uint8_t *p = c->in.data + c->in.at;
        size_t n_in = buffer_used(&c->in), n_header = 2;
        uint64_t n;

        if (n_in < n_header)
                return -EAGAIN;
        if (!(p[0] & FINAL) || (p[1] & MASKED))
                return err_origin(-EBADMSG);
        n = p[1];
        if (n >= 126)
                n_header = n == 126 ? 4 : 10;
        if (n_in < n_header)
                return -EAGAIN;
        if (n == 126)
                n = (uint64_t)p[2] << 8 | p[3];
        else if (n == 127)
                n = load_be64(p + 2);
        if (n_in - n_header < n)
                return -EAGAIN;
        *ret_opcode = p[0] & 0x0f;
        *ret_data = p + n_header;
        *ret_n = (size_t)n;
        c->in.at += n_header + (size_t)n;
        return 0;
}

int websocket_next(Connection *c, uint8_t **ret_data, size_t *ret_n) {
        for (;;) {
                uint8_t opcode;
                int r;

                r = take_frame(c, &opcode, ret_data, ret_n);
                if (r < 0)
                        return r;
                switch (opcode) {
                case OPCODE_BINARY:
                        return 0;
                case OPCODE_PING:
                        r = put_frame(c, OPCODE_PONG, *ret_data, *ret_n);
                        if (r == 0)
                                r = connection_flush(c);
                        if (r < 0)
                                return err_trace(r);
                        break;
                case OPCODE_PONG:
                        break;
                case OPCODE_CLOSE:
                        return err_origin(-EPIPE);
                default:
                        return err_origin(-EBADMSG);
                }
        }
}
