#!/usr/bin/env bash
# three_ways.sh [--bin DIRECTORY] [--] COMMAND…: runs COMMAND in each way in which a
# person may have it: as root (when the caller is), as an ordinary account, and as
# that account's root inside `unshare -r`. SUBSTRATE_TEST_WAY tells the command which:
# root, user or unshare. For --bin and the surroundings see as_user.sh; as root the
# command gets the same kind of fresh home.
#
# Exit 0: no way failed and one at least ran. 77: every way was skipped. 1: a way
# failed, or one was skipped that SUBSTRATE_TEST_REQUIRE (a list with commas) names.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
options=()
while (($#)); do
    case $1 in
        --bin) options=(--bin "$(cd "$2" && pwd)") && shift 2 ;;
        --) shift && break ;;
        *) break ;;
    esac
done
(($#)) || {
    echo 'usage: three_ways.sh [--bin DIRECTORY] [--] COMMAND…' >&2
    exit 2
}

requires() { [[ ,${SUBSTRATE_TEST_REQUIRE:-}, == *,$1,* ]]; }

ran=0 failed=0
# note WAY CODE: what one way came to.
note() {
    case $2 in
        0) echo "== $1: passed" ;;
        77) echo "== $1: skipped" ;;
        *)
            echo "== $1: FAILED (exit $2)"
            failed=$((failed + 1))
            ;;
    esac
    [[ $2 == 77 ]] || ran=$((ran + 1))
}

# way NAME COMMAND…
way() {
    local name=$1 code=0
    shift
    echo "== $name"
    SUBSTRATE_TEST_WAY=$name "$@" || code=$?
    note "$name" "$code"
}

as_root() {
    local home code=0
    home=$(mktemp -d /tmp/substrate-test.XXXXXXXX)
    mkdir -m 0700 "$home/tmp" "$home/run"
    ((${#options[@]} == 0)) || PATH=${options[1]}:$PATH AS_USER_BIN=${options[1]}
    (cd "$home" && PATH=$PATH AS_USER_BIN=${AS_USER_BIN:-} HOME=$home TMPDIR=$home/tmp XDG_RUNTIME_DIR=$home/run \
        SUBSTRATE_HOME=$home/.substrate "$@") || code=$?
    rm -rf "$home"
    return "$code"
}

((EUID != 0)) || way root as_root "$@"
way user "$here/as_user.sh" "${options[@]}" -- "$@"
if "$here/as_user.sh" unshare -r true >/dev/null 2>&1; then
    way unshare "$here/as_user.sh" "${options[@]}" -- unshare -r "$@"
elif requires userns; then
    echo '== unshare: an ordinary account cannot make a user namespace, and SUBSTRATE_TEST_REQUIRE says it must'
    failed=$((failed + 1))
else
    echo '== unshare: skipped: an ordinary account cannot make a user namespace'
fi

((failed == 0)) || exit 1
((ran > 0)) || exit 77
