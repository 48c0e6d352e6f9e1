#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154
# Every payload of payloads.txt in worlds as a person starts them.
load common

more_setup() {
    # A place that worlds show: what payloads must not reach shall be there to be reached.
    B=${SUBSTRATE_TEST_OUTSIDE:-$T}/$BATS_TEST_NUMBER
    mkdir "$B"
    X=$SUBSTRATE_TEST_EXTRA
}

# all_as_expected COMMAND…: what it prints is shown.
all_as_expected() {
    local code=0
    SUBSTRATE_TEST_WAY=$SUBSTRATE_TEST_WAY "$@" >"$T/report" 2>&1 3>&- || code=$?
    [[ $code != 77 ]] || skip "$(tail -n 1 "$T/report")"
    grep -E '^(open|skipped): |payloads, ' "$T/report" | sed 's/^/# /' >&3
    grep -q ' payloads, ' "$T/report" || code=99
    [[ $code == 0 ]] || { cat "$T/report" && return 1; }
}

@test "payloads in session worlds and in worlds of their own" {
    all_as_expected bash "$X/security/session.bash" "$X" "$B" world fresh pty stdin-file stdin-dir
}

@test "the guard holds what it promises" {
    local report
    report=$("$X/security/guard.sh" bash "$X/security/guard_test.bash" 3>&-) || { echo "$report" && [[ $report == *'guard: no user namespace'* ]] && skip "$report"; false; }
    contains "$report" 'the guard holds'
}

@test "payloads that could hurt the machine, in the guard" {
    # shellcheck disable=SC2016 # for the shell inside
    all_as_expected "$X/security/guard.sh" bash -c 'mkdir "$GUARD/base" && exec bash "$0" "$1" "$GUARD/base" guard' \
        "$X/security/session.bash" "$X"
}
