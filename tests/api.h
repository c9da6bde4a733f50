/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * The public library, as tests call it; for what runs in the test's own process (partner.h: in others)
 */

#include <check.h>
#include <stdint.h>

#include "libclient/p2pbus.h"
#include "tests/harness.h"

#define SECOND UINT64_C(1000000)

#define ok(call)                                                                                   \
        do {                                                                                       \
                int ok_r = (call);                                                                 \
                ck_assert_msg(ok_r >= 0, "%s: %d, %s", #call, ok_r, p2pbus_get_explanation());     \
        } while (0)

#define fails(call, error)                                                                         \
        do {                                                                                       \
                int fails_r = (call);                                                              \
                ck_assert_msg(fails_r == (error), "%s: %d, not %d (%s)", #call, fails_r, (error),  \
                              p2pbus_get_explanation());                                           \
        } while (0)

static inline p2pbus *api_open(const Daemon *d, uint32_t flags) {
        p2pbus_options options = {
                .struct_size = sizeof(options),
                .socket_path = d->socket,
                .flags = flags,
        };
        p2pbus *bus = NULL;

        ok(p2pbus_open(&bus, &options));
        return bus;
}

static inline p2pbus_counters counters_of(p2pbus *bus) {
        p2pbus_counters counters = { .struct_size = sizeof(counters) };

        ok(p2pbus_get_counters(bus, &counters));
        return counters;
}
