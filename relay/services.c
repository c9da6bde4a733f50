/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A hash table by name; each name has the list of its providers. Each provider is in that list, in the
 * list of its process, which is in a table by address, and in the list of its route or of what was lost
 * with one.
 */

#define HASH_NONFATAL_OOM 1

#include "relay/services.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "libcore/buf.h"
#include "libcore/err.h"

#define SWEEP_MAX 1000

typedef struct Item Item;

typedef struct Name {
        UT_hash_handle hh;
        Item *items;
        unsigned n_items;
        char text[]; /* without a NUL */
} Name;

typedef struct Process {
        UT_hash_handle hh;
        PackedAddress address;
        Item *items;
        unsigned n_items;
        struct Process *prev, *next; /* all, those that were looked at last behind */
} Process;

struct Item {
        RelayService service; /* first: a service is its item */
        Name *name;
        Process *process;
        uint64_t issued_usec;
        uint64_t lost_usec;                /* without a route: since when */
        Item *prev, *next;                 /* the name's */
        Item *prev_process, *next_process; /* the process's */
        Item *prev_route, *next_route;     /* the route's, or of those that were lost */
        uint8_t data[];
};

struct RelayServices {
        Name *names;
        Process *processes;
        Process *sweep;
        Item *lost; /* oldest first */
        size_t n_items, n_lost;
};

static Item *first_of(const ServicesRoute *route) {
        return route->services ? container_of(route->services, Item, service) : NULL;
}

int relay_services_new(RelayServices **ret) {
        RelayServices *s = calloc(1, sizeof(*s));

        if (!s)
                return err_origin(-ENOMEM);
        *ret = s;
        return 0;
}

static Name *find_name(const RelayServices *s, const char *text, size_t n) {
        Name *name;

        HASH_FIND(hh, s->names, text, n, name);
        return name;
}

static Process *find_process(const RelayServices *s, Address address) {
        PackedAddress key = address_pack(address);
        Process *process;

        HASH_FIND(hh, s->processes, &key, sizeof(key), process);
        return process;
}

static void put_name(RelayServices *s, Name *name) {
        if (name->items)
                return;
        HASH_DELETE(hh, s->names, name);
        free(name);
}

static void put_process(RelayServices *s, Process *process) {
        if (process->items)
                return;
        HASH_DELETE(hh, s->processes, process);
        DL_DELETE(s->sweep, process);
        free(process);
}

static void unroute(RelayServices *s, Item *item) {
        ServicesRoute *route = item->service.route;
        Item *first;

        if (route) {
                first = first_of(route);
                DL_DELETE2(first, item, prev_route, next_route);
                route->services = first ? &first->service : NULL;
                route->n_services--;
                item->service.route = NULL;
        } else {
                DL_DELETE2(s->lost, item, prev_route, next_route);
                s->n_lost--;
        }
}

static void item_free(RelayServices *s, Item *item) {
        unroute(s, item);
        DL_DELETE(item->name->items, item);
        item->name->n_items--;
        put_name(s, item->name);
        DL_DELETE2(item->process->items, item, prev_process, next_process);
        item->process->n_items--;
        put_process(s, item->process);
        s->n_items--;
        free(item);
}

RelayServices *relay_services_free(RelayServices *s) {
        if (!s)
                return NULL;
        while (s->lost)
                item_free(s, s->lost);
        free(s);
        return NULL;
}

void relay_services_open_route(ServicesRoute *route, uint64_t services_max) {
        *route = (ServicesRoute){ .services_max = services_max };
}

void relay_services_close_route(RelayServices *s, ServicesRoute *route, uint64_t now_usec) {
        Item *item;

        while ((item = first_of(route))) {
                unroute(s, item);
                item->lost_usec = now_usec;
                DL_APPEND2(s->lost, item, prev_route, next_route);
                s->n_lost++;
        }
}

static Item *find(const RelayServices *s, const ServiceRecord *record) {
        const Slice *text = &record->service.service.name;
        Name *name = find_name(s, text->data, text->size);
        Item *item;

        if (name)
                DL_FOREACH (name->items, item)
                        if (key_equal(&item->service.key, &record->service.signer))
                                return item;
        return NULL;
}

