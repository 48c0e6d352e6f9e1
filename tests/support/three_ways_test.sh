#!/usr/bin/env bash
# Tests as_user.sh and three_ways.sh themselves.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
three_ways=$here/three_ways.sh as_user=$here/as_user.sh
unset SUBSTRATE_TEST_REQUIRE

fail() {
    echo "FAILED: $*"
    exit 1
}
# expect CODE COMMAND…: runs it, keeps what it printed in $output.
expect() {
    local want=$1 code=0
    shift
    output=$("$@" 2>&1) || code=$?
    [[ $code == "$want" ]] || fail "exit $code instead of $want from: $*"$'\n'"$output"
}

expect 3 "$as_user" sh -c 'exit 3'
expect 2 "$as_user"
# shellcheck disable=SC2016
expect 0 "$as_user" sh -c '[ "$(id -u)" != 0 ] && [ "$PWD" = "$HOME" ] && touch "$HOME/a" "$TMPDIR/b" "$XDG_RUNTIME_DIR/c" && echo "$HOME"'
[[ ! -e $output ]] || fail "the home $output is still there"
expect 0 "$as_user" sh -c 'grep -q "^CapEff:.0000000000000000$" /proc/self/status'

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
printf '#!/bin/sh\necho copied\n' >"$programs/substrate_probe"
chmod 0700 "$programs" "$programs/substrate_probe"
expect 0 "$as_user" --bin "$programs" substrate_probe
[[ $output == copied ]] || fail "--bin: $output"
expect 0 "$three_ways" --bin "$programs" substrate_probe

# shellcheck disable=SC2016
expect 0 "$three_ways" sh -c 'echo "way=$SUBSTRATE_TEST_WAY uid=$(id -u)"'
[[ $output == *way=user\ uid=[1-9]* ]] || fail "no ordinary account: $output"
((EUID != 0)) || [[ $output == *way=root\ uid=0* ]] || fail "not as root: $output"
[[ $output == *way=unshare\ uid=0* || $output == *'unshare: skipped'* ]] || fail "no user namespace: $output"
expect 77 "$three_ways" sh -c 'exit 77'
# One way that fails is enough.
# shellcheck disable=SC2016
expect 1 "$three_ways" sh -c '[ "$SUBSTRATE_TEST_WAY" != user ]'
echo "as_user.sh and three_ways.sh: ok"
