/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "bench/system.h"

#include <string.h>

#include "libcore/util.h"

const System *system_find(const char *name) {
        static const System *const all[] = {
                &system_p2pbus,
                &system_p2pbus_ring,
                &system_p2pbus_ring_poll,
                &system_p2pbus_ring_sleep,
                &system_p2pbus_ring_zero,
                &system_limit_spin,
                &system_limit_futex,
                &system_limit_eventfd,
#ifdef HAVE_ZMQ
                &system_zeromq,
#endif
#ifdef HAVE_ICEORYX
                &system_iceoryx,
                &system_iceoryx_poll,
                &system_iceoryx_zero,
#endif
                &system_router,
                &system_dbus,
                &system_nats,
                &system_redis,
                &system_mqtt,
                &system_relay,
                &system_lws,
                &system_nats_ws,
        };

        for (size_t i = 0; i < ELEMENTSOF(all); i++)
                if (strcmp(all[i]->name, name) == 0)
                        return all[i];
        return NULL;
}
