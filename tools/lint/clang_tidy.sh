#!/usr/bin/env bash
# clang_tidy.sh [--all]: clang-tidy on the C++ files that changed, or on all.
# Changed means: against the point where this branch left main. On main itself: the
# last commit. What is not committed yet always counts. SUBSTRATE_LINT_BASE names
# another commit to compare with. The static analyzer costs more than all other
# checks together and runs with --all only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/common.sh
source tools/dev/common.sh

git_here() { git -c safe.directory='*' "$@"; }

# The commit to compare with; nothing when there is none.
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
    git_here rev-parse --verify -q 'HEAD^' || true
}

# The changed files; for a header also the source file and the test beside it.
changed_files() {
    local base=$1 file
    {
        git_here diff --name-only --diff-filter=d "$base" -- '*.cpp' '*.hpp'
        git_here ls-files --others --exclude-standard -- '*.cpp' '*.hpp'
    } | while read -r file; do
        printf '%s\n' "$file"
        [[ $file == *.hpp ]] && printf '%s\n' "${file%.hpp}.cpp" "${file%.hpp}_test.cpp"
    done | sort -u
}

configure tidy
database=build/tidy/compile_commands.json
mapfile -t compiled < <(sed -n "s|^ *\"file\": \"$PWD/\(.*\.cpp\)\".*|\1|p" "$database" | grep -v '^cmake/' | sort -u)

files=("${compiled[@]}")
options=(--checks=)
[[ ${1:-} == --all ]] || options=(--checks='-clang-analyzer-*')
base=$(base_commit)
if [[ ${1:-} != --all && $base ]]; then
    mapfile -t files < <(comm -12 <(changed_files "$base") <(printf '%s\n' "${compiled[@]}"))
fi
((${#files[@]})) || exit 0
say "clang-tidy on ${#files[@]} of ${#compiled[@]} files"
# clang-tidy counts what it suppressed on its error stream; only findings matter.
printf '%s\0' "${files[@]}" |
    xargs -0 -n 1 -P "${SUBSTRATE_JOBS:-$(nproc)}" clang-tidy-19 -p build/tidy --quiet "${options[@]}" \
        --extra-arg=-Wno-unknown-warning-option 2> >(grep -v -E '^[0-9]+ warnings? generated|^Suppressed|^Use -header' >&2)
