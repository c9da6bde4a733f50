/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libcall/envelope.h"
#include "libcall/p2pbus-call.h"

#define FIRST P2PBUS_CALL_BAD_REQUEST

_public_ const char *p2pbus_call_status_text(uint32_t status) {
        static const char *const names[] = {
                [P2PBUS_CALL_BAD_REQUEST - FIRST] = "bad-request",
                [P2PBUS_CALL_UNKNOWN_METHOD - FIRST] = "unknown-method",
                [P2PBUS_CALL_BAD_PAYLOAD - FIRST] = "bad-payload",
                [P2PBUS_CALL_INTERNAL - FIRST] = "internal",
                [P2PBUS_CALL_CANCELLED - FIRST] = "cancelled",
                [P2PBUS_CALL_DEADLINE - FIRST] = "deadline",
                [P2PBUS_CALL_NOT_FOUND - FIRST] = "not-found",
                [P2PBUS_CALL_DENIED - FIRST] = "denied",
                [P2PBUS_CALL_BUSY - FIRST] = "busy",
                [P2PBUS_CALL_TOO_BIG - FIRST] = "too-big",
                [P2PBUS_CALL_UNAVAILABLE - FIRST] = "unavailable",
                [P2PBUS_CALL_EXISTS - FIRST] = "exists",
                [P2PBUS_CALL_UNSUPPORTED - FIRST] = "unsupported",
                [P2PBUS_CALL_FAILED - FIRST] = "failed",
        };

        if (status < FIRST || status - FIRST >= sizeof(names) / sizeof(names[0]))
                return NULL;
        return names[status - FIRST];
}