static bool is_same(const Item *item, const ServiceRecord *record) {
        return item->service.n_bytes == record->bytes.size &&
               memcmp(item->data, record->bytes.data, record->bytes.size) == 0;
}

bool relay_services_knows(const RelayServices *s, const ServiceRecord *record) {
        const Item *item = find(s, record);

        return item && is_same(item, record);
}

static int verify(const Item *held, const ServiceRecord *record, const ServicesRoute *route,
                  uint64_t wall_usec) {
        SignedRecordCheck check = {
                .type = SIGNED_RECORD_SERVICE,
                .now_usec = wall_usec,
                .slack_usec = SIGNED_RECORD_SKEW_USEC,
        };

        if (held && is_same(held, record)) { /* it was verified when it came */
                if (wall_usec >= held->service.not_after_usec + SIGNED_RECORD_SKEW_USEC)
                        return RELAY_SERVICES_E_EXPIRED;
                return held->service.route == route ? RELAY_SERVICES_E_HELD : 0;
        }
        if (held) /* without its grant */
                check.held = (Slice){ held->data, load_le16(held->data + 2) };
        switch (service_record_verify(record, &check)) {
        case 0:
                return 0;
        case SIGNED_RECORD_E_CLOCK:
                return RELAY_SERVICES_E_CLOCK;
        case SIGNED_RECORD_E_EXPIRED:
                return RELAY_SERVICES_E_EXPIRED;
        case SIGNED_RECORD_E_HELD:
                return RELAY_SERVICES_E_HELD;
        case SIGNED_RECORD_E_SIGNATURE:
                return RELAY_SERVICES_E_SIGNATURE;
        default:
                return RELAY_SERVICES_E_MALFORMED;
        }
}

/* How many of the name's are on @route. */
static unsigned n_on(const Name *name, const ServicesRoute *route) {
        const Item *item;
        unsigned n = 0;

        DL_FOREACH (name->items, item)
                n += item->service.route == route;
        return n;
}

/* Room for one more of @name by @route. Return: whether there is. */
static bool make_room(RelayServices *s, Name *name, const ServicesRoute *route) {
        unsigned n_most = n_on(name, route) + 1, n;
        Item *item, *victim = NULL;

        if (name->n_items < RELAY_SERVICES_NAME_MAX)
                return true;
        DL_FOREACH (name->items, item) {
                if (!item->service.route) {
                        victim = item;
                        break;
                }
                n = n_on(name, item->service.route);
                if (n > n_most || (victim && n == n_most)) {
                        n_most = n;
                        victim = item; /* the newest of that link */
                }
        }
        if (victim)
                item_free(s, victim);
        return victim != NULL;
}

static Name *get_name(RelayServices *s, const Slice *text) {
        Name *name = find_name(s, text->data, text->size);

        if (name)
                return name;
        name = calloc(1, sizeof(*name) + text->size);
        if (!name)
                return NULL;
        memcpy(name->text, text->data, text->size);
        HASH_ADD_KEYPTR(hh, s->names, name->text, text->size, name);
        if (!name->hh.tbl) {
                free(name);
                return NULL;
        }
        return name;
}

static Process *get_process(RelayServices *s, Address address) {
        Process *process = find_process(s, address);

        if (process)
                return process;
        process = calloc(1, sizeof(*process));
        if (!process)
                return NULL;
        process->address = address_pack(address);
        HASH_ADD(hh, s->processes, address, sizeof(process->address), process);
        if (!process->hh.tbl) {
                free(process);
                return NULL;
        }
        DL_APPEND(s->sweep, process);
        return process;
}

static Item *item_new(RelayServices *s, ServicesRoute *route, const ServiceRecord *record) {
        Item *item = calloc(1, sizeof(*item) + record->bytes.size), *first;
        Address address = key_hash(&record->service.signer).address;

        if (!item)
                return NULL;
        item->name = get_name(s, &record->service.service.name);
        item->process = item->name ? get_process(s, address) : NULL;
        if (!item->process) {
                if (item->name)
                        put_name(s, item->name);
                free(item);
                return NULL;
        }
        memcpy(item->data, record->bytes.data, record->bytes.size);
        item->issued_usec = record->service.issued_usec;
        item->service = (RelayService){
                .address = address,
                .key = record->service.signer,
                .route = route,
                .not_after_usec = record->service.not_after_usec,
                .bytes = item->data,
                .n_bytes = record->bytes.size,
        };
        DL_APPEND(item->name->items, item);
        item->name->n_items++;
        DL_APPEND2(item->process->items, item, prev_process, next_process);
        item->process->n_items++;
        first = first_of(route);
        DL_APPEND2(first, item, prev_route, next_route);
        route->services = &first->service;
        route->n_services++;
        s->n_items++;
        return item;
}

