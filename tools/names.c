/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/names.h"

#include <uthash.h>

#include "tools/common.h"

#define FRESH_USEC USEC_PER_SEC
#define FRESH_LEAST_USEC (50 * USEC_PER_MSEC) /* also for unknown processes: they may be anywhere */
#define ANSWER_USEC USEC_PER_SEC

#define COLUMN_FULL 0 /* of the daemon's list */
#define COLUMN_NAMES 5

struct NamesEntry {
        char pid[P2PBUS_PID_SIZE];
        char *names; /* "-": none */
        UT_hash_handle hh;
};

void names_init(Names *names, p2pbus *bus) {
        *names = (Names){ .bus = bus };
}

static void clear(Names *names) {
        NamesEntry *entry, *next;

        HASH_ITER (hh, names->entries, entry, next) {
                HASH_DEL(names->entries, entry);
                free(entry->names);
                free(entry);
        }
}

void names_done(Names *names) {
        clear(names);
        names->bus = NULL;
}

static NamesEntry *find(const Names *names, const char *pid) {
        NamesEntry *entry;

        HASH_FIND_STR(names->entries, pid, entry);
        return entry;
}

/* Without memory a name is missing on the screen, no more. */
static void add(Names *names, const char *full, const char *list, size_t n_list) {
        NamesEntry *entry = calloc(1, sizeof(*entry));

        if (!entry)
                return;
        memcpy(entry->pid, full, P2PBUS_PID_SIZE - 1);
        entry->names = strndup(list, n_list);
        if (!entry->names || find(names, entry->pid)) {
                free(entry->names);
                free(entry);
                return;
        }
        common_make_printable(entry->names);
        HASH_ADD_STR(names->entries, pid, entry);
}

static void parse_list(Names *names, const char *text) {
        while (*text) {
                size_t n_line = strcspn(text, "\n");
                const char *field = text;
                unsigned column = COLUMN_FULL;

                while (column < COLUMN_NAMES && field < text + n_line)
                        if (*field++ == '\t')
                                column++;
                if (column == COLUMN_NAMES && strcspn(text, "\t") >= P2PBUS_PID_SIZE - 1)
                        add(names, text, field, strcspn(field, "\t\n"));
                text += n_line + (text[n_line] == '\n');
        }
}

void names_refresh(Names *names, const char *from, const char *to) {
        _cleanup_(freep) char *text = NULL;
        uint64_t now = now_usec(CLOCK_MONOTONIC);
        bool known = find(names, from) && find(names, to);
        int r;

        if (names->refused || now - names->asked_usec < (known ? FRESH_USEC : FRESH_LEAST_USEC))
                return;
        r = p2pbus_query(names->bus, P2PBUS_QUERY_LIST, ANSWER_USEC, &text);
        names->asked_usec = now_usec(CLOCK_MONOTONIC);
        if (r == -EACCES) {
                names->refused = true;
                tell(LEVEL_DEBUG, "names: not told to this user; the column stays empty");
        }
        if (r < 0)
                return;
        clear(names);
        parse_list(names, text);
}

const char *names_of(const Names *names, const char *pid) {
        NamesEntry *entry = find(names, pid);

        return entry && strcmp(entry->names, "-") != 0 ? entry->names : NULL;
}

bool names_provides(const Names *names, const char *pid, const char *name) {
        const char *list = names_of(names, pid);
        size_t n_name = strlen(name);

        for (size_t n; list && *list; list += n + (list[n] == ',')) {
                n = strcspn(list, ",");
                if (n == n_name && memcmp(list, name, n) == 0)
                        return true;
        }
        return false;
}
