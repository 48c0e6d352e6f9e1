#!/usr/bin/env bash
# fuzz.sh DIRECTORY SECONDS: runs each libFuzzer program of DIRECTORY for SECONDS.
# New inputs go to build/fuzz/corpus/<target>, never into the checked-in corpus;
# an input that fails is kept in build/fuzz/findings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/common.sh
source tools/dev/common.sh

directory=$1
seconds=$2
findings=build/fuzz/findings
mkdir -p "$findings"
ran=0 failed=0
for program in "$directory"/*; do
    [[ -f $program && -x $program ]] || continue
    name=$(basename "$program")
    grown=build/fuzz/corpus/$name
    mkdir -p "$grown"
    corpora=("$grown")
    [[ -d tests/fuzz/corpus/$name ]] && corpora+=("tests/fuzz/corpus/$name")
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1
        -artifact_prefix="$findings/$name-")
    [[ -f tests/fuzz/$name.dict ]] && options+=(-dict="tests/fuzz/$name.dict")
    say "fuzzing $name for $seconds s"
    if "$program" "${options[@]}" "${corpora[@]}" </dev/null >"build/fuzz/$name.log" 2>&1; then
        grep -E '^stat::(number_of_executed_units|peak_rss_mb)' "build/fuzz/$name.log" || true
        printf 'fuzz %s: ok\n' "$name"
    else
        tail -n 60 "build/fuzz/$name.log"
        printf 'fuzz %s: FAILED, the input is in %s\n' "$name" "$findings"
        failed=$((failed + 1))
    fi
    ran=$((ran + 1))
done
((ran)) || die 1 "no fuzz target was built in $directory"
((failed == 0)) || die 1 "$failed of $ran fuzz targets found something"
