/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What a fuzz_X.c is: one function, fed by libFuzzer or by replay.c
 *
 * With --enable-fuzzers (CC=clang) libFuzzer searches; without, replay.c feeds the corpus during
 * `make check`. A target says what must hold with assert() or abort(): no input may get there.
 */

#include <stddef.h>
#include <stdint.h>

/* Called with one input, any number of times in one process. Return: 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data);
