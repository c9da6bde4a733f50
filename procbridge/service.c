/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/service.h"

#include <utlist.h>

#include "libclient/p2pbus-sd-event.h"
#include "libcore/err.h"
#include "procbridge/exchange.h"

#define NAME_USEC (5 * USEC_PER_SEC)
#define FLUSH_USEC USEC_PER_SEC

static int on_bus(p2pbus *bus, int ready, void *userdata) {
        Service *service = userdata;

        (void)bus;
        if (ready < 0) {
                manager_bus_closed(service->manager, service);
                return 0;
        }
        service_receive(service);
        return 0;
}

static void service_take(Service *service, p2pbus_message *message) {
        bool asks = p2pbus_message_get_kind(message) == P2PBUS_KIND_REQUEST;

        if (asks && service->provide) {
                exchange_new(service, message);
                return;
        }
        service->manager->counters.ignored++;
        if (asks)
                (void)p2pbus_reply_error(
                        service->bus, message, SERVICE_STATUS_NO_CALL,
                        "this process takes no calls"); /* closed: nobody to tell */
}

void service_receive(Service *service) {
        p2pbus_message *message;

        while (service->n_exchanges < service->manager->settings->max_calls &&
               p2pbus_receive(service->bus, 0, &message) >= 0) {
                service_take(service, message);
                p2pbus_message_unref(message);
        }
}

void service_exchange_ended(Service *service) {
        service->n_exchanges--;
        service_receive(service);
}

int service_new(Service **ret, Manager *manager, p2pbus *bus, const SettingsProvide *provide) {
        Service *service;
        int r;

        service = calloc(1, sizeof(*service));
        if (!service)
                return err_origin(-ENOMEM);
        service->manager = manager;
        service->bus = p2pbus_ref(bus);
        service->provide = provide;
        DL_APPEND(manager->services, service);
        r = p2pbus_attach_event(&service->event, bus, manager->event, 0, on_bus, service);
        if (r < 0) {
                service_free(service);
                return err_origin(r);
        }
        *ret = service;
        return 0;
}

Service *service_free(Service *service) {
        DL_DELETE(service->manager->services, service);
        while (service->exchanges)
                exchange_free(service->exchanges);
        service->event = p2pbus_detach_event(service->event);
        p2pbus_unref(service->bus);
        free(service);
        return NULL;
}

int service_claim(Service *service) {
        return service->provide ? p2pbus_own_name(service->bus, service->provide->name, NAME_USEC)
                                : 0;
}

void service_stop(Service *service) {
        if (service->provide)
                (void)p2pbus_release_name(service->bus, service->provide->name, FLUSH_USEC);
        service_receive(service);
}

bool service_is_idle(const Service *service) {
        return service->n_exchanges == 0;
}

void service_flush(Service *service) {
        (void)p2pbus_flush(service->bus, FLUSH_USEC); /* what is then not taken is nobody's */
}
