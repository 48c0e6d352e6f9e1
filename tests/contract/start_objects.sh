#!/usr/bin/env bash
# start_objects.sh ARCHIVE: the library that runs before the C library is set up calls
# nothing outside of itself, defines nothing that another object may replace, and has
# nothing to initialize.
set -euo pipefail

for tool in nm objdump; do
    command -v "$tool" >/dev/null || {
        echo "skipped: $tool is missing (package binutils)"
        exit 77
    }
done
symbols=$(nm -C "$1")
[[ $symbols == *substrate_entry* ]] || {
    echo "nm finds no entry point in $1"
    exit 1
}
bad=$(grep -E ' [UWw] ' <<<"$symbols" | grep -vE ' U (substrate::start::|_GLOBAL_OFFSET_TABLE_$|_start$)') || true
[[ -z $bad ]] || {
    printf 'not to be had before the C library is set up:\n%s\n' "$bad"
    exit 1
}
bad=$(objdump -h "$1" | grep -E '\.(init_array|ctors|tbss|tdata)') || true
bad+=$(objdump -d "$1" | grep -m 3 '%fs:') || true
[[ -z $bad ]] || {
    printf 'needs initialization or thread-local storage:\n%s\n' "$bad"
    exit 1
}
