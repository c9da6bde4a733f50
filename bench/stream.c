/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stream by a timetable: what came when, and whether all did, once and in order
 *
 * Message i is due at i / rate, whatever has become of those before. The sender never leaves one out:
 * what the system cannot take now waits, and what waits is late, since the age of a message counts
 * from when it was due, not from when the system took it. Without a rate a message is due when the
 * one before was taken. Each has its number and that time in its first bytes; both processes have the
 * same clock.
 *
 * Three kinds of lines: stream-begin when the first is due, for who wants to disturb the stream;
 * then stream, the outcome; then stream-step for each tenth of a second.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/pair.h"
#include "libcore/util.h"

#define STEP_USEC (100 * USEC_PER_MSEC)
#define SETTLE_USEC (120 * USEC_PER_SEC) /* longer than a message lives */
#define QUIET_USEC (2 * USEC_PER_SEC)    /* after all was settled: no more will come */
#define LATE_USEC (10 * USEC_PER_MSEC)

typedef struct Head {
        uint64_t number, due_usec;
} Head;

/* What the sender does, for the receiver to see: one mapping of both. */
typedef struct Sender {
        uint64_t begin_usec; /* when message 0 is due */
        uint64_t n_sent;
        uint64_t n_late; /* taken by the system more than LATE_USEC after they were due */
        uint64_t late_max_usec;
        int settled; /* what settle() returned */
        bool is_done;
} Sender;

typedef struct Step {
        uint32_t n, max_usec;
        uint64_t sum_usec;
} Step;

typedef struct Arrivals {
        uint64_t n; /* all, doubles too */
        uint64_t n_distinct, n_doubled, n_disordered;
        uint64_t next; /* one more than the highest number seen */
        uint64_t last_usec;
        uint64_t pause_usec, pause_at_usec; /* the longest, and when it began */
        uint32_t *ages;                     /* in microseconds */
        uint8_t *seen;                      /* bits by number */
        Step *steps;
        size_t ages_size, seen_size, steps_size; /* elements */
        size_t n_steps;
} Arrivals;

/* Room for element @at; what is new is zero. */
static void grow(void *array, size_t *size, size_t at, size_t element) {
        size_t n = MAX(*size, (size_t)1024);
        void *p = *(void **)array;

        if (at < *size)
                return;
        while (n <= at)
                n *= 2;
        p = realloc(p, n * element);
        if (!p)
                die("memory", -ENOMEM);
        memset((uint8_t *)p + *size * element, 0, (n - *size) * element);
        *(void **)array = p;
        *size = n;
}

static void arrivals_add(Arrivals *a, const Head *head, uint64_t begin_usec, uint64_t now) {
        uint64_t age = now > head->due_usec ? now - head->due_usec : 0;
        uint64_t before = a->n > 0 ? a->last_usec : begin_usec;
        size_t step = (size_t)((now > begin_usec ? now - begin_usec : 0) / STEP_USEC);
        uint8_t bit = (uint8_t)(1U << head->number % 8);

        grow(&a->seen, &a->seen_size, head->number / 8, sizeof(*a->seen));
        if (a->seen[head->number / 8] & bit) {
                a->n_doubled++;
        } else {
                a->seen[head->number / 8] |= bit;
                a->n_distinct++;
                a->n_disordered += head->number < a->next;
        }
        a->next = MAX(a->next, head->number + 1);

        if (now > before && now - before > a->pause_usec) {
                a->pause_usec = now - before;
                a->pause_at_usec = before - begin_usec;
        }
        a->last_usec = now;

        grow(&a->ages, &a->ages_size, a->n, sizeof(*a->ages));
        a->ages[a->n++] = (uint32_t)MIN(age, (uint64_t)UINT32_MAX);

        grow(&a->steps, &a->steps_size, step, sizeof(*a->steps));
        a->n_steps = MAX(a->n_steps, step + 1);
        a->steps[step].n++;
        a->steps[step].sum_usec += age;
        a->steps[step].max_usec = MAX(a->steps[step].max_usec, a->ages[a->n - 1]);
}

/* Whatever comes here is none of the stream: only waiting lets the system work. */
static void wait_until(Pair *p, uint64_t usec) {
        uint64_t now;

        while ((now = now_usec(CLOCK_MONOTONIC)) < usec)
                must("wait", p->plan->system->wait(p->endpoint, usec - now));
}

static void send_stream(Pair *p, Sender *sender) {
        const Plan *plan = p->plan;
        uint8_t *data = must_alloc(plan->size);
        uint64_t length = (uint64_t)(plan->seconds * (double)USEC_PER_SEC);

        for (uint64_t i = 0;; i++) {
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                Head head = { .number = i, .due_usec = now };

                if (plan->rate > 0)
                        head.due_usec = sender->begin_usec +
                                        (uint64_t)((double)i * (double)USEC_PER_SEC / plan->rate);
                if (head.due_usec >= sender->begin_usec + length)
                        break;
                wait_until(p, head.due_usec);
                memcpy(data, &head, sizeof(head));
                pair_send(p, data, plan->size);
                now = now_usec(CLOCK_MONOTONIC);
                sender->n_late += now - head.due_usec > LATE_USEC;
                sender->late_max_usec = MAX(sender->late_max_usec, now - head.due_usec);
                __atomic_store_n(&sender->n_sent, i + 1, __ATOMIC_RELEASE);
        }
        pair_flush(p);
        sender->settled = plan->system->settle(p->endpoint, SETTLE_USEC);
        __atomic_store_n(&sender->is_done, true, __ATOMIC_RELEASE);
        free(data);
}

