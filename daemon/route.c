/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The way of a message between two processes of this host is route_packet() alone, some hundred
 * instructions: the source is compared as bytes, the destination is the one of the packet before,
 * and no header is decoded into a structure. Everything else happens at the first packet to a
 * destination, or goes wrong.
 */

#include "daemon/route.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "daemon/lease.h"
#include "daemon/peer.h"
#include "daemon/words.h"

#define HOPS_MAX 8

/* Offsets in a packet: PROTOCOL.md, "Packet". */
enum {
        AT_HFLAGS = 6,
        AT_HOPS = 7,
        AT_ZERO = 8,
        AT_SRC_PID = 16,
        AT_DST_PID = 24,
        AT_SRC_TAG = 32,
        AT_DST_TAG = 36,
        AT_ID = 40,
        AT_KIND = 64, /* and eflags, fragment, last_fragment, which are zero */
};

static Address packet_src(const uint8_t *packet) {
        return (Address){ load_be64(packet + AT_SRC_PID), load_be32(packet + AT_SRC_TAG) };
}

static Address packet_dst(const uint8_t *packet) {
        return (Address){ load_be64(packet + AT_DST_PID), load_be32(packet + AT_DST_TAG) };
}

static PacketId packet_id(const uint8_t *packet) {
        PacketId id;

        memcpy(id.bytes, packet + AT_ID, sizeof(id.bytes));
        return id;
}

static void frame_close_fds(const StreamFrame *frame) {
        for (unsigned i = 0; i < frame->prefix.n_fds; i++)
                (void)fd_close(frame->fds[i]);
}

/* @text: the particulars, or NULL. */
static void refuse_with(Peer *from, const StreamFrame *frame, ControlCode code, const char *text) {
        PacketId id = packet_id(frame->data);

        frame_close_fds(frame);
        from->refused++;
        from->manager->counters.refused[code]++;
        peer_say_refusal(from, code, &id, packet_dst(frame->data), text);
}

static void refuse(Peer *from, const StreamFrame *frame, ControlCode code) {
        refuse_with(from, frame, code, NULL);
}

/* A descriptor of a bus could carry itself: nobody could ever close it. */
static bool is_bus_socket(const Manager *manager, int fd) {
        struct sockaddr_un ours, theirs;
        socklen_t n_ours = sizeof(ours), n_theirs = sizeof(theirs);
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode))
                return false;
        memset(&ours, 0, sizeof(ours));
        memset(&theirs, 0, sizeof(theirs));
        if (getsockname(manager->listener.fd, (struct sockaddr *)&ours, &n_ours) < 0)
                return true;
        if (getpeername(fd, (struct sockaddr *)&theirs, &n_theirs) < 0 &&
            getsockname(fd, (struct sockaddr *)&theirs, &n_theirs) < 0)
                return true;
        return n_ours == n_theirs && memcmp(&ours, &theirs, n_ours) == 0;
}

static bool carries_bus_socket(const Manager *manager, const StreamFrame *frame) {
        for (unsigned i = 0; i < frame->prefix.n_fds; i++)
                if (is_bus_socket(manager, frame->fds[i]))
                        return true;
        return false;
}

/*
 * Copies the packet into @to's outbox. Return: CODE_OK, the descriptors are the outbox's now; or
 * why not.
 */
static ControlCode deliver(Peer *to, Usage *usage, const StreamFrame *frame, uint8_t hflags,
                           uint8_t hops) {
        Manager *manager = to->manager;
        uint8_t *data;

        if (to->output_dead)
                return CODE_GONE;
        if (!peer_has_room(to, frame->size) ||
            outbox_reserve(&to->outbox, usage, frame->size, frame->fds, frame->prefix.n_fds,
                           manager->now_usec, &data) != 0)
                return CODE_QUEUE_FULL;
        memcpy(data, frame->data, frame->size);
        packet_set_hop_fields(data, hflags, hops);
        to->packets_out++;
        manager->counters.packets_routed++;
        manager->counters.bytes_routed += frame->size;
        if (manager->monitors.n > 0)
                monitor_show(manager, data, frame->size);
        peer_touch(to);
        return CODE_OK;
}

/*
 * @usage is what the sender holds at @to; kept by the caller. On failure the sender is answered,
 * and told later when there is room.
 */
static void deliver_or_refuse(Peer *from, Peer *to, Usage *usage, const StreamFrame *frame,
                              uint8_t hflags, uint8_t hops) {
        ControlCode code;

        if (frame->prefix.n_fds > 0 && carries_bus_socket(from->manager, frame)) {
                refuse(from, frame, CODE_DENIED);
                return;
        }
        code = deliver(to, usage, frame, hflags, hops);
        if (code == CODE_OK)
                return;
        if (code == CODE_QUEUE_FULL)
                peer_wait(to, from->entry.address, packet_dst(frame->data));
        refuse(from, frame, code);
}

