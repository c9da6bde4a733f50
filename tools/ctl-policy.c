/* SPDX-License-Identifier: Apache-2.0 */

/*
 * p2pbusctl policy explain: what policy says of somebody, and which line of which file says so
 *
 * The daemon answers for a process as it would attach; which groups a user is in is asked here, of the
 * name service, for the daemon does not wait for that.
 */

#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <unistd.h>

#include "tools/argument.h"
#include "tools/common.h"
#include "tools/ctl.h"
#include "tools/json.h"
#include "tools/output.h"

#define GROUPS_MAX 128 /* more than the daemon reads */

/* A line WORD TAB VALUE each. */
static void add_line(FILE *out, const char *word, const char *value) {
        (void)fprintf(out, "%s\t%s\n", word, value);
}

static int add_user(FILE *out, const char *user) {
        gid_t groups[GROUPS_MAX];
        const struct passwd *account;
        int n_groups = GROUPS_MAX;
        uint64_t uid;

        account = getpwnam(user);
        if (!account && argument_count(user, 0, UINT32_MAX - 1, &uid) == 0) {
                account = getpwuid((uid_t)uid);
                if (!account) { /* a number without an account has no groups, either */
                        (void)fprintf(out, "uid\t%s\n", user);
                        return 0;
                }
        }
        if (!account)
                return fail(STATUS_USAGE, "--uid %s: no such user; write a name or a number", user);
        (void)fprintf(out, "uid\t%u\ngid\t%u\naccount\t%s\ngroups\t", account->pw_uid,
                      account->pw_gid, account->pw_name);
        if (getgrouplist(account->pw_name, account->pw_gid, groups, &n_groups) < 0)
                n_groups = GROUPS_MAX;
        for (int i = 0; i < n_groups; i++)
                (void)fprintf(out, "%s%u", i > 0 ? " " : "", groups[i]);
        (void)fputc('\n', out);
        return 0;
}

/* Of whoever calls, if others than the daemon knows them are asked about. */
static int add_whom(FILE *out, const CtlPolicy *policy) {
        char self[16];

        if (policy->user)
                return add_user(out, policy->user);
        if (!policy->key && !policy->unit)
                return 0;
        (void)snprintf(self, sizeof(self), "%u", getuid());
        return add_user(out, self);
}

static char *make_question(const CtlPolicy *policy, int *ret_status) {
        char *text = NULL;
        size_t n = 0;
        FILE *out = open_memstream(&text, &n);

        *ret_status = out ? add_whom(out, policy) : STATUS_FAILED;
        if (!out)
                return NULL;
        if (policy->key)
                add_line(out, "key", policy->key);
        if (policy->unit)
                add_line(out, "unit", policy->unit);
        if (policy->question)
                add_line(out, policy->question, policy->value ? policy->value : "");
        if (fclose(out) != 0)
                *ret_status = STATUS_FAILED;
        return text;
}

static int print_answer(const Ctl *ctl, char *text) {
        bool is_allowed = strncmp(text, "allowed\t", 8) == 0;
        char *place = strchr(text, '\t'), *rule = place ? strchr(place + 1, '\t') : NULL;
        JsonValue *object;
        char *line = NULL;
        size_t n;
        int status;

        if (!rule)
                return fail(STATUS_FAILED, "policy: the daemon says something else; use programs "
                                           "of one version");
        *place++ = '\0';
        *rule++ = '\0';
        rule[strcspn(rule, "\n")] = '\0';
        if (ctl->options.json) {
                object = json_begin();
                json_add_flag(object, "allowed", is_allowed);
                json_add_text(object, "place", strcmp(place, "-") == 0 ? NULL : place);
                json_add_text(object, "rule", rule);
                line = json_finish(object, &n);
        } else {
                common_make_printable(place);
                common_make_printable(rule);
                n = 0;
                if (asprintf(&line, "%s\t%s\t%s\n", text, place, rule) < 0)
                        line = NULL;
                else
                        n = strlen(line);
        }
        status = output_print(line, n);
        return status == STATUS_DONE && !is_allowed ? STATUS_REFUSED : status;
}

static int print_all(const Ctl *ctl, const char *text) {
        static const Column columns[] = {
                { "SECTION", "section", COLUMN_TEXT },
                { "KEY", "key", COLUMN_TEXT },
                { "VALUE", "value", COLUMN_TEXT },
                { "PLACE", "place", COLUMN_TEXT },
        };
        Table table;
        int status = STATUS_FAILED;

        table_init(&table, columns, sizeof(columns) / sizeof(columns[0]));
        if (table_add_lines(&table, text) == 0)
                status = ctl_print_table(ctl, &table);
        table_done(&table);
        return status;
}

int ctl_policy(Ctl *ctl) {
        _cleanup_(freep) char *question = NULL;
        _cleanup_(freep) char *text = NULL;
        int r, status;

        if (strcmp(ctl->operands[0], "explain") != 0)
                return fail(STATUS_USAGE, "policy %s: no such verb; write p2pbusctl policy explain",
                            ctl->operands[0]);
        question = make_question(&ctl->policy, &status);
        if (status == 0 && !question)
                status = STATUS_FAILED;
        if (status == 0)
                status = ctl_open(ctl, false);
        if (status != 0)
                return status;
        r = p2pbus_explain(ctl->connection.bus, question, ctl->timeout_usec, &text);
        if (r == -EPROTONOSUPPORT)
                return fail(STATUS_USAGE,
                            "policy: %s is not what can be asked like this; see "
                            "p2pbusctl(1)",
                            ctl->policy.value ? ctl->policy.value : "that");
        if (r < 0)
                return connection_fail(&ctl->connection, "policy", ctl->policy.value, r,
                                       p2pbus_get_reason(), NULL);
        return ctl->policy.question ? print_answer(ctl, text) : print_all(ctl, text);
}
