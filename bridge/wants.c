/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/wants.h"

#include <utlist.h>

#include "libcore/err.h"
#include "libsecure/key.h"

/* Of this host. */
typedef struct OwnWant {
        Want want;      /* first: an item of the set */
        bool confirmed; /* by the daemon that we are attached to now */
        bool refused;   /* by a relay, which the daemon knows */
} OwnWant;

/* Of another. */
typedef struct FarWant {
        Want want;
        uint32_t links; /* that say so */
        uint32_t stale; /* of these: said it before they began anew */
        bool anew;      /* one of them said that it was over: it may begin anew before all have said so */
        uint32_t old;   /* began before it began anew, and are to say so yet */
} FarWant;

struct Wants {
        const WantsHandlers *handlers;
        void *userdata;
        WantSet own, far;
};

int wants_new(Wants **ret, const WantsHandlers *handlers, void *userdata) {
        Wants *wants = calloc(1, sizeof(*wants));

        if (!wants)
                return err_origin(-ENOMEM);
        wants->handlers = handlers;
        wants->userdata = userdata;
        wants_init(&wants->own, sizeof(OwnWant), WANTS_MAX, WANTS_ONE_MAX);
        wants_init(&wants->far, sizeof(FarWant), WANTS_MAX, WANTS_ONE_MAX);
        *ret = wants;
        return 0;
}

Wants *wants_free(Wants *wants) {
        if (!wants)
                return NULL;
        wants_done(&wants->own);
        wants_done(&wants->far);
        free(wants);
        return NULL;
}

static OwnWant *own_of(Want *want) {
        return container_of(want, OwnWant, want);
}

static FarWant *far_of(Want *want) {
        return container_of(want, FarWant, want);
}

static Control wanted(const Want *want, uint32_t value, uint16_t code) {
        return (Control){
                .verb = CONTROL_WANTED,
                .code = code,
                .value = value,
                .address = want->wanter->address,
                .body = want->body,
                .n_body = want->n_body,
        };
}

/* Whether the key in @word is that of its address, so that neighbours may group by either. */
static bool key_fits(const Control *word) {
        PublicKey key;

        memcpy(key.bytes, word->body, sizeof(key.bytes));
        return address_equal(key_hash(&key).address, word->address);
}

/* Of this host */

static void own_end(Wants *wants, Want *want) {
        Control word = wanted(want, WANTED_END, CODE_OK);

        wants->handlers->say_links(&word, wants->userdata);
        wants_drop(&wants->own, want);
}

static void say_refused(Wants *wants, const Control *word, uint16_t code) {
        Control refusal = *word;

        refusal.value = WANTED_END;
        refusal.code = code;
        wants->handlers->say_daemon(&refusal, wants->userdata);
}

/* The daemon hears it once, however many relays say so, and however often. */
static void own_refused(Wants *wants, const Control *word) {
        Want *want = wants_find(&wants->own, word->body, word->n_body);

        if (!want || own_of(want)->refused)
                return;
        own_of(want)->refused = true;
        say_refused(wants, word, word->code);
}

bool wants_on_daemon(Wants *wants, const Control *word) {
        Want *want;
        int r;

        if (wanted_kind(word) != WANTED_ONE || !key_fits(word))
                return false; /* our daemon says nothing else */
        if (word->value == WANTED_END) {
                want = wants_find(&wants->own, word->body, word->n_body);
                if (want)
                        own_end(wants, want);
                return false;
        }
        r = wants_put(&wants->own, word->address, word->body, word->n_body, &want);
        if (r != 0 && r != WANTS_E_HELD) {
                say_refused(wants, word, r < 0 ? CODE_OVERLOAD : CODE_QUOTA);
                return false;
        }
        own_of(want)->confirmed = true;
        if (r == 0) {
                Control begin = wanted(want, WANTED_BEGIN, CODE_OK);

                wants->handlers->say_links(&begin, wants->userdata);
        }
        return r == 0;
}

/* All that this one wants is over. */
static Control wanted_no_more(const Wanter *wanter) {
        return (Control){
                .verb = CONTROL_WANTED,
                .value = WANTED_END,
                .address = wanter->address,
                .body = wanter->key,
                .n_body = sizeof(wanter->key),
        };
}

void wants_on_detached(Wants *wants, Address address) {
        Wanter *wanter = wants_of(&wants->own, address);
        Control word;

        if (!wanter)
                return;
        word = wanted_no_more(wanter);
        wants->handlers->say_links(&word, wants->userdata);
        while ((wanter = wants_of(&wants->own, address)))
                wants_drop(&wants->own, wanter->wants);
}

