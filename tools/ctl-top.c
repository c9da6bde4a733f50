/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl top: how the providers of names fare
 *
 * Every process that provides a name is asked p2pbus.Stats, again and again, and the difference of two
 * answers shown, over the time that the provider's own clock says. The first time there is nothing to
 * compare with: then it is since the provider began. Who does not answer is there with "-".
 */

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"
#include "tools/table.h"

#define ASK "{\"method\":\"p2pbus.Stats\"}"
#define TYPE "application/json"
#define ANSWER_USEC (2 * USEC_PER_SEC) /* at most this long is waited for all of them */
#define BUCKETS_MAX 64
#define FIELDS 7 /* of a line of the list */

/* What a provider said. */
typedef struct Sample {
        bool is_there;
        uint64_t uptime_usec, calls, errors, outstanding;
        uint64_t latency[BUCKETS_MAX], bounds[BUCKETS_MAX];
        size_t n_buckets;
} Sample;

typedef struct Provider {
        char full[P2PBUS_FULL_SIZE];
        char *names, *program;
        Sample now, before;
        bool is_asked;
        struct Provider *next;
} Provider;

/* ---- Asking ---- */

static bool get_number(const JsonValue *object, const char *name, uint64_t *ret) {
        JsonValue *value = json_get(object, name);
        bool known = value && json_value_number(value, ret);

        json_free(value);
        return known;
}

static size_t get_numbers(const JsonValue *object, const char *name, uint64_t *ret, size_t max) {
        JsonValue *list = json_get(object, name);
        size_t n = list ? json_value_size(list) : 0;

        if (n > max)
                n = 0;
        for (size_t i = 0; i < n; i++) {
                JsonValue *value = json_at(list, i);

                if (!value || !json_value_number(value, ret + i))
                        ret[i] = 0;
                json_free(value);
        }
        json_free(list);
        return n;
}

/* Others wrote it, so anything may be missing or too much. */
static void read_stats(p2pbus_message *reply, Sample *ret) {
        char why[JSON_WHY_SIZE];
        JsonValue *answer =
                json_parse(p2pbus_message_get_payload(reply), p2pbus_message_get_size(reply), why);
        JsonValue *stats =
                answer && json_value_is_object(answer) ? json_get(answer, "payload") : NULL;
        Sample sample = { 0 };

        if (stats && json_value_is_object(stats) &&
            get_number(stats, "uptime_usec", &sample.uptime_usec) &&
            get_number(stats, "calls", &sample.calls) &&
            get_number(stats, "errors", &sample.errors) &&
            get_number(stats, "outstanding", &sample.outstanding)) {
                size_t n_bounds = get_numbers(stats, "bounds_usec", sample.bounds, BUCKETS_MAX - 1);

                sample.n_buckets = get_numbers(stats, "latency", sample.latency, BUCKETS_MAX);
                if (n_bounds == 0 || n_bounds + 1 != sample.n_buckets)
                        sample.n_buckets = 0; /* no buckets, or not with a bound between them */
                sample.is_there = true;
                *ret = sample;
        }
        json_free(stats);
        json_free(answer);
}

static void on_stats(p2pbus *bus, int error, int reason, p2pbus_message *reply, void *userdata) {
        Provider *provider = userdata;

        (void)bus, (void)reason;
        provider->is_asked = false;
        if (error == 0)
                read_stats(reply, &provider->now);
}

static void ask(Ctl *ctl, Provider *provider) {
        uint64_t patience = MIN(ctl->timeout_usec, (uint64_t)ANSWER_USEC);
        p2pbus_message *message;

        provider->before = provider->now;
        provider->now = (Sample){ 0 };
        if (p2pbus_message_new(&message, ASK, strlen(ASK)) < 0)
                return;
        if (p2pbus_message_set_type(message, TYPE) >= 0 &&
            p2pbus_request_start(ctl->connection.bus, provider->full, message, patience, on_stats,
                                 provider, NULL) >= 0)
                provider->is_asked = true;
        p2pbus_message_unref(message);
}

