#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# run.sh TARGET: what `make fuzz` runs for each fuzz target, with libFuzzer's own options in
# $FUZZ_FLAGS. New inputs that it finds go to fuzz-found/ in the build directory.
set -eu

name=${1##*/fuzz_}
# shellcheck disable=SC2154 # make exports it
corpus=$top_srcdir/tests/fuzz/corpus/$name
mkdir -p "fuzz-found/$name"
# shellcheck disable=SC2086 # options are words
if "$1" ${FUZZ_FLAGS:-} -artifact_prefix="fuzz-found/$name-" "fuzz-found/$name" "$corpus" \
        >"fuzz-found/$name.log" 2>&1; then
        echo "ok - $name, fuzzed"
else
        tail -n 50 "fuzz-found/$name.log"
        echo "not ok - $name, fuzzed"
        exit 1
fi
