/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/relay-lists.h"

#include <assert.h>
#include <utlist.h>

#include "bridge/routes.h"
#include "libcore/err.h"
#include "libcore/url.h"

struct RelayLists {
        RelayList *all;
        RelayList *none; /* kept for when there is no memory */
        bool has_url[ROUTES_LINKS_MAX];
        WsUrl urls[ROUTES_LINKS_MAX];
};

static bool has_relay(const RelayList *list, const WsUrl *relay) {
        WsUrl url;

        for (const char *at = list->urls; at < list->urls + list->n_urls; at += strlen(at) + 1)
                if (ws_url_parse(at, &url) == 0 && ws_url_is_same_relay(&url, relay))
                        return true;
        return false;
}

static void list_look(RelayList *list, unsigned slot) {
        const RelayLists *lists = list->lists;

        list->links &= ~(1U << slot);
        if (lists->has_url[slot] && has_relay(list, &lists->urls[slot]))
                list->links |= 1U << slot;
}

/* NULL: no memory. */
static RelayList *list_new(RelayLists *lists, const uint8_t *urls, size_t n_urls) {
        RelayList *list = calloc(1, sizeof(*list) + n_urls + 1); /* also the last has its zero */

        if (!list)
                return NULL;
        list->lists = lists;
        list->n_refs = 1;
        list->n_urls = n_urls;
        if (n_urls > 0)
                memcpy(list->urls, urls, n_urls);
        for (unsigned i = 0; i < ROUTES_LINKS_MAX; i++)
                list_look(list, i);
        DL_APPEND(lists->all, list);
        return list;
}

int relay_lists_new(RelayLists **ret) {
        RelayLists *lists = calloc(1, sizeof(*lists));

        if (!lists)
                return err_origin(-ENOMEM);
        lists->none = list_new(lists, NULL, 0);
        if (!lists->none) {
                free(lists);
                return err_origin(-ENOMEM);
        }
        *ret = lists;
        return 0;
}

RelayLists *relay_lists_free(RelayLists *lists) {
        if (!lists)
                return NULL;
        relay_list_unref(lists->none);
        assert(!lists->all);
        free(lists);
        return NULL;
}

void relay_lists_set_link(RelayLists *lists, unsigned slot, const char *url) {
        RelayList *list;

        assert(slot < ROUTES_LINKS_MAX);
        lists->has_url[slot] = url && ws_url_parse(url, &lists->urls[slot]) == 0;
        DL_FOREACH (lists->all, list)
                list_look(list, slot);
}

RelayList *relay_lists_get(RelayLists *lists, const uint8_t *urls, size_t n_urls) {
        RelayList *list;

        DL_FOREACH (lists->all, list)
                if (list->n_urls == n_urls &&
                    (n_urls == 0 || memcmp(list->urls, urls, n_urls) == 0))
                        break;
        if (!list)
                list = list_new(lists, urls, n_urls);
        else
                list->n_refs++;
        return list ? list : relay_lists_get_none(lists);
}

RelayList *relay_lists_get_none(RelayLists *lists) {
        lists->none->n_refs++;
        return lists->none;
}

RelayList *relay_list_unref(RelayList *list) {
        if (!list || --list->n_refs > 0)
                return NULL;
        DL_DELETE(list->lists->all, list);
        free(list);
        return NULL;
}

bool relay_lists_have_only(const RelayLists *lists, uint32_t up, unsigned slot) {
        const RelayList *list;

        DL_FOREACH (lists->all, list)
                if ((list->links & up) == 1U << slot)
                        return true;
        return false;
}
