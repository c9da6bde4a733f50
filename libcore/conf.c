/* SPDX-License-Identifier: Apache-2.0 */

/*
 * inih splits lines into section, key and value; read_line() stands between it and the text. It
 * counts lines, refuses what inih would silently cut (long lines, NUL), strips leading blanks,
 * which inih would take for the continuation of the line before, and looks at section headings,
 * which inih only shows together with a key.
 */

#include "config.h"

#include "libcore/conf.h"

#include <dirent.h>
#include <fcntl.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>

#include "libcore/err.h"
#include "libcore/util.h"

#define BLANKS " \t\r\n\f\v"

typedef struct Reading {
        const ConfHandler *handler;
        void *userdata;
        ConfError *error;

        const char *name;
        const char *text;
        size_t n, at;
        unsigned line;
        int result; /* the first thing that went wrong; nothing is read after it */
} Reading;

_printf_(2, 3) static int reading_fail(Reading *reading, const char *format, ...) {
        va_list args;
        int n;

        if (reading->result != 0)
                return reading->result;
        n = snprintf(reading->error->text, CONF_ERROR_MAX, "%s:%u: ", reading->name, reading->line);
        if (n > 0 && n < CONF_ERROR_MAX) {
                va_start(args, format);
                (void)vsnprintf(reading->error->text + n, (size_t)(CONF_ERROR_MAX - n), format,
                                args); /* cut off is good enough */
                va_end(args);
        }
        reading->result = CONF_E_BAD;
        return CONF_E_BAD;
}

/* Says what a handler found wrong, @what: "unknown section [X]", if it has no such thing. */
_printf_(4, 5) static void check(Reading *reading, int r, const char *reason, const char *format,
                                 ...) {
        char what[CONF_LINE_MAX];
        va_list args;

        if (r == 0)
                return;
        va_start(args, format);
        (void)vsnprintf(what, sizeof(what), format, args);
        va_end(args);
        if (r < 0)
                reading->result = err_trace(r);
        else if (r == CONF_E_UNKNOWN)
                (void)reading_fail(reading, "unknown %s", what);
        else
                (void)reading_fail(reading, "%s: %s", what, reason);
}

/* inih cares only for "[" and the next "]"; we want the heading alone on its line. */
static void check_heading(Reading *reading, char *line) {
        size_t n = strcspn(line, "]");
        const char *reason = "bad section";
        int r;

        if (line[n] != ']' || line[n + 1 + strspn(line + n + 1, BLANKS)] != '\0') {
                (void)reading_fail(reading, "malformed section heading");
                return;
        }
        line[n] = '\0';
        r = reading->handler->on_section(reading->userdata, line + 1, reading->line, &reason);
        check(reading, r, reason, "section [%s]", line + 1);
        line[n] = ']';
}

/* inih's idea of fgets(): the next line into @out, or NULL at the end and after an error. */
static char *read_line(char *out, int out_size, void *userdata) {
        Reading *reading = userdata;
        const char *line = reading->text + reading->at, *end;
        size_t n, n_skip = 0;

        if (reading->result != 0 || reading->at >= reading->n)
                return NULL;
        reading->line++;

        end = memchr(line, '\n', reading->n - reading->at);
        n = end ? (size_t)(end - line) + 1 : reading->n - reading->at;
        reading->at += n;
        if (memchr(line, '\0', n)) {
                (void)reading_fail(reading, "NUL byte");
                return NULL;
        }
        while (n_skip < n && strchr(BLANKS, line[n_skip]))
                n_skip++;
        if (n - n_skip + 1 > (size_t)out_size) {
                (void)reading_fail(reading, "line too long");
                return NULL;
        }
        memcpy(out, line + n_skip, n - n_skip);
        out[n - n_skip] = '\0';

        if (out[0] == '[')
                check_heading(reading, out);
        return reading->result == 0 ? out : NULL;
}

/* Return: 1 to go on, 0 for an error, as inih wants it. */
static int on_value(void *userdata, const char *section, const char *key, const char *value) {
        Reading *reading = userdata;
        const char *reason = "bad value";
        int r;

        if (reading->result != 0)
                return 0;
        if (section[0] == '\0') {
                (void)reading_fail(reading, "%s= stands before the first section", key);
                return 0;
        }
        r = reading->handler->on_value(reading->userdata, section, key, value, reading->line,
                                       &reason);
        if (r == CONF_E_UNKNOWN)
                check(reading, r, reason, "key %s= in section [%s]", key, section);
        else
                check(reading, r, reason, "%s=%s", key, value);
        return r == 0;
}

int conf_read_lines(const char *text, size_t n, const char *name, const ConfHandler *handler,
                    void *userdata, ConfError *ret_error) {
        Reading reading = {
                .handler = handler,
                .userdata = userdata,
                .error = ret_error,
                .name = name,
                .text = text,
                .n = n,
        };
        int line;

        ini_max_line = CONF_LINE_MAX;
        ini_allow_inline_comments = false;
        ini_allow_multiline = false;
        line = ini_parse_stream(read_line, &reading, on_value, &reading);
        if (reading.result == 0 && line != 0) {
                if (line < 0)
                        return err_origin(-ENOMEM);
                reading.line = (unsigned)line;
                return reading_fail(&reading, "neither [Section] nor Key=value");
        }
        return reading.result;
}

