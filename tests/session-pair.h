/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Two sessions, a and b, and no network: what one produces is carried to the other by hand, record by
 * record. The clock stands still unless a test moves it.
 */

#include "libclient/session.h"

#define ROOM (RECORD_HEADER_SIZE + RECORD_BODY_MAX + 256)

extern uint64_t now;
extern Session *a, *b;
extern SessionQuota quota_a, quota_b;
extern uint64_t n_ids;       /* of messages and packets, so far */
extern PacketId last_id;     /* of the message that was made last, */
extern PacketId last_packet; /* and of the packet that was produced last */

/* Fixtures: two that do not know each other, or do; and nothing is left of them. */
void two(void);
void met_locally(void);
void met_off_host(void);
void none(void);

/* Both know of each other from here on, and nothing is under way. */
void met(SessionPath path);
/* The path of both is this one from now on. */
void both_go_by(SessionPath path, uint64_t generation);
/* A session with a quota, as a and b have it. */
Session *session(char name, SessionQuota *quota, uint64_t id, uint16_t body_max);

/* A message of @n_data bytes, which are not all the same; one reference. */
Message *message(size_t n_data, MessageKind kind);
/* Such a one is sent, and nobody holds it but its session. */
void sends(Session *s, size_t n_data, MessageKind kind);

/* One packet from @from to @to, NULL: nowhere. Return: how many records it had; 0: nothing to send. */
unsigned carry(Session *from, Session *to);
void carry_all(void);
/* What one packet of @from says, without carrying it. Return: how many records, 0: nothing. */
unsigned said(Session *from, Record *ret, unsigned n_ret);
/* The daemon refuses the packet of what was sent last. */
void last_is_refused(Session *s);
/* Time passes for both. */
void time_goes(uint64_t usec);

/* The next that @s hands out; there is one. */
Message *popped(Session *s);
/* The application is done with it. */
void take(Session *s, Message *m);
/* b hands out @n and is done with them, of which a hears. */
void delivered(unsigned n);
/* The next that is finished has that result. */
void finished(Session *s, int result);
void nothing_finished(Session *s);
