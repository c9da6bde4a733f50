/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl peers: who talks with whom, which way, and who waits
 *
 * A line a conversation, and one for each process without any. What the daemon knows of the process
 * comes first, the same on all its lines; what the process says itself comes behind. A terminal is
 * too narrow for all of it.
 */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/output.h"

#define FIELDS_BEFORE_PEER 10
#define NOBODY "0000000000000000\t"

/* Takes the lines out that are about nobody in particular: what is over is for the audit alone. */
static void drop_past(char *text) {
        char *to = text;

        while (*text) {
                size_t n = strcspn(text, "\n");
                const char *peer = text;

                n += text[n] == '\n';
                for (unsigned i = 0; peer && i < FIELDS_BEFORE_PEER; i++) {
                        peer = memchr(peer, '\t', n - (size_t)(peer - text));
                        peer = peer ? peer + 1 : NULL;
                }
                if (!peer || strncmp(peer, NOBODY, strlen(NOBODY)) != 0) {
                        memmove(to, text, n);
                        to += n;
                }
                text += n;
        }
        *to = '\0';
}

int ctl_peers(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "PROCESS", "full", COLUMN_FULL },
                { NULL, "os_pid", COLUMN_NUMBER },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "UNREAD", "queued_bytes", COLUMN_NUMBER },
                { NULL, "queued_packets", COLUMN_NUMBER },
                { NULL, "oldest_queued_age_usec", COLUMN_NUMBER },
                { NULL, "packets_in", COLUMN_NUMBER },
                { NULL, "packets_out", COLUMN_NUMBER },
                { NULL, "refused", COLUMN_NUMBER },
                { "SAYS", "report", COLUMN_TEXT },
                { "PEER", "peer", COLUMN_TEXT },
                { "PATH", "path", COLUMN_TEXT },
                { NULL, "established", COLUMN_TEXT },
                { "QUEUED", "unsettled_messages", COLUMN_NUMBER },
                { NULL, "held_bytes", COLUMN_NUMBER },
                { "WAITS-USEC", "waits_usec", COLUMN_NUMBER },
                { "RING", "ring_size", COLUMN_NUMBER },
                { "FILL-OUT", "ring_fill_out", COLUMN_NUMBER },
                { "FILL-IN", "ring_fill_in", COLUMN_NUMBER },
                { "MSG/S-OUT", "messages_out_per_second", COLUMN_NUMBER },
                { "MSG/S-IN", "messages_in_per_second", COLUMN_NUMBER },
                { "B/S-OUT", "bytes_out_per_second", COLUMN_NUMBER },
                { "B/S-IN", "bytes_in_per_second", COLUMN_NUMBER },
                { "RTT-USEC", "round_trip_usec", COLUMN_NUMBER },
        };
        /* clang-format on */
        _cleanup_(freep) char *text = NULL;
        Table table;
        int status;

        status = ctl_open_query(ctl, P2PBUS_QUERY_PEERS, &text);
        if (status != 0)
                return status;

        drop_past(text);
        table_init(&table, columns, ELEMENTSOF(columns));
        if (table_add_lines(&table, text) < 0)
                status = output_print(NULL, 0);
        else
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        return status;
}