/* A table of options, and what it is read into. */
typedef struct Table {
        const ConfOption *options;
        size_t n_options;
        void *target;
} Table;

static int on_table_section(void *userdata, const char *section, unsigned line,
                            const char **ret_reason) {
        const Table *table = userdata;

        (void)line;
        (void)ret_reason;
        for (size_t i = 0; i < table->n_options; i++)
                if (strcmp(table->options[i].section, section) == 0)
                        return 0;
        return CONF_E_UNKNOWN;
}

static int on_table_value(void *userdata, const char *section, const char *key, const char *value,
                          unsigned line, const char **ret_reason) {
        const Table *table = userdata;

        (void)line;
        for (size_t i = 0; i < table->n_options; i++) {
                const ConfOption *option = &table->options[i];

                if (strcmp(option->section, section) == 0 && strcmp(option->key, key) == 0)
                        return option->parse(value, option, (char *)table->target + option->offset,
                                             ret_reason);
        }
        return CONF_E_UNKNOWN;
}

int conf_read(const char *text, size_t n, const char *name, const ConfOption *options,
              size_t n_options, void *target, ConfError *ret_error) {
        static const ConfHandler handler = { on_table_section, on_table_value };
        Table table = { .options = options, .n_options = n_options, .target = target };

        return conf_read_lines(text, n, name, &handler, &table, ret_error);
}

static int file_fail(ConfError *ret_error, const char *path, const char *why) {
        (void)snprintf(ret_error->text, CONF_ERROR_MAX, "%s: %s", path, why);
        return CONF_E_BAD;
}

static int read_file(const char *path, ConfMissing missing, const ConfOption *options,
                     size_t n_options, void *target, ConfError *ret_error) {
        _cleanup_(fd_closep) int fd = -EBADF;
        _cleanup_(freep) char *text = NULL;
        struct stat st;
        ssize_t n;
        size_t at = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT && missing == CONF_MISSING_FINE)
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return file_fail(ret_error, path, strerror(errno));
        if (S_ISCHR(st.st_mode)) /* a link to /dev/null hides a drop-in */
                return 0;
        if (!S_ISREG(st.st_mode))
                return file_fail(ret_error, path, "not a regular file");
        if (st.st_size > CONF_FILE_MAX)
                return file_fail(ret_error, path, "file too big");

        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return err_origin(-ENOMEM);
        while (at < (size_t)st.st_size) {
                n = read(fd, text + at, (size_t)st.st_size - at);
                if (n < 0)
                        return file_fail(ret_error, path, strerror(errno));
                if (n == 0)
                        break;
                at += (size_t)n;
        }
        return conf_read(text, at, path, options, n_options, target, ret_error);
}

static int is_drop_in(const struct dirent *entry) {
        size_t n = strlen(entry->d_name);

        return entry->d_name[0] != '.' && n > 5 && strcmp(entry->d_name + n - 5, ".conf") == 0;
}

/* By bytes: the order must not depend on the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b) {
        return strcmp((*a)->d_name, (*b)->d_name);
}

int conf_load(const char *path, ConfMissing missing, const ConfOption *options, size_t n_options,
              void *target, ConfError *ret_error) {
        _cleanup_(freep) char *folder = NULL;
        struct dirent **entries = NULL;
        int r, n;

        r = read_file(path, missing, options, n_options, target, ret_error);
        if (r != 0)
                return r;

        if (asprintf(&folder, "%s.d", path) < 0) {
                folder = NULL;
                return err_origin(-ENOMEM);
        }
        n = scandir(folder, &entries, is_drop_in, compare_names);
        if (n < 0)
                return errno == ENOENT || errno == ENOTDIR
                               ? 0
                               : file_fail(ret_error, folder, strerror(errno));
        for (int i = 0; i < n; i++) {
                _cleanup_(freep) char *file = NULL;

                if (r == 0 && asprintf(&file, "%s/%s", folder, entries[i]->d_name) < 0) {
                        file = NULL;
                        r = err_origin(-ENOMEM);
                }
                if (r == 0)
                        r = read_file(file, CONF_MISSING_FINE, options, n_options, target,
                                      ret_error);
                free(entries[i]);
        }
        free(entries);
        return r;
}

static void list_free(char **list) {
        for (char **p = list; p && *p; p++)
                free(*p);
        free(list);
}

void conf_done(const ConfOption *options, size_t n_options, void *target) {
        for (size_t i = 0; i < n_options; i++) {
                void *field = (char *)target + options[i].offset;

                if (options[i].parse == conf_parse_text) {
                        free(*(char **)field);
                        *(char **)field = NULL;
                } else if (options[i].parse == conf_parse_list) {
                        list_free(*(char ***)field);
                        *(char ***)field = NULL;
                }
        }
}

int conf_parse_bool(const char *value, const ConfOption *option, void *field,
                    const char **ret_reason) {
        static const char *const words[2][4] = { { "no", "false", "off", "0" },
                                                 { "yes", "true", "on", "1" } };

        (void)option;
        for (unsigned truth = 0; truth < 2; truth++)
                for (unsigned i = 0; i < 4; i++)
                        if (strcasecmp(value, words[truth][i]) == 0) {
                                *(bool *)field = truth;
                                return 0;
                        }
        *ret_reason = "neither yes nor no";
        return CONF_E_BAD;
}

/* Decimal digits at *@p, which is moved behind them. */
static bool read_digits(const char **p, uint64_t *ret) {
        uint64_t v = 0;

        if (**p < '0' || **p > '9')
                return false;
        for (; **p >= '0' && **p <= '9'; (*p)++)
                if (__builtin_mul_overflow(v, 10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(**p - '0'), &v))
                        return false;
        *ret = v;
        return true;
}

