/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/rights.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/name-watches.h"
#include "daemon/peer.h"
#include "libcore/buf.h"

bool rights_classify(Peer *peer) {
        Subject *old = peer->subject;
        Policy *policy = peer->manager->policy;
        const OwnedName *owned;

        policy_describe(policy, &peer->creds, &peer->key);
        DL_FOREACH2(peer->owned_names, owned, next_peer)
        policy_describe_name(policy, owned->name->text, strlen(owned->name->text));
        peer->subject = policy_subject(policy);
        if (peer->subject)
                peer->caps = peer->subject->caps;
        subject_unref(old);
        return peer->subject != old;
}

/* Return: whether its user may have other limits now. */
static bool bring_limits(Peer *peer) {
        Subject *subject = peer->subject;

        if (!subject->brings_limits || subject->is_brought)
                return false;
        subject_ref(subject);
        subject->is_brought = true;
        LL_PREPEND2(peer->user->brought, subject, next_brought);
        return true;
}

void rights_enter(Peer *peer) {
        peer->user->n_attached++;
        if (bring_limits(peer))
                user_set_limits(peer->user);
}

void rights_leave(Peer *peer) {
        User *user = peer->user;

        user->n_attached--;
        if (user->n_attached > 0 || !user->brought)
                return;
        rights_forget_limits(user);
        user_set_limits(user);
}

void rights_forget_limits(User *user) {
        Subject *subject, *next;

        LL_FOREACH_SAFE2(user->brought, subject, next, next_brought) {
                subject->is_brought = false;
                subject_unref(subject);
        }
        user->brought = NULL;
}

void rights_reclassify(Peer *peer) {
        Subject *was;

        if (peer->state != PEER_ATTACHED || !policy_book(peer->manager->policy)->has_name_traits)
                return;
        was = subject_ref(peer->subject);
        if (rights_classify(peer)) {
                if (!peer->subject) {
                        peer->subject = subject_ref(was); /* no memory: it stays what it was */
                } else {
                        peer->manager->registry.generation++;
                        rings_reevaluate_of(peer);
                }
        }
        subject_unref(was);
}

/* Libraries keep in mind what they had of these, and ask again. */
static bool is_kept_in_mind(PolicySlot slot) {
        return slot == POLICY_OWN_NAME || slot == POLICY_OWN_DENY || slot == POLICY_SUBSCRIBE ||
               slot == POLICY_DENY_SUBSCRIBE || slot == POLICY_MONITOR;
}

/* What it is told: by which rule. */
static void note_denial(Peer *peer, const PolicyAnswer *answer) {
        char text[POLICY_ANSWER_MAX];

        peer->was_denied |= is_kept_in_mind(answer->slot);
        (void)snprintf(peer->manager->denial, sizeof(peer->manager->denial), "%s",
                       policy_answer_text(answer, text));
}

void rights_deny(Peer *peer, const char *what, const PolicyAnswer *answer) {
        note_denial(peer, answer);
        peer_log(peer, LOG_LEVEL_NOTICE, NULL, "policy", "may not %s: %s", what,
                 peer->manager->denial);
}

void rights_deny_often(Peer *peer, const char *what, const PolicyAnswer *answer) {
        if (policy_is_old_denial(peer->subject, answer->slot))
                note_denial(peer, answer);
        else
                rights_deny(peer, what, answer);
}

void rights_explain(Peer *peer, const char *text) {
        (void)snprintf(peer->manager->denial, sizeof(peer->manager->denial), "%s", text);
}

void rights_say_taken(Peer *peer, ControlVerb verb, const char *what, size_t n_what) {
        const char *denial = peer->manager->denial;
        uint8_t body[CONTROL_RIGHTS_MAX];
        BufWriter w = buf_writer(body, sizeof(body));

        buf_put_bytes(&w, what, n_what);
        buf_put_u8(&w, 0);
        buf_put_bytes(&w, denial, strnlen(denial, CONTROL_TEXT_MAX));
        peer_say(peer, &(Control){ .verb = CONTROL_RIGHTS,
                                   .code = CODE_DENIED,
                                   .value = verb,
                                   .body = body,
                                   .n_body = w.at });
}

/* --- other hosts --- */

