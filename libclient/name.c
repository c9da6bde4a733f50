/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Just after a restart of the daemon its providers have yet to come back: for the first seconds of
 * its life an empty answer is asked for again, if we have known a daemon before it.
 */

#include "config.h"

#include "libclient/name.h"

#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/daemon.h"
#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/send.h"
#include "libcore/buf.h"
#include "libcore/err.h"
#include "libcore/name.h"

#define NAME_FRESH_USEC (10 * USEC_PER_SEC) /* how long a provider is used without asking again */
#define NAME_WAITING_MAX SESSION_QUEUE_MAX  /* bytes that wait for a provider */
#define NAMES_MAX 1024
#define ASK_AGAIN_USEC (100 * USEC_PER_MSEC)

struct Name {
        p2pbus *bus;
        char text[P2PBUS_NAME_MAX + 1];
        Ask ask;
        bool is_asking;
        Timer timer; /* to ask again, or the first deadline of what waits */
        uint64_t ask_at_usec;
        Address provider; /* PID_NONE: not known */
        uint64_t used_usec, answered_usec;
        Message *waiting; /* list, by prev and next: no session has them yet */
        size_t n_waiting_bytes;
        UT_hash_handle hh;
};

struct OwnName {
        char text[P2PBUS_NAME_MAX + 1];
        Ask ask; /* claims it again */
        OwnName *next;
};

/* Names that are sent to */

static void settle(Name *name, Message *m, int result) {
        DL_DELETE(name->waiting, m);
        m->prev = m->next = NULL;
        name->n_waiting_bytes -= message_memory(m);
        m->result = result;
        send_finished(name->bus, m);
}

static void set_timer(Name *name) {
        uint64_t due = name->ask_at_usec;
        Message *m;

        DL_FOREACH(name->waiting, m)
                due = MIN(due, m->deadline_usec);
        (void)timer_set(&name->bus->timers, &name->timer, due);
}

static void deliver(Name *name, Peer *peer) {
        while (name->waiting) {
                Message *m = name->waiting;

                DL_DELETE(name->waiting, m);
                m->prev = m->next = NULL;
                name->n_waiting_bytes -= message_memory(m);
                send_later(name->bus, peer, m);
                message_unref(m);
        }
}

/* The first that is not ourselves, if there is another. */
static bool choose(const p2pbus *bus, const Ask *ask, Address *ret) {
        BufReader body = buf_reader(ask->body, ask->n_body);
        Address address = { .pid = PID_NONE };
        bool any = false;

        while (buf_left(&body) >= CONTROL_NAMED_ENTRY_SIZE) {
                address.pid = buf_get_be64(&body);
                address.tag = buf_get_be32(&body);
                if (!any || address_equal(*ret, bus->self.address))
                        *ret = address;
                any = true;
        }
        return any;
}

static void on_named(p2pbus *bus, Ask *ask) {
        Name *name = container_of(ask, Name, ask);
        uint16_t code = ask->code;
        Peer *peer;

        name->is_asking = false;
        if (code == CODE_OK && !choose(bus, ask, &name->provider))
                code = CODE_NO_PROVIDER;
        daemon_drop(bus, ask);
        name->answered_usec = bus->now_usec;
        if (code == CODE_NO_PROVIDER && attachment_is_settling(bus)) {
                name->ask_at_usec = bus->now_usec + ASK_AGAIN_USEC;
                set_timer(name);
                return;
        }
        if (code == CODE_OK && peer_get(bus, name->provider, NULL, &peer) == 0) {
                deliver(name, peer);
        } else {
                name->provider.pid = PID_NONE;
                while (name->waiting)
                        settle(name, name->waiting, code == CODE_OK ? CODE_QUOTA : code);
        }
        set_timer(name);
        bus_happened(bus);
}

static void ask_name(Name *name) {
        if (name->is_asking)
                return;
        name->is_asking = true;
        name->ask_at_usec = USEC_NEVER;
        name->ask.control = (Control){
                .verb = CONTROL_RESOLVE_NAME,
                .body = (const uint8_t *)name->text,
                .n_body = strlen(name->text),
        };
        name->ask.on_answer = on_named;
        daemon_ask(name->bus, &name->ask);
}

