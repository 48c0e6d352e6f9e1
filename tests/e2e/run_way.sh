#!/usr/bin/env bash
# run_way.sh WAY BINARIES FILE.bats [EXTRA…]: runs one suite with the programs of the
# directory BINARIES as one of root, user (an ordinary account) and unshare (that account's
# root inside `unshare -r`). The suite finds the directories EXTRA in $SUBSTRATE_TEST_EXTRA.
# Exit 77 and a reason where that cannot be had.
set -euo pipefail

way=$1 binaries=$2 suite=$3
shift 3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
as_user=$here/../support/as_user.sh

skip() {
    if [[ ,${SUBSTRATE_TEST_REQUIRE:-}, == *,userns,* && $way == unshare ]]; then
        echo "FAILED: SUBSTRATE_TEST_REQUIRE names userns, but $*"
        exit 1
    fi
    echo "skipped: $*"
    exit 77
}
command -v bats >/dev/null || skip 'bats is missing (package bats)'
[[ $way != root || $EUID == 0 ]] || skip 'not started by root'
[[ $way != unshare ]] || "$as_user" unshare -r true >/dev/null 2>&1 ||
    skip 'an ordinary account cannot make a user namespace'

# The checkout may be closed to the ordinary account: it gets copies.
stage=$(mktemp -d /var/tmp/substrate-e2e.XXXXXXXX)
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/bin" "$stage/e2e" "$stage/support" "$stage/extra"
cp "$binaries"/substrate{,-policy,-repl,-gateway,-world-agent,-world-init} "$stage/bin/"
cp -R "$here"/*.bash "$here"/*.py "$here"/*.js "$here"/small_internet.sh "$suite" "$stage/e2e/"
(($# == 0)) || cp -R "$@" "$stage/extra/"
cp "$here"/../contract/validate_schemas.py "$stage/support/" 2>/dev/null || true
cp -R "$here"/../../schemas "$stage/schemas" 2>/dev/null || true
chmod -R go+rX "$stage"

export SUBSTRATE_BIN=$stage/bin SUBSTRATE_TEST_WAY=$way SUBSTRATE_TEST_EXTRA=$stage/extra
suite=$stage/e2e/$(basename "$suite")
# Without a controlling terminal: nothing may wait for an answer of whoever started this.
case $way in
    root)
        # Names that root gives to networks are not the machine's.
        mkdir -p /run/netns
        # shellcheck disable=SC2016 # expanded by the inner one
        TMPDIR=/var/tmp setsid --wait unshare --mount -- "$BASH" -c \
            'mount -t tmpfs none /run/netns && exec bats --tap --timing "$1"' bash "$suite"
        ;;
    user) "$as_user" -- setsid --wait bats --tap --timing "$suite" ;;
    unshare) "$as_user" -- setsid --wait unshare -r bats --tap --timing "$suite" ;;
    *) echo "unknown way '$way'" && exit 2 ;;
esac
