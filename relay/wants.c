/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/wants.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "libcore/err.h"

#define LATE_TICKS 2

struct RelayWant {
        Want want; /* first: an item of the set */
        WantsRoute *owner;
        RelayWant *prev_route, *next_route;
};

struct RelayWants {
        WantSet set;
        WantsSay say;
        WantsRoute *routes;
        uint64_t n_asked; /* questions so far, by which they are numbered */
};

static RelayWant *item_of(const Want *want) {
        return (RelayWant *)container_of(want, RelayWant, want);
}

int relay_wants_new(RelayWants **ret, WantsSay say) {
        RelayWants *wants = calloc(1, sizeof(*wants));

        if (!wants)
                return err_origin(-ENOMEM);
        wants->say = say;
        wants_init(&wants->set, sizeof(RelayWant), WANTS_MAX, WANTS_ONE_MAX);
        *ret = wants;
        return 0;
}

RelayWants *relay_wants_free(RelayWants *wants) {
        if (!wants)
                return NULL;
        wants_done(&wants->set);
        free(wants);
        return NULL;
}

/* Telling */

static Control wanted(uint32_t value) {
        return (Control){ .verb = CONTROL_WANTED, .value = value };
}

static Control wanted_one(const Want *want, uint32_t value) {
        Control word = wanted(value);

        word.address = want->wanter->address;
        word.body = want->body;
        word.n_body = want->n_body;
        return word;
}

/* All that it waited for have answered its question. */
static void say_pong(RelayWants *wants, WantsRoute *route) {
        const Control pong = {
                .verb = CONTROL_PONG,
                .value = route->is_so ? PING_ALL : 0,
                .ref = route->asks_id,
        };

        if (route->asks != 0 && route->n_waiting == 0 && wants->say(route, &pong, NULL))
                route->asks = 0;
}

/* Others ask what it has not been asked yet. */
static void say_ping(RelayWants *wants, WantsRoute *route) {
        const Control ping = { .verb = CONTROL_PING, .value = PING_ALL };
        const PacketId id = packet_id_make(0, wants->n_asked);

        if (route->probe == 0 && route->needed > route->heard && wants->say(route, &ping, &id))
                route->probe = wants->n_asked;
}

void relay_wants_feed(RelayWants *wants, WantsRoute *route) {
        Control word = wanted(WANTED_BEGIN);

        say_pong(wants, route);
        if (!route->is_synced)
                return;
        if (route->begins) {
                if (!wants->say(route, &word, NULL))
                        return;
                route->begins = false;
                route->is_listing = true;
                route->at = wants->set.list;
        }
        while (route->at) {
                word = wanted_one(route->at, WANTED_BEGIN);
                if (item_of(route->at)->owner != route && !wants->say(route, &word, NULL))
                        return;
                route->at = route->at->next;
        }
        word = wanted(WANTED_END);
        if (route->is_listing && !wants->say(route, &word, NULL))
                return;
        route->is_listing = false;
        say_ping(wants, route);
}

/* Whether @route knows of @want. */
static bool is_told(const WantsRoute *route, const Want *want) {
        return route->is_synced && !route->begins && item_of(want)->owner != route &&
               (!route->at || want->number < route->at->number);
}

static void tell_end(RelayWants *wants, WantsRoute *route, const Control *word) {
        if (!wants->say(route, word, NULL))
                route->begins = true;
}

/* Out of the table, without a word. */
static void item_drop(RelayWants *wants, Want *want) {
        RelayWant *item = item_of(want);
        WantsRoute *route;

        DL_FOREACH (wants->routes, route)
                if (route->at == want)
                        route->at = want->next;
        DL_DELETE2(item->owner->wants, item, prev_route, next_route);
        item->owner->n--;
        wants_drop(&wants->set, want);
}

static void end_one(RelayWants *wants, Want *want) {
        Control word = wanted_one(want, WANTED_END);
        WantsRoute *route;

        DL_FOREACH (wants->routes, route)
                if (is_told(route, want))
                        tell_end(wants, route, &word);
        item_drop(wants, want);
}

static void end_all(RelayWants *wants, Wanter *wanter, uint16_t code) {
        Control word = wanted(WANTED_END);
        unsigned n = wanter->n;
        WantsRoute *route;
        Want *want, *next;

        word.code = code;
        word.address = wanter->address;
        word.body = wanter->key;
        word.n_body = sizeof(wanter->key);
        DL_FOREACH (wants->routes, route)
                DL_FOREACH2(wanter->wants, want, next_wanter)
        if (is_told(route, want)) {
                tell_end(wants, route, &word);
                break;
        }
        for (want = wanter->wants; n-- > 0; want = next) { /* @wanter goes with its last */
                next = want->next_wanter;
                item_drop(wants, want);
        }
}

/* The barrier */

