/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Who leads waits with poll() for the connection and for an eventfd of its own; who waits outside
 * has the epoll descriptor, with the connection and another eventfd in it. Two eventfds, since one
 * that is read by the one would be missed by the other. Neither is written unless somebody waits
 * who does not know yet, which each notes before it unlocks.
 */

#include "config.h"

#include "libclient/loop.h"

#include <poll.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <utlist.h>

#include "libclient/attachment.h"
#include "libclient/daemon.h"
#include "libclient/path-ring.h"
#include "libclient/peer.h"
#include "libclient/reason.h"
#include "libclient/request.h"
#include "libclient/topic-remote.h"
#include "libclient/topic.h"
#include "libcore/err.h"

#define READS_MAX 16   /* of 64 KiB, before somebody else has a turn */
#define WALL_READ_USEC (100 * USEC_PER_MSEC)
#define BELLS_AT_ONCE 64
#define SPIN_RINGS 8        /* that are looked at before sleeping */
#define SPIN_LOOKS 64       /* between two looks at the clock */
#define SPIN_SKIP_MAX 64    /* times of not looking, after looking in vain again and again */
#define CPUS_READ_USEC USEC_PER_SEC
#define POLL_SOCKET_USEC 50 /* no longer unread by who publishes, or asks while a ring is awake */
#define SOCKET_READ_USEC USEC_PER_MSEC /* no longer unread while rings keep us busy */

int loop_init(p2pbus *bus) {
        struct epoll_event event = { .events = EPOLLIN };

        bus->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        bus->outside_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        bus->leader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (bus->epoll_fd < 0 || bus->outside_fd < 0 || bus->leader_fd < 0)
                return err_origin(-errno);
        if (epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, bus->outside_fd, &event) < 0)
                return err_origin(-errno);
        return 0;
}

void loop_done(p2pbus *bus) {
        timers_done(&bus->timers);
        rings_bury(bus);
        bus->epoll_fd = fd_close(bus->epoll_fd);
        bus->outside_fd = fd_close(bus->outside_fd);
        bus->leader_fd = fd_close(bus->leader_fd);
}

