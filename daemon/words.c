/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/words.h"

#include <utlist.h>

#include "daemon/explanation.h"
#include "daemon/introduction.h"
#include "daemon/lease.h"
#include "daemon/name-watches.h"
#include "daemon/own-services.h"
#include "daemon/peer.h"
#include "daemon/query.h"
#include "daemon/rights.h"

typedef struct Word {
        Control control;
        PacketId id; /* answers carry it as ref */
        Address dst; /* of the packet */
        int *file;   /* the one descriptor that came with it, or -EBADF; a handler may take it */
} Word;

typedef struct Handler {
        bool for_gateway; /* only the gateway says it */
        void (*handle)(Peer *from, const Word *word);
} Handler;

/* OK, with what was granted, or ERROR. */
static void reply(Peer *from, const Word *word, ControlCode code, uint32_t value) {
        const char *denial = from->manager->denial;

        if (code == CODE_OK)
                peer_say(from, &(Control){ .verb = CONTROL_OK, .value = value, .ref = word->id });
        else
                peer_say_refusal(from, code, &word->id, word->control.address,
                                 code == CODE_DENIED && denial[0] != '\0' ? denial : NULL);
}

static void on_resolve(Peer *from, const Word *word) {
        Address address = word->control.address;
        Control answer = { .verb = CONTROL_RESOLVED, .ref = word->id, .address = address };
        ControlCode code;
        Peer *found;

        code = peer_find(from->manager, address, &found);
        if (code == CODE_NOT_HERE) {
                gateway_resolve(from, address, &word->id, true);
                return;
        }
        answer.code = (uint16_t)code;
        if (code == CODE_OK) {
                answer.value = RESOLVED_LOCAL;
                answer.address = found->entry.address;
                answer.body = found->key.bytes;
                answer.n_body = CONTROL_KEY_SIZE;
        }
        peer_say(from, &answer);
}

static void on_lease(Peer *from, const Word *word) {
        ControlCode code = lease_accept(from, word->control.body, word->control.n_body);

        if (code == CODE_OK)
                return;
        from->manager->counters.refused[code]++;
        peer_log(from, LOG_LEVEL_WARNING, NULL, "lease_refused", "lease refused: %s",
                 control_code_text((uint16_t)code));
        peer_say_error(from, code, &word->id, from->entry.address);
}

static void on_gateway(Peer *from, const Word *word) {
        bool was = gateway_is(&from->manager->gateway, from);
        ControlCode code = gateway_claim(from);

        reply(from, word, code, 0);
        if (code == CODE_OK && !was)
                gateway_start(from->manager);
}

static void on_own(Peer *from, const Word *word) {
        reply(from, word, names_own(from, &word->control), 0);
}

static void on_subscribe(Peer *from, const Word *word) {
        reply(from, word,
              topics_subscribe(from, word->control.value, (const char *)word->control.body,
                               word->control.n_body),
              0);
}

static void on_ping(Peer *from, const Word *word) {
        ControlCode code = CODE_OK;

        if (word->control.value != PING_ALL)
                peer_say(from, &(Control){ .verb = CONTROL_PONG, .ref = word->id });
        else if (gateway_is(&from->manager->gateway, from))
                wants_on_ping(from->manager, &word->id);
        else
                code = barrier_ask(from, &word->id);
        if (code != CODE_OK)
                reply(from, word, code, 0);
}

static void on_pong(Peer *from, const Word *word) {
        barrier_on_pong(from->manager, &word->control);
}

static void on_publish(Peer *from, const Word *word) {
        ControlCode code = topics_publish(from, &word->control, &word->id);

        if (code != CODE_OK || word->control.value & PUBLISH_ANSWER)
                reply(from, word, code, 0);
}

static void on_readers(Peer *from, const Word *word) {
        ControlCode code = topics_say_readers(from, &word->control, &word->id);

        if (code != CODE_OK)
                reply(from, word, code, 0);
}

static void on_resolve_name(Peer *from, const Word *word) {
        ControlCode code = name_watches_resolve(from, &word->control, &word->id);

        if (code != CODE_OK)
                reply(from, word, code, 0);
}

