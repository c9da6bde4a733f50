/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/admission.h"

#include <fcntl.h>
#include <stdio.h>
#include <utlist.h>

#include "daemon/lease.h"
#include "daemon/peer.h"
#include "daemon/rights.h"
#include "libcore/err.h"
#include "libsecure/crypto.h"

#define HELLO_FLAGS_AT 20 /* in HELLO: PROTOCOL.md, "Attach" */

/* Two keys with one PID are absurd; one key at two users is theft. */
#define MESSAGE_ID_KEY_THEFT "5c1d7f0a3f6d4b57a9be0c9b3e7a64d1"

int admission_greet(Peer *peer) {
        Manager *manager = peer->manager;
        FramePrefix prefix = { .size = FRAME_PREFIX_SIZE + HELLO_SIZE, .type = FRAME_HELLO };
        Hello hello = {
                .proto_min = 1,
                .proto_max = 1,
                .os_pid = peer->creds.os_pid,
                .uid = peer->creds.uid,
                .gid = peer->creds.gid,
                .flags = manager_hello_flags(manager),
                .now_usec = now_usec(CLOCK_REALTIME),
        };
        uint8_t *data;
        int r;

        memcpy(hello.instance, manager->instance, sizeof(hello.instance));
        crypto_random(hello.nonce, sizeof(hello.nonce));
        hello_encode(&hello, peer->hello);

        r = outbox_reserve(&peer->outbox, peer->self, prefix.size, NULL, 0, manager->now_usec,
                           &data);
        if (r != 0)
                return err_origin(-ENOBUFS);
        frame_prefix_encode(&prefix, data);
        memcpy(data + FRAME_PREFIX_SIZE, peer->hello, HELLO_SIZE);
        peer_touch(peer);
        return 0;
}

/* For people who look at lists: the name of the program, as the kernel has it. */
static void read_comm(uint32_t os_pid, char out[static PEER_COMM_SIZE]) {
        _cleanup_(fd_closep) int fd = -EBADF;
        char path[64];
        ssize_t n = -1;

        (void)snprintf(path, sizeof(path), "/proc/%u/comm", os_pid);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0)
                n = read(fd, out, PEER_COMM_SIZE - 1);
        if (n <= 0) {
                memcpy(out, "-", 2);
                return;
        }
        out[n] = '\0';
        for (char *p = out; *p != '\0'; p++)
                if (*p == '\n')
                        *p = '\0';
                else if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        *p = '?';
}

static void welcome(Peer *peer, uint16_t granted) {
        Manager *manager = peer->manager;
        uint8_t body[CONTROL_WELCOME_SIZE];
        Control word = {
                .verb = CONTROL_WELCOME,
                .value = granted,
                .address = peer->entry.address,
                .body = body,
                .n_body = sizeof(body),
        };

        store_le64(body, manager->config.max_message);
        store_le64(body + 8, peer_queue_limit(peer));
        store_le64(body + 16, manager->now_usec - manager->started_usec);
        peer_say(peer, &word);
}

/* Somebody has this key already. Return: true if it made room. */
static bool make_room(Peer *peer, Peer *other, uint16_t flags) {
        if (other->user != peer->user) {
                /* Said of the one who was there too: one of the two has stolen the key. */
                peer->entry.address = other->entry.address;
                peer_log(other, LOG_LEVEL_WARNING, MESSAGE_ID_KEY_THEFT, "key_theft",
                         "uid %u tried to attach with the key of this process: stolen?",
                         peer->user->uid);
                peer_refuse(peer, CODE_DENIED, "key_theft", "key is attached by another user");
                return false;
        }
        if (!(flags & ATTACH_TAKEOVER)) {
                peer_refuse(peer, CODE_BUSY, "busy", "key is attached already");
                return false;
        }
        peer_dismiss(other, CODE_REPLACED);
        return true;
}

void admission_on_attach(Peer *peer, const StreamFrame *frame) {
        Manager *manager = peer->manager;
        RegistryEntry *entry;
        Attach attach;
        uint32_t flags_told;

        switch (attach_verify(peer->hello, frame->data + FRAME_PREFIX_SIZE,
                              frame->size - FRAME_PREFIX_SIZE, &attach)) {
        case 0:
                break;
        case ATTACH_E_MALFORMED:
                peer_refuse(peer, CODE_VIOLATION, "violation", "malformed ATTACH");
                return;
        case ATTACH_E_PROTO:
                peer_refuse(peer, CODE_UNSUPPORTED, "attach_proto", "unknown protocol version");
                return;
        default:
                peer_refuse(peer, CODE_BAD_SIGNATURE, "bad_signature",
                            "signature of ATTACH does not verify");
                return;
        }
        if (!user_attach_passes(peer->user, manager->now_usec)) {
                peer_refuse(peer, CODE_RATE, "attach_rate", "too many attaches");
                return;
        }
        if (credentials_read_all(peer->fd, policy_wanted_unit(manager->policy), &peer->creds) < 0) {
                peer_refuse(peer, CODE_OVERLOAD, "no_memory", "its credentials cannot be read");
                return;
        }
        if (!policy_may_attach(manager->policy, &peer->creds)) {
                peer_refuse(peer, CODE_DENIED, "attach_group", "not a member of AttachGroup=");
                return;
        }
        entry = registry_find_kid(&manager->registry, attach.hash.kid);
        if (entry && !make_room(peer, container_of(entry, Peer, entry), attach.flags))
                return;

        peer->key = attach.key;
        if (!rights_classify(peer)) {
                peer_refuse(peer, CODE_OVERLOAD, "no_memory", "no memory for its policy");
                return;
        }
        memcpy(peer->entry.kid, attach.hash.kid, sizeof(peer->entry.kid));
        peer->entry.address = attach.hash.address;
        if (registry_add(&manager->registry, &peer->entry) != 0) {
                peer_refuse(peer, CODE_QUOTA, "pid_collision", "too many keys with this PID");
                return;
        }

        /* From here on it is attached. */
        DL_DELETE2(manager->unattached, peer, prev_unattached, next_unattached);
        user_give(peer->user, QUOTA_UNATTACHED, 1);
        flags_told = load_le32(peer->hello + HELLO_FLAGS_AT);
        free(peer->hello);
        peer->hello = NULL;
        peer->state = PEER_ATTACHED;
        rights_enter(peer);
        store_be64(peer->src_pid, attach.hash.address.pid);
        for (unsigned i = 0; i < 4; i++)
                peer->src_tag[i] = (uint8_t)(attach.hash.address.tag >> (24 - 8 * i));
        peer->ephemeral = attach.flags & ATTACH_EPHEMERAL;
        peer->no_monitor = attach.flags & ATTACH_NO_MONITOR;
        peer->asks_off_host = attach.flags & ATTACH_OFF_HOST;
        peer->off_host = peer->asks_off_host && peer->caps.off_host;
        peer->attached_wall_usec = now_usec(CLOCK_REALTIME);
        read_comm(peer->creds.os_pid, peer->comm);
        manager->counters.attached++;

        welcome(peer, (uint16_t)(attach.flags & ~ATTACH_OFF_HOST) |
                              (peer->off_host ? ATTACH_OFF_HOST : 0));
        rights_say_off_host(peer);
        /* Whatever came between HELLO and now was told to those only who were attached. */
        if (flags_told != manager_hello_flags(manager))
                peer_say(peer, &(Control){ .verb = CONTROL_NOTICE,
                                           .value = manager_hello_flags(manager) });
        lease_hand_over(peer);
        peer_announce(peer, TOPICS_OWN "process.here");
}
