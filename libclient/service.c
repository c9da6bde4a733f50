/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A message that was sent to a name stands in the waiting list of its service, or it has a peer and a
 * provider.
 *
 * Just after a restart of the daemon its providers have yet to come back: an empty answer is asked for
 * again.
 */

#include "config.h"

#include "libclient/service.h"

#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/fan-out.h"
#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/provider-watch.h"
#include "libclient/reason.h"
#include "libclient/request.h"
#include "libclient/send.h"
#include "libcore/err.h"

#define FRESH_USEC (10 * USEC_PER_SEC) /* how long providers are used that are not watched */
#define IDLE_USEC (60 * USEC_PER_SEC)  /* after which a name that nobody sends to is forgotten */
#define WAITING_MAX SESSION_QUEUE_MAX  /* bytes that wait for a provider */
#define SERVICES_MAX 1024
#define PLACE_AGAIN_USEC (10 * USEC_PER_MSEC) /* no session had room */

static void on_named(p2pbus *bus, Ask *ask);

static uint64_t now_of(const Service *service) {
        return service->bus->now_usec;
}

/* Time */

static void set_timer(Service *s) {
        uint64_t due = MIN(s->ask_at_usec, s->place_at_usec);
        Message *m;

        /* When it is due already the rest is looked at then, and not once for each that comes back. */
        if (due > now_of(s))
                DL_FOREACH (s->waiting, m)
                        due = MIN(due, m->deadline_usec);
        due = MIN(due, s->used_usec + IDLE_USEC);
        if (s->timer.at == 0 || s->timer.due_usec != due)
                (void)timer_set(&s->bus->timers, &s->timer, due);
}

static void ask_at(Service *s, uint64_t usec) {
        s->ask_at_usec = MIN(s->ask_at_usec, usec);
        set_timer(s);
}

static void place_at(Service *s, uint64_t usec) {
        s->place_at_usec = MIN(s->place_at_usec, usec);
        set_timer(s);
}

static void on_doubt(ProviderSet *set, uint64_t usec) {
        ask_at(container_of(set, Service, set), usec);
}

/* Asking */

static Control resolve_control(const char *text, uint32_t value) {
        return (Control){
                .verb = CONTROL_RESOLVE_NAME,
                .value = value,
                .body = (const uint8_t *)text,
                .n_body = strlen(text),
        };
}

static void ask_name(Service *s, uint32_t value) {
        s->ask_at_usec = USEC_NEVER;
        s->is_asking = true;
        s->is_watched = value == RESOLVE_NAME_WATCH;
        daemon_drop(s->bus, &s->ask);
        s->ask.control = resolve_control(s->text, value);
        s->ask.on_answer = on_named;
        daemon_ask(s->bus, &s->ask);
}

/* Whoever knows that an answer is coming waits for that. */
static void ask_if_idle(Service *s) {
        if (!s->is_asking)
                ask_name(s, RESOLVE_NAME_WATCH);
}

/* Placing */

static void dequeue(Service *s, Message *m) {
        DL_DELETE(s->waiting, m);
        m->prev = m->next = NULL;
        if (s->last_put == m)
                s->last_put = NULL;
        s->n_waiting_bytes -= message_memory(m);
        m->service = NULL;
}

static void settle(Service *s, Message *m, int result) {
        dequeue(s, m);
        m->result = result;
        send_finished(s->bus, m);
}

/* Mostly it is the last; those that come back go where they were, one behind the other. */
static Message *find_next(const Service *s, const Message *m) {
        Message *next;

        if (!s->waiting || s->waiting->prev->number <= m->number)
                return NULL;
        next = s->last_put && s->last_put->number <= m->number ? s->last_put->next : s->waiting;
        while (next->number <= m->number)
                next = next->next;
        return next;
}

static void enqueue(Service *s, Message *m) {
        Message *next = find_next(s, m);

        m->service = s;
        s->n_waiting_bytes += message_memory(m);
        DL_PREPEND_ELEM(s->waiting, next, m); /* before nobody: at the end */
        s->last_put = m;
}

static bool is_steady(const Message *m) {
        return m->kind == MESSAGE_ONE_WAY;
}

static bool is_asking(const Service *s) {
        return s->is_asking || s->ask_at_usec != USEC_NEVER;
}

/* What one gave back does not go there again while the daemon is asked whether there is another. */
static Provider *choose_for(Service *s, const Message *m) {
        BalanceMode mode = m->mode == P2PBUS_MODE_FAILOVER ? BALANCE_FAILOVER : BALANCE_SHARE;
        bool any = m->n_doubts == 0 || !is_asking(s);

        if (!is_steady(m))
                return provider_set_choose(&s->set, mode, any);
        if (!s->set.steady || !balance_may_ask(&s->set.steady->entry, now_of(s)))
                s->set.steady = provider_set_choose(&s->set, mode, any);
        return s->set.steady;
}