/* ---- Who is there ---- */

static Provider *provider_free(Provider *provider) {
        free(provider->names);
        free(provider->program);
        free(provider);
        return NULL;
}

static Provider *take_known(Provider **list, const char *full) {
        for (Provider **p = list; *p; p = &(*p)->next)
                if (strcmp((*p)->full, full) == 0) {
                        Provider *found = *p;

                        *p = found->next;
                        return found;
                }
        return calloc(1, sizeof(Provider));
}

static Provider *read_line(char *line, Provider **known) {
        char *fields[FIELDS] = { 0 };
        Provider *provider;
        size_t n = 0;

        while (line && n < FIELDS)
                fields[n++] = strsep(&line, "\t");
        if (n < 6 || strcmp(fields[5], "-") == 0 || strlen(fields[0]) >= P2PBUS_FULL_SIZE)
                return NULL;
        provider = take_known(known, fields[0]);
        if (!provider)
                return NULL;
        strcpy(provider->full, fields[0]);
        free(provider->program);
        free(provider->names);
        provider->program = strdup(fields[3]);
        provider->names = strdup(fields[5]);
        if (!provider->program || !provider->names)
                return provider_free(provider);
        common_make_printable(provider->program);
        return provider;
}

/* Brings the list up to date and asks all in it. Return: 0, or the status to end with. */
static int look(Ctl *ctl, Provider **list) {
        _cleanup_(freep) char *text = NULL;
        Provider *known = *list, **end = list;
        char *next;
        int status;

        status = ctl_query(ctl, P2PBUS_QUERY_LIST, &text);
        if (status != 0)
                return status;
        *list = NULL;
        for (next = text; next && *next;) {
                Provider *provider = read_line(strsep(&next, "\n"), &known);

                if (!provider)
                        continue;
                provider->next = NULL;
                *end = provider;
                end = &provider->next;
                ask(ctl, provider);
        }
        while (known) {
                Provider *gone = known;

                known = gone->next;
                provider_free(gone);
        }
        return 0;
}

static bool is_any_asked(const Provider *list) {
        for (; list; list = list->next)
                if (list->is_asked)
                        return true;
        return false;
}

/* Return: 0, or the status to end with. */
static int wait_for(Ctl *ctl, const Provider *list) {
        while (is_any_asked(list)) {
                int r = p2pbus_wait(ctl->connection.bus, P2PBUS_FOREVER);

                if (r < 0)
                        return connection_fail(&ctl->connection, "bus",
                                               p2pbus_get_socket(ctl->connection.bus), r,
                                               p2pbus_get_reason(), NULL);
        }
        return 0;
}

/* ---- Showing ---- */

/* What was before counts only if it is the same provider's, which only counts up. */
static Sample difference(const Provider *provider) {
        const Sample *before = &provider->before;
        Sample d = provider->now;

        if (!before->is_there || before->uptime_usec >= d.uptime_usec || before->calls > d.calls ||
            before->errors > d.errors || before->n_buckets != d.n_buckets)
                return d;
        d.uptime_usec -= before->uptime_usec;
        d.calls -= before->calls;
        d.errors -= before->errors;
        for (size_t i = 0; i < d.n_buckets; i++)
                d.latency[i] -= MIN(d.latency[i], before->latency[i]);
        return d;
}

/* The upper bound of the bucket that @percent of the calls do not pass; "-": there were none. */
static void format_quantile(const Sample *d, unsigned percent, char text[static 32]) {
        uint64_t total = 0, seen = 0;

        for (size_t i = 0; i < d->n_buckets; i++)
                total += MIN(d->latency[i], UINT64_MAX / 1000 / BUCKETS_MAX);
        strcpy(text, "-");
        for (size_t i = 0; total > 0 && i < d->n_buckets; i++) {
                seen += MIN(d->latency[i], UINT64_MAX / 1000 / BUCKETS_MAX);
                if (seen * 100 < total * percent)
                        continue;
                /* The last has no bound; what is said is that it is more than the one before. */
                (void)snprintf(text, 32, "%" PRIu64, d->bounds[i < d->n_buckets - 1 ? i : i - 1]);
                return;
        }
}

