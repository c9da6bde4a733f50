/* SPDX-License-Identifier: Apache-2.0 */

/* The build makes the table of the files in daemon/policy.d, which are installed as well. */

#include "daemon/policy-folder.h"

const BuiltinPolicy builtin_policies[] = {
#include "daemon/builtin-policies.inc"
        { NULL, NULL },
};