static void went_to(Provider *p, Message *m) {
        Request *request = m->request;

        m->service = service_of(p);
        m->provider = provider_ref(p);
        service_of(p)->last = p->address;
        if (!request)
                return;
        request->provider = provider_ref(p);
        request->asked_usec = p->set->bus->now_usec;
        request->n_front = balance_begin(&p->entry, request->asked_usec);
        if ((m->flags & MESSAGE_IDEMPOTENT) && !request->kept && !m->is_bound)
                request->kept = message_ref(m);
}

/* Return: as peer_send(); -EAGAIN: no room for one more conversation. */
static int hand_to(Provider *p, Message *m) {
        Peer *peer;
        int r;

        r = peer_get(p->set->bus, p->address, &p->key, &peer);
        if (r == -ENOBUFS)
                return -EAGAIN;
        if (r < 0)
                return r;
        r = peer_send(peer, m);
        if (r == 0)
                went_to(p, m);
        return r;
}

/* Return: false if no more can be placed now. */
static bool place_first(Service *s) {
        Message *m = s->waiting;
        Provider *p;
        int r;

        if (m->deadline_usec <= now_of(s)) {
                settle(s, m, CODE_EXPIRED);
                return true;
        }
        p = choose_for(s, m);
        if (!p) {
                /* Whether a message that was begun before was delivered nobody knows. */
                if (is_asking(s))
                        return false;
                settle(s, m, m->flags & MESSAGE_MAYBE_REPEAT ? RESULT_UNKNOWN : CODE_NO_PROVIDER);
                return true;
        }
        dequeue(s, m); /* a session puts it into a list of its own */
        r = hand_to(p, m);
        if (r == 0) {
                message_unref(m); /* the session has its reference */
                return true;
        }
        enqueue(s, m);
        if (r == SESSION_E_FULL || r == -EAGAIN) {
                place_at(s, now_of(s) + PLACE_AGAIN_USEC);
                return false;
        }
        settle(s, m, r == SESSION_E_TOO_BIG ? CODE_TOO_BIG : CODE_QUOTA);
        return true;
}

static void place_waiting(Service *s) {
        s->place_at_usec = USEC_NEVER;
        while (s->waiting && place_first(s))
                ;
        set_timer(s);
}

void service_put_back(Service *s, Message *m) {
        enqueue(s, m);
        place_at(s, now_of(s));
}

/* Answers */

static void start_fan_outs(Service *s) {
        FanOut *fan_out;
        Provider *p, *next;

        while ((fan_out = fan_out_pop(&s->fan_outs))) {
                DL_FOREACH_SAFE (s->set.providers, p, next)
                        if (p->is_listed && !(p->entry.rank.flags & PROVIDER_DRAIN))
                                fan_out_ask(fan_out, p);
                fan_out_asked(fan_out);
        }
}

/* Nobody waits for what the daemon says of it. */
static bool is_idle(const Service *s) {
        const Provider *p;

        if (s->waiting || s->fan_outs || s->is_asking)
                return false;
        DL_FOREACH (s->set.providers, p)
                if (p->n_refs > 0)
                        return false;
        return true;
}

static bool is_unused(const Service *s) {
        return is_idle(s) && !s->set.is_followed;
}

/* The daemon will say more under the same id. */
static void arm(Ask *ask) {
        ask->is_answered = false;
        free(ask->body);
        ask->body = NULL;
        ask->n_body = 0;
}

/* What the application followed is asked for until a daemon that is new knows who is there. */
static bool is_followed_anew(const Service *s) {
        return s->set.is_followed && attachment_is_settling(s->bus);
}

/*
 * A daemon that says SETTLING knows of nobody, here or elsewhere. Messages count on those that were known
 * before; who watches is told that they are gone, until they are listed again.
 */
static void follow(Service *s, uint16_t code) {
        Provider *p;

        if (code == CODE_SETTLING && !attachment_is_settling(s->bus))
                DL_FOREACH (s->set.providers, p)
                        p->is_unsure = true;
        provider_watch_note_all(&s->set);
}

