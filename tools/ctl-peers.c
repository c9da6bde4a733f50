/* SPDX-License-Identifier: Apache-2.0 */

/* p2pbusctl peers: what waits for each process, and what passed */

#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/output.h"

int ctl_peers(Ctl *ctl) {
        /* clang-format off */
        static const Column columns[] = {
                { "PROCESS", "full", COLUMN_TEXT },
                { "OS-PID", "os_pid", COLUMN_NUMBER },
                { "PROGRAM", "comm", COLUMN_TEXT },
                { "QUEUED-BYTES", "queued_bytes", COLUMN_NUMBER },
                { "QUEUED", "queued_packets", COLUMN_NUMBER },
                { "OLDEST-USEC", "oldest_queued_age_usec", COLUMN_NUMBER },
                { "IN", "packets_in", COLUMN_NUMBER },
                { "OUT", "packets_out", COLUMN_NUMBER },
                { "REFUSED", "refused", COLUMN_NUMBER },
        };
        /* clang-format on */
        _cleanup_(freep) char *text = NULL;
        Table table;
        int status;

        status = ctl_open(ctl, false);
        if (status == 0)
                status = ctl_query(ctl, P2PBUS_QUERY_PEERS, &text);
        if (status != 0)
                return status;

        table_init(&table, columns, ELEMENTSOF(columns));
        if (table_add_lines(&table, text) < 0)
                status = output_print(NULL, 0);
        else
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        return status;
}
