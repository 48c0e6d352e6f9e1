# shellcheck shell=bash
# Shared by ./dev and the scripts it starts. Expects the repository root as the
# working directory.

# What one clone has compiled serves another: paths below the root count as relative ones.
export CCACHE_BASEDIR=${CCACHE_BASEDIR:-$PWD} CCACHE_NOHASHDIR=${CCACHE_NOHASHDIR-1}

say() { printf '[dev] %s\n' "$*" >&2; }
die() {
    local code=$1
    shift
    printf 'dev: %s\n' "$*" >&2
    exit "$code"
}

# Names from the lists tools/dev/packages-<set>.txt, comments dropped.
list_packages() {
    local set
    for set in "$@"; do
        sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "tools/dev/packages-$set.txt"
    done | sort -u
}

missing_packages() {
    local -a wanted
    mapfile -t wanted < <(list_packages "$@")
    comm -23 <(printf '%s\n' "${wanted[@]}" | sort) \
        <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
            sed -n 's/^installed //p' | sort -u)
}

# need_packages SET…: installs what is missing, silent when nothing is.
need_packages() {
    command -v dpkg-query >/dev/null || die 4 "this script installs Debian packages; dpkg-query was not found.
Install by hand what tools/dev/packages-*.txt name, and build with: cmake --workflow or cmake --preset"
    local -a missing as_root=()
    mapfile -t missing < <(missing_packages "$@")
    ((${#missing[@]})) || return 0
    if ((EUID != 0)); then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || { [[ -t 0 ]] && sudo -v; }; }; then
            as_root=(sudo)
        else
            printf 'dev: %s\n' "packages are missing and this account may not install them; run as root:" >&2
            printf 'apt-get update && apt-get install -y --no-install-recommends %s\n' "${missing[*]}"
            exit 4
        fi
    fi
    say "installing: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
                -o Dpkg::Use-Pty=0 "${missing[@]}"
    } </dev/null >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die 4 "apt-get could not install: ${missing[*]}"
    fi
    rm -f "$log"
}

# Any npm will do, so Debian's is installed only where there is none.
need_npm() {
    command -v npm >/dev/null || [[ -d build/third_party ]] || need_packages npm
}

# The package sets that a preset needs.
packages_for() {
    case $1 in
        release) echo build ;;
        fuzz | tidy) echo build test lint ;;
        *) echo build test ;;
    esac
}

# configure PRESET [-D…]: CMake's own report is shown only when it fails.
configure() {
    local report
    if ! report=$(cmake --preset "$@" 2>&1); then
        printf '%s\n' "$report" >&2
        die 1 "configuring the preset $1 failed"
    fi
}

known_preset() {
    cmake --list-presets=configure 2>/dev/null | grep -q "^ *\"$1\""
}

# build_preset PRESET [ON|OFF [TARGET]]: installs, configures, builds. The second
# word says whether the tests are built too; empty leaves it to the preset.
build_preset() {
    local preset=$1 tests=${2:-} target=${3:-all} sets
    read -ra sets <<<"$(packages_for "$preset")"
    [[ $tests == ON ]] && sets+=(test)
    need_packages "${sets[@]}"
    need_npm
    known_preset "$preset" || die 2 "no preset named '$preset'; see: cmake --list-presets"
    configure "$preset" ${tests:+"-DSUBSTRATE_TESTS=$tests"}
    say "building $preset"
    cmake --build --preset "$preset" --target "$target" -j "${SUBSTRATE_JOBS:-$(nproc)}" >&2
}
