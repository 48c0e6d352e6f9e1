#!/usr/bin/env bash
# fetch_npm.sh NAME DIRECTORY: unpacks the npm package NAME, in the version and with
# the SHA-256 of npm-packages.txt beside this script, into DIRECTORY/NAME-VERSION.
# Runs nothing of the package. Does nothing when it is there already.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$1
directory=$2
fail() {
    printf 'fetch_npm: %s\n' "$*" >&2
    exit 1
}

read -r version hash < <(awk -v name="$name" '$1 == name { print $2, $3 }' "$here/npm-packages.txt") ||
    fail "$here/npm-packages.txt does not name $name"
target=$directory/$name-$version
[[ -d $target ]] && exit 0
command -v npm >/dev/null || fail "$name $version is needed to build, and there is no npm to fetch it.
Install npm (apt-get install -y --no-install-recommends npm), or unpack the package by hand into $target"

mkdir -p "$directory"
scratch=$(mktemp -d "$directory/.fetch-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
(cd "$scratch" && npm pack --ignore-scripts --silent "$name@$version" >npm.log 2>&1) ||
    fail "npm could not fetch $name@$version: $(tail -n 3 "$scratch/npm.log")"
archive=$scratch/$name-$version.tgz
printf '%s  %s\n' "$hash" "$archive" | sha256sum --check --status ||
    fail "$name@$version is not what npm-packages.txt expects: its SHA-256 is $(sha256sum <"$archive" | cut -d' ' -f1)"
tar -xzf "$archive" -C "$scratch"
# Another build may have been faster; then its copy is as good.
mv -T "$scratch/package" "$target" 2>/dev/null || [[ -d $target ]] || fail "cannot write $target"
