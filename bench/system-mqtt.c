/* SPDX-License-Identifier: Apache-2.0 */

/*
 * MQTT 3.1.1, at most once
 *
 * One connection an endpoint, a topic of its own for what comes to it. What is published is gathered, as in
 * the other text and byte protocols here.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/connection.h"
#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define CONNECT 0x10
#define CONNACK 0x20
#define PUBLISH 0x30
#define SUBSCRIBE 0x82
#define SUBACK 0x90

struct Endpoint {
        Connection connection;
};

/* The head of a packet with @n bytes behind it. */
static int put_head(Endpoint *e, uint8_t type, size_t n) {
        uint8_t head[5] = { type };
        size_t at = 1;

        do {
                head[at] = n & 0x7f;
                n >>= 7;
                head[at++] |= n > 0 ? 0x80 : 0;
        } while (n > 0);
        return connection_put(&e->connection, head, at);
}

static int put_text(Endpoint *e, const char *text) {
        size_t n = strlen(text);
        uint8_t size[2] = { (uint8_t)(n >> 8), (uint8_t)n };
        int r = connection_put(&e->connection, size, sizeof(size));

        return r < 0 ? r : connection_put(&e->connection, text, n);
}

/* The next packet, if it is there as a whole. Return: 0, -EAGAIN. */
static int next_packet(Endpoint *e, uint8_t *ret_type, const uint8_t **ret_body, size_t *ret_n) {
        Buffer *in = &e->connection.in;
        size_t n = 0, n_used = buffer_used(in);
        const uint8_t *p = in->data + in->at;

        for (size_t at = 1; at < 5 && at < n_used; at++) {
                n |= (size_t)(p[at] & 0x7f) << (7 * (at - 1));
                if (p[at] & 0x80)
                        continue;
                if (n_used < at + 1 + n)
                        return -EAGAIN;
                *ret_type = p[0];
                *ret_body = p + at + 1;
                *ret_n = n;
                in->at += at + 1 + n;
                return 0;
        }
        return -EAGAIN;
}

/* Up to a packet of @type. Return: 0, -EAGAIN, -errno. */
static int read_packet(Endpoint *e, uint8_t type, const uint8_t **ret_body, size_t *ret_n,
                       bool wait) {
        for (;;) {
                uint8_t found;
                int r = next_packet(e, &found, ret_body, ret_n);

                if (r == 0 && (found & 0xf0) == (type & 0xf0))
                        return 0;
                if (r == 0)
                        continue;
                r = connection_fill(&e->connection, wait);
                if (r < 0)
                        return r;
        }
}

static int mqtt_subscribe(Endpoint *e, const char *topic) {
        static const uint8_t id[] = { 0, 1 }, qos = 0;
        const uint8_t *body;
        size_t n;
        int r;

        r = put_head(e, SUBSCRIBE, sizeof(id) + 2 + strlen(topic) + 1);
        if (r == 0)
                r = connection_put(&e->connection, id, sizeof(id));
        if (r == 0)
                r = put_text(e, topic);
        if (r == 0)
                r = connection_put(&e->connection, &qos, 1);
        if (r == 0)
                r = read_packet(e, SUBACK, &body, &n, true);
        return err_trace(r);
}

static int mqtt_open(Endpoint **ret, const char *path, unsigned number,
                     char address[static SYSTEM_ADDRESS_SIZE]) {
        static const uint8_t rest[] = { 4, 2, 0, 0 }; /* version, clean session, no keep-alive */
        Endpoint *e = calloc(1, sizeof(*e));
        const uint8_t *body;
        size_t n;
        int r;

        if (!e)
                return err_origin(-ENOMEM);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "b.%u", number);
        r = connection_open(&e->connection, path, 0);
        if (r == 0)
                r = put_head(e, CONNECT, 6 + sizeof(rest) + 2 + strlen(address));
        if (r == 0)
                r = put_text(e, "MQTT");
        if (r == 0)
                r = connection_put(&e->connection, rest, sizeof(rest));
        if (r == 0)
                r = put_text(e, address);
        if (r == 0)
                r = read_packet(e, CONNACK, &body, &n, true);
        if (r == 0 && (n != 2 || body[1] != 0))
                r = err_origin(-ECONNREFUSED);
        if (r == 0)
                r = mqtt_subscribe(e, address);
        if (r < 0)
                return err_trace(r);
        *ret = e;
        return 0;
}

static void mqtt_close(Endpoint *e) {
        connection_close(&e->connection);
        free(e);
}

static int mqtt_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        int r;

        r = put_head(e, PUBLISH, 2 + strlen(address) + n_data);
        if (r == 0)
                r = put_text(e, address);
        return r < 0 ? err_trace(r) : connection_put(&e->connection, data, n_data);
}

static int mqtt_flush(Endpoint *e) {
        return connection_flush(&e->connection);
}

static int take(Endpoint *e, void *data, size_t n_max, size_t *ret_n, bool wait) {
        const uint8_t *body;
        size_t n, n_topic;
        int r;

        r = read_packet(e, PUBLISH, &body, &n, wait);
        if (r < 0)
                return r;
        n_topic = n < 2 ? n : 2 + ((size_t)body[0] << 8 | body[1]);
        if (n_topic > n || n < 2)
                return err_origin(-EPROTO);
        *ret_n = MIN(n - n_topic, n_max);
        memcpy(data, body + n_topic, *ret_n);
        return 0;
}

static int mqtt_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return take(e, data, n_max, ret_n, true);
}

static int mqtt_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return take(e, data, n_max, ret_n, false);
}

static int mqtt_get_fd(Endpoint *e) {
        return e->connection.fd;
}

const System system_mqtt = {
        .name = "mosquitto",
        .open = mqtt_open,
        .close = mqtt_close,
        .send = mqtt_send,
        .flush = mqtt_flush,
        .receive = mqtt_receive,
        .poll = mqtt_poll,
        .get_fd = mqtt_get_fd,
        .subscribe = mqtt_subscribe,
        .publish = mqtt_send,
        .flight_max = 1024 * 1024,
};