/* No question up to @number waits for @route any more; those that did are told whether @is_so. */
static void release(RelayWants *wants, WantsRoute *route, uint64_t number, bool is_so) {
        uint64_t heard = route->heard;
        WantsRoute *asker;

        route->heard = number;
        route->n_ticks = 0;
        if (!route->is_synced || route->patience.is_late)
                return; /* none did */
        DL_FOREACH (wants->routes, asker) {
                if (asker == route || asker->asks <= heard || asker->asks > number)
                        continue;
                asker->is_so = asker->is_so && is_so;
                asker->n_waiting--;
                say_pong(wants, asker);
        }
}

bool relay_wants_ask(RelayWants *wants, WantsRoute *route, const PacketId *id) {
        WantsRoute *other;

        if (route->asks != 0)
                return false;
        route->asks = ++wants->n_asked;
        route->asks_id = *id;
        route->n_waiting = 0;
        route->is_so = true;
        DL_FOREACH (wants->routes, other) {
                if (other == route || !other->is_synced)
                        continue;
                other->needed = route->asks;
                if (other->patience.is_late)
                        route->is_so = false;
                else
                        route->n_waiting++;
                relay_wants_feed(wants, other);
        }
        say_pong(wants, route); /* if there is nobody else */
        return true;
}

void relay_wants_answer(RelayWants *wants, WantsRoute *route, const Control *pong) {
        uint64_t number = packet_id_unique(&pong->ref);

        if (number == 0 || number != route->probe)
                return; /* to a heartbeat's PING, which has no number, or it is of no use any more */
        route->probe = 0;
        if (number > route->heard) {
                release(wants, route, number, pong->value == PING_ALL);
                if (route->patience.is_late)
                        route->heard = wants->n_asked; /* what was asked since does not count it */
                patience_answered(&route->patience);
        }
        relay_wants_feed(wants, route);
}

void relay_wants_tick(RelayWants *wants, WantsRoute *route, bool is_read) {
        relay_wants_feed(wants, route);
        if (route->needed <= route->heard || ++route->n_ticks < LATE_TICKS)
                return;
        release(wants, route, wants->n_asked, false);
        route->probe = 0; /* the next question may find it well */
        if (is_read)
                patience_missed(&route->patience);
}

/* Routes */

void relay_wants_open_route(RelayWants *wants, WantsRoute *route, unsigned max) {
        *route = (WantsRoute){ .max = max };
        DL_APPEND(wants->routes, route);
}

void relay_wants_close_route(RelayWants *wants, WantsRoute *route) {
        release(wants, route, wants->n_asked, false);
        route->is_synced = false;
        while (route->wants)
                end_all(wants, route->wants->want.wanter, CODE_SETTLING);
        DL_DELETE(wants->routes, route);
}

void relay_wants_sync(RelayWants *wants, WantsRoute *route) {
        if (!route->is_synced)
                route->heard = wants->n_asked;
        route->is_synced = true;
        route->begins = true;
        relay_wants_feed(wants, route);
}

/* What is wanted */

static int begin(RelayWants *wants, WantsRoute *owner, const Control *word) {
        WantsRoute *route;
        RelayWant *item;
        Want *want;
        int r;

        relay_wants_drop(wants, word->address, owner);
        if (wants_find(&wants->set, word->body, word->n_body))
                return WANTS_E_HELD;
        if (owner->n >= owner->max)
                return WANTS_E_FULL;
        r = wants_put(&wants->set, word->address, word->body, word->n_body, &want);
        if (r != 0)
                return r;
        item = item_of(want);
        item->owner = owner;
        owner->n++;
        DL_APPEND2(owner->wants, item, prev_route, next_route);
        DL_FOREACH (wants->routes, route) {
                if (route->is_synced && !route->at)
                        route->at = want;
                relay_wants_feed(wants, route);
        }
        return 0;
}

int relay_wants_put(RelayWants *wants, WantsRoute *route, const Control *word) {
        Wanter *wanter = wants_of(&wants->set, word->address);
        Want *want;

        if (word->value == WANTED_BEGIN)
                return begin(wants, route, word);
        if (!wanter || item_of(wanter->wants)->owner != route)
                return WANTS_E_HELD;
        if (word->n_body == sizeof(wanter->key)) {
                end_all(wants, wanter, CODE_OK);
                return 0;
        }
        want = wants_find(&wants->set, word->body, word->n_body);
        if (!want || want->wanter != wanter)
                return WANTS_E_HELD;
        end_one(wants, want);
        return 0;
}

void relay_wants_drop(RelayWants *wants, Address address, const WantsRoute *route) {
        Wanter *wanter = wants_of(&wants->set, address);

        if (wanter && item_of(wanter->wants)->owner != route)
                end_all(wants, wanter, CODE_OK);
}

void relay_wants_sweep(RelayWants *wants,
                       bool (*is_leased)(Address address, const WantsRoute *route, void *userdata),
                       void *userdata) {
        Wanter *wanter, *next;

        HASH_ITER (hh, wants->set.wanters, wanter, next)
                if (!is_leased(wanter->address, item_of(wanter->wants)->owner, userdata))
                        end_all(wants, wanter, CODE_OK);
}

size_t relay_wants_size(const RelayWants *wants) {
        return wants->set.n;
}
