/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <utlist.h>

#include "daemon/admission.h"
#include "daemon/lease.h"
#include "daemon/name-watches.h"
#include "daemon/rights.h"
#include "daemon/route.h"
#include "libcore/err.h"
#include "libcore/stream-socket.h"

#define FIRST_FRAME_MAX (FRAME_PREFIX_SIZE + ATTACH_SIZE)

/* Somebody who is told when there is room again. */
struct Waiting {
        UT_hash_handle hh;
        struct {
                uint64_t sender_pid, pid;
                uint32_t sender_tag, tag;
        } key;
};

size_t peer_queue_limit(const Peer *peer) {
        const Config *config = &peer->manager->config;

        return MIN(config->connection_queue, config->limits.max[QUOTA_BYTES] / 4);
}

int peer_new(Manager *manager, int fd, User *user, const Credentials *credentials, Peer **ret) {
        struct epoll_event event = { .events = EPOLLIN };
        Peer *peer;
        int r;

        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return err_origin(-ENOMEM);
        peer->manager = manager;
        peer->fd = -EBADF;
        peer->creds = *credentials;
        peer->connected_usec = manager->now_usec;
        peer->user = user;
        user->n_refs++;

        r = user_take(user, QUOTA_UNATTACHED, 1);
        if (r != 0) {
                user_unref(user);
                free(peer);
                return err_origin(-EDQUOT);
        }
        if (user_take(user, QUOTA_CONNECTIONS, 1) != 0) {
                user_give(user, QUOTA_UNATTACHED, 1);
                user_unref(user);
                free(peer);
                return err_origin(-EDQUOT);
        }
        r = usage_get(user, user->uid, &peer->self);
        if (r == 0)
                r = stream_new(&peer->stream);
        if (r == 0) {
                stream_set_pool(peer->stream, manager->pool);
                outbox_init(&peer->outbox, peer->stream);
                peer->hello = malloc(HELLO_SIZE);
                r = peer->hello ? admission_greet(peer) : err_origin(-ENOMEM);
        }
        event.data.ptr = peer;
        if (r == 0 && epoll_ctl(manager->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                r = err_origin(-errno);
        DL_APPEND(manager->peers, peer);
        DL_APPEND2(manager->unattached, peer, prev_unattached, next_unattached);
        manager->n_peers++;
        if (r < 0) {
                peer_kill(peer);
                return err_trace(r);
        }
        manager_wake_at(manager, peer->connected_usec + manager->config.attach_timeout_usec);
        peer->fd = fd; /* last: until here the caller still owns it */
        *ret = peer;
        return 0;
}

static void waiting_clear(Peer *peer) {
        Waiting *waiting, *next;

        HASH_ITER (hh, peer->waiting, waiting, next) {
                HASH_DELETE(hh, peer->waiting, waiting);
                free(waiting);
        }
}

void peer_announce(Peer *peer, const char *topic) {
        char text[KEY_TEXT_SIZE];

        topics_announce(peer->manager, topic, "%s\t%" PRIu32 "\t%" PRIu32 "\t%s",
                        key_format(&peer->key, text), peer->user->uid, peer->creds.os_pid,
                        peer->comm);
}

/*
 * Packets of other hosts in its outbox are answered as if they came now, those that were begun, too; as
 * many as leave the gateway half of its room.
 */
static void give_back_remote(Peer *peer, ControlCode code) {
        const Peer *gateway = peer->manager->gateway.peer;
        StreamWalk walk = { 0 };

        while (gateway && outbox_size(&gateway->outbox) < peer_queue_limit(gateway) / 2 &&
               stream_walk(peer->stream, &walk))
                if (route_is_remote(walk.data))
                        route_give_back(peer->manager, walk.data, code);
}

/*
 * Until the end of the turn it may still stand in the batch of epoll's events, in the list of
 * those to be written, and on the stack of whoever handles its frame.
 */
void peer_kill(Peer *peer) {
        Manager *manager = peer->manager;

        if (peer->state == PEER_DEAD)
                return;
        if (peer->state == PEER_ATTACHED) {
                gateway_forget_waiters(peer);
                barrier_leave(peer);
                lease_remove(peer);
                topics_leave(peer);
                wants_leave(peer);
                names_release_all(peer);
                name_watches_leave(peer);
                remote_names_forget_askers(peer);
                monitor_remove(peer);
                rings_remove_all(peer);
                registry_remove(&manager->registry, &peer->entry);
                gateway_remove(peer);
                rights_leave(peer);
                give_back_remote(peer, CODE_NOT_HERE);
                peer_announce(peer, TOPICS_OWN "process.gone");
        } else {
                DL_DELETE2(manager->unattached, peer, prev_unattached, next_unattached);
                user_give(peer->user, QUOTA_UNATTACHED, 1);
        }
        manager->counters.lost_at_close += peer->outbox.n_packets;
        peer->state = PEER_DEAD;
        DL_DELETE(manager->peers, peer);
        manager->n_peers--;
        survey_forget(peer);
        user_give(peer->user, QUOTA_CONNECTIONS, 1);
        LL_PREPEND2(manager->dead, peer, next_dead);
        /* Closing takes it out of the epoll set too. */
        peer->fd = fd_close(peer->fd);
}

Peer *peer_free(Peer *peer) {
        if (!peer)
                return NULL;
        if (peer->outbox.stream)
                outbox_done(&peer->outbox);
        if (peer->self) {
                usage_release(peer->self, peer->input_charged, 0, 0);
                usage_unref(peer->self);
        }
        usage_unref(peer->route.usage);
        stream_free(peer->stream);
        waiting_clear(peer);
        user_unref(peer->user);
        subject_unref(peer->subject);
        credentials_done(&peer->creds);
        free(peer->hello);
        free(peer);
        return NULL;
}

ControlCode peer_find(const Manager *manager, Address address, Peer **ret) {
        RegistryEntry *entry;

        switch (registry_find(&manager->registry, address, &entry)) {
        case 0:
                *ret = container_of(entry, Peer, entry);
                return CODE_OK;
        case REGISTRY_E_AMBIGUOUS:
                return CODE_AMBIGUOUS;
        case REGISTRY_E_WRONG_KEY:
                return CODE_WRONG_KEY;
        default:
                return CODE_NOT_HERE;
        }
}

void peer_log(Peer *peer, LogLevel level, const char *message_id, const char *reason,
              const char *format, ...) {
        Manager *manager = peer->manager;
        LogFields fields = { .message_id = message_id, .reason = reason, .uid = &peer->user->uid };
        char address[PID_TAGGED_SIZE], text[256], tail[64] = "";
        uint32_t n_suppressed;
        va_list args;

        if (!log_rate_pass(&peer->user->log_rate, manager->now_usec, &n_suppressed))
                return;
        if (n_suppressed > 0)
                (void)snprintf(tail, sizeof(tail), " (%u more about this user not shown)",
                               n_suppressed);
        if (peer->entry.address.pid != PID_NONE)
                fields.peer = address_format(peer->entry.address, address);
        va_start(args, format);
        (void)vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        log_write(&manager->log, level, &fields, "%s (os pid %u%s%s)%s", text, peer->creds.os_pid,
                  peer->comm[0] != '\0' ? ", " : "", peer->comm, tail);
}

void peer_touch(Peer *peer) {
        if (outbox_size(&peer->outbox) >= PEER_FLUSH_SIZE && !peer->wants_out)
                peer_flush(peer);
        if (peer->is_dirty)
                return;
        peer->is_dirty = true;
        LL_PREPEND2(peer->manager->dirty, peer, next_dirty);
}

static void peer_want_out(Peer *peer, bool wants_out) {
        struct epoll_event event = {
                .events = EPOLLIN | (wants_out ? EPOLLOUT : 0),
                .data.ptr = peer,
        };

        if (peer->wants_out == wants_out)
                return;
        peer->wants_out = wants_out;
        /* Cannot fail for a descriptor in the set. */
        (void)epoll_ctl(peer->manager->epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
}

/* Everybody who was refused here hears that it is worth another try. */
static void peer_tell_space(Peer *peer) {
        Manager *manager = peer->manager;
        Waiting *waiting, *next;
        RegistryEntry *entry;

        HASH_ITER (hh, peer->waiting, waiting, next) {
                Address sender = { waiting->key.sender_pid, waiting->key.sender_tag };
                Control word = {
                        .verb = CONTROL_QUEUE_SPACE,
                        .address = { waiting->key.pid, waiting->key.tag },
                };

                HASH_DELETE(hh, peer->waiting, waiting);
                free(waiting);
                if (registry_find(&manager->registry, sender, &entry) == 0)
                        peer_say(container_of(entry, Peer, entry), &word);
        }
}

/*
 * What it queued has waited for room in the socket: who sent what is late by now hears of it, and that is
 * not written. Not inlined: who never waits saves no registers for it. Return: as stream_socket_write().
 */
static __attribute__((noinline)) int write_in_time(Peer *peer, size_t *ret_n) {
        Manager *manager = peer->manager;
        const uint8_t *late;
        size_t most;

        while ((most = outbox_in_time(&peer->outbox, manager->now_usec, &late)) == 0) {
                route_give_back(manager, late, CODE_EXPIRED);
                outbox_drop_first(&peer->outbox);
        }
        return stream_socket_write_most(peer->stream, peer->fd, most, ret_n);
}

void peer_flush(Peer *peer) {
        size_t n;
        int r = 0;

        if (peer->state == PEER_DEAD)
                return;
        while (outbox_size(&peer->outbox) > 0 && !peer->output_dead) {
                r = peer->wants_out ? write_in_time(peer, &n)
                                    : stream_socket_write(peer->stream, peer->fd, &n);
                if (r != 0)
                        break;
                outbox_written(&peer->outbox, n);
        }
        if (r == STREAM_SOCKET_E_CLOSED || r < 0) {
                /* What it said before it went is still to be read: the end comes from there. */
                peer->output_dead = true;
                peer->manager->counters.lost_at_close += peer->outbox.n_packets;
                give_back_remote(peer, CODE_GONE);
                outbox_discard(&peer->outbox);
        }
        peer_want_out(peer, r == STREAM_SOCKET_E_AGAIN);
        if (peer->waiting && outbox_size(&peer->outbox) < peer_queue_limit(peer) / 2) {
                peer->tells_space = true;
                peer_touch(peer);
        }
}

void peer_end_turn(Peer *peer) {
        if (peer->state == PEER_DEAD)
                return;
        if (!peer->wants_out)
                peer_flush(peer);
        if (peer->tells_space) {
                peer->tells_space = false;
                peer_tell_space(peer);
        }
        if (peer->name_watches)
                name_watches_settle(peer);
}

bool peer_say_to(Peer *peer, const Control *word, Address dst) {
        Manager *manager = peer->manager;
        static const PacketId none;
        uint8_t *data;

        if (peer->state == PEER_DEAD || peer->output_dead)
                return false;
        if (outbox_size(&peer->outbox) > peer_queue_limit(peer) + PEER_WORD_RESERVE ||
            outbox_reserve(&peer->outbox, peer->self, control_packet_size(word), NULL, 0,
                           manager->now_usec, &data) != 0) {
                manager->counters.words_dropped++;
                return false;
        }
        control_packet_encode(word, (Address){ PID_DAEMON, 0 }, dst, &none, data);
        peer_touch(peer);
        return true;
}

bool peer_say(Peer *peer, const Control *word) {
        return peer_say_to(peer, word, peer->entry.address);
}

bool peer_say_with_id(Peer *peer, const Control *word, const PacketId *id) {
        Manager *manager = peer->manager;
        uint8_t *data;

        if (peer->state == PEER_DEAD || peer->output_dead)
                return false;
        if (outbox_reserve(&peer->outbox, peer->self, control_packet_size(word), NULL, 0,
                           manager->now_usec, &data) != 0) {
                manager->counters.words_dropped++;
                return false;
        }
        control_packet_encode(word, (Address){ PID_DAEMON, 0 }, peer->entry.address, id, data);
        peer_touch(peer);
        return true;
}

ControlCode peer_pass(Peer *peer, Usage *usage, const Control *word, const int *fds, size_t n_fds) {
        size_t n = control_packet_size(word);
        static const PacketId none;
        uint8_t *data;
        int r;

        if (peer->state == PEER_DEAD || peer->output_dead)
                return CODE_GONE;
        if (!peer_has_room(peer, n))
                return CODE_QUEUE_FULL;
        r = outbox_reserve(&peer->outbox, usage, n, fds, n_fds, peer->manager->now_usec, &data);
        if (r != 0)
                return r == OUTBOX_E_QUOTA ? CODE_QUEUE_FULL : CODE_OVERLOAD;
        control_packet_encode(word, (Address){ PID_DAEMON, 0 }, peer->entry.address, &none, data);
        packet_set_n_fds(data, n_fds);
        peer_touch(peer);
        return CODE_OK;
}

void peer_say_refusal(Peer *peer, ControlCode code, const PacketId *ref, Address address,
                      const char *text) {
        peer_say(peer, &(Control){ .verb = CONTROL_ERROR,
                                   .code = (uint16_t)code,
                                   .value = REFUSED_BY_DAEMON,
                                   .ref = *ref,
                                   .address = address,
                                   .body = (const uint8_t *)text,
                                   .n_body = text ? strnlen(text, CONTROL_TEXT_MAX) : 0 });
}

void peer_say_error(Peer *peer, ControlCode code, const PacketId *ref, Address address) {
        peer_say_refusal(peer, code, ref, address, NULL);
}

void peer_refuse(Peer *peer, ControlCode code, const char *reason, const char *text) {
        static const PacketId none;

        if (peer->state == PEER_DEAD)
                return;
        if (code == CODE_VIOLATION)
                peer->manager->counters.violations++;
        peer->manager->counters.refused[code]++;
        peer_log(peer, LOG_LEVEL_WARNING, NULL, reason, "%s, disconnecting", text);
        peer_say_error(peer, code, &none, peer->entry.address);
        peer_flush(peer);
        peer_kill(peer);
}

void peer_dismiss(Peer *peer, ControlCode code) {
        peer_say(peer, &(Control){ .verb = CONTROL_GOODBYE, .code = (uint16_t)code });
        peer_flush(peer);
        peer_kill(peer);
}

bool peer_has_room(const Peer *peer, size_t size) {
        return outbox_size(&peer->outbox) + size <= peer_queue_limit(peer);
}

void peer_wait(Peer *peer, Address sender, Address address) {
        Manager *manager = peer->manager;
        Waiting *waiting, *found;

        /* This queue is not long: it is the user's total. */
        if (outbox_size(&peer->outbox) < peer_queue_limit(peer) / 2 &&
            manager->space_usec == USEC_NEVER) {
                manager->space_usec = manager->now_usec + PEER_SPACE_USEC;
                manager_wake_at(manager, manager->space_usec);
        }
        if (HASH_COUNT(peer->waiting) >= PEER_WAITING_MAX)
                return; /* it has its back-off */
        waiting = calloc(1, sizeof(*waiting));
        if (!waiting)
                return;
        waiting->key.sender_pid = sender.pid;
        waiting->key.sender_tag = sender.tag;
        waiting->key.pid = address.pid;
        waiting->key.tag = address.tag;
        HASH_FIND(hh, peer->waiting, &waiting->key, sizeof(waiting->key), found);
        if (found)
                free(waiting);
        else
                HASH_ADD(hh, peer->waiting, key, sizeof(waiting->key), waiting);
}

static void peer_on_frame(Peer *peer, const StreamFrame *frame) {
        if (peer->state == PEER_ATTACHED && frame->prefix.type == FRAME_PACKET) {
                route_packet(peer, frame);
                return;
        }
        for (unsigned i = 0; i < frame->prefix.n_fds; i++)
                (void)fd_close(frame->fds[i]);
        if (peer->state == PEER_NEW && frame->prefix.type == FRAME_ATTACH &&
            frame->prefix.n_fds == 0)
                admission_on_attach(peer, frame);
        else
                peer_refuse(peer, CODE_VIOLATION, "violation",
                            peer->state == PEER_NEW ? "something else came before ATTACH"
                                                    : "frame that is no packet");
}

/* Half a frame is memory that this process makes us hold. */
static void peer_charge_input(Peer *peer) {
        size_t n = stream_input_size(peer->stream);

        if (n == peer->input_charged)
                return;
        usage_charge_anyway(peer->self, n, 0, 0);
        usage_release(peer->self, peer->input_charged, 0, 0);
        peer->input_charged = n;
}

static void peer_read(Peer *peer) {
        Manager *manager = peer->manager;
        StreamFrame frame;
        size_t n;
        int r, c;

        stream_lend(peer->stream, manager->read_buffer, MANAGER_READ_SIZE);
        r = stream_socket_read(peer->stream, peer->fd, &n);
        c = r == 0 ? stream_pop(peer->stream, &frame) : STREAM_E_EMPTY;
        while (c == 0) {
                peer_on_frame(peer, &frame);
                if (peer->state == PEER_DEAD)
                        return;
                c = stream_pop(peer->stream, &frame);
        }
        if (c == STREAM_E_VIOLATION || r == STREAM_SOCKET_E_VIOLATION ||
            (peer->state == PEER_NEW && stream_input_size(peer->stream) > FIRST_FRAME_MAX))
                peer_refuse(peer, CODE_VIOLATION, "violation", "malformed frame");
        else if (r == STREAM_SOCKET_E_CLOSED)
                peer_kill(peer);
        else if (r < 0 || stream_settle(peer->stream) < 0)
                peer_refuse(peer, CODE_OVERLOAD, "read_failed", "cannot read from it");
        else
                peer_charge_input(peer);
}

void peer_on_io(Peer *peer, uint32_t events) {
        if (peer->state == PEER_DEAD)
                return;
        /* Who has gone is read to the end first, and what it was owed goes back then. */
        if ((events & (EPOLLOUT | EPOLLHUP)) == EPOLLOUT) {
                peer_flush(peer);
                if (peer->name_watches)
                        peer_touch(peer); /* it may be owed an answer */
        }
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                peer_read(peer);
}