static void format_rate(uint64_t n, uint64_t usec, char text[static 32]) {
        double rate = usec > 0 ? (double)n * (double)USEC_PER_SEC / (double)usec : 0;

        (void)snprintf(text, 32, rate < 10 ? "%.2f" : "%.0f", rate);
}

static int add_row(Table *table, const Provider *provider) {
        char calls[32], errors[32], outstanding[32], p50[32], p99[32];
        const char *cells[] = {
                provider->names, provider->full, provider->program, NULL, NULL, NULL, NULL, NULL
        };
        Sample d = difference(provider);

        if (d.is_there) {
                format_rate(d.calls, d.uptime_usec, calls);
                format_rate(d.errors, d.uptime_usec, errors);
                (void)snprintf(outstanding, sizeof(outstanding), "%" PRIu64, d.outstanding);
                format_quantile(&d, 50, p50);
                format_quantile(&d, 99, p99);
                cells[3] = calls;
                cells[4] = errors;
                cells[5] = outstanding;
                cells[6] = p50;
                cells[7] = p99;
        }
        return table_add(table, cells);
}

/* Return: 0, or the status to end with. */
static int show(Ctl *ctl, const Provider *list, bool first) {
        /* clang-format off */
        static const Column columns[] = {
                { "NAMES", "names", COLUMN_WORDS },
                { "PROCESS", "full", COLUMN_FULL },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "CALLS/S", "calls_per_second", COLUMN_REAL },
                { "ERRORS/S", "errors_per_second", COLUMN_REAL },
                { "OUTSTANDING", "outstanding", COLUMN_NUMBER },
                { "P50 US", "p50_usec", COLUMN_NUMBER },
                { "P99 US", "p99_usec", COLUMN_NUMBER },
        };
        /* clang-format on */
        bool terminal = isatty(STDOUT_FILENO);
        Table table;
        int r = 0, status;

        table_init(&table, columns, ELEMENTSOF(columns));
        for (; r == 0 && list; list = list->next)
                r = add_row(&table, list);
        if (r < 0)
                status = output_print(NULL, 0);
        else {
                const char *between = terminal ? "\033[H\033[2J" : "\n";
                bool is_needed = !ctl->options.json && (terminal ? ctl->count != 1 : !first);

                status = is_needed ? output_print(strdup(between), strlen(between)) : 0;
                if (status == 0)
                        status = ctl_print_table(ctl, &table);
        }
        table_done(&table);
        return status;
}

int ctl_top(Ctl *ctl) {
        uint64_t n = ctl->options.json ? 2 : ctl->count_given ? ctl->count : UINT64_MAX;
        Provider *list = NULL;
        int status;

        status = ctl_open(ctl, false);
        for (uint64_t i = 0; status == 0 && i < n; i++) {
                uint64_t due = deadline_after(ctl->interval_usec);

                status = look(ctl, &list);
                if (status == 0)
                        status = wait_for(ctl, list);
                if (status == 0 && (!ctl->options.json || i == n - 1))
                        status = show(ctl, list, i == 0);
                if (status != 0 || i == n - 1)
                        break;
                for (uint64_t now; status == 0 && (now = now_usec(CLOCK_MONOTONIC)) < due;) {
                        int r = p2pbus_wait(ctl->connection.bus, due - now);

                        if (r < 0 && r != -ETIMEDOUT)
                                status = connection_fail(&ctl->connection, "bus",
                                                         p2pbus_get_socket(ctl->connection.bus), r,
                                                         p2pbus_get_reason(), NULL);
                }
        }
        if (ctl->connection.bus)
                p2pbus_close(ctl->connection.bus); /* nobody is called back any more */
        while (list) {
                Provider *provider = list;

                list = provider->next;
                provider_free(provider);
        }
        return status;
}
