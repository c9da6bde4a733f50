/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/rights.h"

#include <stdio.h>
#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/monitor.h"
#include "libclient/own-name.h"
#include "libclient/reason.h"
#include "libclient/topic-remote.h"
#include "libclient/topic.h"

struct RightChange {
        int right;  /* enum p2pbus_right */
        int reason; /* 0: it is had again */
        char what[CONTROL_NAME_MAX + 1];
        char explanation[CONTROL_TEXT_MAX + 64];
        RightChange *prev, *next;
};

/* Without memory the application does not hear of it. */
static void note(p2pbus *bus, int right, const char *what, int reason, const char *text) {
        const char *reason_text = reason != 0 ? p2pbus_reason_text(reason) : "";
        RightChange *change;

        if (bus->rights.n_changes < RIGHT_CHANGES_MAX) {
                change = calloc(1, sizeof(*change));
                if (!change)
                        return;
                bus->rights.n_changes++;
        } else {
                change = bus->rights.changes;
                DL_DELETE(bus->rights.changes, change);
        }
        change->right = right;
        change->reason = reason;
        (void)snprintf(change->what, sizeof(change->what), "%s", what);
        (void)snprintf(change->explanation, sizeof(change->explanation), "%s%s%s", reason_text,
                       *text != '\0' ? ": " : "", text);
        DL_APPEND(bus->rights.changes, change);
        bus_happened(bus);
}

static void lose(p2pbus *bus, int right, const char *what, int reason, const char *text,
                 bool *is_lost) {
        if (!*is_lost)
                note(bus, right, what, reason, text);
        *is_lost = true;
}

static void regain(p2pbus *bus, int right, const char *what, bool *is_lost) {
        if (*is_lost)
                note(bus, right, what, 0, "");
        *is_lost = false;
}

void rights_denied(p2pbus *bus, int right, const char *what, const char *text, bool *is_lost) {
        lose(bus, right, what, P2PBUS_REASON_DENIED, text, is_lost);
}

void rights_answered(p2pbus *bus, int right, const char *what, const Ask *ask, bool *is_lost) {
        char text[CONTROL_TEXT_MAX + 1] = "";

        if (ask->code == CODE_DENIED)
                reason_copy_text(ask->body, ask->n_body, text);
        if (ask->code == CODE_OK)
                regain(bus, right, what, is_lost);
        else
                lose(bus, right, what, reason_of(ask->code), text, is_lost);
}

/* Other hosts */

static void on_off_host_denied(p2pbus *bus, const char *text) {
        bus->welcome.flags &= ~(uint32_t)ATTACH_OFF_HOST;
        bus->n_reachable = 0;
        (void)snprintf(bus->rights.no_off_host, sizeof(bus->rights.no_off_host), "%s", text);
        /* What was never had is no loss: p2pbus_wait_reachable() says it to who asks. */
        if (bus->rights.had_off_host)
                rights_denied(bus, P2PBUS_RIGHT_OFF_HOST, "", text, &bus->rights.is_off_host_lost);
        bus_happened(bus);
}

static void on_off_host(p2pbus *bus) {
        bus->rights.had_off_host = true;
        bus->rights.no_off_host[0] = '\0';
        regain(bus, P2PBUS_RIGHT_OFF_HOST, "", &bus->rights.is_off_host_lost);
}

void rights_attached(p2pbus *bus) {
        bus->rights.no_off_host[0] = '\0';
        if (bus->welcome.flags & ATTACH_OFF_HOST)
                on_off_host(bus);
}

static void on_off_host_granted(p2pbus *bus) {
        if (!(bus->flags & P2PBUS_OFF_HOST))
                return;
        bus->welcome.flags |= ATTACH_OFF_HOST;
        attachment_make_sealer(bus);
        on_off_host(bus);
        topic_remote_on_off_host(bus);
        bus_happened(bus);
}

/* What the daemon says */

static void ask_again(p2pbus *bus) {
        own_name_claim_lost(bus);
        topic_subscribe_lost(bus);
        monitor_ask_lost(bus);
}

static void on_taken(p2pbus *bus, const Control *word) {
        const uint8_t *end = word->n_body > 0 ? memchr(word->body, '\0', word->n_body) : NULL;
        size_t n = end ? (size_t)(end - word->body) : 0;
        char what[CONTROL_NAME_MAX + 1], text[CONTROL_TEXT_MAX + 1];

        if (!end || n > CONTROL_NAME_MAX) {
                bus->counters.bad_packets++;
                return;
        }
        memcpy(what, word->body, n + 1);
        reason_copy_text(end + 1, word->n_body - n - 1, text);
        switch (word->value) {
        case CONTROL_OWN:
                own_name_on_denied(bus, what, text);
                break;
        case CONTROL_SUBSCRIBE:
                topic_on_denied(bus, what, text);
                break;
        case CONTROL_MONITOR:
                monitor_on_denied(bus, text);
                break;
        case CONTROL_LEASE:
                on_off_host_denied(bus, text);
                break;
        default: /* of a later version */
                break;
        }
}

void rights_consume(p2pbus *bus, const Control *word) {
        if (word->code == CODE_DENIED)
                on_taken(bus, word);
        else if (word->code == CODE_OK && word->value == RIGHTS_CHANGED)
                ask_again(bus);
        else if (word->code == CODE_OK && word->value == CONTROL_LEASE)
                on_off_host_granted(bus);
}

/* The application */

static void take_first(p2pbus *bus) {
        free(bus->rights.told);
        bus->rights.told = bus->rights.changes;
        DL_DELETE(bus->rights.changes, bus->rights.told);
        bus->rights.n_changes--;
}

_public_ int p2pbus_next_right_change(p2pbus *bus, p2pbus_right_change *change) {
        const RightChange *told;
        int r;

        if (!change || change->struct_size != sizeof(*change))
                return reason_fail_errno(-EINVAL, "p2pbus_right_change.struct_size is not set");
        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (!bus->rights.changes)
                return bus_leave(bus, -EAGAIN);
        take_first(bus);
        told = bus->rights.told;
        change->right = told->right;
        change->reason = told->reason;
        change->what = told->what;
        change->explanation = told->explanation;
        return bus_leave(bus, 0);
}

void rights_free_all(p2pbus *bus) {
        RightChange *change, *next;

        DL_FOREACH_SAFE (bus->rights.changes, change, next) {
                DL_DELETE(bus->rights.changes, change);
                free(change);
        }
        free(bus->rights.told);
        bus->rights.told = NULL;
}
