#!/usr/bin/env bash
# lint.sh [--all] [--fix]: every check, each reported, exit 1 if any failed.
# Started by `./dev lint`, which sees to the packages first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=tools/dev/common.sh
source tools/dev/common.sh

all='' fix=''
for argument in "$@"; do
    case $argument in
        --all) all=1 ;;
        --fix) fix=1 ;;
        *) die 2 "lint takes --all and --fix, not '$argument'" ;;
    esac
done

# What is in the tree and not ignored, new files included; also outside of git.
list_files() {
    if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard -- "$@" |
            while IFS= read -r -d '' file; do [[ -f $file ]] && printf '%s\0' "$file"; done | sort -zu
    else
        local -a match=()
        local pattern
        for pattern in "$@"; do match+=(-o -name "${pattern##*/}"); done
        find . \( -path ./build -o -path ./.git \) -prune -o -type f \( "${match[@]:1}" \) -printf '%P\0' | sort -z
    fi
}

check_format() {
    local -a files
    mapfile -d '' files < <(list_files '*.cpp' '*.hpp' '*.c' '*.h')
    ((${#files[@]})) || return 0
    if [[ $fix ]]; then
        clang-format-19 -i "${files[@]}"
        return
    fi
    local found
    found=$(clang-format-19 --dry-run -Werror "${files[@]}" 2>&1 | sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: error:.*/\1/p' | uniq -c)
    [[ $found ]] || return 0
    printf '%s\n' "$found"
    echo "places that are not formatted, by file; ./dev lint --fix does it"
    return 1
}

check_shell() {
    local -a scripts=()
    local file first
    while IFS= read -r -d '' file; do
        case $file in
            *.sh | *.bats | *.bash) scripts+=("$file") ;;
            *.*) ;;
            *) IFS= read -r first <"$file" 2>/dev/null || first=''
               [[ $first =~ ^'#!'.*[/\ ](ba)?sh$ ]] && scripts+=("$file") ;;
        esac
    done < <(list_files '*' '.ci/*')
    shellcheck -x -P SCRIPTDIR -P . "${scripts[@]}"
}

failed=()
step() {
    local name=$1 started=$SECONDS
    shift
    if "$@"; then
        printf 'lint %-12s ok  (%d s)\n' "$name" $((SECONDS - started))
    else
        printf 'lint %-12s FAILED\n' "$name"
        failed+=("$name")
    fi
}

step layers /usr/bin/python3 tools/lint/check_layers.py
step sources /usr/bin/python3 tools/lint/check_sources.py
step shellcheck check_shell
step format check_format
step clang-tidy tools/lint/clang_tidy.sh ${all:+--all}
((${#failed[@]} == 0)) || die 1 "lint: ${failed[*]}"
