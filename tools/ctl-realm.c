/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl realm: the key of a realm, and what it grants; needs no bus
 *
 * A realm is whoever has its key: hosts that name it as RealmKey= believe whom it grants a name. The key
 * is a key like any other, and best kept where no bus is.
 */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "libclient/p2pbus.h"
#include "tools/common.h"
#include "tools/connection.h"
#include "tools/ctl.h"
#include "tools/grant.h"
#include "tools/json.h"
#include "tools/output.h"

#define DAY_USEC (UINT64_C(24) * 3600 * USEC_PER_SEC)

static int keygen(Ctl *ctl) {
        if (ctl->realm.is_given)
                return fail(STATUS_USAGE, "realm keygen: has no options; leave them out");
        ctl->operands++;
        return ctl_keygen(ctl);
}

static int grant(const Ctl *ctl) {
        const CtlRealm *realm = &ctl->realm;
        char line[P2PBUS_GRANT_SIZE + 1];
        size_t n;
        int r;

        if (!realm->key)
                return fail(STATUS_USAGE, "--realm-key: missing; name the file of the realm's key");
        if (!realm->name)
                return fail(STATUS_USAGE, "--name: missing; write which name is granted, or "
                                          "demo.* for all below demo");
        r = p2pbus_grant_sign(realm->key, ctl->operands[1], realm->name, realm->days * DAY_USEC,
                              line);
        if (r == -EINVAL)
                return fail(STATUS_USAGE, "realm grant: %s", p2pbus_get_explanation());
        if (r < 0)
                return connection_fail_key(realm->key, r, p2pbus_get_reason());
        n = strlen(line);
        line[n++] = '\n';
        return output_print(strndup(line, n), n);
}

static void put_date(char text[static 32], uint64_t usec) {
        time_t seconds = (time_t)(usec / USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&seconds, &tm) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
                text[0] = '\0';
}

static int show(const Ctl *ctl) {
        Grant found = { .text = "" };
        char issued[32], ends[32], *text = NULL;
        JsonValue *object;
        size_t n = 0;
        int status, length;

        if (ctl->realm.is_given)
                return fail(STATUS_USAGE, "realm show: has no options of its own; leave them out");
        status = grant_load(&found, ctl->operands[1]);
        if (status != 0)
                return status;
        put_date(issued, found.read.issued_usec);
        put_date(ends, found.read.not_after_usec);
        if (ctl->options.json) {
                object = json_begin();
                json_add_text(object, "realm", found.read.realm);
                json_add_text(object, "subject", found.read.subject);
                json_add_text(object, "name", found.read.name);
                json_add_text(object, "issued", issued);
                json_add_text(object, "not_after", ends);
                text = json_finish(object, &n);
        } else {
                length = asprintf(
                        &text, "realm\t%s\nsubject\t%s\nname\t%s\nissued\t%s\nnot_after\t%s\n",
                        found.read.realm, found.read.subject, found.read.name, issued, ends);
                if (length < 0)
                        text = NULL;
                else
                        n = (size_t)length;
        }
        return output_print(text, n);
}

int ctl_realm(Ctl *ctl) {
        const char *what = ctl->operands[0];

        if (ctl->n_operands < 2)
                return fail(STATUS_USAGE, "realm: an operand is missing; the usage is p2pbusctl "
                                          "realm keygen|grant|show FILE|FULL");
        if (strcmp(what, "keygen") == 0)
                return keygen(ctl);
        if (strcmp(what, "grant") == 0)
                return grant(ctl);
        if (strcmp(what, "show") == 0)
                return show(ctl);
        return fail(STATUS_USAGE, "realm %s: keygen, grant or show", what);
}