void wants_unconfirm(Wants *wants) {
        Want *want;

        DL_FOREACH (wants->own.list, want)
                own_of(want)->confirmed = false;
}

void wants_purge(Wants *wants) {
        Want *want, *next;

        DL_FOREACH_SAFE (wants->own.list, want, next)
                if (!own_of(want)->confirmed)
                        own_end(wants, want);
}

void wants_present(Wants *wants, unsigned slot, Address address) {
        Wanter *wanter = wants_of(&wants->own, address);
        Want *want;

        if (!wanter)
                return;
        DL_FOREACH2(wanter->wants, want, next_wanter) {
                Control word = wanted(want, WANTED_BEGIN, CODE_OK);

                wants->handlers->say_link(slot, &word, wants->userdata);
        }
}

void wants_withdraw(Wants *wants, unsigned slot, Address address) {
        const Wanter *wanter = wants_of(&wants->own, address);
        Control word;

        if (!wanter)
                return;
        word = wanted_no_more(wanter);
        wants->handlers->say_link(slot, &word, wants->userdata);
}

/* Of others */

static void say_far(Wants *wants, const Want *want, uint32_t value, uint16_t code) {
        Control word = wanted(want, value, code);

        wants->handlers->say_daemon(&word, wants->userdata);
}

void wants_tell_daemon(Wants *wants) {
        Want *want;

        DL_FOREACH (wants->far.list, want)
                say_far(wants, want, WANTED_BEGIN, CODE_OK);
}

static void far_begin(Wants *wants, unsigned slot, const Control *word) {
        FarWant *far;
        Want *want;
        int r;

        r = wants_put(&wants->far, word->address, word->body, word->n_body, &want);
        if (r != 0 && r != WANTS_E_HELD)
                return; /* no room: no messages go there; a PING behind it is answered all the same */
        far = far_of(want);
        if (r != 0 && far->anew && !(far->links & 1U << slot)) {
                say_far(wants, want, WANTED_END, CODE_OK);
                far->anew = false;
                far->old = far->links;
                r = 0;
        }
        far->links |= 1U << slot;
        far->stale &= ~(1U << slot);
        if (r == 0)
                say_far(wants, want, WANTED_BEGIN, CODE_OK);
}

/* Link @slot does not say so any more. */
static void far_end(Wants *wants, unsigned slot, Want *want, uint16_t code) {
        FarWant *far = far_of(want);

        if (!(far->links & 1U << slot))
                return;
        far->links &= ~(1U << slot);
        far->stale &= ~(1U << slot);
        if (far->links != 0) {
                far->anew = far->anew || (code != CODE_SETTLING && !(far->old & 1U << slot));
                far->old &= ~(1U << slot);
                return;
        }
        say_far(wants, want, WANTED_END, code == CODE_SETTLING ? CODE_SETTLING : CODE_OK);
        wants_drop(&wants->far, want);
}

static void far_end_all(Wants *wants, unsigned slot, const Control *word) {
        Wanter *wanter = wants_of(&wants->far, word->address);
        Want *want, *next;

        if (!wanter)
                return;
        DL_FOREACH_SAFE2(wanter->wants, want, next, next_wanter)
        far_end(wants, slot, want, word->code); /* careful: @wanter goes with its last */
}

static void far_list(Wants *wants, unsigned slot, uint32_t value) {
        Want *want, *next;

        DL_FOREACH_SAFE (wants->far.list, want, next)
                if (value == WANTED_BEGIN)
                        far_of(want)->stale |= far_of(want)->links & 1U << slot;
                else if (far_of(want)->stale & 1U << slot)
                        far_end(wants, slot, want, CODE_OK);
}

bool wants_on_link(Wants *wants, unsigned slot, const Control *word) {
        Want *want;

        switch (wanted_kind(word)) {
        case WANTED_LIST:
                far_list(wants, slot, word->value);
                return true;
        case WANTED_ALL:
                far_end_all(wants, slot, word);
                return true;
        case WANTED_ONE:
                break;
        default:
                return false;
        }
        if (!key_fits(word))
                return false;
        if (wanted_is_refusal(word)) {
                own_refused(wants, word);
                return true;
        }
        want = wants_find(&wants->far, word->body, word->n_body);
        if (word->value == WANTED_BEGIN)
                far_begin(wants, slot, word);
        else if (want)
                far_end(wants, slot, want, word->code);
        return true;
}

void wants_forget_link(Wants *wants, unsigned slot) {
        Want *want, *next;

        DL_FOREACH_SAFE (wants->far.list, want, next)
                far_end(wants, slot, want, CODE_SETTLING);
}
