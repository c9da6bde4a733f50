/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Who may do what
 *
 * The defaults that are compiled in, as pure functions of the kernel's credentials. Names of users
 * and groups are turned into numbers when the configuration is read, never while a message is on
 * its way.
 *
 *                          own names      receive from      monitor   admin  gateway  off-host
 * system bus, everybody    user.NAME.*    same user, root   -         -      -        group p2pbus-net
 *             root         any            same user, root   headers   yes    -        group p2pbus-net
 *             p2pbus-bridge               as everybody                       yes
 * user bus, own uid        any            same user, root   full      yes    yes      yes
 *           others         as on the system bus, but none is the gateway or goes off-host
 *
 * Answers pass where questions do: between two processes of which one may send to the other,
 * records that only answer or steer a session pass in the other direction too.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POLICY_GATEWAY_USER "p2pbus-bridge"
#define POLICY_NET_GROUP "p2pbus-net"
#define POLICY_NOBODY UINT32_MAX /* an account that does not exist fits nobody */

typedef struct Policy {
        bool user_bus;
        uint32_t own_uid;
        uint32_t gateway_uid;
        uint32_t net_gid;
        uint32_t attach_gid;
        bool attach_is_narrow; /* only root, own_uid and members of attach_gid may attach */
} Policy;

/* What the kernel says of a process, once a connection. */
typedef struct Credentials {
        uint32_t os_pid;
        uint32_t uid;
        uint32_t gid;
        const uint32_t *groups; /* borrowed */
        size_t n_groups;
} Credentials;

typedef enum OwnRule {
        OWN_NOTHING,
        OWN_BELOW_USER, /* user.NAME.* */
        OWN_ANYTHING,
} OwnRule;

typedef struct Capabilities {
        bool attach;
        OwnRule own;
        uint32_t monitor; /* 0, MONITOR_HEADERS, MONITOR_FULL */
        bool admin;
        bool gateway;
        bool off_host; /* if it also asks for it */
} Capabilities;

/* Looks accounts up; may block on the name service. @attach_group may be NULL. An account that
 * does not exist is POLICY_NOBODY. */
void policy_init(Policy *policy, bool user_bus, uint32_t own_uid, const char *attach_group);
Capabilities policy_evaluate(const Policy *policy, const Credentials *credentials);
/* Whether a process of @src_uid may send what it likes to one of @dst_uid. */
bool policy_may_send(const Policy *policy, uint32_t src_uid, uint32_t dst_uid);
/* @user_name: of the account that asks, "" if it has none. */
bool policy_may_own(OwnRule rule, const char *user_name, const char *name, size_t n_name);
/* Whether the records in @payload only answer or steer: no one-way message, no request. */
bool policy_is_answer(const uint8_t *payload, size_t n_payload);
