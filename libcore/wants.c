/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "libcore/wants.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libcore/topic.h"

WantedKind wanted_kind(const Control *word) {
        const char *pattern = (const char *)word->body + CONTROL_KEY_SIZE;
        size_t n_pattern;

        if (word->value > WANTED_BEGIN)
                return WANTED_INVALID;
        if (word->n_body == 0)
                return WANTED_LIST;
        if (word->n_body < CONTROL_KEY_SIZE || pid_is_reserved(word->address.pid))
                return WANTED_INVALID;
        if (word->n_body == CONTROL_KEY_SIZE)
                return word->value == WANTED_BEGIN ? WANTED_INVALID : WANTED_ALL;
        n_pattern = word->n_body - CONTROL_KEY_SIZE;
        if (!topic_is_pattern(pattern, n_pattern) || topic_is_own(pattern, n_pattern))
                return WANTED_INVALID;
        return WANTED_ONE;
}

void wants_init(WantSet *set, size_t item_size, unsigned max, unsigned max_one) {
        *set = (WantSet){ .item_size = item_size, .max = max, .max_one = max_one };
}

void wants_done(WantSet *set) {
        while (set->list)
                wants_drop(set, set->list);
}

Want *wants_find(const WantSet *set, const uint8_t *body, size_t n_body) {
        Want *want;

        HASH_FIND(hh, set->by_body, body, n_body, want);
        return want;
}

Wanter *wants_of(const WantSet *set, Address address) {
        PackedAddress key = address_pack(address);
        Wanter *wanter;

        HASH_FIND(hh, set->wanters, &key, sizeof(key), wanter);
        return wanter;
}

static Wanter *wanter_new(WantSet *set, Address address, const uint8_t *key) {
        Wanter *wanter = calloc(1, sizeof(*wanter));

        if (!wanter)
                return NULL;
        wanter->address = address;
        wanter->packed = address_pack(address);
        memcpy(wanter->key, key, sizeof(wanter->key));
        HASH_ADD(hh, set->wanters, packed, sizeof(wanter->packed), wanter);
        if (wanter->hh.tbl)
                return wanter;
        free(wanter);
        return NULL;
}

static void wanter_prune(WantSet *set, Wanter *wanter) {
        if (wanter->n > 0)
                return;
        HASH_DELETE(hh, set->wanters, wanter);
        free(wanter);
}

int wants_put(WantSet *set, Address address, const uint8_t *body, size_t n_body, Want **ret) {
        Wanter *wanter = wants_of(set, address);
        uint8_t *copy;
        Want *want;

        *ret = wants_find(set, body, n_body);
        if (*ret)
                return WANTS_E_HELD;
        if (set->n >= set->max || (wanter && wanter->n >= set->max_one))
                return WANTS_E_FULL;
        if (wanter && memcmp(wanter->key, body, sizeof(wanter->key)) != 0)
                return WANTS_E_KEY;
        if (!wanter)
                wanter = wanter_new(set, address, body);
        if (!wanter)
                return err_origin(-ENOMEM);
        want = calloc(1, set->item_size + n_body);
        if (!want) {
                wanter_prune(set, wanter);
                return err_origin(-ENOMEM);
        }
        copy = (uint8_t *)want + set->item_size;
        memcpy(copy, body, n_body);
        want->body = copy;
        want->n_body = n_body;
        HASH_ADD_KEYPTR(hh, set->by_body, want->body, n_body, want);
        if (!want->hh.tbl) {
                free(want);
                wanter_prune(set, wanter);
                return err_origin(-ENOMEM);
        }
        want->wanter = wanter;
        want->number = ++set->last_number;
        wanter->n++;
        set->n++;
        DL_APPEND2(wanter->wants, want, prev_wanter, next_wanter);
        DL_APPEND(set->list, want);
        *ret = want;
        return 0;
}

void wants_drop(WantSet *set, Want *want) {
        Wanter *wanter = want->wanter;

        HASH_DELETE(hh, set->by_body, want);
        DL_DELETE(set->list, want);
        DL_DELETE2(wanter->wants, want, prev_wanter, next_wanter);
        wanter->n--;
        set->n--;
        free(want);
        wanter_prune(set, wanter);
}
