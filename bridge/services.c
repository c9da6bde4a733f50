/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "bridge/services.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libsecure/service-record.h"

struct ServicesProcess {
        UT_hash_handle hh;
        PackedAddress address;
        Service *own;
        unsigned n_own;
};

struct Services {
        ServicesProcess *processes;
        Service *all;
        unsigned n;
};

static ServicesProcess *process_of(const Services *services, Address address) {
        PackedAddress key = address_pack(address);
        ServicesProcess *process;

        HASH_FIND(hh, services->processes, &key, sizeof(key), process);
        return process;
}

int services_new(Services **ret) {
        Services *services = calloc(1, sizeof(*services));

        if (!services)
                return err_origin(-ENOMEM);
        *ret = services;
        return 0;
}

Services *services_free(Services *services) {
        if (!services)
                return NULL;
        while (services->all)
                services_drop(services, services->all);
        free(services);
        return NULL;
}

Service *services_find(const Services *services, Address address, const char *name, size_t n_name) {
        Service *service;

        for (service = services_first_of(services, address); service; service = service->next_own)
                if (service->n_name == n_name && memcmp(service_name(service), name, n_name) == 0)
                        return service;
        return NULL;
}

static ServicesProcess *get_process(Services *services, Address address) {
        ServicesProcess *process = process_of(services, address);

        if (process)
                return process;
        process = calloc(1, sizeof(*process));
        if (!process)
                return NULL;
        process->address = address_pack(address);
        HASH_ADD(hh, services->processes, address, sizeof(process->address), process);
        if (!process->hh.tbl) {
                free(process);
                return NULL;
        }
        return process;
}

static int add(Services *services, const ServiceRecord *record, Address address) {
        const Slice *name = &record->service.service.name;
        Service *service = malloc(sizeof(*service) + record->bytes.size + name->size);

        if (!service)
                return err_origin(-ENOMEM);
        *service = (Service){
                .address = address,
                .confirmed = true,
                .n_name = name->size,
                .n_bytes = record->bytes.size,
                .issued_usec = record->service.issued_usec,
        };
        service->process = get_process(services, address);
        if (!service->process) {
                free(service);
                return err_origin(-ENOMEM);
        }
        memcpy(service->bytes, record->bytes.data, record->bytes.size);
        memcpy(service->bytes + record->bytes.size, name->data, name->size);
        DL_APPEND(services->all, service);
        services->n++;
        DL_APPEND2(service->process->own, service, prev_own, next_own);
        service->process->n_own++;
        return 0;
}

int services_put(Services *services, const uint8_t *bytes, size_t n_bytes) {
        const ServicesProcess *process;
        ServiceRecord record;
        Address address;
        Service *held;
        int r;

        if (service_record_decode_whole(bytes, n_bytes, &record) != 0)
                return SERVICES_E_MALFORMED;
        address = key_hash(&record.service.signer).address;
        process = process_of(services, address);
        held = services_find(services, address, record.service.service.name.data,
                             record.service.service.name.size);
        if (held && record.service.issued_usec <= held->issued_usec) {
                held->confirmed = true;
                return SERVICES_E_HELD;
        }
        if (record.service.flags & SIGNED_RECORD_WITHDRAWN) {
                if (held)
                        services_drop(services, held);
                return SERVICES_E_WITHDRAWN;
        }
        if (!held &&
            (services->n >= SERVICES_MAX || (process && process->n_own >= SERVICES_ONE_MAX)))
                return SERVICES_E_FULL;
        r = add(services, &record, address);
        if (r == 0 && held)
                services_drop(services, held);
        return r;
}

void services_drop(Services *services, Service *service) {
        ServicesProcess *process = service->process;

        DL_DELETE(services->all, service);
        services->n--;
        DL_DELETE2(process->own, service, prev_own, next_own);
        process->n_own--;
        if (!process->own) {
                HASH_DELETE(hh, services->processes, process);
                free(process);
        }
        free(service);
}

Service *services_first(const Services *services) {
        return services->all;
}

Service *services_first_of(const Services *services, Address address) {
        const ServicesProcess *process = process_of(services, address);

        return process ? process->own : NULL;
}

void services_unconfirm(Services *services) {
        Service *service;

        DL_FOREACH (services->all, service)
                service->confirmed = false;
}
