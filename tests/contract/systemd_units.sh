#!/usr/bin/env bash
# systemd_units.sh FOLDER PROGRAM: systemd reads the units without a complaint.
set -euo pipefail

command -v systemd-analyze >/dev/null || {
    echo 'skipped: systemd-analyze is missing (package systemd)'
    exit 77
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export HOME=$scratch XDG_RUNTIME_DIR=$scratch
sed "s|@SUBSTRATE_BINDIR@|$(dirname "$2")|" "$1/substrate-world-agent.service" >"$scratch/substrate-world-agent.service"
cp "$1/substrate-world-agent.socket" "$scratch/"
said=$(cd "$scratch" && systemd-analyze --user --man=no verify ./substrate-world-agent.socket ./substrate-world-agent.service 2>&1) || {
    # Without a broken unit among ours it could not even begin.
    grep -q substrate-world-agent <<<"$said" || {
        printf 'skipped: systemd-analyze cannot work here: %s\n' "$said"
        exit 77
    }
}
if grep substrate-world-agent <<<"$said"; then exit 1; fi
# The check sees what is wrong.
sed -i 's/^Type=notify/Type=nothing/' "$scratch/substrate-world-agent.service"
said=$(cd "$scratch" && systemd-analyze --user --man=no verify ./substrate-world-agent.service 2>&1) || true
grep -q 'substrate-world-agent.service.*Failed to parse service type' <<<"$said" || {
    printf 'systemd-analyze does not see a broken unit: %s\n' "$said"
    exit 1
}
