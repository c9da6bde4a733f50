/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What the relay tells plain HTTP clients: /healthz for load balancers, /metrics for Prometheus
 * (OpenMetrics text). Neither names a peer.
 */

#include "libws/ws.h"
#include "relay/link.h"

/* Fills @reply for GET @path; leaves it as it is for a path that is not there. */
void http_answer(const RelayShared *shared, const char *path, WsReply *reply);
