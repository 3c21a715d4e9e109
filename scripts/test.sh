#!/bin/sh
# test.sh [ctest arguments]: install what is missing, build if needed, run all tests.
set -eu
cd "$(dirname "$0")/.."

sh scripts/deps.sh test
cmake --preset release -DBUILD_TESTING=ON >/dev/null
cmake --build build
ctest --test-dir build --output-on-failure -j "$(nproc)" "$@"
