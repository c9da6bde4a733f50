/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * p2pbusctl: one verb a file, one line a verb in the table of ctl.c
 *
 * A verb gets the options and its operands, whose number was checked, and returns the exit status
 * after having said why if that is not 0. Verbs block in the library; a signal ends them on the
 * spot.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/connection.h"
#include "tools/options.h"
#include "tools/table.h"

/* What policy explain is to explain. */
typedef struct CtlPolicy {
        const char *user, *key, *unit;      /* of whom; NULL: not said */
        const char *question, *value;       /* p2pbus_explain()'s words; NULL: everything */
        bool is_given;
} CtlPolicy;

/* What a realm grants. */
typedef struct CtlRealm {
        const char *key, *name;
        uint64_t days;
        bool is_given; /* any of them */
} CtlRealm;

typedef struct Ctl {
        Options options;
        Connection connection;
        uint64_t timeout_usec;  /* -t, never 0 */
        bool timeout_given;
        uint64_t count;         /* -c */
        bool count_given;
        uint64_t interval_usec; /* -i */
        CtlPolicy policy;
        CtlRealm realm;
        char **operands;
        size_t n_operands;
} Ctl;

int ctl_status(Ctl *ctl);
int ctl_list(Ctl *ctl);
int ctl_resolve(Ctl *ctl);
int ctl_ping(Ctl *ctl);
int ctl_keygen(Ctl *ctl);
int ctl_id(Ctl *ctl);
int ctl_peers(Ctl *ctl);
int ctl_audit(Ctl *ctl);
int ctl_call(Ctl *ctl);
int ctl_forget(Ctl *ctl);
int ctl_policy(Ctl *ctl);
int ctl_realm(Ctl *ctl);
int ctl_reload(Ctl *ctl);
int ctl_services(Ctl *ctl);
int ctl_top(Ctl *ctl);
int ctl_watch(Ctl *ctl);
int ctl_metrics(Ctl *ctl);
int ctl_show_config(Ctl *ctl);

/* For verbs: attaches; with @off_host as a process that may send to other hosts, unless --local. */
int ctl_open(Ctl *ctl, bool off_host);
/* Refuses what is no destination. Return: -1 to go on, else the status to end with. */
int ctl_check_destination(const char *dest);
/* Asks the daemon (P2PBUS_QUERY_X). Return: 0, or the status to end with. */
int ctl_query(Ctl *ctl, int kind, char **ret_text);
/* The same for a verb that needs nothing else: attaches first. */
int ctl_open_query(Ctl *ctl, int kind, char **ret_text);
/*
 * Such a verb: prints what is said to @kind as it is, or with --json as @format_json makes it, who may
 * write into @text. Return: the status to end with.
 */
int ctl_print_query(Ctl *ctl, int kind, char *(*format_json)(char *text, size_t *ret_n));
/* Writes @table in the form that stdout and --json ask for. Return: the status to end with. */
int ctl_print_table(const Ctl *ctl, const Table *table);
/* The full form of a key, alone or as JSON with @file. Return: the status to end with. */
int ctl_print_key(const Ctl *ctl, const char *file, const char *full);
