/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * p2pbusd.conf, and where things are by default
 *
 * [Bus]
 * MaxMessage=64M         largest message, told to every process when it attaches
 * AttachGroup=           only root, the daemon's user and members of this group may attach
 * AttachTimeout=5s       from connect to a verified ATTACH
 * SettleTime=5s          how long a daemon counts as young: what it does not know yet is SETTLING
 * LeaseTime=1h           life of leases it asks for (2s to 24h)
 * Rings=yes              processes may have rings
 * RingTimeout=5s         from the offer of a ring to its answer
 * [Names]                whom on other hosts to believe that they provide a name
 * Pin=                   NAME FULL: that key does; many
 * RealmKey=              keys that grant names
 * TrustNames=granted     pinned: only those of Pin=; any: everybody, for development
 * [Limits]               per uid, root 8 times as much; on a user bus only ConnectionQueue,
 *                        Descriptors, Memory and what the limit of open files leaves count
 * Connections=256        attached or not
 * Unattached=32          connected, not yet attached
 * AttachRate=50          verified attaches a second
 * AttachBurst=200        so many more at once
 * QueueBytes=16M         in the queues of this uid's processes, over all
 * QueueMessages=16384
 * ConnectionQueue=4M     in the queue of one process; at most a quarter of QueueBytes; no factor
 * Descriptors=64         in those queues
 * Names=64
 * Requests=4096          questions that wait for the gateway
 * Leases=256
 * Rings=256              pairs of processes
 * RingBytes=64M          in the files that its processes have made for them
 * Memory=512M            in all queues of all users
 */

#include <stdbool.h>
#include <stdint.h>

#include "daemon/name-trust.h"
#include "daemon/policy-folder.h"
#include "daemon/quota.h"
#include "libcore/conf.h"

typedef struct Config {
        uint64_t max_message;
        char *attach_group;
        uint64_t attach_timeout_usec;
        uint64_t settle_usec;
        uint64_t lease_usec;
        bool rings;
        uint64_t ring_timeout_usec;
        uint64_t connection_queue;
        char **pins, **realm_keys, **trust_names;
        NameTrust trust;    /* of these */
        QuotaLimits limits; /* per_user is not a matter of the file */
} Config;

/* Files and folders of one bus; all on the heap. */
typedef struct Paths {
        char *socket;
        char *config; /* NULL: none is read */
        char *state;
        char *policy[POLICY_FOLDERS_MAX]; /* the weakest first */
        bool policy_is_named;             /* by the user: policy[0] alone, which has to be there */
} Paths;

/* The defaults of the table above. */
void config_init(Config *config);
void config_done(Config *config);
/*
 * Replaces @config, which was initialised, by what @path and its drop-ins say, or leaves it as it
 * was. Return: 0; CONF_E_BAD with @ret_error; -ENOMEM.
 */
int config_load(Config *config, const char *path, ConfMissing missing, ConfError *ret_error);
/* As a file that says the same. */
void config_write(FILE *out, const Config *config);

/*
 * Fills in what the user did not name: @paths' members that are NULL. A user bus takes them from
 * XDG_RUNTIME_DIR, XDG_CONFIG_HOME and XDG_STATE_HOME; if it cannot, @ret_missing names the
 * variable. Return: 0, -ENOMEM, -ENOENT.
 */
int paths_fill(Paths *paths, bool user_bus, const char **ret_missing);
void paths_done(Paths *paths);
