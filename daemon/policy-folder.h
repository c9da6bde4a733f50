/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Where policy files come from
 *
 * Layers, the later the stronger: what is compiled in, then each folder. A file NAME.policy masks one of
 * the same name in the layers below it; a link to /dev/null there is no file at all. All that is left is
 * read in the order of names, each file followed by its drop-ins, DIR/NAME.policy.d/X.conf of all
 * layers, which mask each other in the same way.
 *
 * Whoever can write such a file decides who may do what: so files and folders that belong to somebody
 * else, or that others may write, are errors, and so are links.
 */

#include "daemon/policy-book.h"
#include "libcore/log.h"

#define POLICY_FOLDERS_MAX 3
#define POLICY_FILES_MAX 1024 /* in all folders, drop-ins not counted */

typedef struct PolicyFolders {
        const char *paths[POLICY_FOLDERS_MAX]; /* the weakest first; NULL: none; need not exist */
        bool is_own_fine; /* files of the daemon's own user count, besides root's */
} PolicyFolders;

/*
 * Reads all into @book, which is empty, and finishes it. @log may be NULL: what is no error but looks
 * like one is not said then. Return: 0; CONF_E_BAD with @ret_error; -ENOMEM.
 */
int policy_folders_read(const PolicyFolders *folders, PolicyBook *book, const Log *log,
                        ConfError *ret_error);

/* What is compiled in: the files of daemon/policy.d. Ends in one whose name is NULL. */
typedef struct BuiltinPolicy {
        const char *name;
        const char *text;
} BuiltinPolicy;

extern const BuiltinPolicy builtin_policies[];
