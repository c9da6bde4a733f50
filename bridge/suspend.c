/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/suspend.h"

#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "libcore/err.h"

#define NEVER_SEC ((time_t)1 << 33) /* of the wall clock; the year 2242 */

struct Suspend {
        int fd;
        sd_event_source *io;
        uint64_t offset_usec;
        void (*on_resume)(uint64_t asleep_usec, void *userdata);
        void *userdata;
};

uint64_t suspend_measure(uint64_t *offset_usec, uint64_t boottime_usec, uint64_t monotonic_usec) {
        uint64_t before = *offset_usec;
        /* Read one after the other, the later one may seem ahead; one more, so that it is not 0. */
        uint64_t offset = 1 + (boottime_usec > monotonic_usec ? boottime_usec - monotonic_usec : 0);

        *offset_usec = offset;
        return before != 0 && offset >= before + SUSPEND_LEAST_USEC ? offset - before : 0;
}

static uint64_t measure(Suspend *suspend) {
        uint64_t boottime = now_usec(CLOCK_BOOTTIME);

        return suspend_measure(&suspend->offset_usec, boottime, now_usec(CLOCK_MONOTONIC));
}

/* Never due, but cancelled when the wall clock is set. */
static int arm(const Suspend *suspend) {
        struct itimerspec never = { .it_value.tv_sec = NEVER_SEC };

        if (timerfd_settime(suspend->fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
                            NULL) < 0)
                return err_origin(-errno);
        return 0;
}

static int on_clock_set(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        Suspend *suspend = userdata;
        uint64_t asleep_usec, count;
        int r;

        (void)source, (void)revents;
        (void)!read(fd, &count, sizeof(count)); /* says ECANCELED, as it should */
        r = arm(suspend);
        asleep_usec = measure(suspend);
        if (asleep_usec > 0)
                suspend->on_resume(asleep_usec, suspend->userdata);
        return r; /* an error ends this source, no more */
}

int suspend_new(Suspend **ret, sd_event *event,
                void (*on_resume)(uint64_t asleep_usec, void *userdata), void *userdata) {
        _cleanup_(suspend_freep) Suspend *suspend = NULL;
        int r;

        suspend = calloc(1, sizeof(*suspend));
        if (!suspend)
                return err_origin(-ENOMEM);
        *suspend = (Suspend){ .fd = -1, .on_resume = on_resume, .userdata = userdata };
        suspend->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
        if (suspend->fd < 0)
                return err_origin(-errno);
        r = arm(suspend);
        if (r < 0)
                return err_trace(r);
        r = sd_event_add_io(event, &suspend->io, suspend->fd, EPOLLIN, on_clock_set, suspend);
        if (r < 0)
                return err_origin(r);
        (void)measure(suspend);
        *ret = TAKE_PTR(suspend);
        return 0;
}

Suspend *suspend_free(Suspend *suspend) {
        if (!suspend)
                return NULL;
        sd_event_source_disable_unref(suspend->io);
        (void)fd_close(suspend->fd);
        free(suspend);
        return NULL;
}
