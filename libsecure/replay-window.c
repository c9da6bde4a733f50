/* SPDX-License-Identifier: Apache-2.0 */

#include "libsecure/replay-window.h"

static uint64_t *word_of(ReplayWindow *window, uint64_t counter) {
        return &window->bits[counter / 64 % REPLAY_WINDOW_WORDS];
}

int replay_window_check(const ReplayWindow *window, uint64_t counter) {
        if (counter >= window->end)
                return 0;
        if (window->end - counter > REPLAY_WINDOW)
                return REPLAY_WINDOW_E_LATE;
        if (window->bits[counter / 64 % REPLAY_WINDOW_WORDS] >> counter % 64 & 1)
                return REPLAY_WINDOW_E_REPEATED;
        return 0;
}

void replay_window_note(ReplayWindow *window, uint64_t counter) {
        if (counter >= window->end) {
                /* The word of the newest was entered before, the one of @counter is entered now. */
                uint64_t first = window->end > 0 ? (window->end - 1) / 64 + 1 : 0;
                uint64_t last = counter / 64;

                if (last >= REPLAY_WINDOW_WORDS && first < last - (REPLAY_WINDOW_WORDS - 1))
                        first = last - (REPLAY_WINDOW_WORDS - 1);
                for (uint64_t word = first; word <= last; word++)
                        window->bits[word % REPLAY_WINDOW_WORDS] = 0;
                window->end = counter + 1;
        }
        *word_of(window, counter) |= UINT64_C(1) << counter % 64;
}
