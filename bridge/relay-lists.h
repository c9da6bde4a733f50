/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Relay lists: which links a process of this host may use
 *
 * Policy names relays by their URLs ([Network] Relays=), and the daemon passes these on; what is asked
 * while packets pass is a mask of links. Whoever may use the same relays shares one list, so there are as
 * many as policy makes. A link counts by the URL that it was configured with, whether it is up or not.
 *
 * Pure: no I/O, no clock. Links are slots, as in bridge/routes.h.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/util.h"

#define RELAY_LISTS_ALL_LINKS UINT32_MAX /* of whom no list says otherwise */

typedef struct RelayLists RelayLists;
typedef struct RelayList RelayList;

struct RelayList {
        RelayLists *lists;
        unsigned n_refs;
        uint32_t links; /* that it allows, of those that are configured */
        RelayList *prev, *next;
        size_t n_urls; /* bytes */
        char urls[];   /* each with its zero */
};

/* Return: 0 or -ENOMEM. */
int relay_lists_new(RelayLists **ret);
/* All lists must have been given back. */
RelayLists *relay_lists_free(RelayLists *lists);
DEFINE_CLEANUP(RelayLists, relay_lists_free)

/* The link @slot leads to @url from now on; NULL: there is none. */
void relay_lists_set_link(RelayLists *lists, unsigned slot, const char *url);
/*
 * The list of @urls, the body of RELAYS, with a reference. What is no URL allows no link; without memory
 * the list allows none at all.
 */
RelayList *relay_lists_get(RelayLists *lists, const uint8_t *urls, size_t n_urls);
/* The list that allows no link, with a reference. */
RelayList *relay_lists_get_none(RelayLists *lists);
/* Gives it back. Accepts NULL, returns NULL. */
RelayList *relay_list_unref(RelayList *list);
DEFINE_CLEANUP(RelayList, relay_list_unref)
/* The links that @list allows. @list: NULL: all. */
static inline uint32_t relay_list_links(const RelayList *list) {
        return list ? list->links : RELAY_LISTS_ALL_LINKS;
}
/* Whether, of the links @up, some list allows @slot and no other. */
bool relay_lists_have_only(const RelayLists *lists, uint32_t up, unsigned slot);
