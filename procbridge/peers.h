/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Peers: who is connected, and how often
 *
 * A client on a Unix socket is its uid; one on TCP its address, of IPv6 the first 64 bits, which is what
 * one machine commonly has to itself.
 */

#include <stdint.h>
#include <sys/socket.h>

#include <uthash.h>

#define PEER_TEXT_SIZE 64

typedef struct Peer {
        struct PeerKey {
                uint16_t family;
                uint8_t bytes[8];
        } key;
        unsigned n_connections;
        UT_hash_handle hh;
} Peer;

typedef struct Peers {
        Peer *table;
} Peers;

/* Counts one more connection of whoever is at the other end of @fd; @address is its. Return: 0; -EDQUOT: it
 * has @max already; -errno. */
int peers_enter(Peers *peers, int fd, const struct sockaddr *address, uint64_t max, Peer **ret);
/* One less; @peer may be gone then. */
void peers_leave(Peers *peers, Peer *peer);
/* "uid 1000", "192.0.2.1", "2001:db8::/64". Returns @text. */
const char *peer_format(const Peer *peer, char text[static PEER_TEXT_SIZE]);