static void on_name_timer(Timer *timer, uint64_t now) {
        Name *name = container_of(timer, Name, timer);
        Message *m, *next;

        if (name->ask_at_usec <= now)
                ask_name(name);
        DL_FOREACH_SAFE(name->waiting, m, next)
                if (m->deadline_usec <= now)
                        settle(name, m, CODE_EXPIRED);
        set_timer(name);
}

static void name_free(Name *name) {
        p2pbus *bus = name->bus;

        while (name->waiting)
                settle(name, name->waiting, RESULT_CANCELLED);
        daemon_drop(bus, &name->ask);
        timer_clear(&bus->timers, &name->timer);
        HASH_DELETE(hh, bus->names, name);
        free(name);
}

static void forget_unused(p2pbus *bus) {
        Name *name, *next;

        HASH_ITER(hh, bus->names, name, next)
                if (!name->waiting && !name->is_asking)
                        name_free(name);
}

static int get(p2pbus *bus, const char *text, Name **ret) {
        Name *name;

        HASH_FIND_STR(bus->names, text, name);
        if (!name) {
                if (HASH_COUNT(bus->names) >= NAMES_MAX)
                        forget_unused(bus);
                if (HASH_COUNT(bus->names) >= NAMES_MAX)
                        return -EAGAIN;
                name = calloc(1, sizeof(*name));
                if (!name)
                        return reason_fail_errno(-ENOMEM, "out of memory");
                name->bus = bus;
                name->ask_at_usec = USEC_NEVER;
                name->timer.on_due = on_name_timer;
                strcpy(name->text, text);
                HASH_ADD_STR(bus->names, text, name);
        }
        *ret = name;
        return 0;
}

int name_send(p2pbus *bus, const char *text, Message *m) {
        bool is_fresh;
        Name *name = NULL;
        Peer *peer;
        int r;

        r = get(bus, text, &name);
        if (r < 0)
                return r;
        /* In use without a break, it stays: what was sent stays in order. */
        is_fresh = name->provider.pid != PID_NONE &&
                (bus->now_usec - name->answered_usec < NAME_FRESH_USEC ||
                 bus->now_usec - name->used_usec < NAME_FRESH_USEC / 10);
        name->used_usec = bus->now_usec;
        if (is_fresh && !name->waiting) {
                r = peer_get(bus, name->provider, NULL, &peer);
                if (r == -ENOBUFS)
                        return -EAGAIN;
                if (r < 0)
                        return reason_fail_errno(-ENOMEM, "out of memory");
                return send_to_peer(bus, peer, m);
        }
        if (name->n_waiting_bytes > 0 &&
            name->n_waiting_bytes + message_memory(m) > NAME_WAITING_MAX)
                return -EAGAIN;

        name->n_waiting_bytes += message_memory(m);
        message_ref(m);
        DL_APPEND(name->waiting, m);
        send_begun(bus, m);
        ask_name(name);
        set_timer(name);
        return 0;
}

static Name *name_of(p2pbus *bus, Message *message) {
        Name *name, *next;
        Message *m;

        HASH_ITER(hh, bus->names, name, next)
                DL_FOREACH(name->waiting, m)
                        if (m == message)
                                return name;
        return NULL;
}

void name_withdraw(p2pbus *bus, Message *m, int result) {
        Name *name = name_of(bus, m);

        if (name)
                settle(name, m, result);
}

void name_forget_provider(p2pbus *bus, Address address) {
        Name *name, *next;

        HASH_ITER(hh, bus->names, name, next)
                if (address_equal(name->provider, address))
                        name->provider.pid = PID_NONE;
}

bool name_is_provided_by(p2pbus *bus, Address address,
                         bool (*fits)(const char *pattern, const char *name),
                         const char *pattern) {
        Name *name, *next;

        HASH_ITER(hh, bus->names, name, next)
                if (name->provider.pid == address.pid &&
                    (name->provider.tag == 0 || name->provider.tag == address.tag) &&
                    fits(pattern, name->text))
                        return true;
        return false;
}

