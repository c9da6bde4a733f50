/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/grant.h"

#include <stdio.h>

#include "tools/common.h"

int grant_load(Grant *grant, const char *file) {
        char line[P2PBUS_GRANT_SIZE + 16] = "";
        FILE *in = fopen(file, "re");
        bool is_read;

        if (!in)
                return fail(STATUS_FAILED, "%s: %s; name a file that p2pbusctl realm grant wrote",
                            file, strerror(errno));
        is_read = fgets(line, sizeof(line), in) != NULL;
        (void)fclose(in);
        line[strcspn(line, " \t\r\n")] = '\0';
        grant->read.struct_size = sizeof(grant->read);
        if (!is_read || strlen(line) >= sizeof(grant->text) ||
            p2pbus_grant_read(line, &grant->read) < 0)
                return fail(STATUS_FAILED,
                            "%s: it holds no grant; make one with p2pbusctl realm grant", file);
        memcpy(grant->text, line, strlen(line) + 1);
        return 0;
}

bool grant_fits(const Grant *grant, const char *name) {
        size_t n = strlen(grant->read.name);

        if (n > 2 && grant->read.name[n - 1] == '*')
                return strncmp(grant->read.name, name, n - 1) == 0;
        return strcmp(grant->read.name, name) == 0;
}