static int store_number(uint64_t v, const ConfOption *option, void *field,
                        const char **ret_reason) {
        if ((option->min != 0 || option->max != 0) && (v < option->min || v > option->max)) {
                *ret_reason = v < option->min ? "too small" : "too big";
                return CONF_E_BAD;
        }
        *(uint64_t *)field = v;
        return 0;
}

int conf_parse_number(const char *value, const ConfOption *option, void *field,
                      const char **ret_reason) {
        uint64_t v;

        if (!read_digits(&value, &v) || *value != '\0') {
                *ret_reason = "not a number";
                return CONF_E_BAD;
        }
        return store_number(v, option, field, ret_reason);
}

int conf_parse_size(const char *value, const ConfOption *option, void *field,
                    const char **ret_reason) {
        static const char units[] = "KMGT";
        const char *unit;
        uint64_t v;

        *ret_reason = "not a size, like 64K or 16M";
        if (!read_digits(&value, &v))
                return CONF_E_BAD;
        if (*value != '\0') {
                unit = strchr(units, *value);
                if (!unit || value[1] != '\0' ||
                    __builtin_mul_overflow(v, UINT64_C(1) << (10 * (unit - units + 1)), &v))
                        return CONF_E_BAD;
        }
        return store_number(v, option, field, ret_reason);
}

int conf_parse_time(const char *value, const ConfOption *option, void *field,
                    const char **ret_reason) {
        static const struct {
                const char *name;
                uint64_t usec;
        } units[] = {
                { "us", 1 },
                { "ms", USEC_PER_MSEC },
                { "s", USEC_PER_SEC },
                { "sec", USEC_PER_SEC },
                { "m", 60 * USEC_PER_SEC },
                { "min", 60 * USEC_PER_SEC },
                { "h", 3600 * USEC_PER_SEC },
                { "d", 24 * 3600 * USEC_PER_SEC },
        };
        uint64_t sum = 0;

        *ret_reason = "not a time, like 5s or 1min 30s";
        if (*value == '\0')
                return CONF_E_BAD;
        while (*value != '\0') {
                uint64_t v, usec = USEC_PER_SEC;
                size_t n;

                if (!read_digits(&value, &v))
                        return CONF_E_BAD;
                value += strspn(value, BLANKS);
                n = strspn(value, "abcdefghijklmnopqrstuvwxyz");
                if (n > 0) {
                        usec = 0;
                        for (unsigned i = 0; i < ELEMENTSOF(units); i++)
                                if (strlen(units[i].name) == n &&
                                    memcmp(units[i].name, value, n) == 0)
                                        usec = units[i].usec;
                        if (usec == 0)
                                return CONF_E_BAD;
                        value += n;
                }
                if (__builtin_mul_overflow(v, usec, &v) || __builtin_add_overflow(sum, v, &sum))
                        return CONF_E_BAD;
                value += strspn(value, BLANKS);
        }
        return store_number(sum, option, field, ret_reason);
}

int conf_parse_text(const char *value, const ConfOption *option, void *field,
                    const char **ret_reason) {
        char *copy = NULL;

        (void)option;
        (void)ret_reason;
        if (*value != '\0') {
                copy = strdup(value);
                if (!copy)
                        return err_origin(-ENOMEM);
        }
        free(*(char **)field);
        *(char **)field = copy;
        return 0;
}

static int list_append(char ***list, const char *word, size_t n_word) {
        size_t n = 0;
        char **grown;

        while (*list && (*list)[n])
                n++;
        grown = realloc(*list, (n + 2) * sizeof(char *));
        if (!grown)
                return err_origin(-ENOMEM);
        *list = grown;
        grown[n + 1] = NULL;
        grown[n] = strndup(word, n_word);
        return grown[n] ? 0 : err_origin(-ENOMEM);
}

int conf_parse_list(const char *value, const ConfOption *option, void *field,
                    const char **ret_reason) {
        char ***list = field;
        int r;

        (void)option;
        (void)ret_reason;
        if (*value == '\0') {
                list_free(*list);
                *list = NULL;
        }
        for (value += strspn(value, BLANKS); *value != '\0';) {
                size_t n = strcspn(value, BLANKS);

                r = list_append(list, value, n);
                if (r < 0)
                        return err_trace(r);
                value += n;
                value += strspn(value, BLANKS);
        }
        return 0;
}
