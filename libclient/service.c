/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A message that was sent to a name stands in the waiting list of its service, or it has a peer and a
 * provider. Going on to another provider always leads through the list and the timer, so that nobody
 * who is in the middle of settling a session has another one begun under his hands.
 *
 * Just after a restart of the daemon its providers have yet to come back: for the first seconds of
 * its life, if we have known a daemon before it, one that is missing is rested and not forgotten, and
 * an empty answer is asked for again.
 */

#include "config.h"

#include "libclient/service.h"

#include <utlist.h>

#include "libclient/answer-part.h"
#include "libclient/attachment.h"
#include "libclient/fan-out.h"
#include "libclient/introduction.h"
#include "libclient/loop.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/request.h"
#include "libclient/send.h"
#include "libcore/err.h"

#define FRESH_USEC (10 * USEC_PER_SEC) /* how long providers are used that are not watched */
#define IDLE_USEC (60 * USEC_PER_SEC)  /* after which a name that nobody sends to is forgotten */
#define WAITING_MAX SESSION_QUEUE_MAX  /* bytes that wait for a provider */
#define SERVICES_MAX 1024
#define ASK_AGAIN_USEC (100 * USEC_PER_MSEC)
#define PLACE_AGAIN_USEC (10 * USEC_PER_MSEC) /* no session had room */

static void on_named(p2pbus *bus, Ask *ask);

static uint64_t now_of(const Service *service) {
        return service->bus->now_usec;
}

