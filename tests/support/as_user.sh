#!/usr/bin/env bash
# as_user.sh [--bin DIRECTORY] [--] COMMAND…: runs COMMAND as an ordinary account
# without any privilege, in a fresh home directory that is removed afterwards.
#
# As root that account is "substrate-test", made when it is missing; no other account
# is touched. Not root: the caller's own account, with the fresh home.
# --bin copies DIRECTORY's programs into the home, where the account can reach them
# (a checkout below /root is closed to it), and puts the copy first in PATH. The copy
# is named by AS_USER_BIN.
# Set for the command: HOME, USER, LOGNAME, SHELL, XDG_RUNTIME_DIR, TMPDIR, SUBSTRATE_HOME;
# the working directory is the home. Everything else is inherited.
# The exit code is the command's; 77 and a reason where the account cannot be had.
set -euo pipefail

account=substrate-test
programs=
while (($#)); do
    case $1 in
        --bin) programs=$2 && shift 2 ;;
        --) shift && break ;;
        *) break ;;
    esac
done
(($#)) || {
    echo 'usage: as_user.sh [--bin DIRECTORY] [--] COMMAND…' >&2
    exit 2
}
skip() {
    echo "skipped: $*"
    exit 77
}

as_root=
((EUID != 0)) || as_root=1
if [[ $as_root ]]; then
    command -v setpriv >/dev/null || skip 'setpriv is missing (package util-linux)'
    if ! getent passwd "$account" >/dev/null; then
        # Tests that start together may all try; one of them succeeds.
        /usr/sbin/useradd --system --user-group --no-create-home --home-dir /nonexistent \
            --shell /usr/sbin/nologin "$account" 2>/dev/null || getent passwd "$account" >/dev/null ||
            skip "the account $account cannot be made"
    fi
    user=$account
else
    user=$(id -un)
fi

home=$(mktemp -d /tmp/substrate-test.XXXXXXXX)
# Directories without permission bits are left by some file systems.
trap 'chmod -R u+rwX "$home" 2>/dev/null; rm -rf "$home"' EXIT
mkdir -p "$home/tmp" "$home/run"
if [[ $programs ]]; then
    mkdir "$home/bin"
    find "$programs" -maxdepth 1 -type f -perm -u+x -exec cp -t "$home/bin" -- {} +
    export AS_USER_BIN=$home/bin PATH=$home/bin:$PATH
fi
chmod 0700 "$home/run"
run=()
if [[ $as_root ]]; then
    uid=$(id -u "$account")
    gid=$(id -g "$account")
    chown -R "$uid:$gid" "$home"
    # No supplementary groups and no capability: what a person who logs in has.
    run=(setpriv --reuid "$uid" --regid "$gid" --clear-groups --inh-caps=-all)
fi
cd "$home"
code=0
"${run[@]}" env -u SUDO_USER -u SUDO_UID -u SUDO_GID -u SUDO_COMMAND -u XDG_CONFIG_HOME -u XDG_DATA_HOME \
    -u XDG_STATE_HOME -u XDG_CACHE_HOME HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/sh TMPDIR="$home/tmp" \
    XDG_RUNTIME_DIR="$home/run" SUBSTRATE_HOME="$home/.substrate" "$@" || code=$?
cd /
exit "$code"
