/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Names to addresses without stopping the loop
 *
 * getaddrinfo() may wait for seconds and libwebsockets would call it on the loop. So a thread of
 * its own does it and hands the result over a pipe that the sd-event watches. Whoever loses
 * interest just frees the query: the thread ends when the resolver lets it, and nothing waits for
 * that, at exit neither.
 */

#include <sys/socket.h>
#include <systemd/sd-event.h>

#include "libcore/util.h"

#define RESOLVE_ADDRESSES_MAX 8

typedef struct ResolveQuery ResolveQuery;

typedef struct ResolveResult {
        size_t n;
        struct sockaddr_storage addresses[RESOLVE_ADDRESSES_MAX]; /* best first, ports set */
        const char *error; /* why there are none; static text */
} ResolveResult;

/* Called once, from the loop; @result lives until it returns. The query may be freed inside. */
typedef void (*ResolveFunc)(const ResolveResult *result, void *userdata);

/*
 * Starts to resolve @host, which may be a numeric address (no thread then, but still no callback
 * before this returns). Return: 0, -errno.
 */
int resolve_query_new(ResolveQuery **ret, sd_event *event, const char *host, uint16_t port,
                      ResolveFunc on_resolved, void *userdata);
/* Accepts NULL; no callback after it. Return: NULL. */
ResolveQuery *resolve_query_free(ResolveQuery *query);
DEFINE_CLEANUP(ResolveQuery, resolve_query_free)