/* Is the last packet's destination this one's too, and is it still there? */
static bool route_is_kept(const Peer *from, const uint8_t *packet) {
        const PeerRoute *route = &from->route;

        return route->generation == from->manager->registry.generation &&
               memcmp(route->pid, packet + AT_DST_PID, sizeof(route->pid)) == 0 &&
               memcmp(route->tag, packet + AT_DST_TAG, sizeof(route->tag)) == 0;
}

RouteVerdict route_judge(const Peer *from, const Peer *to) {
        if (policy_may_send(from->subject, to->subject))
                return ROUTE_OPEN;
        return policy_may_send(to->subject, from->subject) ? ROUTE_ANSWERS : ROUTE_CLOSED;
}

const char *route_denial(Peer *from, Peer *to) {
        char address[PID_TAGGED_SIZE];
        bool is_news;
        const char *text = policy_denial(from->subject, to->subject, &is_news);

        if (text && is_news)
                peer_log(from, LOG_LEVEL_NOTICE, NULL, "policy", "may not send to %s: %s",
                         address_format(to->entry.address, address), text);
        return text;
}

/* Finds the destination and keeps it. Return: CODE_OK; why it is not here; CODE_OVERLOAD. */
static ControlCode route_find(Peer *from, const uint8_t *packet) {
        Manager *manager = from->manager;
        ControlCode code;
        Usage *usage;
        Peer *to;

        code = peer_find(manager, packet_dst(packet), &to);
        if (code != CODE_OK)
                return code;
        if (usage_get(to->user, from->user->uid, &usage) < 0)
                return CODE_OVERLOAD;
        usage_unref(from->route.usage);
        from->route = (PeerRoute){
                .verdict = route_judge(from, to),
                .generation = manager->registry.generation,
                .to = to,
                .usage = usage,
        };
        memcpy(from->route.pid, packet + AT_DST_PID, sizeof(from->route.pid));
        memcpy(from->route.tag, packet + AT_DST_TAG, sizeof(from->route.tag));
        return CODE_OK;
}

/* RECORDS to somebody who is not attached here: the packet ends here, the sender hears where. */
static void records_elsewhere(Peer *from, const StreamFrame *frame, ControlCode code) {
        Address dst = packet_dst(frame->data);
        PacketId id = packet_id(frame->data);
        Control word = {
                .verb = CONTROL_NOT_LOCAL, .code = (uint16_t)code, .ref = id, .address = dst
        };

        frame_close_fds(frame);
        if (code == CODE_NOT_HERE) {
                gateway_resolve(from, dst, &id, false);
                return;
        }
        from->refused++;
        from->manager->counters.refused[code]++;
        peer_say(from, &word);
}

/* It has not asked for other hosts, or policy keeps it from them. */
static void refuse_off_host(Peer *from, const StreamFrame *frame) {
        char text[POLICY_ANSWER_MAX];
        PolicyAnswer answer;

        if (!from->asks_off_host) {
                refuse(from, frame, CODE_DENIED);
                return;
        }
        answer = policy_off_host(from->subject);
        refuse_with(from, frame, CODE_DENIED, policy_answer_text(&answer, text));
}

/* SEALED to somebody who is not attached here. */
static void sealed_elsewhere(Peer *from, const StreamFrame *frame) {
        Peer *gateway = from->manager->gateway.peer;
        uint8_t hflags = frame->data[AT_HFLAGS] & PACKET_CE;
        Usage *usage;

        if (!from->off_host) {
                refuse_off_host(from, frame);
        } else if (!gateway || gateway == from) {
                refuse(from, frame, CODE_NO_ROUTE);
        } else if (frame->prefix.n_fds > 0) {
                refuse(from, frame, CODE_UNSUPPORTED);
        } else if (usage_get(gateway->user, from->user->uid, &usage) < 0) {
                refuse(from, frame, CODE_OVERLOAD);
        } else {
                deliver_or_refuse(from, gateway, usage, frame, hflags, 1);
                usage_unref(usage);
        }
}

static void route_from_process(Peer *from, const StreamFrame *frame, uint64_t kind) {
        PeerRoute *route = &from->route;
        uint8_t hflags = frame->data[AT_HFLAGS] & PACKET_CE;
        ControlCode code;

        if (!route_is_kept(from, frame->data)) {
                code = route_find(from, frame->data);
                if (code == CODE_OVERLOAD) {
                        refuse(from, frame, code);
                        return;
                }
                if (code != CODE_OK && kind == PACKET_RECORDS) {
                        records_elsewhere(from, frame, code);
                        return;
                }
                if (code != CODE_OK) {
                        sealed_elsewhere(from, frame);
                        return;
                }
        }
        if (route->verdict != ROUTE_OPEN &&
            (route->verdict == ROUTE_CLOSED || kind != PACKET_RECORDS ||
             !policy_is_answer(frame->data + PACKET_HEADER_SIZE,
                               frame->size - PACKET_HEADER_SIZE))) {
                refuse_with(from, frame, CODE_DENIED, route_denial(from, route->to));
                return;
        }
        if (kind == PACKET_SEALED && !route->told_local) {
                route->told_local = true;
                peer_say(from, &(Control){ .verb = CONTROL_NOW_LOCAL,
                                           .address = packet_dst(frame->data) });
        }
        deliver_or_refuse(from, route->to, route->usage, frame, hflags, 1);
}

