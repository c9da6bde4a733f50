/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The descriptors of one introduction exist here for as long as it takes to put them into two
 * outboxes, which own them from then on and charge the two users for them. The offerer's part of
 * that is taken first and given back just before it is used: so the words for both sides fit, or
 * none is said.
 */

#include "config.h"

#include "daemon/introduction.h"

#include <fcntl.h>
#include <stdio.h>

#include "daemon/peer.h"
#include "daemon/route.h"
#include "libcore/ring-file.h"
#include "libsecure/crypto.h"

/* What wakes one side, a pipe: when a side dies, the other reads its end or cannot write. */
typedef struct Bell {
        int read_fd, write_fd;
} Bell;

/* Return: CODE_OK; CODE_VIOLATION; CODE_DENIED, said in the log. */
static ControlCode check_file(Peer *from, int fd, uint32_t size) {
        if (fd < 0 || !ring_size_is_legal(size))
                return CODE_VIOLATION;
        if (ring_file_check(fd, size, RING_SIZE_MAX) == 0)
                return CODE_OK;
        peer_log(from, LOG_LEVEL_WARNING, NULL, "ring_file",
                 "file for a ring is not sealed, or not of the size that was announced");
        return CODE_DENIED;
}

/* A word with descriptors, at @from's share of @to's queue. */
static ControlCode pass(Peer *from, Peer *to, const Control *word, const int *fds, size_t n_fds) {
        ControlCode code;
        Usage *usage;

        if (usage_get(to->user, from->user->uid, &usage) < 0)
                return CODE_OVERLOAD;
        code = peer_pass(to, usage, word, fds, n_fds);
        usage_unref(usage);
        if (code == CODE_QUEUE_FULL)
                peer_wait(to, from->entry.address, to->entry.address);
        return code;
}

/* For the answer: which of the two directions is not allowed, and by which rule. */
static void note_denial(Peer *from, Peer *to) {
        const char *text = policy_may_send(from->subject, to->subject) ? route_denial(to, from)
                                                                       : route_denial(from, to);

        (void)snprintf(from->manager->denial, sizeof(from->manager->denial), "%s",
                       text ? text : "");
}

/* --- offer --- */

/* Each end has a file description of its own: the two processes share none. */
static bool bell_make(Bell *bell) {
        int fds[2];

        if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
                return false;
        *bell = (Bell){ .read_fd = fds[0], .write_fd = fds[1] };
        return true;
}

static void bell_close(Bell *bell) {
        bell->read_fd = fd_close(bell->read_fd);
        bell->write_fd = fd_close(bell->write_fd);
}

/* Takes @file and both bells if it returns CODE_OK; whatever it left is still theirs. */
static ControlCode introduce(Ring *ring, int *file, Bell *of_first, Bell *of_second) {
        Peer *first = ring->first.peer, *second = ring->second.peer;
        Control offered = {
                .verb = CONTROL_RING_OFFERED,
                .value = ring->first.size,
                .ref = ring->id,
                .address = ring->first.address,
        };
        Control bells = {
                .verb = CONTROL_RING_BELLS,
                .ref = ring->id,
                .address = ring->second.address,
                .body = ring->ref.bytes,
                .n_body = CONTROL_RING_BELLS_SIZE,
        };
        const int for_second[] = { *file, of_second->read_fd, of_first->write_fd };
        const int for_first[] = { of_first->read_fd, of_second->write_fd };
        size_t n_bells = control_packet_size(&bells);
        ControlCode code;

        if (first->output_dead)
                return CODE_GONE;
        if (!peer_has_room(first, n_bells) ||
            usage_charge(first->self, n_bells, 1, ELEMENTSOF(for_first)) != 0)
                return CODE_QUOTA;
        code = pass(first, second, &offered, for_second, ELEMENTSOF(for_second));
        usage_release(first->self, n_bells, 1, ELEMENTSOF(for_first));
        if (code != CODE_OK)
                return code;
        *file = of_second->read_fd = of_first->write_fd = -EBADF;

        code = peer_pass(first, first->self, &bells, for_first, ELEMENTSOF(for_first));
        if (code == CODE_OK)
                of_first->read_fd = of_second->write_fd = -EBADF;
        return code;
}

/* Whoever makes an offer has given up the ring of these two that the other one would keep. */
static bool pair_is_free(const Peer *from, const Peer *to) {
        Ring *ring = rings_find_pair(&from->manager->rings, from->entry.address, to->entry.address);

        if (!ring)
                return true;
        if (ring->state != RING_KEPT_BY_ONE || ring->first.peer == from)
                return false;
        ring_end(ring, CODE_GONE, NULL);
        return true;
}

ControlCode introduction_offer(Peer *from, const Control *word, const PacketId *id, int *file) {
        Manager *manager = from->manager;
        RingOptions options = { .state = RING_OFFERED, .size = word->value, .ref = *id };
        Bell of_first = { -EBADF, -EBADF }, of_second = { -EBADF, -EBADF };
        ControlCode code;
        Ring *ring;
        Peer *to;

        if (!manager->config.rings)
                return CODE_UNSUPPORTED;
        code = peer_find(manager, word->address, &to);
        if (code != CODE_OK)
                return code;
        if (to == from)
                return CODE_VIOLATION;
        if (!rings_allowed(from, to)) {
                note_denial(from, to);
                return CODE_DENIED;
        }
        code = check_file(from, *file, word->value);
        if (code != CODE_OK)
                return code;
        if (!pair_is_free(from, to))
                return CODE_BUSY;
        if (from->n_offers >= INTRODUCTION_OFFERS_MAX)
                return CODE_QUOTA;

        crypto_random(options.id.bytes, sizeof(options.id.bytes));
        options.second = to->entry.address;
        code = ring_new(&ring, from, &options);
        if (code != CODE_OK)
                return code;
        ring_set_second(ring, to);
        code = CODE_QUOTA; /* no descriptor is left */
        if (bell_make(&of_first) && bell_make(&of_second))
                code = introduce(ring, file, &of_first, &of_second);
        bell_close(&of_first);
        bell_close(&of_second);
        if (code == CODE_OK)
                return CODE_OK;
        /* No memory half-way: the second has heard of it already. */
        if (*file < 0)
                ring_end(ring, code, from);
        else
                ring_free(ring);
        return code;
}

