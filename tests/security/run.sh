#!/usr/bin/env bash
# run.sh WAY BINARIES PAYLOADS [LAYERS_TEST]: the payloads in one way (see ../e2e/run_way.sh),
# with the programs of the directory BINARIES against those of PAYLOADS; or, with the program
# layers_test, in worlds that lack a layer, as root or user. Root plants what an
# ordinary account cannot: a place that worlds show, with a device node and a set-user-id
# program in it.
set -euo pipefail

way=$1 binaries=$2 payloads=$3 layers_test=${4:-}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
outside='' stage=''
trap 'rm -rf ${outside:+"$outside"} ${stage:+"$stage"}' EXIT
if [[ $EUID == 0 ]]; then
    # The account is made by as_user.sh where it is missing.
    [[ $way == root ]] || "$here/../support/as_user.sh" true
    outside=$(mktemp -d /opt/substrate-security.XXXXXXXX)
    chmod 0755 "$outside"
    mkdir "$outside/planted"
    cp "$payloads/privileges" "$outside/planted/set-user-id"
    chmod 4755 "$outside/planted/set-user-id"
    mknod -m 0666 "$outside/planted/node" c 1 3
    [[ $way == root ]] || chown substrate-test: "$outside"
    export SUBSTRATE_TEST_OUTSIDE=$outside
fi
if [[ ! $layers_test ]]; then
    code=0
    "$here/../e2e/run_way.sh" "$way" "$binaries" "$here/security.bats" "$here" "$payloads" || code=$?
    exit "$code"
fi

# The checkout may be closed to the ordinary account: it gets copies.
[[ $way != root || $EUID == 0 ]] || { echo 'skipped: not started by root' && exit 77; }
stage=$(mktemp -d /var/tmp/substrate-layers.XXXXXXXX)
cp "$layers_test" "$binaries/substrate-world-init" "$stage/"
cp -R "$here" "$payloads" "$stage/"
chmod -R go+rX "$stage"
export SUBSTRATE_TEST_BIN=$stage
as=()
[[ $way == root ]] || as=("$here/../support/as_user.sh" --)
# shellcheck disable=SC2016 # for the shells inside
"${as[@]}" bash -c '
base=$(mktemp -d "${SUBSTRATE_TEST_OUTSIDE:-${TMPDIR:-/var/tmp}}/layers.XXXXXXXX")
trap "rm -rf \"\$base\"" EXIT
setsid --wait "$0/layers_test" "$0" "$base" "$1" world fresh pty stdin-file stdin-dir && echo "In the guard:" &&
    setsid --wait "$0/security/guard.sh" bash -c '\''mkdir "$GUARD/base" && exec "$0/layers_test" "$0" "$GUARD/base" "$1" guard'\'' "$0" "$1"
' "$stage" "$way"
