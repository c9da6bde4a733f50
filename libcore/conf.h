/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Configuration files of the daemons
 *
 * INI as systemd writes it: [Section], Key=value, comments on lines of their own that begin with #
 * or ;. A file is read, then its drop-ins FILE.d/NAME.conf in the order of their names; what comes
 * later wins, lists append, and an empty list value empties the list. What a program understands
 * is one table of options; anything else in a file is an error that names file, line and reason,
 * for a misspelt limit must not pass as the default.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_FILE_MAX (1024 * 1024) /* bytes of one file */
#define CONF_LINE_MAX 4096
#define CONF_ERROR_MAX 512

typedef struct ConfOption ConfOption;

/*
 * Reads @value, never NULL and without surrounding blanks, into @field. Numbers are uint64_t,
 * flags bool, texts char * and lists char ** that end in NULL, both on the heap.
 * Return: 0; CONF_E_BAD and a reason in @ret_reason, a string constant; -ENOMEM.
 */
typedef int ConfParse(const char *value, const ConfOption *option, void *field,
                      const char **ret_reason);

struct ConfOption {
        const char *section;
        const char *key;
        ConfParse *parse;
        size_t offset;     /* of the field in the target */
        uint64_t min, max; /* of numbers; both 0: any */
};

/* "/etc/p2pbus/p2pbusd.conf:12: unknown key Foo= in section [Bus]" */
typedef struct ConfError {
        char text[CONF_ERROR_MAX];
} ConfError;

typedef enum ConfMissing {
        CONF_MISSING_FINE, /* the default file: defaults hold, drop-ins are read */
        CONF_MISSING_BAD,  /* the user named it */
} ConfMissing;

enum {
        _CONF_E_SUCCESS,

        CONF_E_BAD, /* the file cannot be read, or something in it is wrong: @ret_error says what */
        CONF_E_UNKNOWN, /* a ConfHandler has no such section or key */
};

/*
 * What takes a file as it comes, for those that are more than a table of options. Both return 0;
 * CONF_E_BAD and a reason in @ret_reason, a text that outlives the call; CONF_E_UNKNOWN; -ENOMEM.
 */
typedef struct ConfHandler {
        int (*on_section)(void *userdata, const char *section, unsigned line,
                          const char **ret_reason);
        int (*on_value)(void *userdata, const char *section, const char *key, const char *value,
                        unsigned line, const char **ret_reason);
} ConfHandler;

/*
 * Reads @path and its drop-ins into @target, which holds the defaults and is half-changed on
 * failure: give it a copy. Return: 0, CONF_E_BAD, -ENOMEM.
 */
int conf_load(const char *path, ConfMissing missing, const ConfOption *options, size_t n_options,
              void *target, ConfError *ret_error);
/* The same of @n bytes of text; @name stands for the file in errors. */
int conf_read(const char *text, size_t n, const char *name, const ConfOption *options,
              size_t n_options, void *target, ConfError *ret_error);
/* The same, given to @handler line by line. */
int conf_read_lines(const char *text, size_t n, const char *name, const ConfHandler *handler,
                    void *userdata, ConfError *ret_error);
/*
 * Writes @target as a file that conf_read() reads the same from: all options, in the order of their
 * table. An option with a parser of its own is a list.
 */
void conf_write(FILE *out, const ConfOption *options, size_t n_options, const void *target);
/* Frees texts and lists. */
void conf_done(const ConfOption *options, size_t n_options, void *target);

ConfParse conf_parse_bool;   /* yes, no, true, false, on, off, 1, 0 */
ConfParse conf_parse_number; /* decimal */
ConfParse conf_parse_size;   /* bytes; K, M, G, T are powers of 1024 */
ConfParse conf_parse_time;   /* into microseconds; "5s", "1min 30s", "100ms"; no unit: seconds */
ConfParse conf_parse_text;   /* one value; empty: NULL */
ConfParse conf_parse_list;   /* words between blanks */