int loop_watch(p2pbus *bus, int fd) {
        struct epoll_event event = { .events = EPOLLIN };

        if (epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return err_origin(-errno);
        bus->epoll_events = EPOLLIN;
        return 0;
}

void loop_unwatch(p2pbus *bus, int fd) {
        /* Not left to close(): a forked child may hold the socket open for longer. */
        (void)epoll_ctl(bus->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        bus->epoll_events = 0;
}

int loop_watch_bell(p2pbus *bus, int fd, RingPath *ring) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = ring };

        if (epoll_ctl(bus->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
                return err_origin(-errno);
        return 0;
}

void loop_unwatch_bell(p2pbus *bus, int fd) {
        /* A child's epoll descriptor is its parent's set. */
        if (bus_is_forked(bus))
                return;
        (void)epoll_ctl(bus->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

void loop_update(p2pbus *bus) {
        struct epoll_event event;

        if (!bus->connection)
                return;
        event = (struct epoll_event){ .events = connection_events(bus->connection) };
        if (event.events == bus->epoll_events)
                return;
        if (epoll_ctl(bus->epoll_fd, EPOLL_CTL_MOD, connection_fd(bus->connection), &event) == 0)
                bus->epoll_events = event.events;
}

void loop_read_clock(p2pbus *bus) {
        uint64_t now = now_usec(CLOCK_BOOTTIME);

        bus->now_usec = MAX(now, bus->now_usec);
        if (bus->wall_read_usec == 0 || bus->now_usec - bus->wall_read_usec > WALL_READ_USEC) {
                bus->wall_offset = now_usec(CLOCK_REALTIME) - bus->now_usec;
                bus->wall_read_usec = bus->now_usec;
        }
}

uint64_t loop_due(const p2pbus *bus) {
        uint64_t due = timers_due(&bus->timers);

        if (bus->calls && !bus->is_calling)
                due = 0;
        return due;
}

/* Moving */

/* Return: whether nothing is left to be written. */
static bool write_out(p2pbus *bus) {
        int r;

        if (!bus->connection || connection_queued(bus->connection) == 0)
                return true;
        r = connection_write(bus->connection); /* its end is found when it is read */
        bus->written_usec = bus->now_usec;
        loop_update(bus);
        return r == 0;
}

static bool output_is_blocked(const p2pbus *bus) {
        return connection_events(bus->connection) & EPOLLOUT;
}

/* Those whose packets can wait for more stand aside until it is time. */
static void gather(p2pbus *bus, bool now) {
        Peer *peer, *next;

        DL_FOREACH_SAFE2(bus->gathering, peer, next, dirty_next)
                if (now || !peer_is_gathering(peer)) {
                        peer_unmark(peer);
                        peer_mark(peer);
                }
}

/* Whose turn it is. Those with a ring do not wait for the socket. */
static Peer *next_dirty(const p2pbus *bus) {
        Peer *peer;

        if (!bus->dirty || !bus->is_up || connection_queued(bus->connection) < BUS_OUTPUT_MAX)
                return bus->dirty;
        if (bus->rings.n > 0)
                DL_FOREACH2(bus->dirty, peer, dirty_next)
                        if (peer_is_on_ring(peer))
                                return peer;
        return NULL;
}

void loop_send(p2pbus *bus, bool now) {
        Peer *peer;

        now = now || bus->is_pressed;
        bus->is_pressed = false;
        gather(bus, now);
        for (;;) {
                while ((peer = next_dirty(bus))) {
                        peer_unmark(peer);
                        if (!now && peer_is_gathering(peer)) {
                                peer->is_dirty = peer->is_gathering = true;
                                DL_APPEND2(bus->gathering, peer, dirty_prev, dirty_next);
                        } else if (peer_pump(peer)) /* careful: else @peer may be gone from here */
                                peer_mark(peer);
                }
                if (!bus->connection || connection_queued(bus->connection) == 0 ||
                    output_is_blocked(bus))
                        return;
                if (!now && connection_queued(bus->connection) < BUS_GATHER_BYTES &&
                    bus->now_usec - bus->written_usec < BUS_GATHER_USEC)
                        return;
                if (!write_out(bus) || !bus->dirty)
                        return;
        }
}

/* A sender that knows only our PID has no tag to say. */
static bool is_for_us(const p2pbus *bus, Address dst) {
        return dst.pid == bus->self.address.pid &&
                (dst.tag == 0 || dst.tag == bus->self.address.tag);
}

static void read_in(p2pbus *bus) {
        bus->socket_read_usec = bus->now_usec;
        for (unsigned i = 0; i < READS_MAX && bus->connection; i++) {
                Connection *c = bus->connection;
                PacketHeader header;
                const uint8_t *packet;
                int r;

                r = connection_read(c);
                if (r == CONNECTION_E_EMPTY)
                        return;
                attachment_update(bus);
                while (bus->connection == c && connection_pop(c, &header, &packet) == 0) {
                        if (header.kind == PACKET_CONTROL)
                                daemon_consume(bus, &header, packet);
                        else if (!is_for_us(bus, header.dst))
                                bus->counters.bad_packets++;
                        else if (header.kind == PACKET_RECORDS)
                                peer_on_records(bus, &header, packet);
                        else {
                                bus->is_marked = header.hflags & PACKET_CE;
                                peer_on_sealed(bus, &header, packet);
                        }
                }
                if (bus->connection == c && connection_error(c) != 0)
                        attachment_lost(bus, reason_of(connection_error(c)));
                if (bus->connection == c) {
                        loop_send(bus, false);
                        if (!connection_has_more(c))
                                return;
                }
        }
}

void loop_catch_up(p2pbus *bus) {
        if (bus->now_usec - bus->socket_read_usec >= POLL_SOCKET_USEC)
                read_in(bus);
}

static void run_timers(p2pbus *bus) {
        Timer *timer;

        while ((timer = timers_pop(&bus->timers, bus->now_usec)))
                timer->on_due(timer, bus->now_usec);
}

/* Whose bell is heard, of those that sleep; whoever leads hears it from its own poll(). */
static void hear_bells(p2pbus *bus) {
        struct epoll_event events[BELLS_AT_ONCE];
        int n = epoll_wait(bus->epoll_fd, events, BELLS_AT_ONCE, 0);

        for (int i = 0; i < n; i++)
                if (events[i].data.ptr)
                        rings_on_bell(events[i].data.ptr);
}

void loop_work(p2pbus *bus) {
        (void)write_out(bus);
        if (bus->topics.awaits_room && bus->is_up &&
            connection_queued(bus->connection) < TOPIC_OUTPUT_MAX / 2)
                topic_remote_flush(bus);
        if (bus->rings.n > 0) {
                hear_bells(bus);
                (void)rings_read(bus);
        }
        read_in(bus);
        run_timers(bus);
        loop_send(bus, true);
        loop_update(bus);
}

/* Waking and waiting */

static void eventfd_raise(int fd, bool *is_raised) {
        static const uint64_t one = 1;

        if (*is_raised)
                return;
        __atomic_store_n(is_raised, true, __ATOMIC_RELAXED); /* look_until() has no lock */
        (void)!write(fd, &one, sizeof(one)); /* it cannot be full: it is raised once */
}

static void eventfd_clear(int fd, bool *is_raised) {
        uint64_t n;

        if (!*is_raised)
                return;
        __atomic_store_n(is_raised, false, __ATOMIC_RELAXED);
        (void)!read(fd, &n, sizeof(n));
}

void loop_tell(p2pbus *bus) {
        bool news = bus->n_events != bus->n_events_told;
        uint64_t due = loop_due(bus);

        /*
         * Whoever sleeps, here or outside, was sure of a bell from each ring. One that this thread has
         * heard in its place, and then found nothing that would wake it, has to be asked for again.
         */
        if (bus->rings.awake && (bus->is_asleep || bus->outside_until_usec > 0) &&
            !rings_sleep(bus))
                due = 0;
        bus->n_events_told = bus->n_events;
        if (news && bus->n_followers > 0)
                pthread_cond_broadcast(&bus->changed);
        if (bus->is_led && (news || due < bus->leader_until_usec))
                eventfd_raise(bus->leader_fd, &bus->leader_woken);
        if (bus->outside_until_usec > 0 && (news || due < bus->outside_until_usec))
                eventfd_raise(bus->outside_fd, &bus->outside_woken);
}

/* Return: whether any ran; the lock was dropped then. */
static bool run_callbacks(p2pbus *bus) {
        bool any = false;

        while (bus->calls && !bus->is_calling && !bus->is_closed) {
                bus->is_calling = true;
                bus->caller = pthread_self();
                request_call_first(bus);
                bus->is_calling = false;
                loop_read_clock(bus);
                bus_happened(bus); /* what it did may be what somebody waits for */
                any = true;
        }
        return any;
}

static struct timespec timespec_of(uint64_t usec) {
        return (struct timespec){ .tv_sec = (time_t)(usec / USEC_PER_SEC),
                                  .tv_nsec = (long)(usec % USEC_PER_SEC * 1000) };
}

/*
 * Looking for a while
 *
 * Waking a sleeper costs tens of microseconds, most of them in the kernel and on another CPU. So
 * before it sleeps, whoever leads looks at the rings that were busy lately for as long as a wake-up
 * would cost. On a single CPU that would only keep the other side from running. Where it was in
 * vain it is left out for a growing number of times.
 */

static bool has_cpus(p2pbus *bus) {
        Rings *rings = &bus->rings;
        cpu_set_t cpus;

        if (rings->cpus_read_usec == 0 ||
            bus->now_usec - rings->cpus_read_usec >= CPUS_READ_USEC) {
                rings->cpus_read_usec = bus->now_usec;
                rings->has_cpus = sched_getaffinity(0, sizeof(cpus), &cpus) < 0 ||
                        CPU_COUNT(&cpus) > 1;
        }
        return rings->has_cpus;
}

static bool should_spin(p2pbus *bus) {
        Rings *rings = &bus->rings;
        unsigned skip;

        if (!rings->awake || rings->spin_usec == 0 || !has_cpus(bus))
                return false;
        skip = rings->n_vain == 0 ? 0 : MIN(1U << MIN(rings->n_vain, 16U), SPIN_SKIP_MAX);
        if (rings->n_skipped < skip) {
                rings->n_skipped++;
                return false;
        }
        rings->n_skipped = 0;
        return true;
}

static void cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("yield");
#endif
}

/* Without the lock: copies, since another thread may read the rings; their memory stays as long as
 * somebody leads. */
static bool look_until(p2pbus *bus, const RingConsumer *consumers, unsigned n, uint64_t until) {
        for (;;) {
                for (unsigned looks = 0; looks < SPIN_LOOKS; looks++) {
                        for (unsigned i = 0; i < n; i++)
                                if (ring_has_entry(&consumers[i]))
                                        return true;
                        cpu_relax();
                }
                if (__atomic_load_n(&bus->leader_woken, __ATOMIC_RELAXED) ||
                    now_usec(CLOCK_BOOTTIME) >= until)
                        return false;
        }
}

/* Return: whether a ring has something. */
static bool spin(p2pbus *bus, uint64_t until) {
        RingConsumer consumers[SPIN_RINGS];
        const RingPath *ring;
        unsigned n = 0;
        bool found;

        DL_FOREACH(bus->rings.awake, ring)
                if (n < SPIN_RINGS)
                        consumers[n++] = ring->in;
        until = MIN(until, bus->now_usec + bus->rings.spin_usec);

        pthread_mutex_unlock(&bus->lock);
        found = look_until(bus, consumers, n, until);
        pthread_mutex_lock(&bus->lock);
        loop_read_clock(bus);
        bus->rings.n_vain = found ? 0 : bus->rings.n_vain + 1;
        return found;
}

/* What @fds of poll() may be about: the RingPath of a bell, or NULL. */
typedef struct Polled {
        struct pollfd fds[2 + RING_PATH_MAX];
        RingPath *rings[2 + RING_PATH_MAX];
        nfds_t n;
} Polled;

static void poll_add(Polled *p, int fd, short events, RingPath *ring) {
        p->fds[p->n] = (struct pollfd){ .fd = fd, .events = events };
        p->rings[p->n++] = ring;
}

/* Sleeps. Return: whether the daemon's socket has something. */
static bool poll_all(p2pbus *bus, uint64_t until) {
        struct timespec timeout = timespec_of(until > bus->now_usec ? until - bus->now_usec : 0);
        RingPath *ring;
        Polled p;
        int n;

        p.n = 0;
        poll_add(&p, bus->leader_fd, POLLIN, NULL);
        if (bus->connection)
                poll_add(&p, connection_fd(bus->connection),
                         (short)(POLLIN | (output_is_blocked(bus) ? POLLOUT : 0)), NULL);
        DL_FOREACH(bus->rings.asleep, ring)
                if (ring->bell_in >= 0)
                        poll_add(&p, ring->bell_in, POLLIN, ring);

        bus->is_asleep = true;
        pthread_mutex_unlock(&bus->lock);
        n = ppoll(p.fds, p.n, until == USEC_NEVER ? NULL : &timeout, NULL); /* a signal: look */
        pthread_mutex_lock(&bus->lock);
        bus->is_asleep = false;
        loop_read_clock(bus);
        for (nfds_t i = 0; n > 0 && i < p.n; i++)
                if (p.fds[i].revents != 0 && p.rings[i] && !p.rings[i]->is_dead)
                        rings_on_bell(p.rings[i]);
        return n <= 0 || p.fds[0].revents != 0 || p.fds[1].revents != 0;
}

/*
 * The socket is read when it has something, or was left alone for a while: as long as rings keep us
 * busy it would be a system call for nothing each time.
 */
static void lead(p2pbus *bus, uint64_t until) {
        bool read_socket = false;

        until = MIN(until, loop_due(bus));
        bus->is_led = true;
        bus->leader_until_usec = until;
        if (!should_spin(bus) || !spin(bus, until)) {
                if (rings_sleep(bus))
                        read_socket = poll_all(bus, until);
                else
                        loop_read_clock(bus); /* who is kept busy has timers, too */
        }
        bus->is_led = false;
        rings_bury(bus);
        eventfd_clear(bus->leader_fd, &bus->leader_woken);

        if (read_socket || bus->now_usec - bus->socket_read_usec >= SOCKET_READ_USEC) {
                (void)write_out(bus);
                read_in(bus);
        }
        (void)rings_read(bus);
        run_timers(bus);
        loop_send(bus, true);
        loop_update(bus);
        if (bus->n_followers > 0)
                pthread_cond_broadcast(&bus->changed); /* somebody may have to lead now */
}

static void follow(p2pbus *bus, uint64_t until) {
        bus->n_followers++;
        if (until == USEC_NEVER) {
                pthread_cond_wait(&bus->changed, &bus->lock);
        } else {
                uint64_t wait = until > bus->now_usec ? until - bus->now_usec : 0;
                struct timespec at = timespec_of(now_usec(CLOCK_MONOTONIC) + wait);

                (void)pthread_cond_timedwait(&bus->changed, &bus->lock, &at);
        }
        bus->n_followers--;
        loop_read_clock(bus);
}

/*
 * Who does not want to wait still wants what is there already; who asks again and again finds it in
 * a ring without a system call.
 */
static void glance(p2pbus *bus) {
        if (!bus->rings.awake || bus->now_usec - bus->socket_read_usec >= POLL_SOCKET_USEC)
                loop_work(bus);
        else if (rings_read(bus))
                loop_send(bus, true);
}

int loop_wait(p2pbus *bus, uint64_t until_usec) {
        uint64_t n_events = bus->n_events;

        if (bus->is_closed)
                return reason_fail(bus->away_reason);
        loop_send(bus, true);
        if (run_callbacks(bus) || bus->n_events != n_events)
                return 0;
        if (until_usec <= bus->now_usec) {
                glance(bus);
                return bus->n_events != n_events ? 0 : -ETIMEDOUT;
        }
        loop_tell(bus);
        if (bus->is_led)
                follow(bus, until_usec);
        else
                lead(bus, until_usec);
        return 0;
}

/* Any event loop */

_public_ int p2pbus_get_fd(p2pbus *bus) {
        return bus->epoll_fd;
}

_public_ int p2pbus_get_events(p2pbus *bus) {
        (void)bus;
        return POLLIN;
}

_public_ int p2pbus_get_timeout(p2pbus *bus, uint64_t *ret_usec) {
        uint64_t due;
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        loop_send(bus, true);
        due = bus->n_events != bus->n_events_seen || bus->is_closed || !rings_sleep(bus) ?
                      0 :
                      loop_due(bus);
        bus->outside_until_usec = MAX(due, 1U);
        if (due == USEC_NEVER)
                *ret_usec = P2PBUS_FOREVER;
        else
                *ret_usec = due > bus->now_usec ? due - bus->now_usec : 0;
        return bus_leave(bus, 0);
}

/* What somebody outside may want to fetch now. */
static int see_events(p2pbus *bus) {
        bool news = bus->n_events != bus->n_events_seen;

        bus->n_events_seen = bus->n_events;
        if (bus->is_closed && !news)
                return reason_fail(bus->away_reason);
        return news;
}

_public_ int p2pbus_process(p2pbus *bus) {
        int r;

        r = bus_enter(bus);
        if (r < 0)
                return r;
        bus->outside_until_usec = 0;
        eventfd_clear(bus->outside_fd, &bus->outside_woken);
        loop_work(bus);
        (void)run_callbacks(bus);
        loop_send(bus, true);
        return bus_leave(bus, see_events(bus));
}

_public_ int p2pbus_wait(p2pbus *bus, uint64_t timeout_usec) {
        uint64_t until;
        int r;

        r = bus_enter_blocking(bus);
        if (r < 0)
                return r;
        until = bus_deadline(bus, timeout_usec, 0);
        (void)run_callbacks(bus);
        while (r == 0 && bus->n_events == bus->n_events_seen)
                r = loop_wait(bus, until);
        return bus_leave(bus, see_events(bus));
}
