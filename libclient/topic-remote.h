/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Topics beyond this host: what is published for readers elsewhere
 *
 * The daemon knows who elsewhere reads a topic, and says so the first time that something is published
 * on it and whenever that changes. Each reader gets a copy that is sealed for it alone, outside
 * sessions: nobody confirms it, and nothing is sent again. Until the daemon has answered messages wait
 * here, within the limits of remote-reader.h, and a reader is told how many did not come to it.
 *
 * The last message that was to be retained on a topic is kept here, too, and goes to each reader that
 * begins to want the topic, at once or when there is room; whether that one asked for it, and has had
 * nothing newer, it knows itself.
 * Beyond TOPIC_REMOTE_RETAINED_MAX and _BYTES the one that was retained first is forgotten.
 *
 * Where this stands: libclient/topic.c publishes; libclient/remote-reader.c has what is for one reader;
 * libclient/sealed.c seals; there libclient/remote-writer.c has what came.
 */

#include "libclient/bus.h"

#define TOPIC_REMOTE_TOPICS_MAX 256 /* whose readers are known, or asked for */
/* Of these, with something retained, and bytes of that: all of it finds room in front of a reader. */
#define TOPIC_REMOTE_RETAINED_MAX 128
#define TOPIC_REMOTE_RETAINED_BYTES (1U << 19)
#define TOPIC_REMOTE_HAND_OVER_USEC (2 * USEC_PER_SEC)

/*
 * Something is to be published on @topic: *@ret holds it, for topic_remote_end(); NULL: it stays on this
 * host. @ret_asks: the daemon shall say who reads it.
 * Return: 0; -EAGAIN: too many answers are on their way; noted: -ENOMEM.
 */
int topic_remote_begin(p2pbus *bus, const char *topic, RemoteTopic **ret, bool *ret_asks);
/* @record, encoded, was given to the daemon: to readers elsewhere, too. Accepts NULL. */
void topic_remote_publish(p2pbus *bus, RemoteTopic *remote, const uint8_t *record, size_t n_record);
/*
 * @record, that was published on @topic in the message @id, is kept for readers to come, in place of the
 * last one; NULL: nothing is. Passes over what comes behind a later one, or was replaced meanwhile.
 */
void topic_remote_retain(p2pbus *bus, const char *topic, const PacketId *id, const uint8_t *record,
                         size_t n_record);
/* @asked: the daemon was to be asked, and was not. Accepts NULL. */
void topic_remote_end(RemoteTopic *remote, bool asked);
/* Waits until nothing that was published waits here any more, TOPIC_REMOTE_HAND_OVER_USEC at most. */
void topic_remote_hand_over(p2pbus *bus, uint64_t until_usec);

/* How many others get what is published on @topic. Return: -EAGAIN: not known. */
int topic_remote_count(const p2pbus *bus, const char *topic);

/* READERS. */
void topic_remote_on_readers(p2pbus *bus, const Control *word);
/* A packet to @address was refused with @code. */
void topic_remote_on_refused(p2pbus *bus, Address address, uint16_t code);
/* After an attach: the daemon knows nothing of what we know. */
void topic_remote_forget(p2pbus *bus);
/* Other hosts are granted: asks who reads what is retained. */
void topic_remote_on_off_host(p2pbus *bus);
/* There are keys in common with @peer now. */
void topic_remote_on_keys(Peer *peer);
/* @peer has refused, for a reason that is mended now, what we sealed for it. */
void topic_remote_on_again(Peer *peer);
/* We have a lease now, or the socket has room: tries what waits. */
void topic_remote_flush(p2pbus *bus);
void topic_remote_free_all(p2pbus *bus);
