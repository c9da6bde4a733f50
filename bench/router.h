/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What goes over the bare router's sockets: this header, then size - 16 bytes. On connecting, the
 * router says the client's number in four bytes.
 */

#include <stdint.h>

typedef struct RouterHeader {
        uint32_t size;
        uint32_t from;
        uint32_t to;
        uint32_t zero;
} RouterHeader;
