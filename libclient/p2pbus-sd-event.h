/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A handle of libp2pbus in an sd-event loop
 *
 * Inline only: the library does not link libsystemd; a program that includes this links both.
 */

#ifndef P2PBUS_SD_EVENT_H
#define P2PBUS_SD_EVENT_H

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include <systemd/sd-event.h>

#include <p2pbus.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * p2pbus_event_handler - something may have come
 *
 * Called from the loop after p2pbus_process() returned @ready: 1, and then p2pbus_receive() and
 * p2pbus_next_result(), with time-out 0, until they say -EAGAIN; or -ENOTCONN, once: the handle is
 * closed for good. May call p2pbus_detach_event().
 * Return: 0; below 0 detaches the handle.
 */
typedef int (*p2pbus_event_handler)(p2pbus *bus, int ready, void *userdata);

/* What ties a handle to a loop; made by p2pbus_attach_event(), its content is private. */
typedef struct p2pbus_event {
        p2pbus *bus;
        sd_event_source *io, *time;
        p2pbus_event_handler handler;
        void *userdata;
} p2pbus_event;

/* Takes the handle out of its loop and frees @e; NULL is ignored. Return: NULL. */
static inline p2pbus_event *p2pbus_detach_event(p2pbus_event *e) {
        if (!e)
                return NULL;
        sd_event_source_disable_unref(e->io);
        sd_event_source_disable_unref(e->time);
        p2pbus_unref(e->bus);
        free(e);
        return NULL;
}

/* Private. Sources hold no reference to @e, which is gone if its handler has detached it. */
static inline int p2pbus_event_process(p2pbus_event *e) {
        int r = p2pbus_process(e->bus);

        if (r == 0)
                return 0;
        if (r < 0) {
                (void)sd_event_source_set_enabled(e->io, SD_EVENT_OFF);
                (void)sd_event_source_set_enabled(e->time, SD_EVENT_OFF);
        }
        return e->handler(e->bus, r, e->userdata);
}

static inline int p2pbus_event_on_io(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        (void)s;
        (void)fd;
        (void)revents;
        return p2pbus_event_process((p2pbus_event *)userdata);
}

static inline int p2pbus_event_on_time(sd_event_source *s, uint64_t usec, void *userdata) {
        (void)s;
        (void)usec;
        return p2pbus_event_process((p2pbus_event *)userdata);
}

/* Just before the loop waits: until when? */
static inline int p2pbus_event_prepare(sd_event_source *s, void *userdata) {
        p2pbus_event *e = (p2pbus_event *)userdata;
        struct timespec now;
        uint64_t wait;
        int r;

        (void)s;
        r = p2pbus_get_timeout(e->bus, &wait);
        if (r < 0)
                return r;
        if (wait == P2PBUS_FOREVER)
                return sd_event_source_set_enabled(e->time, SD_EVENT_OFF);
        (void)clock_gettime(CLOCK_BOOTTIME, &now);
        r = sd_event_source_set_time(e->time, (uint64_t)now.tv_sec * 1000000 +
                                                      (uint64_t)now.tv_nsec / 1000 + wait);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(e->time, SD_EVENT_ONESHOT);
}

/**
 * p2pbus_attach_event() - let a loop move a handle
 * @ret:      receives what p2pbus_detach_event() takes; it holds references to @bus and @event
 * @event:    the loop
 * @priority: as for sd_event_source_set_priority(); 0 for the usual one
 * @handler:  called in the loop's thread
 *
 * Return: 0, or -errno of sd-event; -EINVAL if @handler is NULL.
 */
static inline int p2pbus_attach_event(p2pbus_event **ret, p2pbus *bus, sd_event *event,
                                      int64_t priority, p2pbus_event_handler handler,
                                      void *userdata) {
        p2pbus_event *e;
        int r;

        if (!handler)
                return -EINVAL;
        e = (p2pbus_event *)calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->bus = p2pbus_ref(bus);
        e->handler = handler;
        e->userdata = userdata;

        r = sd_event_add_io(event, &e->io, p2pbus_get_fd(bus), (uint32_t)p2pbus_get_events(bus),
                            p2pbus_event_on_io, e);
        if (r >= 0)
                r = sd_event_source_set_priority(e->io, priority);
        if (r >= 0)
                r = sd_event_add_time(event, &e->time, CLOCK_BOOTTIME, 0, 1000,
                                      p2pbus_event_on_time, e);
        if (r >= 0)
                r = sd_event_source_set_priority(e->time, priority);
        if (r >= 0)
                r = sd_event_source_set_prepare(e->io, p2pbus_event_prepare);
        if (r < 0) {
                p2pbus_detach_event(e);
                return r;
        }
        *ret = e;
        return 0;
}

#ifdef __cplusplus
}
#endif

#endif