static void on_named(p2pbus *bus, Ask *ask) {
        Service *s = container_of(ask, Service, ask);
        bool is_list = ask->code == CODE_OK || ask->code == CODE_NO_PROVIDER;
        bool is_full = ask->code == CODE_QUOTA && s->is_watched;
        uint16_t code = ask->code;

        /* Who is on other hosts may come in a moment: then nobody has to be told that there is none. */
        s->is_asking = is_list && s->is_watched && (ask->value & NAMED_MORE);
        if (is_list) {
                provider_set_take(&s->set, ask->body, ask->n_body);
                if (!s->is_asking)
                        provider_set_drop_others(&s->set, ask->body, ask->n_body);
                provider_set_list(&s->set);
                s->answered_usec = bus->now_usec;
        }
        follow(s, code);
        if (s->is_watched && (is_list || (code == CODE_SETTLING && s->set.is_followed)))
                arm(ask);
        else
                daemon_drop(bus, ask);

        if (is_full) {
                ask_name(s, RESOLVE_NAME_ONCE); /* no more may be watched */
                return;
        }
        if (code == CODE_SETTLING && is_idle(s) && !is_followed_anew(s))
                s->answered_usec = 0; /* the next message asks: links are not woken for nobody */
        else if ((s->set.n_listed == 0 && attachment_is_settling(bus)) || code == CODE_SETTLING)
                ask_at(s, bus->now_usec + PROVIDER_SET_AGAIN_USEC);
        else if (!is_list)
                while (s->waiting)
                        settle(s, s->waiting, code);
        if (s->set.is_followed && !s->ask.prev)
                ask_at(s, bus->now_usec + FRESH_USEC);
        if (is_list && s->ask_at_usec == USEC_NEVER && !s->is_asking)
                start_fan_outs(s);
        place_waiting(s);
        bus_happened(bus);
}

/* Services */

static void service_free(Service *s) {
        p2pbus *bus = s->bus;

        while (s->waiting)
                settle(s, s->waiting, RESULT_CANCELLED);
        provider_set_clear(&s->set);
        if (s->is_watched && bus->is_up)
                (void)connection_queue_control(bus->connection,
                                               &(Control){ .verb = CONTROL_RESOLVE_NAME,
                                                           .value = RESOLVE_NAME_END,
                                                           .body = (const uint8_t *)s->text,
                                                           .n_body = strlen(s->text) },
                                               NULL);
        daemon_drop(bus, &s->ask);
        timer_clear(&bus->timers, &s->timer);
        HASH_DELETE(hh, bus->services, s);
        free(s);
}

static void on_service_timer(Timer *timer, uint64_t now) {
        Service *s = container_of(timer, Service, timer);
        Message *m, *next;

        if (now - s->used_usec >= IDLE_USEC) {
                if (is_unused(s)) {
                        service_free(s);
                        return;
                }
                s->used_usec = now;
        }
        if (s->ask_at_usec <= now)
                ask_name(s, RESOLVE_NAME_WATCH);
        DL_FOREACH_SAFE (s->waiting, m, next)
                if (m->deadline_usec <= now)
                        settle(s, m, CODE_EXPIRED);
        if (s->place_at_usec <= now)
                place_waiting(s);
        set_timer(s);
}

static void forget_unused(p2pbus *bus) {
        Service *s, *next;

        HASH_ITER (hh, bus->services, s, next)
                if (is_unused(s))
                        service_free(s);
}

static Service *find(p2pbus *bus, const char *text) {
        Service *s;

        HASH_FIND_STR(bus->services, text, s);
        return s;
}

/* Return: 0; -EAGAIN; noted: -ENOMEM. */
static int get(p2pbus *bus, const char *text, Service **ret) {
        Service *s = find(bus, text);

        if (!s) {
                if (HASH_COUNT(bus->services) >= SERVICES_MAX)
                        forget_unused(bus);
                if (HASH_COUNT(bus->services) >= SERVICES_MAX)
                        return -EAGAIN;
                s = calloc(1, sizeof(*s));
                if (!s)
                        return reason_fail_errno(-ENOMEM, "out of memory");
                s->bus = s->set.bus = bus;
                s->set.on_doubt = on_doubt;
                s->set.on_away = service_on_away;
                s->ask_at_usec = s->place_at_usec = USEC_NEVER;
                s->timer.on_due = on_service_timer;
                strcpy(s->text, text);
                HASH_ADD_STR(bus->services, text, s);
        }
        s->used_usec = bus->now_usec;
        *ret = s;
        return 0;
}

/* Sending */

static int too_big(const Service *s, const Message *m) {
        return reason_fail_text(P2PBUS_REASON_TOO_BIG, "message of %zu bytes, this bus takes %llu",
                                m->n_data, (unsigned long long)s->bus->welcome.message_max);
}

/* Return: as send_to_peer(). */
static int send_now(Provider *p, Message *m) {
        Service *s = service_of(p);
        int r = hand_to(p, m);

        switch (r) {
        case 0:
                send_begun(s->bus, m);
                return 0;
        case SESSION_E_FULL:
        case -EAGAIN:
                return -EAGAIN;
        case SESSION_E_TOO_BIG:
                return too_big(s, m);
        case -ESHUTDOWN:
                return reason_fail(P2PBUS_REASON_CLOSED);
        default:
                return reason_fail_errno(-ENOMEM, "out of memory");
        }
}