/* @to is where the packet came from: its source, or the gateway, who passes it on to that. */
static void say_refused(Peer *to, const uint8_t *packet, ControlCode code) {
        to->refused++;
        peer_say_to(to,
                    &(Control){ .verb = CONTROL_ERROR,
                                .code = (uint16_t)code,
                                .value = REFUSED_BY_DAEMON,
                                .ref = packet_id(packet),
                                .address = packet_dst(packet) },
                    packet_src(packet));
}

void route_give_back(Manager *manager, const uint8_t *packet, ControlCode code) {
        RegistryEntry *entry;

        manager->counters.refused[code]++;
        if (manager->stop_usec > 0)
                return; /* GOODBYE was said */
        if (!route_is_remote(packet)) {
                if (registry_find(&manager->registry, packet_src(packet), &entry) == 0)
                        say_refused(container_of(entry, Peer, entry), packet, code);
        } else if (manager->gateway.peer) {
                say_refused(manager->gateway.peer, packet, code);
        }
}

bool route_is_remote(const uint8_t *packet) {
        return packet[AT_HFLAGS] & PACKET_REMOTE;
}

/* Whom the gateway has not been told about may be one whom the relay of a packet is not to know. */
static bool is_reachable(const Peer *to) {
        return to->off_host && (!to->subject->has_some_relays || lease_is_given(to));
}

/*
 * The gateway speaks for others, of other hosts: never for a process that is attached here. The
 * same answer for "not here" and "may not": a stranger must not learn who is.
 */
static void route_from_gateway(Peer *from, const StreamFrame *frame) {
        Manager *manager = from->manager;
        Address src = packet_src(frame->data), dst = packet_dst(frame->data);
        uint8_t hops = frame->data[AT_HOPS];
        RegistryEntry *entry;
        ControlCode code;
        Peer *to;
        Usage *usage;

        if (pid_is_reserved(src.pid) || registry_find(&manager->registry, src, &entry) == 0) {
                peer_log(from, LOG_LEVEL_WARNING, NULL, "gateway_spoof",
                         "gateway brought a packet in the name of a process of this host, dropped");
                /* It may have come here while this was under way: an error would end its session. */
                frame_close_fds(frame);
                from->refused++;
                manager->counters.refused[CODE_DENIED]++;
                return;
        } else if (frame->prefix.n_fds > 0) {
                code = CODE_UNSUPPORTED;
        } else if (hops >= HOPS_MAX) {
                code = CODE_OVERLOAD;
        } else {
                code = peer_find(manager, dst, &to);
                if (code == CODE_OK && !is_reachable(to)) {
                        code = CODE_NOT_HERE;
                } else if (code == CODE_OK && usage_get(to->user, from->user->uid, &usage) < 0) {
                        code = CODE_OVERLOAD;
                } else if (code == CODE_OK) {
                        code = deliver(to, usage, frame,
                                       PACKET_REMOTE | (frame->data[AT_HFLAGS] & PACKET_CE),
                                       (uint8_t)(hops + 1));
                        usage_unref(usage);
                }
        }
        if (code == CODE_OK)
                return;

        frame_close_fds(frame);
        manager->counters.refused[code]++;
        say_refused(from, frame->data, code == CODE_QUEUE_FULL ? CODE_OVERLOAD : code);
}

void route_packet(Peer *from, const StreamFrame *frame) {
        const uint8_t *packet = frame->data;
        uint64_t kind = load_le64(packet + AT_KIND);
        bool is_own = memcmp(packet + AT_SRC_PID, from->src_pid, sizeof(from->src_pid)) == 0 &&
                      memcmp(packet + AT_SRC_TAG, from->src_tag, sizeof(from->src_tag)) == 0;
        bool is_gateway = from->manager->gateway.peer == from;

        from->packets_in++;
        if (kind == 0 || kind >= _PACKET_KIND_MAX || load_le64(packet + AT_ZERO) != 0) {
                frame_close_fds(frame);
                peer_refuse(from, CODE_VIOLATION, "violation", "malformed packet header");
        } else if (kind == PACKET_CONTROL &&
                   (is_own || (is_gateway && packet_src(packet).pid == PID_BRIDGE))) {
                words_handle(from, frame);
        } else if (is_own && kind != PACKET_CONTROL) {
                route_from_process(from, frame, kind);
        } else if (is_gateway && kind == PACKET_SEALED) {
                route_from_gateway(from, frame);
        } else {
                frame_close_fds(frame);
                peer_refuse(from, CODE_VIOLATION, "violation", "packet with a source not its own");
        }
}
