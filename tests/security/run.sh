#!/usr/bin/env bash
# run.sh WAY BINARIES PAYLOADS: the payloads in one way (see ../e2e/run_way.sh), with the
# programs of the directory BINARIES against those of PAYLOADS. Root plants what an
# ordinary account cannot: a place that worlds show, with a device node and a set-user-id
# program in it.
set -euo pipefail

way=$1 binaries=$2 payloads=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
outside=
trap '[[ ! $outside ]] || rm -rf "$outside"' EXIT
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
code=0
"$here/../e2e/run_way.sh" "$way" "$binaries" "$here/security.bats" "$here" "$payloads" || code=$?
exit "$code"
