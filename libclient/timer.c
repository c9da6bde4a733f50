/* SPDX-License-Identifier: Apache-2.0 */

#include "libclient/timer.h"

#include "libcore/err.h"

static void place(Timers *timers, Timer *timer, size_t at) {
        timers->heap[at - 1] = timer;
        timer->at = at;
}

static void sift_up(Timers *timers, Timer *timer, size_t at) {
        while (at > 1 && timers->heap[at / 2 - 1]->due_usec > timer->due_usec) {
                place(timers, timers->heap[at / 2 - 1], at);
                at /= 2;
        }
        place(timers, timer, at);
}

static void sift_down(Timers *timers, Timer *timer, size_t at) {
        for (;;) {
                size_t child = 2 * at;

                if (child < timers->n &&
                    timers->heap[child]->due_usec < timers->heap[child - 1]->due_usec)
                        child++;
                if (child > timers->n || timers->heap[child - 1]->due_usec >= timer->due_usec)
                        break;
                place(timers, timers->heap[child - 1], at);
                at = child;
        }
        place(timers, timer, at);
}

void timer_clear(Timers *timers, Timer *timer) {
        size_t at = timer->at;
        Timer *last;

        if (at == 0)
                return;
        timer->at = 0;
        last = timers->heap[--timers->n];
        if (last == timer)
                return;
        if (at > 1 && timers->heap[at / 2 - 1]->due_usec > last->due_usec)
                sift_up(timers, last, at);
        else
                sift_down(timers, last, at);
}

int timer_set(Timers *timers, Timer *timer, uint64_t due_usec) {
        if (timer->at > 0 && timer->due_usec == due_usec)
                return 0;
        if (due_usec == USEC_NEVER) {
                timer_clear(timers, timer);
                return 0;
        }
        if (timer->at == 0) {
                if (timers->n == timers->n_max) {
                        size_t n_max = MAX(2 * timers->n_max, (size_t)16);
                        Timer **heap = realloc(timers->heap, n_max * sizeof(*heap));

                        if (!heap)
                                return err_origin(-ENOMEM);
                        timers->heap = heap;
                        timers->n_max = n_max;
                }
                timers->n++;
                timer->due_usec = due_usec;
                sift_up(timers, timer, timers->n);
        } else if (due_usec < timer->due_usec) {
                timer->due_usec = due_usec;
                sift_up(timers, timer, timer->at);
        } else {
                timer->due_usec = due_usec;
                sift_down(timers, timer, timer->at);
        }
        return 0;
}

uint64_t timers_due(const Timers *timers) {
        return timers->n > 0 ? timers->heap[0]->due_usec : USEC_NEVER;
}

Timer *timers_pop(Timers *timers, uint64_t now) {
        Timer *timer;

        if (timers->n == 0 || timers->heap[0]->due_usec > now)
                return NULL;
        timer = timers->heap[0];
        timer_clear(timers, timer);
        return timer;
}

void timers_done(Timers *timers) {
        free(timers->heap);
        *timers = (Timers){};
}
