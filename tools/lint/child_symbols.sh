#!/usr/bin/env bash
# child_symbols.sh NM OBJECT…: the child side may use system calls only, so its
# object must not refer to any function outside itself. OBJECTs may come as one
# list separated by semicolons; the one named child_main.cpp.o is examined.
set -euo pipefail
nm=$1
shift
mapfile -t objects < <(printf '%s\n' "$@" | tr ';' '\n')
for object in "${objects[@]}"; do
    case $object in
        */child_main.cpp.o) ;;
        *) continue ;;
    esac
    found=1
    undefined=$("$nm" -u -C "$object" | awk '{print $2}' | grep -vE '^(__asan_|__ubsan_|__tsan_|__gcov|_GLOBAL_OFFSET_TABLE_$|__sanitizer|memset$|memcpy$)' || true)
    if [ -n "$undefined" ]; then
        echo "child_main refers to: $undefined" >&2
        exit 1
    fi
done
if [ -z "${found:-}" ]; then
    echo "child_main.cpp.o is not among: ${objects[*]}" >&2
    exit 1
fi
echo "child_main calls nothing outside itself"