/* Room for what @held, or nothing, is to be replaced by. */
static bool fits(RelayServices *s, const ServicesRoute *route, const ServiceRecord *record,
                 const Item *held) {
        const Slice *text = &record->service.service.name;
        const Process *process;
        Name *name;

        if ((!held || held->service.route != route) && route->n_services >= route->services_max)
                return false;
        if (held)
                return true;
        process = find_process(s, key_hash(&record->service.signer).address);
        name = find_name(s, text->data, text->size);
        return s->n_items < RELAY_SERVICES_MAX &&
               (!process || process->n_items < RELAY_SERVICES_PROCESS_MAX) &&
               (!name || make_room(s, name, route));
}

int relay_services_put(RelayServices *s, ServicesRoute *route, const ServiceRecord *record,
                       uint64_t wall_usec) {
        Item *held = find(s, record);
        int r;

        r = verify(held, record, route, wall_usec);
        if (r != 0)
                return r;
        if (record->service.flags & SIGNED_RECORD_WITHDRAWN) {
                if (held)
                        item_free(s, held);
                return held ? 0 : RELAY_SERVICES_E_HELD;
        }
        if (!fits(s, route, record, held))
                return RELAY_SERVICES_E_QUOTA;
        if (!item_new(s, route, record))
                return err_origin(-ENOMEM);
        if (held)
                item_free(s, held);
        return 0;
}

void relay_services_drop(RelayServices *s, Address address, const char *name, size_t n_name,
                         const ServicesRoute *keep) {
        Process *process = find_process(s, address);
        Item *item, *next;

        if (!process)
                return;
        for (item = process->items; item; item = next) {
                next = item->next_process; /* the process goes with its last one */
                if (name ? item->name == find_name(s, name, n_name)
                         : !keep || item->service.route != keep)
                        item_free(s, item);
        }
}

RelayServicesAnswer relay_services_find(const RelayServices *s, const char *text, size_t n_text,
                                        const ServicesRoute *except, uint64_t wall_usec,
                                        uint64_t now_usec, RelayServicesVisit *visit,
                                        void *userdata) {
        RelayServicesAnswer answer = RELAY_SERVICES_NONE;
        const Name *name = find_name(s, text, n_text);
        const Item *item;

        if (!name)
                return answer;
        DL_FOREACH (name->items, item) {
                if (wall_usec >= item->service.not_after_usec + SIGNED_RECORD_SKEW_USEC)
                        continue;
                if (!item->service.route) {
                        if (now_usec - item->lost_usec < RELAY_SERVICES_LOST_USEC)
                                answer = MAX(answer, RELAY_SERVICES_LOST);
                } else if (item->service.route != except && visit(&item->service, userdata)) {
                        answer = RELAY_SERVICES_SOME;
                }
        }
        return answer;
}

void relay_services_sweep(RelayServices *s, uint64_t wall_usec, uint64_t now_usec,
                          bool (*still_leased)(const RelayService *service, void *userdata),
                          void *userdata) {
        size_t n = MIN((size_t)HASH_COUNT(s->processes), (size_t)SWEEP_MAX);
        Item *item, *next;

        while (s->lost && now_usec - s->lost->lost_usec >= RELAY_SERVICES_LOST_USEC)
                item_free(s, s->lost);
        while (n-- > 0 && s->sweep) {
                Process *process = s->sweep;

                DL_DELETE(s->sweep, process);
                DL_APPEND(s->sweep, process);
                for (item = process->items; item; item = next) {
                        next = item->next_process; /* the process goes with its last one */
                        if (wall_usec >= item->service.not_after_usec + SIGNED_RECORD_SKEW_USEC ||
                            (item->service.route && !still_leased(&item->service, userdata)))
                                item_free(s, item);
                }
        }
}

size_t relay_services_size(const RelayServices *s) {
        return s->n_items - s->n_lost;
}
