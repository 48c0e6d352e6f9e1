#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154
# Worlds as resources of the API: made, forked, kept as snapshots.
load common

more_setup() {
    need_program python3
    python3 -c 'import jsonschema, yaml' 2>/dev/null || skip 'python3-jsonschema or python3-yaml is missing'
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
}
worlds() {
    substrate world warm >/dev/null
    python3 "$BATS_TEST_DIRNAME/worlds_client.py" "$@"
}
policy() { printf 'id: %s\n%s\n' "$1" "$2" >"$SUBSTRATE_HOME/policies/$1.yaml"; }

@test "made: used by who names it, follows the project, ends" { worlds makes; }
@test "forked: isolated, applied, conflicting" { worlds forks; }
@test "snapshots: forked, applied, gone" { worlds snapshots; }
@test "undecided changes of a project are part of what is forked" {
    policy default $'mode: enforce\nworld:\n  commit: manual'
    worlds pending
}
@test "what cannot be is refused" { worlds refusals; }
@test "a project that cannot be shown as it was" { worlds direct; }
@test "an agent finds what the one before has left" {
    worlds survives before
    substrate world stop
    wait_for 15 no_processes
    worlds survives after
}
@test "the command line shows and decides about them" {
    worlds survives before
    fork=$(curl -sS --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" http://localhost/v1/worlds | jq -r '.worlds[] | select(.name == "kept").world_id')
    # It is nobody's who has not named it.
    run -0 substrate diff
    contains "$output" 'nothing is pending'
    run -0 substrate diff "$fork"
    contains "$output" '+ x'
    run -0 substrate discard "$fork"
    run ! substrate diff "$fork"
    contains "$output" 'no changes are kept'
    [[ ! -e x ]]
}
