/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/bus.h"

#include <stdio.h>

#include "libclient/attachment.h"
#include "libclient/block-pool.h"
#include "libclient/drain.h"
#include "libclient/fan-out.h"
#include "libclient/key-file.h"
#include "libclient/loop.h"
#include "libclient/monitor.h"
#include "libclient/own-name.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/receive.h"
#include "libclient/request.h"
#include "libclient/rights.h"
#include "libclient/send.h"
#include "libclient/service.h"
#include "libclient/topic.h"
#include "libcore/err.h"
#include "libsecure/secret.h"

/* Entering and leaving */

bool bus_is_forked(const p2pbus *bus) {
        return !secret_is_alive(bus->alive);
}

int bus_enter_timeless(p2pbus *bus) {
        if (bus_is_forked(bus))
                return reason_fail(P2PBUS_REASON_FORKED);
        pthread_mutex_lock(&bus->lock);
        return 0;
}

int bus_enter(p2pbus *bus) {
        int r;

        r = bus_enter_timeless(bus);
        if (r == 0)
                loop_read_clock(bus);
        return r;
}

int bus_enter_blocking(p2pbus *bus) {
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (bus->is_calling && pthread_equal(bus->caller, pthread_self())) {
                pthread_mutex_unlock(&bus->lock);
                return reason_fail_errno(-EINVAL, "a call that waits, from within a callback");
        }
        return 0;
}

int bus_leave(p2pbus *bus, int r) {
        loop_send(bus, false);
        loop_tell(bus);
        pthread_mutex_unlock(&bus->lock);
        return r;
}

/* Small things that all files need */

