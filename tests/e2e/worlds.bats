#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154
# Worlds as resources of the API: made, forked, kept as snapshots.
load common
load api

worlds() { client worlds "$@"; }

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
@test "the command line takes snapshots where it takes worlds" {
    worlds survives before
    S=$SUBSTRATE_HOME/sock/agent.sock
    id=$(curl -sS --unix-socket "$S" http://localhost/v1/worlds | jq -r '.worlds[] | select(.name == "kept").world_id')
    snapshot=$(curl -sS --unix-socket "$S" --json '{"agent_id": "me"}' "http://localhost/v1/worlds/$id/snapshot" | jq -r .world_id)
    [[ $snapshot == snp_* ]]
    run -0 substrate diff "$snapshot"
    contains "$output" '+ x'
    # Where it makes no sense it is said what it is.
    for verb in 'world publish 3000 --world' trace replay; do
        # shellcheck disable=SC2086
        run ! substrate $verb "$snapshot"
        contains "$output" "$snapshot is a snapshot"
    done
    run ! substrate trace "$id"
    contains "$output" "$id is a world, not a span"
    run ! substrate diff snp_x
    contains "$output" "'snp_x' is the id of no span, no world and no snapshot"
    run -0 substrate apply "$snapshot"
    [[ -e x ]]
    run ! substrate diff "$snapshot"
    substrate discard "$id"
}
