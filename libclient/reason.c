/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/reason.h"

#include <stdarg.h>
#include <stdio.h>

#include "libclient/connection.h"
#include "libclient/message.h"
#include "libclient/p2pbus.h"
#include "libcore/control.h"

static const struct {
        int code; /* of ours; 0: none */
        int reason;
        int error;
        const char *text; /* NULL: control_code_text() */
} reasons[] = {
        { CODE_NOT_HERE, P2PBUS_REASON_NOT_HERE, EHOSTUNREACH, NULL },
        { CODE_GONE, P2PBUS_REASON_GONE, EHOSTUNREACH, NULL },
        { CODE_SETTLING, P2PBUS_REASON_SETTLING, EHOSTUNREACH, NULL },
        { CODE_NO_ROUTE, P2PBUS_REASON_NO_ROUTE, ENETUNREACH, NULL },
        { CODE_AMBIGUOUS, P2PBUS_REASON_AMBIGUOUS, EHOSTUNREACH, NULL },
        { CODE_WRONG_KEY, P2PBUS_REASON_WRONG_KEY, EHOSTUNREACH, NULL },
        { CODE_DENIED, P2PBUS_REASON_DENIED, EACCES, NULL },
        { CODE_QUOTA, P2PBUS_REASON_QUOTA, EDQUOT, NULL },
        { CODE_QUEUE_FULL, P2PBUS_REASON_QUEUE_FULL, EDQUOT, NULL },
        { CODE_TOO_BIG, P2PBUS_REASON_TOO_BIG, EMSGSIZE, NULL },
        { CODE_EXPIRED, P2PBUS_REASON_EXPIRED, ETIMEDOUT, "not delivered in time" },
        { CODE_OVERLOAD, P2PBUS_REASON_OVERLOAD, EDQUOT, NULL },
        { CODE_BUSY, P2PBUS_REASON_BUSY, EBUSY, NULL },
        { CODE_BAD_SIGNATURE, P2PBUS_REASON_BAD_SIGNATURE, EACCES, NULL },
        { CODE_BAD_CREDENTIALS, P2PBUS_REASON_BAD_CREDENTIALS, EACCES, NULL },
        { CODE_VIOLATION, P2PBUS_REASON_VIOLATION, EPROTO, NULL },
        { CODE_UNSUPPORTED, P2PBUS_REASON_UNSUPPORTED, EPROTONOSUPPORT, NULL },
        { CODE_RATE, P2PBUS_REASON_RATE, EDQUOT, NULL },
        { CODE_REPLACED, P2PBUS_REASON_REPLACED, ENOTCONN, NULL },
        { CODE_SHUTDOWN, P2PBUS_REASON_SHUTDOWN, ENOTCONN, NULL },
        { CODE_CLOCK, P2PBUS_REASON_CLOCK, EPROTO, NULL },
        { CODE_NO_PROVIDER, P2PBUS_REASON_NO_PROVIDER, ENXIO, NULL },
        { CODE_TIMEOUT, P2PBUS_REASON_TIMEOUT, ETIMEDOUT, "no answer in time" },
        { CODE_NOT_LEASED, P2PBUS_REASON_NOT_LEASED, ENETUNREACH, NULL },

        { RESULT_UNKNOWN, P2PBUS_REASON_UNKNOWN, ECONNRESET,
          "the receiver ended before it confirmed: delivered or not, nobody knows" },
        { RESULT_CANCELLED, P2PBUS_REASON_CANCELLED, ECANCELED, "cancelled" },
        { 0, P2PBUS_REASON_CLOSED, ENOTCONN, "the handle was closed" },
        { CONNECTION_E_FORKED, P2PBUS_REASON_FORKED, ECHILD,
          "opened before fork(): the keys stayed with the parent" },
        { 0, P2PBUS_REASON_BAD_DESTINATION, EINVAL, "neither a PID nor a service name" },
        { 0, P2PBUS_REASON_ERROR_REPLY, EREMOTEIO, "the receiver answered with an error" },
        { 0, P2PBUS_REASON_RESERVED, EINVAL, "no process can have this PID" },
        { 0, P2PBUS_REASON_NO_REPLY, ECONNRESET,
          "delivered, but the receiver ended without replying" },

        { CONNECTION_E_NO_SOCKET, P2PBUS_REASON_NO_SOCKET, ENOTCONN, "no such socket" },
        { CONNECTION_E_NO_LISTENER, P2PBUS_REASON_NO_LISTENER, ENOTCONN, "nobody listens there" },
        { CONNECTION_E_NO_ACCESS, P2PBUS_REASON_NO_ACCESS, ENOTCONN, "permission denied" },
        { CONNECTION_E_NOT_TRUSTED, P2PBUS_REASON_NOT_TRUSTED, ENOTCONN,
          "the listener belongs to neither root nor p2pbus nor the caller" },
        { CONNECTION_E_WRONG_USER, P2PBUS_REASON_WRONG_USER, ENOTCONN,
          "the daemon takes the caller for another user" },
        { CONNECTION_E_NOT_A_BUS, P2PBUS_REASON_NOT_A_BUS, ENOTCONN,
          "the listener is not a p2pbusd, or one of another version" },
        { CONNECTION_E_LOST, P2PBUS_REASON_LOST, ENOTCONN, "the connection to the bus was lost" },
        { CONNECTION_E_CROWDED, P2PBUS_REASON_TIMEOUT, ETIMEDOUT, "no answer in time" },
        { 0, P2PBUS_REASON_PATH_TOO_LONG, ENAMETOOLONG, "a socket path has at most 107 bytes" },

        { 0, P2PBUS_REASON_KEY_MISSING, ENOKEY, "no such key file" },
        { 0, P2PBUS_REASON_KEY_UNREADABLE, ENOKEY, "the key file cannot be read" },
        { 0, P2PBUS_REASON_KEY_OWNER, EKEYREJECTED,
          "the key file belongs to neither the caller nor root" },
        { 0, P2PBUS_REASON_KEY_MODE, EKEYREJECTED, "group or others may use the key file" },
        { 0, P2PBUS_REASON_KEY_NOT_REGULAR, EKEYREJECTED, "the key file is not a regular file" },
        { 0, P2PBUS_REASON_KEY_MALFORMED, EKEYREJECTED, "not a key file, or damaged" },
        { 0, P2PBUS_REASON_BAD_TOPIC, EINVAL, "neither a topic nor a pattern of topics" },
        { 0, P2PBUS_REASON_KNOWN_PEERS, EINVAL, "the file of known peers is damaged or unreadable" },
};