uint64_t bus_new_session_id(p2pbus *bus) {
        /* splitmix64: walks through all 64-bit numbers from a random one, without a system call. */
        uint64_t z = bus->session_id += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

PacketId bus_new_id(p2pbus *bus) {
        return packet_id_make(bus_wall(bus), bus->unique++);
}

uint64_t bus_deadline(const p2pbus *bus, uint64_t timeout_usec, uint64_t if_zero) {
        if (timeout_usec == 0)
                timeout_usec = if_zero;
        return timeout_usec < USEC_NEVER - bus->now_usec ? bus->now_usec + timeout_usec :
                                                           USEC_NEVER;
}

bool budget_has(Budget *budget, uint64_t now, uint32_t per_second, uint32_t burst) {
        uint64_t per_token = USEC_PER_SEC / per_second, come;

        if (budget->filled_usec == 0) {
                budget->filled_usec = now;
                budget->left = burst;
        }
        come = (now - budget->filled_usec) / per_token;
        if (come > 0) {
                budget->left = (uint32_t)MIN((uint64_t)burst, budget->left + come);
                budget->filled_usec += come * per_token;
        }
        return budget->left > 0;
}

bool budget_take(Budget *budget, uint64_t now, uint32_t per_second, uint32_t burst) {
        if (!budget_has(budget, now, per_second, burst))
                return false;
        budget->left--;
        return true;
}

bool budget_take_both(Budget *own, uint32_t n_own, Budget *all, uint32_t n_all, uint64_t now) {
        return budget_has(own, now, n_own, n_own) && budget_take(all, now, n_all, n_all) &&
               budget_take(own, now, n_own, n_own);
}

/* Life and death */

static void bus_free(p2pbus *bus) {
        peer_free_all(bus);
        request_free_all(bus);
        fan_out_free_all(bus);
        service_free_all(bus);
        drain_end(bus);
        own_name_free_all(bus);
        topic_free_all(bus);
        send_free_all(bus);
        monitor_free(bus);
        rights_free_all(bus);
        connection_free(bus->connection);
        loop_done(bus);
        sealer_free(bus->sealer);
        identity_free(bus->identity);
        known_peers_free(bus->known);
        network_rules_done(&bus->network);
        secret_free(bus->alive);
        free(bus->scratch);
        free(bus->sealed);
        free(bus->opened);
        free(bus->padded);
        pthread_cond_destroy(&bus->changed);
        pthread_mutex_destroy(&bus->lock);
        free(bus);
        block_pool_trim();
}

void bus_hold(p2pbus *bus) {
        __atomic_add_fetch(&bus->n_holds, 1, __ATOMIC_RELAXED);
}

void bus_release(p2pbus *bus) {
        if (__atomic_sub_fetch(&bus->n_holds, 1, __ATOMIC_ACQ_REL) == 0)
                bus_free(bus);
}

_public_ p2pbus *p2pbus_ref(p2pbus *bus) {
        __atomic_add_fetch(&bus->n_refs, 1, __ATOMIC_RELAXED);
        return bus;
}

_public_ p2pbus *p2pbus_unref(p2pbus *bus) {
        if (!bus || __atomic_sub_fetch(&bus->n_refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;
        p2pbus_close(bus);
        bus_release(bus);
        return NULL;
}

void bus_end(p2pbus *bus, int reason) {
        if (bus->is_closed)
                return;
        bus->is_closed = true;
        bus->away_reason = reason;
        timer_clear(&bus->timers, &bus->connect_timer);
        send_fail_all(bus, reason);
        request_forget_all(bus);
        peer_leave_rings(bus);
        if (bus->connection) {
                loop_unwatch(bus, connection_fd(bus->connection));
                bus->connection = connection_free(bus->connection);
        }
        bus->is_up = false;
        bus_happened(bus);
}

_public_ void p2pbus_close(p2pbus *bus) {
        if (bus_enter(bus) < 0)
                return; /* a child: its parent's conversations are not its to end */
        if (!bus->is_closed) {
                PEER_FOREACH (bus, peer) {
                        receive_return(peer);
                        session_close(peer->session, CODE_GONE, bus->now_usec);
                        peer_mark(peer);
                }
                loop_send(bus, true); /* as much as the socket takes; else the daemon tells them */
                bus_end(bus, P2PBUS_REASON_CLOSED);
        }
        (void)bus_leave(bus, 0);
}

static int options_check(const p2pbus_options *options) {
        static const uint32_t known = P2PBUS_OFF_HOST | P2PBUS_TAKEOVER | P2PBUS_NO_RECONNECT |
                                      P2PBUS_RESULTS | P2PBUS_NO_MONITOR | P2PBUS_PAD;

        if (!struct_size_is_known(options->struct_size, offsetof(p2pbus_options, known_peers),
                                  sizeof(*options)))
                return reason_fail_errno(-EINVAL, "p2pbus_options.struct_size is not set");
        if (options->flags & ~known)
                return reason_fail_errno(-EINVAL, "unknown flags in p2pbus_options");
        return 0;
}

static int init_identity(p2pbus *bus, const char *key_file) {
        const PublicKey *key;
        int r;

        if (key_file) {
                r = key_file_load(key_file, &bus->identity);
                if (r < 0)
                        return r;
        } else {
                r = identity_new_random(&bus->identity);
                if (r < 0)
                        return reason_fail_errno(r, "cannot make a key: %s", strerror(-r));
                bus->is_ephemeral = true;
        }
        key = identity_public(bus->identity);
        bus->self = key_hash(key);
        (void)key_format(key, bus->self_full);
        (void)pid_format(bus->self.address.pid, bus->self_pid);
        return 0;
}

static int init_memory(p2pbus *bus) {
        int r;

        bus->alive = secret_alloc(16);
        bus->scratch = malloc(BUS_SCRATCH_SIZE);
        if (!bus->alive || !bus->scratch)
                return -ENOMEM;
        if (bus->flags & P2PBUS_OFF_HOST) {
                bus->sealed = malloc(BUS_SCRATCH_SIZE);
                bus->opened = malloc(BUS_SCRATCH_SIZE);
                if (bus->flags & P2PBUS_PAD)
                        bus->padded = malloc(SEAL_CONTENT_MAX);
                if (!bus->sealed || !bus->opened || (bus->flags & P2PBUS_PAD && !bus->padded))
                        return -ENOMEM;
        }
        r = loop_init(bus);
        if (r < 0)
                return err_trace(r);
        bus->unique = crypto_random_u64();
        bus->session_id = crypto_random_u64();
        return 0;
}

static int bus_new(p2pbus **ret, const p2pbus_options *options) {
        pthread_condattr_t attributes;
        p2pbus *bus;
        int r;

        r = crypto_init();
        if (r < 0)
                return reason_fail_errno(r, "libsodium does not work here");
        bus = calloc(1, sizeof(*bus));
        if (!bus)
                return reason_fail_errno(-ENOMEM, "out of memory");

        bus->n_refs = bus->n_holds = 1;
        bus->epoll_fd = bus->outside_fd = bus->leader_fd = -EBADF;
        bus->flags = options->flags;
        bus->buffer_bytes = options->buffer_bytes ? options->buffer_bytes : BUS_BUFFER_DEFAULT;
        bus->rings.spin_usec = BUS_SPIN_USEC;
        bus->sealing = (Sealing){ .epochs = epoch_limits_default,
                                  .key_life_usec = options->key_life_usec ? options->key_life_usec
                                                                          : BUS_KEY_LIFE_USEC };
        bus->quota = (SessionQuota){ .size = bus->buffer_bytes, .left = bus->buffer_bytes };
        pthread_mutex_init(&bus->lock, NULL);
        pthread_condattr_init(&attributes);
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
        pthread_cond_init(&bus->changed, &attributes);
        pthread_condattr_destroy(&attributes);
        bus->away_reason = P2PBUS_REASON_LOST;

        r = options->socket_path ?
                    (strlen(options->socket_path) < sizeof(bus->path) ?
                             (strcpy(bus->path, options->socket_path), 0) :
                             -ENAMETOOLONG) :
                    connection_default_path(bus->path);
        if (r == -ENAMETOOLONG) {
                r = reason_fail(P2PBUS_REASON_PATH_TOO_LONG);
        } else {
                r = init_identity(bus, options->key_file);
                if (r == 0)
                        r = known_peers_new(&bus->known, options->known_peers);
                if (r == 0) {
                        r = init_memory(bus);
                        if (r < 0)
                                r = reason_fail_errno(r, "cannot open a handle: %s", strerror(-r));
                }
        }
        if (r < 0) {
                bus_free(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

/* The first attach, in which every failure is the caller's to know. */
static int bus_attach(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, BUS_CONNECT_USEC);
        r = attachment_connect(bus);
        if (r < 0 && r != -ENAMETOOLONG)
                r = reason_fail_errno(r, "cannot connect to %s: %s", bus->path, strerror(-r));
        else if (r != 0 && r != CONNECTION_E_CROWDED)
                r = reason_fail_code(r);
        while (r >= 0 && !bus->is_up && !bus->is_closed) {
                r = loop_wait(bus, until);
                if (r == -ETIMEDOUT)
                        r = reason_fail_text(P2PBUS_REASON_TIMEOUT, "%s does not answer",
                                             bus->path);
        }
        if (r >= 0 && !bus->is_up)
                r = reason_fail(bus->away_reason);
        return bus_leave(bus, MIN(r, 0));
}

_public_ int p2pbus_open(p2pbus **ret, const p2pbus_options *options) {
        p2pbus_options all = { .struct_size = sizeof(all) };
        p2pbus *bus = NULL;
        int r;

        if (options) {
                r = options_check(options);
                if (r < 0)
                        return r;
                memcpy(&all, options, options->struct_size); /* earlier versions had fewer */
                if (all.key_life_usec > 0 && (all.key_life_usec < BUS_KEY_LIFE_MIN_USEC ||
                                              all.key_life_usec > BUS_KEY_LIFE_MAX_USEC))
                        return reason_fail_errno(
                                -EINVAL, "p2pbus_options.key_life_usec is not from an hour to "
                                         "30 days");
        }
        r = bus_new(&bus, &all);
        if (r < 0)
                return r;
        r = bus_attach(bus, all.connect_timeout_usec);
        if (r < 0) {
                p2pbus_unref(bus);
                return r;
        }
        *ret = bus;
        return 0;
}

/* Questions */

_public_ int p2pbus_default_socket(char *path, size_t n_path) {
        char found[CONNECTION_PATH_SIZE];
        int r;

        r = connection_default_path(found);
        if (r < 0 || strlen(found) >= n_path)
                return reason_fail(P2PBUS_REASON_PATH_TOO_LONG);
        strcpy(path, found);
        return 0;
}

_public_ int p2pbus_set_spin(p2pbus *bus, uint64_t spin_usec) {
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        bus->rings.spin_usec = MIN(spin_usec, USEC_PER_SEC);
        return bus_leave(bus, 0);
}

_public_ const char *p2pbus_get_socket(p2pbus *bus) {
        return bus->path;
}

_public_ const char *p2pbus_get_full(p2pbus *bus) {
        return bus->self_full;
}

_public_ const char *p2pbus_get_pid(p2pbus *bus) {
        return bus->self_pid;
}

_public_ uint64_t p2pbus_get_message_max(p2pbus *bus) {
        uint64_t max;

        if (bus_enter(bus) < 0)
                return 0;
        max = bus->welcome.message_max;
        (void)bus_leave(bus, 0);
        return max;
}

_public_ int p2pbus_get_state(p2pbus *bus, int *ret_reason) {
        int state = 0, r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        if (bus->is_up) {
                state |= P2PBUS_STATE_ATTACHED;
                state |= bus->welcome.flags & ATTACH_OFF_HOST ? P2PBUS_STATE_OFF_HOST : 0;
                state |= bus->hello_flags & HELLO_OFF_HOST ? P2PBUS_STATE_GATEWAY : 0;
                state |= bus->hello_flags & HELLO_MONITORED ? P2PBUS_STATE_MONITORED : 0;
                state |= bus->n_reachable > 0 ? P2PBUS_STATE_REACHABLE : 0;
        }
        if (bus->is_closed)
                state |= P2PBUS_STATE_CLOSED;
        if (ret_reason)
                *ret_reason = bus->is_up ? 0 : bus->away_reason;
        return bus_leave(bus, state);
}

static int fail_unreachable(const p2pbus *bus) {
        const char *rule = bus->rights.no_off_host;

        if (bus->welcome.flags & ATTACH_OFF_HOST)
                return reason_fail_text(P2PBUS_REASON_NO_ROUTE,
                                        "no gateway is attached to this bus");
        return reason_fail_text(P2PBUS_REASON_NO_ROUTE,
                                "off-host was not granted to this process%s%s",
                                *rule != '\0' ? ": " : "", rule);
}

_public_ int p2pbus_wait_reachable(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, 0);
        while (r == 0 && bus->n_reachable == 0) {
                if (bus->is_up && (!(bus->welcome.flags & ATTACH_OFF_HOST) ||
                                   !(bus->hello_flags & HELLO_OFF_HOST)))
                        r = fail_unreachable(bus);
                else
                        r = loop_wait(bus, until);
                if (r == -ETIMEDOUT)
                        r = reason_fail_text(P2PBUS_REASON_TIMEOUT,
                                             "no relay knows this process yet");
        }
        return bus_leave(bus, r);
}
