/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Answers are matched by the id of the question: whatever names a packet that is no question is
 * about a packet of some session, and goes to the peer it was for. The daemon is trusted with
 * routing and no more: a lease that it hands over is verified as if a stranger had sent it.
 */

#include "config.h"

#include "libclient/daemon.h"

#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/introduction.h"
#include "libclient/loop.h"
#include "libclient/monitor.h"
#include "libclient/peer.h"
#include "libclient/ping.h"
#include "libclient/reason.h"
#include "libclient/report.h"
#include "libclient/rights.h"
#include "libclient/topic-remote.h"
#include "libclient/topic.h"
#include "libcore/err.h"

static void ask_send(p2pbus *bus, Ask *ask) {
        ask->id = bus_new_id(bus);
        free(ask->body); /* what came of an answer that was cut off */
        ask->body = NULL;
        ask->n_body = 0;
        /* Without memory it stays unanswered, which its deadline ends. */
        (void)connection_queue_control(bus->connection, &ask->control, &ask->id);
}

void daemon_ask(p2pbus *bus, Ask *ask) {
        ask->is_answered = false;
        DL_APPEND(bus->asks, ask);
        if (bus->is_up)
                ask_send(bus, ask);
}

void daemon_drop(p2pbus *bus, Ask *ask) {
        if (ask->prev)
                DL_DELETE(bus->asks, ask);
        ask->prev = ask->next = NULL;
        free(ask->body);
        ask->body = NULL;
        ask->n_body = 0;
}

void daemon_ask_again(p2pbus *bus) {
        Ask *ask;

        DL_FOREACH(bus->asks, ask)
                if (!ask->is_answered)
                        ask_send(bus, ask);
}

/* Return: 0, or noted: why it was not done, by which rule if the daemon says so. */
static int ask_fail(const Ask *ask) {
        char text[CONTROL_TEXT_MAX + 1];
        int reason = reason_of(ask->code);

        if (ask->code == CODE_OK)
                return 0;
        if (ask->code != CODE_DENIED || ask->n_body == 0)
                return reason_fail(reason);
        reason_copy_text(ask->body, ask->n_body, text);
        return reason_fail_text(reason, "%s: %s", p2pbus_reason_text(reason), text);
}

int daemon_ask_wait(p2pbus *bus, Ask *ask, uint64_t until) {
        int r = 0;

        daemon_ask(bus, ask);
        while (r == 0 && !ask->is_answered)
                r = loop_wait(bus, until);
        if (r == -ETIMEDOUT)
                return bus->is_up ? reason_fail(P2PBUS_REASON_TIMEOUT) :
                                    reason_fail(bus->away_reason);
        if (r < 0)
                return r;
        return ask_fail(ask);
}

static void answer_fail(Ask *ask, uint16_t code) {
        ask->code = code;
        ask->is_answered = true;
}

static void ask_answer(p2pbus *bus, Ask *ask, const Control *control) {
        uint8_t *body;

        if (ask->is_answered)
                return;
        if (ask->n_body + control->n_body > ASK_BODY_MAX) {
                answer_fail(ask, CODE_TOO_BIG);
        } else {
                body = realloc(ask->body, ask->n_body + control->n_body + 1);
                if (!body) {
                        answer_fail(ask, CODE_OVERLOAD);
                } else {
                        if (control->n_body > 0)
                                memcpy(body + ask->n_body, control->body, control->n_body);
                        ask->body = body;
                        ask->n_body += control->n_body;
                        ask->body[ask->n_body] = '\0';
                        ask->code = control->code;
                        ask->value = control->value;
                        ask->address = control->address;
                        ask->is_answered = control->verb != CONTROL_ANSWER ||
                                control->value == 0 || control->code != CODE_OK;
                }
        }
        if (!ask->is_answered)
                return;
        bus_happened(bus);
        if (ask->on_answer)
                ask->on_answer(bus, ask); /* careful: @ask may be gone from here */
}

