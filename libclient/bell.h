/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Bell: one end of the pipe that wakes the other side of a ring
 *
 * The daemon makes two pipes for a pair, one for each direction, and keeps no end of them
 * (PROTOCOL.md, "Rings"). So no open file description is shared between the two, nobody can drain a
 * bell that is meant for somebody else, and the end of a bell is the end of the other process.
 */

enum {
        _BELL_E_SUCCESS,

        BELL_E_GONE, /* nobody is at the other end */
};

/*
 * @fd is the end to write. One stroke that was not heard yet stands for all later ones, so a full
 * pipe is as good. Never blocks, raises no SIGPIPE. Return: 0, BELL_E_GONE.
 */
int bell_ring(int fd);
/*
 * @fd is the end to read: takes out the strokes, of which an honest ringer leaves few. It is one read,
 * so that one who rings without end keeps nobody here; what is left is heard next time. Never blocks.
 * Return: 0; BELL_E_GONE, after the last stroke.
 */
int bell_hush(int fd);
