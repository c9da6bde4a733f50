/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/service.h"

#include <utlist.h>

#include "libclient/p2pbus-sd-event.h"
#include "libcore/err.h"
#include "procbridge/exchange.h"

#define PROTOCOL "ProcBridge 1.1"
#define LOOK_USEC (20 * USEC_PER_MSEC)
#define FLUSH_USEC USEC_PER_SEC

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        Service *service = userdata;
        Exchange *next;

        (void)source, (void)usec;
        for (Exchange *exchange = service->exchanges; exchange; exchange = next) {
                next = exchange_next(exchange);
                if (!exchange_is_cancelled(exchange))
                        continue;
                service->manager->counters.cancelled++;
                exchange_free(exchange);
        }
        service_receive(service);
        return 0;
}

/* Something has come, perhaps that one of many is cancelled: to look at all of them each time would cost
 * more than to serve them. */
static void service_look_soon(Service *service) {
        if (!service->exchanges || sd_event_source_get_enabled(service->look, NULL) != 0)
                return;
        (void)sd_event_source_set_time_relative(service->look, LOOK_USEC);
        (void)sd_event_source_set_enabled(service->look, SD_EVENT_ONESHOT);
}

/* A new policy may take the name, and the next one give it back: calls go elsewhere meanwhile. */
static void log_rights(const Service *service) {
        p2pbus_right_change change = { .struct_size = sizeof(change) };
        const Log *log = service->manager->log;

        while (p2pbus_next_right_change(service->bus, &change) == 0)
                if (change.right == P2PBUS_RIGHT_NAME && change.reason == 0)
                        log_write(log, LOG_LEVEL_INFO, NULL, "%s is provided again", change.what);
                else if (change.right == P2PBUS_RIGHT_NAME)
                        log_write(log, LOG_LEVEL_WARNING, NULL, "%s is taken away: %s", change.what,
                                  change.explanation);
}

static int on_bus(p2pbus *bus, int ready, void *userdata) {
        Service *service = userdata;

        (void)bus;
        if (ready < 0) {
                manager_bus_closed(service->manager, service);
                return 0;
        }
        log_rights(service);
        service_receive(service);
        service_look_soon(service);
        return 0;
}

static void service_take(Service *service, p2pbus_message *message) {
        bool asks = p2pbus_message_get_kind(message) == P2PBUS_KIND_REQUEST;

        if (asks && p2pbus_message_is_cancelled(message)) {
                service->manager->counters.cancelled++;
                return;
        }
        if (asks && service->provider) {
                /* p2pbus.Ping and its like are answered here, by every provider. */
                if (p2pbus_provider_handle_own(service->provider, message) <= 0)
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
        if (r >= 0)
                r = sd_event_add_time(manager->event, &service->look, CLOCK_MONOTONIC, 0, 1000,
                                      on_look, service);
        if (r >= 0)
                r = sd_event_source_set_enabled(service->look, SD_EVENT_OFF);
        if (r < 0) {
                service_free(service);
                return err_origin(r);
        }
        *ret = service;
        return 0;
}

Service *service_free(Service *service) {
        DL_DELETE(service->manager->services, service);
        p2pbus_close(service->bus); /* first: a request that is dropped then was not taken */
        while (service->exchanges)
                exchange_free(service->exchanges);
        service->provider = p2pbus_provider_free(service->provider);
        service->look = sd_event_source_disable_unref(service->look);
        service->event = p2pbus_detach_event(service->event);
        p2pbus_unref(service->bus);
        free(service);
        return NULL;
}

/* What p2pbus.Info shows. Where the server is stays between it and us. Return: NULL: no memory. */
static json_t *describe(const p2pbus_service *rank) {
        return rank->metadata
                       ? json_pack("{s:s, s:s}", "protocol", PROTOCOL, "metadata", rank->metadata)
                       : json_pack("{s:s}", "protocol", PROTOCOL);
}

int service_claim(Service *service) {
        const p2pbus_service *rank = &service->manager->settings->rank;
        p2pbus_provider_options options = {
                .struct_size = sizeof(options),
                .name = service->provide ? service->provide->name : NULL,
                .service = rank,
        };
        int r;

        if (!service->provide)
                return 0;
        options.metadata = describe(rank);
        if (!options.metadata)
                return err_origin(-ENOMEM);
        r = p2pbus_provider_new(&service->provider, service->bus, NULL, 0, &options);
        json_decref(options.metadata);
        return r;
}

void service_drain(Service *service) {
        if (!service->provider || service->is_drained)
                return;
        service_receive(service);
        service->is_drained = p2pbus_drain(service->bus, 0) != -EAGAIN; /* closed: nobody asks */
}

bool service_is_drained(const Service *service) {
        return !service->provider || service->is_drained;
}

void service_flush(Service *service) {
        (void)p2pbus_flush(service->bus, FLUSH_USEC); /* what is then not taken is nobody's */
}
