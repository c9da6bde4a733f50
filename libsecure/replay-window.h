/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Which counters came already, of a sender that counts its packets (after RFC 6479)
 *
 * The newest counter and a bit for each of the REPLAY_WINDOW below and including it; what is older
 * cannot be told from a replay, and counts as one. To be zeroed before use.
 */

#include <stdint.h>

#define REPLAY_WINDOW 8192
#define REPLAY_WINDOW_WORDS (REPLAY_WINDOW / 64 + 1) /* one is being emptied while it is entered */

typedef struct ReplayWindow {
        uint64_t end; /* the newest counter plus 1; 0: none came */
        uint64_t bits[REPLAY_WINDOW_WORDS];
} ReplayWindow;

enum {
        _REPLAY_WINDOW_E_SUCCESS,

        REPLAY_WINDOW_E_REPEATED,
        REPLAY_WINDOW_E_LATE,
};

/* Whether @counter may still be accepted. Return: 0, REPLAY_WINDOW_E_REPEATED, _LATE. */
int replay_window_check(const ReplayWindow *window, uint64_t counter);
/* @counter came and was verified; it is below UINT64_MAX, and replay_window_check() said 0. */
void replay_window_note(ReplayWindow *window, uint64_t counter);
