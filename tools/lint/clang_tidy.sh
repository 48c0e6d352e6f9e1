#!/usr/bin/env bash
# clang_tidy.sh [--all]: clang-tidy on the C++ files that changed, or on all.
# Changed means: against the point where this branch left main. On main itself, where
# every branch has been looked at before: the last commits, newest first, up to
# SUBSTRATE_LINT_FILES (16) files. What is not committed yet always counts.
# SUBSTRATE_LINT_BASE names another commit to compare with. The static analyzer costs
# more than all other checks together and runs with --all only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/common.sh
source tools/dev/common.sh

git_here() { git -c safe.directory='*' "$@"; }

# The commit to compare with; nothing on main itself.
base_commit() {
    local name base head
    head=$(git_here rev-parse --verify -q HEAD) || return 0
    if [[ ${SUBSTRATE_LINT_BASE:-} ]]; then
        git_here rev-parse --verify -q "$SUBSTRATE_LINT_BASE^{commit}" ||
            die 2 "SUBSTRATE_LINT_BASE names no commit: $SUBSTRATE_LINT_BASE"
        return 0
    fi
    for name in origin/main main; do
        base=$(git_here merge-base "$name" HEAD 2>/dev/null) || continue
        if [[ $base != "$head" ]]; then
            echo "$base"
            return 0
        fi
    done
}

# Reads names; for a header adds the source file and the test beside it.
with_their_sources() {
    local file
    while read -r file; do
        printf '%s\n' "$file"
        [[ $file != *.hpp ]] || printf '%s\n' "${file%.hpp}.cpp" "${file%.hpp}_test.cpp"
    done
}

# Names of what is compiled, of those it reads, each once, in their order.
compiled_ones() { with_their_sources | awk 'NR == FNR { compiled[$0]; next } ($0 in compiled) && !seen[$0]++' <(printf '%s\n' "${compiled[@]}") -; }

not_committed() {
    git_here diff --name-only HEAD -- '*.cpp' '*.hpp'
    git_here ls-files --others --exclude-standard -- '*.cpp' '*.hpp'
}

configure tidy
database=build/tidy/compile_commands.json
mapfile -t compiled < <(sed -n "s|^ *\"file\": \"$PWD/\(.*\.cpp\)\".*|\1|p" "$database" | grep -v '^cmake/' | sort -u)

options=(--checks=)
files=("${compiled[@]}")
if [[ ${1:-} != --all ]]; then
    options=(--checks='-clang-analyzer-*')
    base=$(base_commit)
    mapfile -t files < <(not_committed | compiled_ones)
    if [[ $base ]]; then
        mapfile -t files < <({ not_committed && git_here diff --name-only "$base" HEAD -- '*.cpp' '*.hpp'; } | compiled_ones)
    elif git_here rev-parse -q --verify HEAD >/dev/null; then
        mapfile -t recent < <(git_here log --format= --name-only -n 50 -- '*.cpp' '*.hpp' | compiled_ones)
        limit=${SUBSTRATE_LINT_FILES:-16}
        ((${#recent[@]} <= limit)) || say "of ${#recent[@]} files changed lately, the $limit newest; --all for the rest"
        mapfile -t files < <(printf '%s\n' "${files[@]}" "${recent[@]:0:limit}" | compiled_ones)
    else
        files=("${compiled[@]}")
    fi
fi
((${#files[@]})) || exit 0
say "clang-tidy on ${#files[@]} of ${#compiled[@]} files"
# clang-tidy counts what it suppressed on its error stream; only findings matter.
printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "${SUBSTRATE_JOBS:-$(nproc)}" clang-tidy-19 -p build/tidy --quiet "${options[@]}" \
        --extra-arg=-Wno-unknown-warning-option 2> >(grep -v -E '^[0-9]+ warnings? generated|^Suppressed|^Use -header' >&2)