static Ask *ask_find(p2pbus *bus, const PacketId *id) {
        Ask *ask;

        DL_FOREACH(bus->asks, ask)
                if (!ask->is_answered && packet_id_equal(&ask->id, id))
                        return ask;
        return NULL;
}

static void on_goodbye(p2pbus *bus, const Control *control) {
        attachment_lost(bus, control->code ? reason_of(control->code) : P2PBUS_REASON_LOST);
}

static void on_notice(p2pbus *bus, const Control *control) {
        bool had_gateway = bus->hello_flags & HELLO_OFF_HOST;

        bus->hello_flags = control->value;
        if (!(bus->hello_flags & HELLO_MONITORED))
                bus->n_taps_lost = 0;
        if (!(bus->hello_flags & HELLO_OFF_HOST))
                bus->n_reachable = 0;
        else if (!had_gateway) {
                bus->generation++;
                peer_update_all_paths(bus, true);
        }
        bus_happened(bus);
}

void daemon_consume(p2pbus *bus, const PacketHeader *header, const uint8_t *packet) {
        Control control;
        Ask *ask;

        if (!pid_is_reserved(header->src.pid) ||
            control_decode(packet + PACKET_HEADER_SIZE, header->size - PACKET_HEADER_SIZE,
                           &control) != 0) {
                bus->counters.bad_packets++;
                return;
        }

        switch (control.verb) {
        case CONTROL_OK:
        case CONTROL_PONG:
        case CONTROL_RESOLVED:
        case CONTROL_NAMED:
        case CONTROL_ANSWER:
                ask = ask_find(bus, &control.ref);
                if (ask)
                        ask_answer(bus, ask, &control);
                break;
        case CONTROL_ERROR:
                ask = ask_find(bus, &control.ref);
                if (ask)
                        ask_answer(bus, ask, &control);
                else if (!ping_on_refused(bus, &control) &&
                         !introduction_on_error(bus, &control.ref))
                        peer_on_refused(bus, &control);
                break;
        case CONTROL_GOODBYE:
                on_goodbye(bus, &control);
                break;
        case CONTROL_NOTICE:
                on_notice(bus, &control);
                break;
        case CONTROL_NOT_LOCAL:
                peer_on_not_local(bus, &control);
                break;
        case CONTROL_NOW_LOCAL:
                peer_on_now_local(bus, control.address);
                break;
        case CONTROL_QUEUE_SPACE:
                peer_on_queue_space(bus, control.address);
                break;
        case CONTROL_PATH_CHANGED:
                bus->generation++;
                peer_update_all_paths(bus, true);
                break;
        case CONTROL_LEASE_REQUEST:
                attachment_on_lease_request(bus, &control);
                break;
        case CONTROL_NETWORK:
                network_rules_set(&bus->network, &control);
                break;
        case CONTROL_RIGHTS:
                rights_consume(bus, &control);
                break;
        case CONTROL_REACHABLE:
                bus->n_reachable = control.value;
                bus_happened(bus);
                break;
        case CONTROL_RING_BELLS:
        case CONTROL_RING_OFFERED:
        case CONTROL_RING_ANSWERED:
        case CONTROL_RING_END:
                introduction_consume(bus, &control);
                break;
        case CONTROL_REPORT:
                report_answer(bus, &header->id);
                break;
        case CONTROL_PUBLISHED:
                topic_on_published(bus, &control);
                break;
        case CONTROL_TOPIC_LOST:
                topic_on_lost(bus, &control);
                break;
        case CONTROL_WANTED:
                topic_on_refused(bus, &control);
                break;
        case CONTROL_READERS:
                topic_remote_on_readers(bus, &control);
                break;
        case CONTROL_MONITORED:
                monitor_consume(bus, &control);
                break;
        default:
                bus->counters.bad_packets++; /* nothing that is said to a process */
        }
}