static void deny_off_host(Peer *peer) {
        PolicyAnswer answer = policy_off_host(peer->subject);

        rights_deny_often(peer, "talk with other hosts", &answer);
        rights_say_taken(peer, CONTROL_LEASE, NULL, 0);
}

static void say_network(Peer *peer) {
        uint8_t body[CONTROL_BODY_MAX / 2];
        Control word = { .verb = CONTROL_NETWORK, .value = NETWORK_ALL };

        if (!peer->subject->network_is_open) {
                word.value = NETWORK_SOME;
                word.body = body;
                word.n_body = policy_write_network(peer->subject, body, sizeof(body));
        }
        peer_say(peer, &word);
        peer->n_unheard = 0;
}

void rights_on_unheard(Peer *peer, Address address) {
        PolicyAnswer answer = policy_network_receive(peer->subject);
        char from[PID_TAGGED_SIZE], text[POLICY_ANSWER_MAX];

        if (!peer->off_host || answer.is_allowed || peer->n_unheard >= CONTROL_UNHEARD_MAX)
                return;
        peer->n_unheard++;
        peer_log(peer, LOG_LEVEL_NOTICE, NULL, "policy", "may not receive from %s: %s",
                 address_format(address, from), policy_answer_text(&answer, text));
}

void rights_say_off_host(Peer *peer) {
        if (peer->asks_off_host && !peer->off_host)
                deny_off_host(peer);
        else if (peer->off_host && !peer->subject->network_is_open)
                say_network(peer);
}

static void give_off_host(Peer *peer) {
        peer->off_host = true;
        peer_say(peer, &(Control){ .verb = CONTROL_RIGHTS, .value = CONTROL_LEASE });
        if (!peer->subject->network_is_open)
                say_network(peer);
        lease_hand_over(peer);
        name_watches_look_again(peer);
}

static void take_off_host(Peer *peer) {
        lease_remove(peer);
        wants_revoke(peer);
        peer->off_host = false;
        deny_off_host(peer);
        name_watches_look_again(peer);
}

/* What it sent through one that it may not use any more has to go another way. */
static void give_relays(Peer *peer) {
        lease_give_again(peer);
        peer_say(peer, &(Control){ .verb = CONTROL_PATH_CHANGED });
}

/* @was: what it was before. */
static void reevaluate_off_host(Peer *peer, const Subject *was) {
        if (peer->off_host && peer->caps.off_host && !policy_has_same_relays(was, peer->subject))
                give_relays(peer);
        if (peer->off_host && !peer->caps.off_host)
                take_off_host(peer);
        else if (peer->off_host && !(was->network_is_open && peer->subject->network_is_open))
                say_network(peer);
        else if (peer->asks_off_host && !peer->off_host && peer->caps.off_host)
                give_off_host(peer);
}

/* --- a new policy --- */

/* Whoever speaks for other hosts attaches again for it: what it still says would be nobody's. */
static void reevaluate_gateway(Peer *peer) {
        PolicyAnswer answer;

        if (peer->caps.gateway || !gateway_is(&peer->manager->gateway, peer))
                return;
        answer = policy_role(peer->subject, POLICY_GATEWAY);
        rights_deny(peer, "be the gateway", &answer);
        rights_say_taken(peer, CONTROL_GATEWAY, NULL, 0);
        peer_dismiss(peer, CODE_DENIED);
}

void rights_reevaluate(Peer *peer) {
        Subject *was;

        if (peer->state != PEER_ATTACHED)
                return;
        if (peer->was_denied)
                peer_say(peer, &(Control){ .verb = CONTROL_RIGHTS, .value = RIGHTS_CHANGED });
        peer->was_denied = false;
        was = subject_ref(peer->subject);
        credentials_read_unit(peer->fd, policy_wanted_unit(peer->manager->policy), &peer->creds);
        (void)rights_classify(peer);
        if (peer->subject && names_reevaluate(peer))
                (void)rights_classify(peer);
        if (peer->subject) {
                (void)bring_limits(peer); /* all users' limits are set after this */
                topics_reevaluate_of(peer);
                reevaluate_off_host(peer, was);
                monitor_reevaluate(peer);
                reevaluate_gateway(peer);
        } else {
                peer_refuse(peer, CODE_OVERLOAD, "no_memory", "no memory for its policy");
        }
        subject_unref(was);
}