/* splitmix64: nothing secret, but no two processes the same. */
static uint64_t next_chance(p2pbus *bus) {
        uint64_t z;

        if (bus->chance == 0)
                bus->chance = crypto_random_u64();
        z = bus->chance += UINT64_C(0x9e3779b97f4a7c15);
        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
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

/* Providers */

static Provider *provider_of(BalanceEntry *entry) {
        return container_of(entry, Provider, entry);
}

static void provider_put(Provider *p) {
        Service *s = p->service;

        if (p->n_refs > 0 || p->is_listed)
                return;
        if (s->steady == p)
                s->steady = NULL;
        daemon_drop(s->bus, &p->ask);
        DL_DELETE(s->providers, p);
        free(p);
}

static void provider_unref(Provider *p) {
        p->n_refs--;
        provider_put(p);
}

static Provider *provider_ref(Provider *p) {
        p->n_refs++;
        return p;
}

static Provider *find_provider(const Service *s, const PublicKey *key) {
        Provider *p;

        DL_FOREACH (s->providers, p)
                if (key_equal(&p->key, key))
                        return p;
        return NULL;
}

static Provider *get_provider(Service *s, const PublicKey *key) {
        Provider *p = find_provider(s, key);

        if (p)
                return p;
        p = calloc(1, sizeof(*p));
        if (!p)
                return NULL;
        p->service = s;
        p->key = *key;
        p->address = key_hash(key).address;
        p->entry.number = s->n_ever++;
        p->entry.is_self = address_equal(p->address, s->bus->self.address);
        DL_APPEND(s->providers, p);
        return p;
}

/* It has died: what was under way to it is over, and its rings say nothing more. */
static void bury(Provider *p) {
        p2pbus *bus = p->service->bus;
        Peer *peer = peer_find(bus, p->address, &p->key);

        if (!peer || peer->mirror)
                return;
        introduction_end(peer, CODE_GONE);
        /* What it may have had is unknown all the same; a first contact off-host met nobody. */
        session_fail(peer->session, CODE_GONE, bus->now_usec);
        peer_mark(peer);
}

static void on_whereabouts(p2pbus *bus, Ask *ask) {
        Provider *p = container_of(ask, Provider, ask);
        uint16_t code = ask->code;

        daemon_drop(bus, ask);
        switch (code) {
        case CODE_NOT_HERE:
        case CODE_GONE:
        case CODE_NO_ROUTE:
                if (!attachment_is_settling(bus) && !p->is_listed && p->n_refs > 0)
                        bury(p);
                break;
        default: /* it has left the name, and finishes what it has; or nobody knows yet */
                if (!p->is_listed && p->n_refs > 0)
                        ask_at(p->service, bus->now_usec + USEC_PER_SEC);
        }
}

/* It is not listed any more. */
static void ask_whereabouts(Provider *p) {
        if (p->ask.prev)
                return;
        p->ask = (Ask){
                .control = { .verb = CONTROL_RESOLVE, .address = p->address },
                .on_answer = on_whereabouts,
        };
        daemon_ask(p->service->bus, &p->ask);
}

static bool is_in(const uint8_t *body, size_t n_body, const Provider *p) {
        for (size_t at = 0; at + PROVIDER_ENTRY_SIZE <= n_body; at += PROVIDER_ENTRY_SIZE)
                if (memcmp(body + at, p->key.bytes, KEY_SIZE) == 0)
                        return true;
        return false;
}

/* Those that were listed and are not in the answer. */
static void unlist_missing(Service *s, const uint8_t *body, size_t n_body) {
        bool is_settling = attachment_is_settling(s->bus);
        Provider *p, *next;

        DL_FOREACH_SAFE (s->providers, p, next) {
                if (is_in(body, n_body, p))
                        continue;
                if (p->is_listed && is_settling) {
                        p->is_missed = true;
                        p->entry.failed_usec = now_of(s);
                        ask_at(s, now_of(s) + ASK_AGAIN_USEC);
                        continue;
                }
                p->is_listed = false;
                if (s->steady == p)
                        s->steady = NULL;
                if (p->n_refs > 0)
                        ask_whereabouts(p);
                else
                        provider_put(p);
        }
}

static void take_list(Service *s, const uint8_t *body, size_t n_body) {
        ProviderEntry entry;
        PublicKey key;
        Provider *p;

        for (size_t at = 0; at + PROVIDER_ENTRY_SIZE <= n_body; at += PROVIDER_ENTRY_SIZE) {
                provider_entry_decode(body + at, &entry);
                memcpy(key.bytes, entry.key, sizeof(key.bytes));
                p = get_provider(s, &key);
                if (!p)
                        continue; /* no memory: it is not asked */
                if (!p->is_listed || p->is_missed)
                        p->entry.failed_usec = 0;
                p->is_listed = true;
                p->is_missed = false;
                p->entry.rank = entry.rank;
        }
}

/* What the chooser looks at. Without memory there is nobody, until the next answer. */
static void rebuild(Service *s) {
        size_t n = 0;
        Provider *p;

        DL_FOREACH (s->providers, p)
                n += p->is_listed;
        free(s->listed);
        s->listed = n > 0 ? calloc(n, sizeof(*s->listed)) : NULL;
        s->n_listed = 0;
        if (s->listed)
                DL_FOREACH (s->providers, p)
                        if (p->is_listed)
                                s->listed[s->n_listed++] = &p->entry;
}

static Provider *choose(const Service *s, BalanceMode mode, bool any) {
        BalanceEntry *entry =
                balance_choose(s->listed, s->n_listed, mode, any, next_chance(s->bus), now_of(s));

        return entry ? provider_of(entry) : NULL;
}

/* Placing */

static void dequeue(Service *s, Message *m) {
        DL_DELETE(s->waiting, m);
        m->prev = m->next = NULL;
        s->n_waiting_bytes -= message_memory(m);
        m->service = NULL;
}

static void settle(Service *s, Message *m, int result) {
        dequeue(s, m);
        m->result = result;
        send_finished(s->bus, m);
}

static void enqueue(Service *s, Message *m) {
        Message *before = NULL, *w;

        m->service = s;
        s->n_waiting_bytes += message_memory(m);
        /* Mostly it is the last; those that come back go where they were. */
        if (!s->waiting || s->waiting->prev->number <= m->number) {
                DL_APPEND(s->waiting, m);
                return;
        }
        DL_FOREACH (s->waiting, w)
                if (w->number > m->number) {
                        before = w;
                        break;
                }
        DL_PREPEND_ELEM(s->waiting, before, m);
}

static bool is_steady(const Message *m) {
        return m->kind == MESSAGE_ONE_WAY;
}

static Provider *choose_for(Service *s, const Message *m) {
        BalanceMode mode = m->mode == P2PBUS_MODE_FAILOVER ? BALANCE_FAILOVER : BALANCE_SHARE;

        if (!is_steady(m))
                return choose(s, mode, true);
        if (!s->steady || !balance_may_ask(&s->steady->entry, now_of(s)))
                s->steady = choose(s, mode, true);
        return s->steady;
}

static void went_to(Provider *p, Message *m) {
        Request *request = m->request;

        m->service = p->service;
        m->provider = provider_ref(p);
        p->service->last = p->address;
        if (!request)
                return;
        request->provider = provider_ref(p);
        request->asked_usec = p->service->bus->now_usec;
        request->n_front = balance_begin(&p->entry, request->asked_usec);
        if ((m->flags & MESSAGE_IDEMPOTENT) && !request->kept && !m->is_bound)
                request->kept = message_ref(m);
}

/* Return: as peer_send(); -EAGAIN: no room for one more conversation. */
static int hand_to(Provider *p, Message *m) {
        Peer *peer;
        int r;

        r = peer_get(p->service->bus, p->address, &p->key, &peer);
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
                if (s->is_asking || s->ask_at_usec != USEC_NEVER)
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

/* Answers */

static void start_fan_outs(Service *s) {
        FanOut *fan_out;
        Provider *p, *next;

        while ((fan_out = fan_out_pop(&s->fan_outs))) {
                DL_FOREACH_SAFE (s->providers, p, next)
                        if (p->is_listed && !(p->entry.rank.flags & PROVIDER_DRAIN))
                                fan_out_ask(fan_out, p);
                fan_out_asked(fan_out);
        }
}

/* The daemon will say more under the same id. */
static void arm(Ask *ask) {
        ask->is_answered = false;
        free(ask->body);
        ask->body = NULL;
        ask->n_body = 0;
}

static void on_named(p2pbus *bus, Ask *ask) {
        Service *s = container_of(ask, Service, ask);
        bool is_list = ask->code == CODE_OK || ask->code == CODE_NO_PROVIDER;
        bool is_full = ask->code == CODE_QUOTA && s->is_watched;
        uint16_t code = ask->code;

        /* Who is on other hosts may come in a moment: then nobody has to be told that there is none. */
        s->is_asking = is_list && s->is_watched && (ask->value & NAMED_MORE);
        if (is_list) {
                take_list(s, ask->body, ask->n_body);
                if (!s->is_asking)
                        unlist_missing(s, ask->body, ask->n_body);
                rebuild(s);
                s->answered_usec = bus->now_usec;
        }
        if (is_list && s->is_watched)
                arm(ask);
        else
                daemon_drop(bus, ask);

        if (is_full) {
                ask_name(s, RESOLVE_NAME_ONCE); /* no more may be watched */
                return;
        }
        if ((s->n_listed == 0 && attachment_is_settling(bus)) || code == CODE_SETTLING)
                ask_at(s, bus->now_usec + ASK_AGAIN_USEC);
        else if (!is_list)
                while (s->waiting)
                        settle(s, s->waiting, code);
        if (is_list && s->ask_at_usec == USEC_NEVER && !s->is_asking)
                start_fan_outs(s);
        place_waiting(s);
        bus_happened(bus);
}

/* Services */

static bool is_unused(const Service *s) {
        const Provider *p;

        if (s->waiting || s->fan_outs || s->is_asking)
                return false;
        DL_FOREACH (s->providers, p)
                if (p->n_refs > 0)
                        return false;
        return true;
}

static void service_free(Service *s) {
        p2pbus *bus = s->bus;
        Provider *p, *next;

        while (s->waiting)
                settle(s, s->waiting, RESULT_CANCELLED);
        DL_FOREACH_SAFE (s->providers, p, next) {
                p->is_listed = false;
                p->n_refs = 0;
                provider_put(p);
        }
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
        free(s->listed);
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
                s->bus = bus;
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
        Service *s = p->service;
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
        if (!is_known || s->n_listed == 0)
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
        int r = name_it(p->service, m);

        m->is_bound = true;
        return r < 0 ? r : unname_it(p->service, m, send_now(p, m));
}

void service_withdraw(p2pbus *bus, Message *m, int result) {
        (void)bus;
        if (m->service && !m->provider)
                settle(m->service, m, result);
}

/* Going on elsewhere */

/* Nothing of it has come to anybody who could have delivered it. */
static bool is_untouched(const Message *m) {
        if (m->flags & MESSAGE_MAYBE_REPEAT)
                return false;
        if (m->n_records_sent == 0 || m->result == CODE_NO_PROVIDER)
                return true;
        /* What was refused on the way did not come, and what followed it in its session neither. */
        return !m->was_resent && m->result != RESULT_UNKNOWN;
}

static bool is_settled_well(int result) {
        return result == RESULT_DELIVERED || result == RESULT_CANCELLED || result == CODE_EXPIRED ||
               result == CODE_TOO_BIG || result == CODE_UNSUPPORTED;
}

static bool is_wanted(const p2pbus *bus, const Message *m) {
        return !bus->is_closed && !m->is_unwanted && !m->is_bound &&
               (m->kind != MESSAGE_REQUEST || m->request) && m->deadline_usec > bus->now_usec;
}

/* Somebody else is there, or the daemon may know of somebody. */
static bool has_others(const Service *s) {
        return s->is_asking || choose(s, BALANCE_SHARE, false);
}

/* One message that was begun may be what kills its providers. */
static bool may_repeat(const Message *m) {
        return (m->flags & MESSAGE_IDEMPOTENT) && !m->is_unretained &&
               m->n_attempts + 1 < SERVICE_ATTEMPTS_MAX;
}

static void blame(Provider *p, int result) {
        if (!is_settled_well(result))
                p->entry.failed_usec = now_of(p->service);
}

/* As it was before it went anywhere, but for its id and what may have come of it. */
static void make_new(Message *m, bool is_repeat) {
        if (is_repeat) {
                m->flags |= MESSAGE_MAYBE_REPEAT;
                m->n_attempts++;
        }
        m->peer = NULL;
        m->result = RESULT_PENDING;
        m->skip_due = m->was_resent = m->was_refused = m->was_bounced = false;
        m->n_records = m->n_records_sent = 0;
}

bool service_retry(p2pbus *bus, Message *m) {
        Provider *p = m->provider;
        Service *s = p->service;
        bool is_untried = is_untouched(m);
        bool goes_on;

        m->provider = NULL;
        m->service = NULL;
        blame(p, m->result);
        goes_on = !is_settled_well(m->result) && is_wanted(bus, m) &&
                  (is_untried || may_repeat(m)) && has_others(s);
        if (!goes_on && is_untried &&
            (m->result == CODE_GONE || m->result == CODE_NOT_HERE || m->result == RESULT_UNKNOWN))
                m->result = CODE_NO_PROVIDER;
        else if (!goes_on && !is_untried && (m->result == CODE_GONE || m->result == CODE_NOT_HERE))
                m->result = RESULT_UNKNOWN;
        if (goes_on) {
                if (m->request)
                        service_end_request(m->request, NULL);
                if (m->peer)
                        m->peer->n_unsettled--;
                make_new(m, !is_untried);
                enqueue(s, m);
                place_at(s, bus->now_usec);
        }
        provider_unref(p);
        return goes_on;
}

void service_end_request(Request *request, const Message *reply) {
        Provider *p = request->provider;
        uint64_t now = request->bus->now_usec;

        request->provider = NULL;
        if (!p)
                return;
        if (reply)
                balance_answered(&p->entry, now - request->asked_usec, request->n_front,
                                 reply->kind == MESSAGE_ERROR, now);
        else
                balance_end(&p->entry);
        provider_unref(p);
}

void service_miss_request(Request *request) {
        Provider *p = request->provider;
        uint64_t now = request->bus->now_usec;

        if (!p)
                return;
        request->provider = NULL;
        balance_answered(&p->entry, now - request->asked_usec, request->n_front, true, now);
        provider_unref(p);
}

void service_on_reply(Request *request, const Message *reply) {
        uint64_t now = request->bus->now_usec;
        const uint8_t *load;
        size_t n;

        if (!request->provider)
                return;
        load = record_extension(reply->extensions, reply->n_extensions, MESSAGE_EXT_LOAD, &n);
        if (load && n == PROVIDER_LOAD_SIZE)
                balance_load(&request->provider->entry, load_le16(load), now);
        if (!answer_part_is_one(reply))
                return;
        balance_heard(&request->provider->entry, now);
        request->asked_usec = now;
        /* Whoever heard a part of the answer would hear that part twice. */
        if (reply->kind != MESSAGE_PROGRESS) {
                request->kept = message_unref(request->kept);
                if (request->message)
                        request->message->is_bound = true;
        }
}

bool service_ask_another(Request *request) {
        p2pbus *bus = request->bus;
        Message *m = request->kept;
        Provider *p = request->provider;
        Service *s;

        if (!m || !p || request->message || bus->is_closed || m->deadline_usec <= bus->now_usec ||
            !may_repeat(m))
                return false;
        s = p->service;
        p->entry.failed_usec = bus->now_usec;
        if (!has_others(s))
                return false;
        service_end_request(request, NULL);
        make_new(m, true);
        m->waiter = NULL;
        m->request = request;
        request->message = m;
        request->peer = NULL;
        message_ref(m);
        send_begun(bus, m);
        enqueue(s, m);
        place_at(s, bus->now_usec);
        return true;
}

/* Questions */

int service_resolve_wait(p2pbus *bus, const char *text, uint64_t until, Address *ret) {
        Ask ask = { .control = resolve_control(text, RESOLVE_NAME_ONCE) };
        Service found = { .bus = bus };
        Provider *p, *next;
        int r;

        r = daemon_ask_wait(bus, &ask, until);
        if (r == 0) {
                take_list(&found, ask.body, ask.n_body);
                rebuild(&found);
                p = choose(&found, BALANCE_FAILOVER, true);
                if (p)
                        *ret = p->address;
                else
                        r = reason_fail(P2PBUS_REASON_NO_PROVIDER);
                DL_FOREACH_SAFE (found.providers, p, next) {
                        DL_DELETE(found.providers, p);
                        free(p);
                }
                free(found.listed);
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
                DL_FOREACH (s->providers, p)
                        if (p->address.pid == address.pid && p->address.tag == address.tag)
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
