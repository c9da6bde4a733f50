/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What became of what was sent to a name: what it says of the provider, and whether it goes on to another
 *
 * Going on always leads through the waiting list and the timer, so that nobody who is in the middle of
 * settling a session has another one begun under his hands.
 */

#include "config.h"

#include "libclient/service.h"

#include <utlist.h>

#include "libclient/answer-part.h"
#include "libclient/peer.h"
#include "libclient/request.h"
#include "libclient/send.h"

/* Nothing of it has come to anybody who could have delivered it. */
static bool is_untouched(const Message *m) {
        if (m->flags & MESSAGE_MAYBE_REPEAT)
                return false;
        /* What was refused did not come, and what followed it in its session was not handed out. */
        return m->n_records_sent == 0 || m->result != RESULT_UNKNOWN;
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
        return s->is_asking || provider_set_choose(&s->set, BALANCE_SHARE, false);
}

/*
 * Somebody else is there, or may be: of other hosts it is known what was said a moment ago, so if the last
 * one there has left the daemon is asked once more, and a message that is to go on waits for that.
 */
static bool may_go_on(const Service *s, const Provider *p, const Message *m) {
        return has_others(s) ||
               ((p->entry.rank.flags & PROVIDER_REMOTE) && m->n_doubts < SERVICE_DOUBTS_MAX);
}

static void doubt(Service *s, Message *m) {
        uint64_t now = s->bus->now_usec;

        if (!has_others(s))
                s->set.on_doubt(&s->set, m->n_doubts++ == 0 ? now : now + SERVICE_DOUBT_USEC);
}

/* One message that was begun may be what kills its providers. */
static bool may_repeat(const Message *m) {
        return (m->flags & MESSAGE_IDEMPOTENT) && !m->is_unretained &&
               m->n_attempts + 1 < SERVICE_ATTEMPTS_MAX;
}

static void blame(Provider *p, int result) {
        if (!is_settled_well(result))
                p->entry.failed_usec = p->set->bus->now_usec;
}

/* As it was before it went anywhere, but for its id and what may have come of it. */
static void make_new(Message *m, bool is_repeat) {
        if (is_repeat) {
                m->flags |= MESSAGE_MAYBE_REPEAT;
                m->n_attempts++;
        }
        m->peer = NULL;
        m->result = RESULT_PENDING;
        m->skip_due = m->was_refused = false;
        m->n_records = m->n_records_sent = m->n_doubtful = 0;
}

bool service_retry(p2pbus *bus, Message *m) {
        Provider *p = m->provider;
        Service *s = service_of(p);
        bool is_untried = is_untouched(m);
        bool goes_on;

        m->provider = NULL;
        m->service = NULL;
        blame(p, m->result);
        goes_on = !is_settled_well(m->result) && is_wanted(bus, m) &&
                  (is_untried || may_repeat(m)) && may_go_on(s, p, m);
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
                doubt(s, m);
                service_put_back(s, m);
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
        s = service_of(p);
        p->entry.failed_usec = bus->now_usec;
        if (!may_go_on(s, p, m))
                return false;
        service_end_request(request, NULL);
        make_new(m, true);
        doubt(s, m);
        m->waiter = NULL;
        m->request = request;
        request->message = m;
        request_is_not_owed(request);
        request->peer = NULL;
        message_ref(m);
        send_begun(bus, m);
        service_put_back(s, m);
        return true;
}

/*
 * Nothing is lost if another does it: it was never begun, or may be repeated. But parts of an answer do not
 * say whose they are, should the first who was asked be asked once more: they end with its session only.
 */
static bool may_move(const p2pbus *bus, const Message *m) {
        bool is_new = m->n_records_sent == 0 && !(m->flags & MESSAGE_MAYBE_REPEAT);

        return is_wanted(bus, m) && (is_new || (may_repeat(m) && !(m->flags & MESSAGE_MORE)));
}

/* Somebody else is there. If all of them have failed a moment ago, it is looked at again. */
static bool is_replaced(Service *s) {
        if (provider_set_choose(&s->set, BALANCE_SHARE, false))
                return true;
        if (provider_set_choose(&s->set, BALANCE_SHARE, true))
                s->set.on_doubt(&s->set, s->bus->now_usec + BALANCE_REST_USEC);
        return false;
}

void service_on_away(Provider *p) {
        p2pbus *bus = p->set->bus;
        uint64_t now = bus->now_usec;
        Request *request, *next;
        Message *m;

        if (!is_replaced(service_of(p)))
                return;
        DL_FOREACH2 (bus->sent, m, bus_next)
                if (m->provider == p && may_move(bus, m)) {
                        /* There is no room, or it has come, and nobody has looked: then later. */
                        if (m->place == MESSAGE_FINISHED ||
                            session_take_back(m->peer->session, m, CODE_NOT_HERE, now) < 0)
                                p->set->on_doubt(p->set, now + SERVICE_DOUBT_USEC);
                        peer_mark(m->peer);
                }
        HASH_ITER (hh, bus->requests, request, next) {
                Peer *peer = request->peer;

                if (!request->message && request->provider == p && !request->on_part &&
                    service_ask_another(request))
                        peer_mark(peer); /* it owes less */
        }
}