static __thread int last_reason;
static __thread char last_text[512];

int reason_of(int code) {
        if (code == 0 || code == RESULT_PENDING)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].code == code)
                        return reasons[i].reason;
        /* A code of a later version: refused, for a reason that has no name here. */
        return P2PBUS_REASON_UNSUPPORTED;
}

int reason_errno(int reason) {
        if (reason == 0)
                return 0;
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].reason == reason)
                        return -reasons[i].error;
        return -EPROTO;
}

_public_ const char *p2pbus_reason_text(int reason) {
        if (reason == 0)
                return "no failure";
        for (size_t i = 0; i < ELEMENTSOF(reasons); i++)
                if (reasons[i].reason == reason)
                        return reasons[i].text ? reasons[i].text :
                                                 control_code_text((uint16_t)reason);
        return "unknown reason";
}

_public_ const char *p2pbus_error_text(int error) {
        switch (error < 0 ? -error : error) {
        case 0:
                return "done";
        case ENOTCONN:
                return "no connection to the bus";
        case EHOSTUNREACH:
                return "no such process";
        case ENXIO:
                return "nobody provides this name";
        case ENETUNREACH:
                return "not on this host, and no way to others";
        case ETIMEDOUT:
                return "timed out";
        case EACCES:
                return "denied";
        case EDQUOT:
                return "over a limit of the bus";
        case EMSGSIZE:
                return "message too big";
        case ECONNRESET:
                return "the receiver ended before it answered";
        case ECANCELED:
                return "cancelled";
        case EAGAIN:
                return "nothing there now, or no room";
        case ECHILD:
                return "opened before fork()";
        case EINVAL:
                return "invalid argument";
        case ENOMEM:
                return "out of memory";
        case ENOKEY:
                return "no readable key file";
        case EKEYREJECTED:
                return "unsafe or malformed key file";
        case EREMOTEIO:
                return "the receiver answered with an error";
        case EBUSY:
                return "taken";
        case ENAMETOOLONG:
                return "socket path too long";
        case EEXIST:
                return "exists already";
        case ENOENT:
                return "not known";
        case EINPROGRESS:
                return "under way";
        case EMFILE:
        case ENFILE:
                return "too many open files";
        default:
                return "system failure";
        }
}

static void _printf_(2, 0) note(int reason, const char *format, va_list args) {
        last_reason = reason;
        (void)vsnprintf(last_text, sizeof(last_text), format, args); /* cut if too long */
}

int reason_fail_text(int reason, const char *format, ...) {
        va_list args;

        va_start(args, format);
        note(reason, format, args);
        va_end(args);
        return reason_errno(reason);
}

int reason_fail_errno(int error, const char *format, ...) {
        va_list args;

        va_start(args, format);
        note(0, format, args);
        va_end(args);
        return error;
}

int reason_fail(int reason) {
        return reason_fail_text(reason, "%s", p2pbus_reason_text(reason));
}

void reason_copy_text(const uint8_t *bytes, size_t n, char out[static CONTROL_TEXT_MAX + 1]) {
        n = MIN(n, (size_t)CONTROL_TEXT_MAX);
        for (size_t i = 0; i < n; i++)
                out[i] = bytes[i] < 0x20 || bytes[i] == 0x7f ? '?' : (char)bytes[i];
        out[n] = '\0';
}

int reason_fail_denied(const char *text) {
        return reason_fail_text(P2PBUS_REASON_DENIED, "%s%s%s",
                                p2pbus_reason_text(P2PBUS_REASON_DENIED), *text != '\0' ? ": " : "",
                                text);
}

int reason_fail_code(int code) {
        return reason_fail(reason_of(code));
}

int reason_fail_code_by(int code, int by) {
        int reason = reason_of(code);
        bool has_rule = code == CODE_DENIED && by == P2PBUS_BY_RECEIVER;

        if (by == P2PBUS_BY_UNKNOWN)
                return reason_fail(reason);
        return reason_fail_text(reason, "%s, says %s%s", p2pbus_reason_text(reason),
                                p2pbus_refuser_text(by),
                                has_rule ? ", whose host's log has the rule" : "");
}

_public_ const char *p2pbus_refuser_text(int refuser) {
        static const char *const texts[] = {
                "nobody",
                "this host's daemon",
                "this host's bridge",
                "a relay",
                "the other host's bridge",
                "the other host's daemon",
                "the receiver",
        };

        return refuser >= 0 && refuser < (int)ELEMENTSOF(texts) ? texts[refuser] : texts[0];
}

_public_ int p2pbus_get_reason(void) {
        return last_reason;
}

_public_ const char *p2pbus_get_explanation(void) {
        return last_text;
}