int name_resolve_wait(p2pbus *bus, const char *text, uint64_t until, Address *ret) {
        Ask ask = {
                .control = {
                        .verb = CONTROL_RESOLVE_NAME,
                        .body = (const uint8_t *)text,
                        .n_body = strlen(text),
                },
        };
        int r;

        r = daemon_ask_wait(bus, &ask, until);
        if (r == 0 && !choose(bus, &ask, ret))
                r = reason_fail(P2PBUS_REASON_NO_PROVIDER);
        daemon_drop(bus, &ask);
        return r;
}

bool name_provider(p2pbus *bus, const char *text, Address *ret) {
        Name *name;

        HASH_FIND_STR(bus->names, text, name);
        if (!name || name->provider.pid == PID_NONE)
                return false;
        *ret = name->provider;
        return true;
}

/* Names that are ours */

static OwnName *own_find(p2pbus *bus, const char *text) {
        OwnName *own;

        LL_FOREACH(bus->own_names, own)
                if (strcmp(own->text, text) == 0)
                        return own;
        return NULL;
}

static Control own_control(const char *text, uint32_t value) {
        return (Control){
                .verb = CONTROL_OWN,
                .value = value,
                .body = (const uint8_t *)text,
                .n_body = strlen(text),
        };
}

static void own_free(p2pbus *bus, OwnName *own) {
        daemon_drop(bus, &own->ask);
        LL_DELETE(bus->own_names, own);
        free(own);
}

/* Refused now, it may be granted after the next attach. */
static void on_owned(p2pbus *bus, Ask *ask) {
        daemon_drop(bus, ask);
}

void name_claim_again(p2pbus *bus) {
        OwnName *own;

        LL_FOREACH(bus->own_names, own) {
                daemon_drop(bus, &own->ask);
                own->ask.control = own_control(own->text, OWN_CLAIM);
                own->ask.on_answer = on_owned;
                own->ask.is_answered = false;
                DL_APPEND(bus->asks, &own->ask); /* daemon_ask_again() follows */
        }
}

static int own(p2pbus *bus, const char *name, uint64_t timeout_usec, uint32_t value) {
        Ask ask = { .control = own_control(name ? name : "", value) };
        OwnName *own;
        int r;

        if (!name || !name_is_valid(name, strlen(name)))
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION,
                                        "%.64s is no service name", name ? name : "(null)");
        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        r = daemon_ask_wait(bus, &ask, bus_deadline(bus, timeout_usec, P2PBUS_TIMEOUT_DEFAULT));
        daemon_drop(bus, &ask);

        own = own_find(bus, name);
        if (r == 0 && value == OWN_RELEASE && own) {
                own_free(bus, own);
        } else if (r == 0 && value == OWN_CLAIM && !own) {
                own = calloc(1, sizeof(*own));
                if (!own) {
                        r = reason_fail_errno(-ENOMEM, "out of memory");
                } else {
                        strcpy(own->text, name);
                        LL_PREPEND(bus->own_names, own);
                }
        }
        return bus_leave(bus, r);
}

_public_ int p2pbus_own_name(p2pbus *bus, const char *name, uint64_t timeout_usec) {
        return own(bus, name, timeout_usec, OWN_CLAIM);
}

_public_ int p2pbus_release_name(p2pbus *bus, const char *name, uint64_t timeout_usec) {
        return own(bus, name, timeout_usec, OWN_RELEASE);
}

/* The end */

void name_fail_all(p2pbus *bus, int result) {
        Name *name, *next;

        HASH_ITER(hh, bus->names, name, next)
                while (name->waiting)
                        settle(name, name->waiting, result);
}

void name_free_all(p2pbus *bus) {
        Name *name, *next;

        HASH_ITER(hh, bus->names, name, next)
                name_free(name);
        while (bus->own_names)
                own_free(bus, bus->own_names);
}