static void receive_stream(Pair *p, const Sender *sender, Arrivals *a) {
        const Plan *plan = p->plan;
        uint8_t *data = must_alloc(plan->size + 16);
        uint64_t done_usec = 0;

        for (;;) {
                size_t size;
                int r = plan->system->poll(p->endpoint, data, plan->size + 16, &size);
                uint64_t now = now_usec(CLOCK_MONOTONIC);
                Head head;

                if (r == 0) {
                        if (size != plan->size)
                                die("a message of another size", -EBADMSG);
                        memcpy(&head, data, sizeof(head));
                        if (head.number >= UINT32_MAX)
                                die("a message that nobody sent", -EBADMSG);
                        arrivals_add(a, &head, sender->begin_usec, now);
                        continue;
                }
                if (r != -EAGAIN)
                        die("receive", r);
                /* Stay until the sender knows the fate of each: ours is the last word about it. */
                if (__atomic_load_n(&sender->is_done, __ATOMIC_ACQUIRE)) {
                        if (done_usec == 0)
                                done_usec = now;
                        if (a->n_distinct == sender->n_sent ||
                            now > MAX(done_usec, a->last_usec) + QUIET_USEC)
                                break;
                }
                must("wait", plan->system->wait(p->endpoint, 20 * USEC_PER_MSEC));
        }
        free(data);
}

static double in_s(uint64_t usec) {
        return (double)usec / 1e6;
}

static void print_arrivals(const Plan *plan, const Sender *sender, Arrivals *a) {
        double took = a->n > 0 ? in_s(a->last_usec - sender->begin_usec) : 0;

        print_head(plan, "stream");
        printf(",\"rate\":%.0f,\"seconds\":%g,\"sent\":%llu,\"received\":%llu,\"lost\":%llu,"
               "\"doubled\":%llu,\"disordered\":%llu,\"sender_told\":\"%s\"",
               plan->rate, plan->seconds, (unsigned long long)sender->n_sent,
               (unsigned long long)a->n_distinct,
               (unsigned long long)(sender->n_sent - a->n_distinct),
               (unsigned long long)a->n_doubled, (unsigned long long)a->n_disordered,
               sender->settled == 0 ? "delivered" : strerror(-sender->settled));
        qsort(a->ages, a->n, sizeof(*a->ages), pair_compare);
        if (a->n > 0)
                printf(",\"p50_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u",
                       a->ages[a->n / 2], a->ages[a->n * 99 / 100], a->ages[a->n * 999 / 1000],
                       a->ages[a->n - 1]);
        printf(",\"late\":%llu,\"late_max_us\":%llu,\"pause_us\":%llu,\"pause_at_s\":%.3f,"
               "\"took_s\":%.3f",
               (unsigned long long)sender->n_late, (unsigned long long)sender->late_max_usec,
               (unsigned long long)a->pause_usec, in_s(a->pause_at_usec), took);
        if (took > 0)
                printf(",\"msgs_per_s\":%.0f,\"mb_per_s\":%.3f", (double)a->n_distinct / took,
                       (double)a->n_distinct * (double)plan->size / took / 1e6);
        printf("}\n");
        for (size_t i = 0; i < a->n_steps; i++) {
                const Step *s = &a->steps[i];

                print_head(plan, "stream-step");
                printf(",\"at_s\":%.1f,\"arrived\":%u,\"mean_us\":%.0f,\"max_us\":%u}\n",
                       in_s(i * STEP_USEC), s->n, s->n > 0 ? (double)s->sum_usec / s->n : 0.0,
                       s->max_usec);
        }
}

void measure_stream(const Plan *plan) {
        Sender *sender;
        Arrivals arrivals = { 0 };
        uint8_t *word = must_alloc(plan->size + 16);
        Pair p;

        if (!plan->system->wait || !plan->system->settle)
                die("stream, of this system", -EOPNOTSUPP);
        if (plan->size < sizeof(Head))
                die("stream, of messages so small", -EINVAL);
        sender = mmap(NULL, sizeof(*sender), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                      0);
        if (sender == MAP_FAILED)
                die("mmap", -errno);
        p = pair_start(plan);

        /* A word in each direction: the two know the way to each other from then on. */
        if (p.is_child) {
                (void)pair_receive(&p, word);
                pair_send(&p, word, 1);
                pair_flush(&p);
                receive_stream(&p, sender, &arrivals);
                print_arrivals(plan, sender, &arrivals);
                pair_end(&p);
        }
        pair_send(&p, word, 1);
        (void)pair_receive(&p, word);
        sender->begin_usec = now_usec(CLOCK_MONOTONIC);
        print_head(plan, "stream-begin");
        printf(",\"began\":%.3f}\n", in_s(now_usec(CLOCK_REALTIME)));
        fflush(stdout);
        send_stream(&p, sender);
        pair_end(&p);
        free(word);
}
