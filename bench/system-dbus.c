/* SPDX-License-Identifier: Apache-2.0 */

/* D-Bus through sd-bus: a method call without reply in each direction, payload as a byte array. */

#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

struct Endpoint {
        sd_bus *bus;
};

static int dbus_open(Endpoint **ret, const char *path, unsigned number,
                     char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        char where[256];
        const char *name;
        int r;

        (void)number;
        if (!e)
                return err_origin(-ENOMEM);
        snprintf(where, sizeof(where), "unix:path=%s", path);
        r = sd_bus_new(&e->bus);
        if (r < 0)
                return err_origin(r);
        r = sd_bus_set_address(e->bus, where);
        if (r >= 0)
                r = sd_bus_set_bus_client(e->bus, 1);
        if (r >= 0)
                r = sd_bus_start(e->bus);
        if (r >= 0)
                r = sd_bus_get_unique_name(e->bus, &name);
        if (r < 0)
                return err_origin(r);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "%s", name);
        *ret = e;
        return 0;
}

static void dbus_close(Endpoint *e) {
        sd_bus_flush_close_unref(e->bus);
        free(e);
}

static int dbus_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(e->bus, &m, address, "/b", "org.bench.B", "M");
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, 0);
        if (r >= 0)
                r = sd_bus_message_append_array(m, 'y', data, n_data);
        if (r >= 0)
                r = sd_bus_send(e->bus, m, NULL);
        sd_bus_message_unref(m);
        return r < 0 ? err_origin(r) : 0;
}

static int dbus_flush(Endpoint *e) {
        int r = sd_bus_flush(e->bus);

        return r < 0 ? err_origin(r) : 0;
}

static int dbus_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        for (;;) {
                sd_bus_message *m = NULL;
                const void *bytes;
                size_t n;
                int r;

                r = sd_bus_process(e->bus, &m);
                if (r < 0)
                        return err_origin(r);
                if (r == 0)
                        return -EAGAIN;
                if (!m)
                        continue;
                if (!sd_bus_message_is_method_call(m, "org.bench.B", "M")) {
                        sd_bus_message_unref(m);
                        continue;
                }
                r = sd_bus_message_read_array(m, 'y', &bytes, &n);
                if (r >= 0) {
                        *ret_n = MIN(n, n_max);
                        memcpy(data, bytes, *ret_n);
                }
                sd_bus_message_unref(m);
                return r < 0 ? err_origin(r) : 0;
        }
}

static int dbus_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        for (;;) {
                int r = dbus_poll(e, data, n_max, ret_n);

                if (r != -EAGAIN)
                        return r;
                r = sd_bus_wait(e->bus, UINT64_MAX);
                if (r < 0)
                        return err_origin(r);
        }
}

static int dbus_get_fd(Endpoint *e) {
        return sd_bus_get_fd(e->bus);
}

const System system_dbus = {
        .name = "dbus-broker",
        .open = dbus_open,
        .close = dbus_close,
        .send = dbus_send,
        .flush = dbus_flush,
        .receive = dbus_receive,
        .poll = dbus_poll,
        .get_fd = dbus_get_fd,
        .flight_max = 4 * 1024 * 1024,
};
