#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What a call of the API may ask for besides its command, and what its command gets.
load common
load api

calls() { client calls "$@"; }
TRACE=4bf92f3577b34da6a3ce929d0e0e4736

@test "traceparent: recorded, and passed on with the span as the parent" { calls traces; }
@test "a profile holds besides what governs the directory" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]\napproval:\n  require: [touch ask*]\n  timeout: 300ms'
    policy strict $'mode: enforce\ncommands:\n  denied: [touch strict*]\nworld:\n  commit: ask'
    policy loose $'mode: observe\nworld:\n  isolate_network: false'
    printf 'id: broken\nmode: [\n' >"$SUBSTRATE_HOME/policies/broken.yaml"
    calls profiles
}
@test "a world by its id" {
    mkdir "$T/other"
    calls named_world "$T/other"
}
@test "a terminal for a command" { calls terminals; }
@test "a command has its scope token, sealed, and only while it runs" {
    policy default $'mode: enforce\nnet:\n  allowed: ["packages.example:443", "*.example"]'
    policy strict $'mode: enforce\nnet:\n  allowed: ["packages.example:443", "other.example:1"]\nfs:\n  write: [$PROJECT/out]'
    mkdir out
    cp "$SUBSTRATE_BIN"/substrate "$BATS_TEST_DIRNAME/scope_probe.py" .
    mkdir "$T/other"
    calls tokens "$T/other"
    # Nobody else has one.
    run -0 substrate -c env
    [[ $output == *SUBSTRATE_SPAN_ID=* && $output != *SUBSTRATE_SCOPE_FD* ]]
    run -0 substrate -c 'ls /proc/self/fd'
    equal 'of the command line' $'0\n1\n2\n3' "$output" # 3 is the directory
}
@test "an agent asks for more: granted, denied, decided by a person, and only for it" {
    policy default $'mode: enforce\ncommands:\n  denied: [git push --force *, touch no*]\napproval:\n  require: [touch ask*, git *]\n  timeout: 300ms\nfs:\n  write: [$PROJECT/out]\n  deny: [$PROJECT/secret]\nnet:\n  allowed: ["packages.example:443"]\n  denied: ["*.denied.example"]'
    policy also 'mode: observe'
    mkdir out more secret "$T/other"
    calls asks_for_more "$T/other"
}
@test "a grant ends with its time and with its policies" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  timeout: 300ms'
    calls grants_end
}
@test "grants are listed and revoked, by the API" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  timeout: 300ms\nfs:\n  write: [$PROJECT/out]'
    mkdir out more
    calls grants_are_revoked api
}
@test "grants are listed and revoked, by the command line" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  timeout: 300ms\nfs:\n  write: [$PROJECT/out]'
    mkdir out more
    calls grants_are_revoked command_line
}
@test "a stream tells what is recorded of its command" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  timeout: 20s\nnet:\n  allowed: ["packages.example:443"]'
    calls events
}
@test "TRACEPARENT of the command line's environment: the same" {
    cp "$SUBSTRATE_BIN"/substrate .
    export TRACEPARENT=00-$TRACE-00f067aa0ba902b7-01
    run -0 --separate-stderr substrate -c 'echo "$TRACEPARENT"; ./substrate -c "echo \"\$TRACEPARENT\""'
    equal 'standard error' '' "$stderr"
    local outer inner
    outer=$(substrate trace --json -n 10 | jq -c 'select(.nested | not)')
    inner=$(substrate trace --json -n 10 | jq -c 'select(.nested)')
    parent() { jq -r '"00-'$TRACE'-\(.span_id | gsub("-"; "") | .[-16:])-01"' <<<"$1"; }
    equal 'of the command' "$(parent "$outer")" "${lines[0]}"
    equal 'of one that it calls' "$(parent "$inner")" "${lines[1]}"
    equal recorded "$TRACEPARENT" "$(jq -r .traceparent <<<"$outer")"
    equal 'recorded of the inner one' "$(parent "$outer")" "$(jq -r .traceparent <<<"$inner")"
    equal 'nobody outside has seen' true "$(jq '.nested.told_by_world | any(. == "traceparent")' <<<"$inner")"
    contains "$(substrate trace "$(jq -r .span_id <<<"$outer")")" "$TRACEPARENT"
    run -0 --separate-stderr substrate --no-world -c 'echo "$TRACEPARENT"'
    equal 'on the host' "$(parent "$(substrate trace --json -n 1)")" "$output"
    # What is none is ignored, and said.
    for TRACEPARENT in 00-"${TRACE^^}"-00f067aa0ba902b7-01 $'00-\e[31m' ff-$TRACE-00f067aa0ba902b7-01; do
        run -0 --separate-stderr substrate -c 'echo "${TRACEPARENT-none}"'
        equal output none "$output"
        equal 'standard error' 'substrate: TRACEPARENT is ignored: it is not of the form of W3C Trace Context' "$stderr"
    done
    equal 'not recorded' null "$(last .traceparent)"
}