/* --- answer --- */

static ControlCode accept_answer(Ring *ring, Peer *from, const Control *word, int *file) {
        Control answered = {
                .verb = CONTROL_RING_ANSWERED,
                .value = word->value,
                .ref = ring->id,
                .address = ring->second.address,
        };
        ControlCode code = check_file(from, *file, word->value);

        if (code != CODE_OK)
                return code;
        code = ring_charge_second(ring, from, word->value);
        if (code != CODE_OK)
                return code;
        code = pass(from, ring->first.peer, &answered, file, 1);
        if (code != CODE_OK)
                return code;
        *file = -EBADF;
        ring_set_made(ring);
        return CODE_OK;
}

ControlCode introduction_answer(Peer *from, const Control *word, int *file) {
        Ring *ring = rings_find(&from->manager->rings, &word->ref);
        ControlCode code;

        /* The same for a ring that never was and for one of others. */
        if (!ring || ring->state != RING_OFFERED || ring->second.peer != from)
                return CODE_NOT_HERE;
        if (word->code != CODE_OK) {
                from->manager->counters.rings_declined++;
                peer_say(ring->first.peer, &(Control){ .verb = CONTROL_RING_ANSWERED,
                                                       .code = word->code,
                                                       .ref = ring->id,
                                                       .address = ring->second.address });
                ring_free(ring);
                return CODE_OK;
        }
        code = accept_answer(ring, from, word, file);
        if (code != CODE_OK)
                ring_end(ring, code, from);
        return code;
}

/* --- keep --- */

/* This side says so before the other. */
static ControlCode keep_first(Peer *from, const Control *word, const PacketId *id) {
        Manager *manager = from->manager;
        RingOptions options = {
                .state = RING_KEPT_BY_ONE,
                .id = word->ref,
                .second = word->address,
                .size = word->value,
                .ref = *id,
        };
        Peer *other = NULL;
        ControlCode code;
        Ring *ring;

        if (peer_find(manager, word->address, &other) == CODE_OK && !rings_allowed(from, other))
                return CODE_DENIED;
        if (rings_find_pair(&manager->rings, from->entry.address, word->address))
                return CODE_BUSY;
        code = ring_new(&ring, from, &options);
        if (code != CODE_OK && other)
                peer_say(other, &(Control){ .verb = CONTROL_RING_END,
                                            .code = (uint16_t)code,
                                            .ref = word->ref,
                                            .address = from->entry.address });
        return code;
}

/* The other side waits for it: both hear the same. */
static ControlCode keep_second(Ring *ring, Peer *from, const Control *word) {
        Peer *first = ring->first.peer;
        ControlCode code = CODE_DENIED;

        if (rings_allowed(first, from))
                code = ring_charge_second(ring, from, word->value);
        if (code != CODE_OK) {
                ring_end(ring, code, from);
                return code;
        }
        ring_set_second(ring, from);
        ring_set_made(ring);
        peer_say(first, &(Control){ .verb = CONTROL_OK, .ref = ring->ref });
        return CODE_OK;
}

ControlCode introduction_keep(Peer *from, const Control *word, const PacketId *id) {
        Ring *ring = rings_find(&from->manager->rings, &word->ref);
        RingSide *side = ring ? ring_side_of(ring, from) : NULL;
        ControlCode code = CODE_OK;

        if (!from->manager->config.rings)
                return CODE_UNSUPPORTED;
        if (!ring_size_is_legal(word->value) || address_equal(word->address, from->entry.address))
                return CODE_VIOLATION;
        if (!ring)
                return keep_first(from, word, id);

        if (side && ring->state != RING_MADE)
                return CODE_BUSY;
        if (!side && ring->state == RING_KEPT_BY_ONE &&
            address_equal(ring->second.address, from->entry.address) &&
            address_equal(ring->first.address, word->address))
                code = keep_second(ring, from, word);
        else if (!side || !address_equal(ring_side_across(side)->address, word->address))
                return CODE_NOT_HERE; /* of others, who do not notice */
        if (code == CODE_OK)
                peer_say(from, &(Control){ .verb = CONTROL_OK, .ref = *id });
        return code;
}

/* --- end --- */

void introduction_end(Peer *from, const Control *word) {
        Ring *ring = rings_find(&from->manager->rings, &word->ref);
        RingSide *side = ring ? ring_side_of(ring, from) : NULL;
        Peer *other = side ? ring_side_across(side)->peer : NULL;
        bool violation = word->code == CODE_VIOLATION;
        char text[PID_TAGGED_SIZE];

        if (!side)
                return; /* the other one was quicker, or it is none of this one's */
        if (violation && other) {
                from->manager->counters.ring_violations++;
                peer_log(other, LOG_LEVEL_WARNING, NULL, "ring_violation",
                         "broke the rules of a ring, says %s; time %u of this user",
                         address_format(from->entry.address, text),
                         ++other->user->n_ring_violations);
        }
        ring_end(ring, violation ? CODE_VIOLATION : CODE_OK, from);
}
