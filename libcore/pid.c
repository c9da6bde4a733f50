/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/pid.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static int hex_value(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

/* Reads exactly @n_digits; returns what follows, or NULL. */
static const char *hex_read(const char *text, unsigned n_digits, uint64_t *ret) {
        uint64_t value = 0;

        for (unsigned i = 0; i < n_digits; i++) {
                int digit = hex_value(text[i]);

                if (digit < 0)
                        return NULL;
                value = value << 4 | (uint64_t)digit;
        }
        *ret = value;
        return text + n_digits;
}

/* Reads the PID part, plain or grouped; returns what follows, or NULL. */
static const char *pid_read(const char *text, Pid *ret) {
        uint64_t value = 0, part;
        const char *p;

        p = hex_read(text, 16, &value);
        if (p) {
                *ret = value;
                return p;
        }
        for (unsigned group = 0; group < 4; group++) {
                if (group > 0 && *text++ != '-')
                        return NULL;
                text = hex_read(text, 4, &part);
                if (!text)
                        return NULL;
                value = value << 16 | part;
        }
        *ret = value;
        return text;
}

const char *pid_format(Pid pid, char text[static PID_TEXT_SIZE]) {
        (void)snprintf(text, PID_TEXT_SIZE, "%016" PRIx64, pid); /* always fits */
        return text;
}

const char *address_format(Address address, char text[static PID_TAGGED_SIZE]) {
        if (address.tag == 0)
                return pid_format(address.pid, text);
        (void)snprintf(text, PID_TAGGED_SIZE, "%016" PRIx64 "-%08" PRIx32, address.pid, address.tag);
        return text;
}

int pid_parse(const char *text, Pid *ret) {
        Pid pid;
        const char *rest = pid_read(text, &pid);

        if (!rest || *rest != '\0')
                return PID_E_MALFORMED;
        *ret = pid;
        return 0;
}

int address_parse(const char *text, Address *ret) {
        Address address = { 0 };
        const char *rest = pid_read(text, &address.pid);
        uint64_t tag;

        if (!rest)
                return PID_E_MALFORMED;
        if (*rest == '-') {
                rest = hex_read(rest + 1, 8, &tag);
                if (!rest)
                        return PID_E_MALFORMED;
                address.tag = (uint32_t)tag;
        }
        if (*rest != '\0')
                return PID_E_MALFORMED;
        *ret = address;
        return 0;
}
