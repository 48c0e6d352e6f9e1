#!/usr/bin/env bash
# guard.sh COMMAND…: runs COMMAND where a payload that gets through hurts nobody: in user,
# pid, mount, ipc, uts, net and time namespaces of its own, with limits, on small memory
# file systems, with kernel settings read-only. All of it ends with the command.
# $GUARD is a directory for the command's files; TMPDIR and SUBSTRATE_HOME lie in it.
set -euo pipefail
shopt -s lastpipe

inside() {
    mount --make-rprivate /
    GUARD=/tmp/guard
    mount -t tmpfs -o mode=0755,size=512m none /tmp
    mkdir -p "$GUARD"/{tmp,state,run,proc}
    chmod 0700 "$GUARD/run"
    # For sockets that are planted where a machine has its own.
    mount -t tmpfs -o mode=0755,size=16m none /run
    mkdir -m 0777 /run/{dbus,docker,systemd,user}
    ln -s docker/sock /run/docker.sock
    # A world mounts a /proc of its own, for which the kernel wants to see one here that is
    # whole. Worlds have a /tmp of their own: payloads cannot name this place.
    mount -t proc none "$GUARD/proc"
    # What worlds take for the machine's memory: so their default limits are small enough to be tried.
    sed 's/^MemTotal:.*/MemTotal:        1048576 kB/' /proc/meminfo >"$GUARD/meminfo"
    mount --bind "$GUARD/meminfo" /proc/meminfo
    local setting
    for setting in /sys /proc/sys /proc/sysrq-trigger; do
        [[ -e $setting ]] || continue
        mount --rbind "$setting" "$setting"
        mount -o remount,bind,ro "$setting"
    done
    ulimit -c 0
    ulimit -u 1600
    ulimit -n 4096
    ulimit -v $((8 << 20))
    ulimit -f $((1 << 20))
    export GUARD TMPDIR=$GUARD/tmp SUBSTRATE_HOME=$GUARD/state XDG_RUNTIME_DIR=$GUARD/run SUBSTRATE_TEST_GUARDED=1
    # What made all this goes, unless it is root's anyway.
    exec setpriv --ambient-caps=-all --inh-caps=-all -- "$@"
}

if [[ ${1:-} == --inside ]]; then
    shift
    inside "$@"
fi

OUTER_NAMESPACES=$(readlink /proc/self/ns/{user,pid,mnt,ipc,uts,net,time})
export OUTER_NAMESPACES
# A user namespace has to be mapped from outside; every id that exists is mapped to itself, or
# the caller's alone where more is not allowed.
go=$(mktemp -u "${TMPDIR:-/var/tmp}/guard.XXXXXXXX")
mkfifo -m 0600 "$go"
trap 'rm -f "$go"' EXIT
self=$(realpath "${BASH_SOURCE[0]}")
# shellcheck disable=SC2016 # for the shell inside
unshare --user --keep-caps bash -c 'read -r _ <"$0" && exec unshare --keep-caps --pid --fork --kill-child --mount-proc --mount --ipc \
    --uts --net --time "$@"' "$go" bash "$self" --inside "$@" &
child=$!
until [[ $(readlink "/proc/$child/ns/user") != "$(readlink /proc/self/ns/user)" ]]; do
    kill -0 "$child" 2>/dev/null || { echo 'guard: no user namespace' && exit 77; }
    sleep 0.01
done
for map in uid gid; do
    [[ $map == uid ]] || echo deny >"/proc/$child/setgroups"
    id=$(id -"${map:0:1}")
    [[ $EUID == 0 ]] && awk '{ print $1, $1, $3 }' "/proc/self/${map}_map" >"/proc/$child/${map}_map" 2>/dev/null ||
        echo "$id $id 1" >"/proc/$child/${map}_map"
done
echo go >"$go"
code=0
wait "$child" || code=$?
exit "$code"
