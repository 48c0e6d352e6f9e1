#!/usr/bin/env bash
# client_symbols.sh PROGRAM: the client holds nothing of what reads and judges policies:
# their libraries' static constructors would run before every command. Nor what edits lines.
set -euo pipefail

command -v nm >/dev/null || {
    echo 'skipped: nm is missing (package binutils)'
    exit 77
}
symbols=$(nm -C "$1")
[[ $symbols == *substrate::shell::run_command* ]] || {
    echo "nm finds no symbols in $1"
    exit 1
}
bad=$(grep -E ' (YAML::|ts_parser_|substrate::policy::|substrate::broker::load_policies|SHA256_|el_init)' <<<"$symbols" | head -n 5) || true
[[ -z $bad ]] || {
    printf 'the client links what it does not need:\n%s\n' "$bad"
    exit 1
}
