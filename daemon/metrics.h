/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/* What the daemon counts, as OpenMetrics text: an answer to QUERY, for p2pbusctl metrics */

#include <stdio.h>

#include "daemon/manager.h"

/* @out is memory: nothing else can fail, and fclose() tells. */
void metrics_write(FILE *out, const Manager *manager);
