#!/usr/bin/env bash
# Run by guard.sh: does what payloads would do to the machine, in a harmless form, and sees
# it held by the guard alone.
set -uo pipefail

held=0
hold() {
    local what=$1
    shift
    if "$@" >/dev/null 2>&1; then
        echo "the guard does not hold: $what"
        exit 1
    fi
    held=$((held + 1))
}
opens() { : 3>>"$1"; }

[[ $SUBSTRATE_TEST_GUARDED && $GUARD ]] || exit 1
# Only what was started here can be named: process 1 is ours, and few others are there.
[[ $(ps -e -o pid= | wc -l) -lt 10 ]] || { echo 'processes of the host are visible' && exit 1; }
for setting in /proc/sys/kernel/core_pattern /proc/sys/kernel/panic /proc/sys/vm/overcommit_memory /proc/sysrq-trigger /sys/kernel/uevent_helper; do
    [[ ! -e $setting ]] || hold "$setting" opens "$setting"
done
# As the clock is now; the kernel asks for the right of the first user namespace.
hold 'the clock' date -s "@$(date +%s)"
hold 'making a disk' mknod "$GUARD/disk" b 254 0
hold 'more than the memory file system' dd if=/dev/zero of="$GUARD/fill" bs=1M count=600
rm -f "$GUARD/fill"
for namespace in $OUTER_NAMESPACES; do
    [[ $(readlink "/proc/self/ns/${namespace%%:*}") != "$namespace" ]] || { echo "not its own: $namespace" && exit 1; }
done
[[ $(wc -w <<<"$OUTER_NAMESPACES") == 7 ]] || exit 1
[[ $(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ') == lo ]] || { echo 'the network is not its own' && exit 1; }
for limit in c u n f v; do
    [[ $(ulimit -"$limit") != unlimited ]] || { echo "no limit: ulimit -$limit" && exit 1; }
done
echo "the guard holds ($held)"
