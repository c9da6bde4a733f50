/* SPDX-License-Identifier: Apache-2.0 */

#include "procbridge/peers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "libcore/err.h"
#include "libcore/util.h"

/* IPv4 that comes through a socket of IPv6 is IPv4 still: to what prefix it belongs says nothing. */
static void make_key_of_ipv6(const struct in6_addr *address, struct PeerKey *ret) {
        if (IN6_IS_ADDR_V4MAPPED(address)) {
                ret->family = AF_INET;
                memcpy(ret->bytes, address->s6_addr + 12, 4);
        } else {
                memcpy(ret->bytes, address, 8);
        }
}

static int make_key(int fd, const struct sockaddr *address, struct PeerKey *ret) {
        struct ucred ucred;
        socklen_t n = sizeof(ucred);

        memset(ret, 0, sizeof(*ret));
        ret->family = address->sa_family;
        switch (address->sa_family) {
        case AF_INET:
                memcpy(ret->bytes, &((const struct sockaddr_in *)(const void *)address)->sin_addr,
                       4);
                return 0;
        case AF_INET6:
                make_key_of_ipv6(&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr,
                                 ret);
                return 0;
        default:
                if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &n) < 0)
                        return err_origin(-errno);
                memcpy(ret->bytes, &ucred.uid, sizeof(ucred.uid));
                return 0;
        }
}

int peers_enter(Peers *peers, int fd, const struct sockaddr *address, uint64_t max, Peer **ret) {
        struct PeerKey key;
        Peer *peer;
        int r;

        r = make_key(fd, address, &key);
        if (r < 0)
                return err_trace(r);
        HASH_FIND(hh, peers->table, &key, sizeof(key), peer);
        if (peer && peer->n_connections >= max)
                return -EDQUOT;
        if (!peer) {
                peer = calloc(1, sizeof(*peer));
                if (!peer)
                        return err_origin(-ENOMEM);
                peer->key = key;
                HASH_ADD(hh, peers->table, key, sizeof(key), peer);
        }
        peer->n_connections++;
        *ret = peer;
        return 0;
}

void peers_leave(Peers *peers, Peer *peer) {
        if (--peer->n_connections > 0)
                return;
        HASH_DEL(peers->table, peer);
        free(peer);
}

const char *peer_format(const Peer *peer, char text[static PEER_TEXT_SIZE]) {
        struct in6_addr address = { 0 };
        char shown[INET6_ADDRSTRLEN] = "?";
        uid_t uid;

        switch (peer->key.family) {
        case AF_INET:
                (void)inet_ntop(AF_INET, peer->key.bytes, text, PEER_TEXT_SIZE);
                break;
        case AF_INET6:
                memcpy(&address, peer->key.bytes, 8);
                (void)inet_ntop(AF_INET6, &address, shown, sizeof(shown));
                (void)snprintf(text, PEER_TEXT_SIZE, "%s/64", shown);
                break;
        default:
                memcpy(&uid, peer->key.bytes, sizeof(uid));
                (void)snprintf(text, PEER_TEXT_SIZE, "uid %u", uid);
        }
        return text;
}