static void on_service(Peer *from, const Word *word) {
        ControlCode code = own_services_accept(from, &word->control);

        if (code == CODE_OK)
                return;
        from->manager->counters.refused[code]++;
        peer_log(from, LOG_LEVEL_WARNING, NULL, "service_refused",
                 "what it tells other hosts of a name is refused: %s",
                 control_code_text((uint16_t)code));
        peer_say_error(from, code, &word->id, from->entry.address);
}

static void on_services(Peer *from, const Word *word) {
        remote_names_on_services(from->manager, &word->control);
}

static void on_monitor(Peer *from, const Word *word) {
        uint32_t level = 0;
        ControlCode code = monitor_set(from, word->control.value, word->control.address, &level);

        reply(from, word, code, level);
}

static void on_query(Peer *from, const Word *word) {
        ControlCode code = query_answer(from, word->control.value, &word->id);

        if (code != CODE_OK)
                reply(from, word, code, 0);
}

static void on_explain(Peer *from, const Word *word) {
        ControlCode code = explanation_answer(from, &word->control, &word->id);

        if (code != CODE_OK)
                reply(from, word, code, 0);
}

static void on_reload(Peer *from, const Word *word) {
        PolicyAnswer answer;

        if (!from->caps.admin) {
                answer = policy_role(from->subject, POLICY_ADMIN);
                rights_deny(from, "make the daemon reload", &answer);
                reply(from, word, CODE_DENIED, 0);
        } else {
                reply(from, word, manager_reload(from->manager) ? CODE_OK : CODE_UNSUPPORTED, 0);
        }
}

static void on_unheard(Peer *from, const Word *word) {
        rights_on_unheard(from, word->control.address);
}

/* A ring that is refused costs nobody the connection. */
static void refuse_ring(Peer *from, const Word *word, ControlCode code) {
        if (code == CODE_OK)
                return;
        from->refused++;
        from->manager->counters.refused[code]++;
        reply(from, word, code, 0);
}

static void on_ring_offer(Peer *from, const Word *word) {
        refuse_ring(from, word, introduction_offer(from, &word->control, &word->id, word->file));
}

static void on_ring_answer(Peer *from, const Word *word) {
        refuse_ring(from, word, introduction_answer(from, &word->control, word->file));
}

static void on_ring_keep(Peer *from, const Word *word) {
        refuse_ring(from, word, introduction_keep(from, &word->control, &word->id));
}

static void on_ring_end(Peer *from, const Word *word) {
        introduction_end(from, &word->control);
}

static void on_ring_tap(Peer *from, const Word *word) {
        if (monitor_tap(from, &word->control) == CODE_VIOLATION)
                peer_refuse(from, CODE_VIOLATION, "violation", "tap of what it cannot have sent");
}

/* A process may say why it goes; it goes when it closes. */
static void on_nothing(Peer *from, const Word *word) {
        (void)from;
        (void)word;
}

static void on_resolved(Peer *from, const Word *word) {
        gateway_on_resolved(from->manager, &word->control);
}

static void on_synced(Peer *from, const Word *word) {
        (void)word;
        gateway_on_synced(from->manager);
}

static void on_links(Peer *from, const Word *word) {
        gateway_on_links(from->manager, word->control.value);
}

static void on_link(Peer *from, const Word *word) {
        if (!gateway_on_link(from->manager, &word->control))
                peer_refuse(from, CODE_VIOLATION, "violation", "malformed word about a link");
}

static void on_wanted(Peer *from, const Word *word) {
        if (!wants_on_word(from->manager, &word->control))
                peer_refuse(from, CODE_VIOLATION, "violation", "malformed word about a topic");
}

static void on_leased(Peer *from, const Word *word) {
        gateway_on_leased(from->manager, &word->control);
}

static void on_path_changed(Peer *from, const Word *word) {
        gateway_on_path_changed(from->manager, word->control.value);
}

/* Of the gateway, about others' packets; of a process, about a question of ours. */
static void on_error(Peer *from, const Word *word) {
        if (gateway_is(&from->manager->gateway, from))
                gateway_on_error(from->manager, &word->control, word->dst);
        else if (!survey_on_error(from, &word->control.ref))
                peer_say_error(from, CODE_UNSUPPORTED, &word->id, word->dst);
}

