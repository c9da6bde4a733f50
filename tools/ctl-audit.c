/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl audit: whether each message that was sent is accounted for
 *
 * In each conversation, sent = delivered + refused + expired + cancelled + unknown + queued. Both
 * sides of the sum are counted in different places of the library, as things happen; what they
 * differ by has been lost without a word, or was told twice. The lines are those of "peers".
 */

#include <inttypes.h>
#include <stdio.h>

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/output.h"

/* The fields of a line that matter here; p2pbusctl(1) has all of them. */
enum {
        PROCESS = 0,
        PROGRAM = 2,
        SAYS = 9,
        PEER = 10,
        QUEUED = 13,
        SENT = 24,
        DELIVERED,
        REFUSED,
        EXPIRED,
        CANCELLED,
        UNKNOWN,
        RECEIVED,
        TAKEN,
        _FIELDS_MAX,
};

typedef struct Audit {
        Table table;
        uint64_t difference; /* of all conversations, whichever way */
        bool is_partial;     /* somebody did not answer, or not in full */
} Audit;

static uint64_t number(const char *field) {
        return strtoull(field, NULL, 10);
}

/* Which of both is the greater does not matter: neither may be. */
static uint64_t difference(const char *const *fields) {
        uint64_t sent = number(fields[SENT]), settled = number(fields[QUEUED]);

        for (unsigned i = DELIVERED; i <= UNKNOWN; i++)
                settled += number(fields[i]);
        return sent > settled ? sent - settled : settled - sent;
}

/* Takes @line apart. */
static int add_line(Audit *audit, char *line) {
        char text[sizeof("18446744073709551615")];
        const char *fields[_FIELDS_MAX], *says, *peer;
        unsigned n = 0;

        while (line && n < _FIELDS_MAX)
                fields[n++] = strsep(&line, "\t");
        while (n < _FIELDS_MAX) /* an older daemon tells less */
                fields[n++] = "-";
        says = fields[SAYS];
        peer = fields[PEER];
        (void)snprintf(text, sizeof(text), "-");
        if (strcmp(fields[SENT], "-") != 0) {
                uint64_t n_lost = difference(fields);

                audit->difference += MIN(n_lost, UINT64_MAX - audit->difference);
                (void)snprintf(text, sizeof(text), "%" PRIu64, n_lost);
                if (number(peer) == 0 && strspn(peer, "0") == strlen(peer))
                        peer = "past";
        }
        if (strcmp(says, "silent") == 0 || strcmp(says, "garbled") == 0 || strcmp(says, "cut") == 0)
                audit->is_partial = true;
        return table_add(&audit->table,
                         (const char *[]){ fields[PROCESS], fields[PROGRAM], says, peer,
                                           fields[SENT], fields[DELIVERED], fields[REFUSED],
                                           fields[EXPIRED], fields[CANCELLED], fields[UNKNOWN],
                                           fields[QUEUED], text, fields[RECEIVED], fields[TAKEN] });
}

/* Takes @text apart, too. */
static int add_lines(Audit *audit, char *text) {
        int r = 0;

        while (r >= 0 && text && *text)
                r = add_line(audit, strsep(&text, "\n"));
        return r;
}

int ctl_audit(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "PROCESS", "full", COLUMN_FULL },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "SAYS", "report", COLUMN_TEXT },
                { "PEER", "peer", COLUMN_TEXT },
                { "SENT", "sent", COLUMN_NUMBER },
                { "DELIVERED", "delivered", COLUMN_NUMBER },
                { "REFUSED", "refused", COLUMN_NUMBER },
                { "EXPIRED", "expired", COLUMN_NUMBER },
                { "CANCELLED", "cancelled", COLUMN_NUMBER },
                { "UNKNOWN", "unknown", COLUMN_NUMBER },
                { "QUEUED", "queued", COLUMN_NUMBER },
                { "DIFFERENCE", "difference", COLUMN_NUMBER },
                { "RECEIVED", "received", COLUMN_NUMBER },
                { "TAKEN", "taken", COLUMN_NUMBER },
        };
        /* clang-format on */
        _cleanup_(freep) char *text = NULL;
        Audit audit = { 0 };
        int status;

        status = ctl_open_query(ctl, P2PBUS_QUERY_PEERS, &text);
        if (status != 0)
                return status;

        table_init(&audit.table, columns, ELEMENTSOF(columns));
        if (add_lines(&audit, text) < 0)
                status = output_print(NULL, 0);
        else
                status = ctl_print_table(ctl, &audit.table);
        table_done(&audit.table);
        if (status == STATUS_DONE && audit.difference > 0)
                return fail(STATUS_FAILED,
                            "audit: %" PRIu64 " messages are not accounted for; this is a fault of "
                            "the bus, please report it with this table",
                            audit.difference);
        if (status == STATUS_DONE && audit.is_partial)
                return fail(STATUS_FAILED, "audit: not all processes answered in full; ask again");
        return status;
}
