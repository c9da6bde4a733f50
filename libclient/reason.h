/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Why a call failed, as users see it
 *
 * The one place where ControlCodes, RESULT_X and CONNECTION_E_X become the -errno and the
 * P2PBUS_REASON_X of p2pbus.h, and where a thread's last failure is kept.
 */

#include <stdint.h>

#include "libcore/control.h"
#include "libcore/util.h"

/* P2PBUS_REASON_X of a ControlCode, RESULT_X or CONNECTION_E_X; 0 for 0 and RESULT_PENDING. */
int reason_of(int code);
/* -errno of a P2PBUS_REASON_X; 0 for 0. */
int reason_errno(int reason);

/* Notes a failure and returns its -errno: `return reason_fail(P2PBUS_REASON_X);` */
int reason_fail(int reason);
/* The same for a ControlCode and the like. */
int reason_fail_code(int code);
/* Denied, by the rule @text; "": it is not told. */
int reason_fail_denied(const char *text);
/* The same with who refused, P2PBUS_BY_X. */
int reason_fail_code_by(int code, int by);
/* The same with the particulars, in place of the reason's own text. */
int reason_fail_text(int reason, const char *format, ...) _printf_(2, 3);
/* What the daemon says to people, into a text of our own: nothing in it drives a terminal. */
void reason_copy_text(const uint8_t *bytes, size_t n, char out[static CONTROL_TEXT_MAX + 1]);
/* For failures that are none of these, -EINVAL and -ENOMEM, with a text; returns @error. */
int reason_fail_errno(int error, const char *format, ...) _printf_(2, 3);
