#!/usr/bin/env bash
# symbol_order.sh BIN: prints the functions that `substrate -c true` executes, for
# apps/symbol_order.txt: the linker puts them side by side, so that a start touches few
# pages. Needs valgrind. A function that is missing there, or there for nothing, costs
# a page and breaks nothing.
set -euo pipefail

bin=$(cd "$1" && pwd)
command -v valgrind >/dev/null || {
    echo 'symbol_order.sh: valgrind is missing (package valgrind)' >&2
    exit 4
}
scratch=$(mktemp -d)
export SUBSTRATE_HOME=$scratch/state
trap '"$bin/substrate" world stop; rm -rf "$scratch"' EXIT
mkdir "$scratch/project"
cd "$scratch/project"
# The agent runs already, and the world is warm: the common case.
"$bin/substrate" -c true
valgrind --quiet --demangle=no --tool=callgrind --callgrind-out-file="$scratch/calls" \
    --compress-strings=no --compress-pos=no "$bin/substrate" -c true </dev/null >/dev/null
sed -n "s/^fn=\([^' ]*\).*/\1/p" "$scratch/calls" | grep -v '^0x\|^(' | awk '!seen[$0]++' |
    # What runs before the C library is there comes first.
    awk '/substrate5start|substrate_(begin|entry)/ { print; next } { rest = rest $0 "\n" } END { printf "%s", rest }'