static int send_or_wait(Service *s, Message *m) {
        bool is_known = s->answered_usec > 0 &&
                        (s->is_watched || now_of(s) - s->answered_usec < FRESH_USEC);
        Provider *p = is_known && !s->waiting ? choose_for(s, m) : NULL;

        if (p)
                return send_now(p, m);
        if (s->n_waiting_bytes > 0 && s->n_waiting_bytes + message_memory(m) > WAITING_MAX)
                return -EAGAIN;
        message_ref(m);
        send_begun(s->bus, m);
        enqueue(s, m);
        /* That there is nobody may be old news: the daemon's answer counts, not what is on its way. */
        if (!is_known || s->set.n_listed == 0)
                ask_if_idle(s);
        else
                place_at(s, now_of(s));
        set_timer(s);
        return 0;
}

/* The receiver is told which name it was; not if it is not sent after all. */
static int name_it(const Service *s, Message *m) {
        if (message_add_extension(m, MESSAGE_EXT_SERVICE, s->text, strlen(s->text)) < 0)
                return reason_fail_errno(-ENOMEM, "out of memory");
        return 0;
}

static int unname_it(const Service *s, Message *m, int r) {
        if (r < 0)
                message_drop_extension(m, strlen(s->text));
        return r;
}

int service_send(p2pbus *bus, const char *text, Message *m) {
        Service *s = NULL;
        int r;

        r = get(bus, text, &s);
        if (r == 0)
                r = name_it(s, m);
        return r < 0 ? r : unname_it(s, m, send_or_wait(s, m));
}

int service_send_to(Provider *p, Message *m) {
        int r = name_it(service_of(p), m);

        m->is_bound = true;
        return r < 0 ? r : unname_it(service_of(p), m, send_now(p, m));
}

void service_withdraw(p2pbus *bus, Message *m, int result) {
        (void)bus;
        if (m->service && !m->provider)
                settle(m->service, m, result);
}

/* Questions */

int service_resolve_wait(p2pbus *bus, const char *text, uint64_t until, Address *ret) {
        Ask ask = { .control = resolve_control(text, RESOLVE_NAME_ONCE) };
        ProviderSet found = { .bus = bus };
        Provider *p;
        int r;

        r = daemon_ask_wait(bus, &ask, until);
        if (r == 0) {
                provider_set_take(&found, ask.body, ask.n_body);
                provider_set_list(&found);
                p = provider_set_choose(&found, BALANCE_FAILOVER, true);
                if (p)
                        *ret = p->address;
                else
                        r = reason_fail(P2PBUS_REASON_NO_PROVIDER);
                provider_set_clear(&found);
        }
        daemon_drop(bus, &ask);
        return r;
}

bool service_provider(p2pbus *bus, const char *text, Address *ret) {
        const Service *s = find(bus, text);

        if (!s || s->last.pid == PID_NONE)
                return false;
        *ret = s->last;
        return true;
}

bool service_is_provided_by(p2pbus *bus, Address address,
                            bool (*fits)(const char *pattern, const char *name),
                            const char *pattern) {
        const Provider *p;
        Service *s, *next;

        HASH_ITER (hh, bus->services, s, next) {
                if (!fits(pattern, s->text))
                        continue;
                DL_FOREACH (s->set.providers, p)
                        if (address_equal(p->address, address) && (p->is_listed || p->n_refs > 0))
                                return true;
        }
        return false;
}

int service_expand(p2pbus *bus, const char *text, FanOut *fan_out) {
        Service *s = NULL;
        int r;

        r = get(bus, text, &s);
        if (r < 0)
                return r;
        fan_out_wait(&s->fan_outs, s, fan_out);
        ask_name(s, RESOLVE_NAME_WATCH); /* what is on its way may be older than the question */
        set_timer(s);
        return 0;
}

/* Watches of the application */

int service_watch(p2pbus *bus, const char *text) {
        Service *s = NULL;
        int r;

        r = get(bus, text, &s);
        if (r < 0 || s->set.is_followed)
                return r;
        s->set.is_followed = true;
        provider_watch_note_all(&s->set);
        if (!s->ask.prev) /* else the daemon tells of it already, or will in a moment */
                ask_name(s, RESOLVE_NAME_WATCH);
        set_timer(s);
        return 0;
}

int service_unwatch(p2pbus *bus, const char *text) {
        Service *s = find(bus, text);

        if (!s || !s->set.is_followed)
                return reason_fail_errno(-ENXIO, "%s is not watched", text);
        provider_watch_end(&s->set);
        return 0;
}

/* The end */

void service_fail_all(p2pbus *bus, int result) {
        Service *s, *next;

        HASH_ITER (hh, bus->services, s, next)
                while (s->waiting)
                        settle(s, s->waiting, result);
}

void service_free_all(p2pbus *bus) {
        Service *s, *next;

        HASH_ITER (hh, bus->services, s, next)
                service_free(s);
}