static void on_reported(Peer *from, const Word *word) {
        survey_on_reported(from, &word->control);
}

static const Handler handlers[_CONTROL_VERB_MAX] = {
        [CONTROL_RESOLVE] = { false, on_resolve },
        [CONTROL_LEASE] = { false, on_lease },
        [CONTROL_GATEWAY] = { false, on_gateway },
        [CONTROL_OWN] = { false, on_own },
        [CONTROL_RESOLVE_NAME] = { false, on_resolve_name },
        [CONTROL_SERVICE] = { false, on_service },
        [CONTROL_SERVICES] = { true, on_services },
        [CONTROL_SUBSCRIBE] = { false, on_subscribe },
        [CONTROL_PING] = { false, on_ping },
        [CONTROL_PONG] = { true, on_pong },
        [CONTROL_PUBLISH] = { false, on_publish },
        [CONTROL_READERS] = { false, on_readers },
        [CONTROL_MONITOR] = { false, on_monitor },
        [CONTROL_QUERY] = { false, on_query },
        [CONTROL_RELOAD] = { false, on_reload },
        [CONTROL_EXPLAIN] = { false, on_explain },
        [CONTROL_UNHEARD] = { false, on_unheard },
        [CONTROL_RING_OFFER] = { false, on_ring_offer },
        [CONTROL_RING_ANSWER] = { false, on_ring_answer },
        [CONTROL_RING_END] = { false, on_ring_end },
        [CONTROL_RING_KEEP] = { false, on_ring_keep },
        [CONTROL_RING_TAP] = { false, on_ring_tap },
        [CONTROL_GOODBYE] = { false, on_nothing },
        [CONTROL_RESOLVED] = { true, on_resolved },
        [CONTROL_SYNCED] = { true, on_synced },
        [CONTROL_LINKS] = { true, on_links },
        [CONTROL_LINK] = { true, on_link },
        [CONTROL_LEASED] = { true, on_leased },
        [CONTROL_WANTED] = { true, on_wanted },
        [CONTROL_PATH_CHANGED] = { true, on_path_changed },
        [CONTROL_ERROR] = { false, on_error },
        [CONTROL_REPORTED] = { false, on_reported },
};

static void handle(Peer *from, const StreamFrame *frame, int *file) {
        bool is_gateway = gateway_is(&from->manager->gateway, from);
        const Handler *handler;
        PacketHeader header;
        Word word;
        int c;

        if (packet_header_decode(frame->data, frame->size, &header) != 0) {
                peer_refuse(from, CODE_VIOLATION, "violation", "malformed packet header");
                return;
        }
        word.id = header.id;
        word.dst = header.dst;
        word.file = file;
        c = control_decode(frame->data + PACKET_HEADER_SIZE, frame->size - PACKET_HEADER_SIZE,
                           &word.control);
        if (c == CONTROL_E_UNKNOWN) {
                peer_say_error(from, CODE_UNSUPPORTED, &header.id, header.dst);
                return;
        }
        /* Only a refusal of somebody's packet is for that process; all else is for the daemon. */
        if (c != 0 ||
            (header.dst.pid != PID_DAEMON && !(is_gateway && word.control.verb == CONTROL_ERROR))) {
                peer_refuse(from, CODE_VIOLATION, "violation", "malformed control word");
                return;
        }
        handler = &handlers[word.control.verb];
        if (!handler->handle || (handler->for_gateway && !is_gateway)) {
                peer_say_error(from, CODE_UNSUPPORTED, &header.id, header.dst);
                return;
        }
        handler->handle(from, &word);
}

void words_handle(Peer *from, const StreamFrame *frame) {
        _cleanup_(fd_closep) int file = -EBADF;

        from->manager->denial[0] = '\0';
        /* Some words take one, none takes more. */
        if (frame->prefix.n_fds == 1)
                file = frame->fds[0];
        else
                for (unsigned i = 0; i < frame->prefix.n_fds; i++)
                        (void)fd_close(frame->fds[i]);
        handle(from, frame, &file);
}
