/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/rights.h"

#include <stdio.h>
#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"

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

void rights_deny(Peer *peer, const char *what, const PolicyAnswer *answer) {
        char text[POLICY_ANSWER_MAX];

        (void)snprintf(peer->manager->denial, sizeof(peer->manager->denial), "%s",
                       policy_answer_text(answer, text));
        peer_log(peer, LOG_LEVEL_NOTICE, NULL, "policy", "may not %s: %s", what, text);
}

void rights_say_network(Peer *peer) {
        uint8_t body[CONTROL_BODY_MAX / 2];
        Control word = { .verb = CONTROL_NETWORK, .value = NETWORK_ALL };

        if (!peer->subject->network_is_open) {
                word.value = NETWORK_SOME;
                word.body = body;
                word.n_body = policy_write_network(peer->subject, body, sizeof(body));
        }
        peer_say(peer, &word);
}

void rights_reevaluate(Peer *peer) {
        bool was_open;

        if (peer->state != PEER_ATTACHED)
                return;
        was_open = peer->subject->network_is_open;
        (void)rights_classify(peer);
        if (peer->subject && names_reevaluate(peer))
                (void)rights_classify(peer);
        if (!peer->subject) {
                peer_refuse(peer, CODE_OVERLOAD, "no_memory", "no memory for its policy");
                return;
        }
        topics_reevaluate_of(peer);
        if (peer->off_host && peer->caps.off_host && !(was_open && peer->subject->network_is_open))
                rights_say_network(peer);
        if (!peer->caps.off_host) {
                lease_remove(peer);
                wants_revoke(peer);
                peer->off_host = false;
        }
        if (peer->monitor && peer->caps.monitor == 0)
                monitor_remove(peer);
        if (!peer->caps.gateway)
                gateway_remove(peer);
}
