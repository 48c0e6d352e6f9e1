#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# `substrate` inside a world: judged outside, run in place, only ever tighter.
load common

more_setup() {
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
    # Where a world can see them.
    cp "$SUBSTRATE_BIN"/substrate* "$BATS_TEST_DIRNAME/nested_client.py" .
    VERSION=$(substrate --version)
    DOOR="python3 nested_client.py ${VERSION##* }"
}
policy() {
    printf 'id: %s\n%s\n' "$1" "$2" >"$SUBSTRATE_HOME/policies/.new"
    mv "$SUBSTRATE_HOME/policies/.new" "$SUBSTRATE_HOME/policies/$1.yaml"
}
enforce() { policy default $'mode: enforce\ncommands:\n  denied: [touch no*, rm -rf /]\n  isolated: [touch iso*]'; }
# The spans, oldest first, as one line each.
spans() { substrate trace --json -n "$1" | jq -c "$2"; }
nested() { substrate trace --json -n 100 | jq -c 'select(.nested) | '"$1"; }
# denied LINE…: the call inside is, in one line.
inside() { run --separate-stderr substrate -c "$1"; }
denied() {
    inside "$1"
    equal "exit of $1" 126 "$status" || { echo "$stderr" && return 1; }
    equal "lines of $1: $stderr" 1 "${#stderr_lines[@]}" || return 1
    contains "$stderr" 'substrate: command denied by policy: '
}

@test "a call inside runs in place and is a span of its own" {
    inside './substrate -c "echo hello; touch made; exit 3"'
    equal 'exit code' 3 "$status"
    equal output hello "$output"
    equal 'standard error' '' "$stderr"
    [[ -e made ]]
    local outer inner
    outer=$(substrate trace --json -n 10 | jq -c 'select(.nested | not)')
    inner=$(nested .)
    equal 'its parent' "$(jq -r .span_id <<<"$outer")" "$(jq -r .parent_span <<<"$inner")"
    equal 'where and who' "$(jq -c '[.world_id, .session_id, .project, .agent_id, .policy_hash, .enforcement]' <<<"$outer")" \
        "$(jq -c '[.world_id, .session_id, .project, .agent_id, .policy_hash, .enforcement]' <<<"$inner")"
    equal 'what it says' '["world",3,"failed","allow","none",1,"echo hello; touch made; exit 3"]' \
        "$(jq -c '[.component, .exit, .outcome, .policy_decision.action, .commit, .nested.depth, .cmd]' <<<"$inner")"
    equal 'nobody outside has seen' '["cwd","exit","output","replay_context"]' "$(jq -c .nested.told_by_world <<<"$inner")"
    equal 'its output' "$(jq -c .output.stdout_hash <<<"$outer")" "$(jq -c .output.stdout_hash <<<"$inner")"
    # The change is the outer command's.
    equal 'changes of the outer one' '["made"]' "$(substrate trace --json "$(jq -r .span_id <<<"$outer")" | jq -c '[.fs_diff.entries[].path]')"
    equal 'changes of the inner one' 0 "$(jq '.fs_diff.entries | length' <<<"$inner")"
    contains "$(substrate trace "$(jq -r .span_id <<<"$inner")")" 'nested' '1 deep'
}

@test "every form of a call is judged and runs as outside" {
    enforce
    printf 'echo "$0 $1"; touch no\n' >bad.sh
    printf 'echo "$0 $1"; exit 4\n' >ok.sh
    denied './substrate -c "touch no"'
    denied './substrate -- touch no'
    denied './substrate -- bash -c "touch no"'
    denied './substrate --shell /bin/sh -c "t\ouch no"'
    denied './substrate -f bad.sh x'
    denied 'echo "touch no" | ./substrate'
    denied './substrate --world -c "touch no"'
    equal 'left by any of them' '' "$(find . -name 'no*')"
    equal 'spans' '["denied",126,"deny","commands.denied[0]",1]' \
        "$(nested '[.outcome, .exit, .policy_decision.action, .policy_decision.rule, .nested.depth]' | sort -u)"
    equal 'violations' 7 "$(jq -c 'select(.event_type == "policy_violation" and .outcome == "denied")' "$SUBSTRATE_HOME/trace.jsonl" | wc -l)"
    policy default 'mode: observe'
    inside './substrate -f ok.sh "a b"; echo $?; echo "echo piped" | ./substrate; ./substrate -- printf "%s|" "x y" z; ./substrate -- no-such; echo $?'
    equal output $'ok.sh a b\n4\npiped\nx y|z|127' "$output"
    contains "$stderr" 'no-such: not found'
    refused 2 substrate -c './substrate -c true -f ok.sh'
}

@test "observing lets it run, and says so" {
    policy default $'commands:\n  denied: [touch no*]'
    inside './substrate -c "touch no1"'
    equal 'exit code' 0 "$status"
    contains "$stderr" 'command would be denied by policy: touch no1'
    [[ -e no1 ]]
    equal span '["would_deny",0,"deny"]' "$(nested '[.outcome, .exit, .policy_decision.action]')"
}

@test "what a person would be asked about is denied" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    inside './substrate -c "touch ask"'
    equal 'exit code' 126 "$status"
    equal lines 1 "${#stderr_lines[@]}"
    contains "$stderr" 'approval is asked for' 'nobody can be asked from inside a world (run it outside)'
    # Nor on a terminal: it is the world's then.
    in_terminal "substrate -c './substrate -c \"touch ask\"'; echo exit \$?"
    shown 'exit 126'
    [[ ! -e ask ]]
}

@test "what wants a world of its own is refused, or has it" {
    enforce
    denied './substrate -c "touch iso"'
    contains "$stderr" 'world of its own'
    run --separate-stderr -0 substrate --ephemeral --commit manual -c './substrate -c "touch iso"'
    contains "$stderr" 'kept: 1 changed paths'
    [[ ! -e iso ]]
    run -0 substrate discard
    # The world is its own, but its changes would reach the host by themselves.
    run --separate-stderr -126 substrate --ephemeral -c './substrate -c "touch iso"'
}

@test "what cannot be had inside is refused in one line, and nothing runs" {
    local code line
    while read -r code line; do
        refused "$code" substrate -c "./substrate $line" || return 1
    done <<'END'
4 --ephemeral -c 'touch x'
4 --commit manual -c 'touch x'
4 --commit ask -c 'touch x'
4 --capture fuse -c 'touch x'
5 --direct -c 'touch x'
5 --capture direct -c 'touch x'
5 --share-network -c 'touch x'
5 --no-world -c 'touch x'
4 --explain -c 'touch x'
4 --replay spn_00000000-0000-7000-8000-000000000000
4 replay spn_00000000-0000-7000-8000-000000000000
4 apply
4 diff
4 discard
4 trace
4 world status
4 world stop
4 policy show
4 policy trust --yes
END
    inside 'SUBSTRATE_WORLD=disabled ./substrate -c "touch x"'
    equal 'by a variable' 5 "$status"
    equal 'left by any of them' '' "$(find . -name x)"
    # What holds already is no loosening.
    run -0 substrate --direct -c './substrate --direct -c true'
    run -0 substrate --commit manual -c './substrate --commit manual -c true'
    run -0 substrate --capture copy-diff -c './substrate --capture copy-diff -c true'
}

@test "calls inside calls are a chain, and not without end" {
    run -0 substrate -c './substrate -c "./substrate -c \"./substrate -- true\"; true"'
    local chain
    chain=$(spans 10 '[.span_id, .parent_span, .nested.depth]')
    equal depths '3 2 1 null' "$(jq -s -r 'map(.[2] | tostring) | join(" ")' <<<"$chain")"
    equal parents true "$(jq -s '.[0][1] == .[1][0] and .[1][1] == .[2][0] and .[2][1] == .[3][0]' <<<"$chain")"
    printf '[ "$1" -gt 20 ] || ./substrate -- bash deeper.sh $(($1 + 1))\n' >deeper.sh
    inside 'bash deeper.sh 0'
    equal 'exit code' 5 "$status"
    contains "$stderr" 'more than 16 commands inside each other'
    equal deepest 16 "$(nested .nested.depth | sort -n | tail -n 1)"
}

@test "nothing that a world writes, says or names loosens what holds" {
    enforce
    policy loose 'mode: observe'
    denied 'echo loose >.substrate-profile; ./substrate -c "touch no"'
    rm -f .substrate-profile
    denied 'printf "id: default\nmode: observe\n" >.substrate-policy.yaml; ./substrate -c "touch no"'
    rm -f .substrate-policy.yaml
    denied 'mkdir -p /tmp/p/.git; cd /tmp/p; echo loose >.substrate-profile; '"$P"'/substrate -c "touch no"'
    denied 'SUBSTRATE_HOME=/tmp/h HOME=/tmp/h ./substrate -c "touch no"'
    denied 'unset SUBSTRATE_WORLD_ID SUBSTRATE; ./substrate -c "touch no"'
    # A directory of the host where a person trusts a looser one.
    mkdir -p "$T/other/.git"
    echo loose >"$T/other/.substrate-profile"
    (cd "$T/other" && substrate policy trust --yes && substrate -c 'touch no-matter') || return 1
    inside "$DOOR judge '{\"cmd\": \"touch no\", \"cwd\": \"$T/other\"}'"
    contains "$output" '"denied": true'
    equal 'left by any of them' '' "$(ls -d no* 2>/dev/null)"
}

@test "who speaks is not asked for" {
    inside "$DOOR ended '{\"cmd\": \"true\", \"session_id\": \"ses_01a20431-ade7-7eb5-b462-80188af70471\", \"agent_id\": \"boss\", \"parent_span\": \"spn_01a20431-ade7-7eb5-b462-80188af70471\", \"nested_depth\": 9, \"governed_by\": \"/\", \"as_of_ns\": 5, \"env\": {\"A\": \"b\"}}' '{\"type\": \"ended\", \"exit\": 7, \"signal\": 0, \"stdout_hash\": \"<script>\", \"stdout_bytes\": 3}'"
    contains "$output" '"denied": false'
    local outer
    outer=$(spans 10 'select(.nested | not) | [.session_id, .agent_id, .span_id]')
    equal 'as the outer one' "$outer" "$(nested '[.session_id, .agent_id, .parent_span]')"
    equal 'as it was told' '[7,1,null]' "$(nested '[.exit, .nested.depth, .output.stdout_hash]')"
    # Variables are hints for people.
    inside 'SUBSTRATE_SPAN_ID=spn_01a20431-ade7-7eb5-b462-80188af70471 SUBSTRATE_AGENT_ID=boss ./substrate -c true'
    equal 'parent' "$(spans 10 'select(.nested | not) | .span_id' | tail -n 1)" "$(nested .parent_span | tail -n 1)"
}

@test "variables that run code do not come along" {
    echo 'echo from-rc' >rc
    inside "export BASH_ENV=$P/rc; f() { touch yes; }; export -f f; ./substrate -c 'echo plain; type f'"
    contains "$output" plain
    lacks "$output" from-rc 'touch yes'
    inside 'X=1 ./substrate --env Y=2 -c "echo \$X \$Y"'
    equal variables '1 2' "$output"
    enforce
    denied './substrate --env BASH_ENV=rc -c true'
    contains "$stderr" BASH_ENV
}

@test "time limits, signals and a client that is gone" {
    inside './substrate --timeout 0.2 -c "sleep 60"; echo $?'
    equal 'exit code' 143 "$output"
    equal outcome '["timeout","runtime"]' "$(nested '[.outcome, .outcome_reason]')"
    inside './substrate -c "kill -TERM \$\$"; echo $?'
    equal 'exit code' 143 "$output"
    equal outcome '["killed",15,143]' "$(nested '[.outcome, .signal, .exit]' | tail -n 1)"
    inside './substrate -c "kill -KILL \$PPID; true"; true'
    wait_for 10 recorded 3
    equal outcome '["killed",9]' "$(nested '[.outcome, .signal]' | tail -n 1)"
    run --separate-stderr substrate --timeout 0.3 -c './substrate -c "sleep 60"'
    wait_for 10 recorded 4
    equal outcome killed "$(nested .outcome | tail -n 1 | tr -d '"')"
}
recorded() { (($(nested .span_id | wc -l) >= $1)); }

@test "background processes may ask when their command has ended" {
    enforce
    run -0 substrate -c '(sleep 0.3; ./substrate -c "touch no" || echo denied >code; ./substrate -c "echo late >late") >/dev/null 2>&1 & echo started'
    wait_for 30 test -e late
    equal 'the denied one' denied "$(cat code)"
    equal 'the parent of both' "$(spans 10 'select(.nested | not) | .span_id')" "$(nested .parent_span | sort -u)"
}

@test "two worlds at once each have their own door" {
    local a
    substrate --ephemeral -c './substrate -c "true a"; touch a; until [ -e /tmp/never ] || [ $SECONDS -gt 1 ]; do ./substrate -c "true a"; done' &
    a=$!
    substrate --ephemeral -c './substrate -c "true b"; touch b'
    wait "$a"
    equal 'nobody is in the other'"'"'s world' true "$(substrate trace --json -n 100 | jq -s '
        (map(select(.nested | not)) | map({key: .span_id, value: .}) | from_entries) as $outer |
        map(select(.nested)) | length > 1 and all(.world_id == $outer[.parent_span].world_id and
            (.cmd[5:6] as $name | $outer[.parent_span].cmd | contains("true " + $name)))')"
}

@test "the doors of the host stay closed" {
    run -0 substrate -c true
    [[ -S $SUBSTRATE_HOME/sock/control.sock && -S $SUBSTRATE_HOME/sock/agent.sock ]]
    inside "$DOOR connect '$SUBSTRATE_HOME/sock/control.sock' 2>/dev/null || echo refused; $DOOR connect '$SUBSTRATE_HOME/sock/agent.sock' 2>/dev/null || echo refused; ls -A '$SUBSTRATE_HOME'"
    equal output $'refused\nrefused' "$output"
    # Its own can be used, and nothing else done with it.
    inside 'rm -f /.substrate.sock; mv /.substrate.sock /tmp/x; ln -sf /tmp/x /.substrate.sock; touch /.substrate.sock; ./substrate -c "echo still"'
    equal output still "$output"
    # Without a door nobody runs anything that should have been asked about.
    SUBSTRATE_WORLD_ID=x SUBSTRATE_HOME=$T/none refused 3 substrate -c 'touch x'
    contains "$stderr" 'it was not run'
    [[ ! -e x ]]
}

@test "a world that abuses its door harms only itself" {
    local agent
    run -0 substrate -c true
    agent=$(substrate world status --json | jq .agent.pid)
    inside "$DOOR raw ffffffff; $DOOR raw 0100000000; $DOOR raw 0200000081ff; $DOOR raw 00000000; $DOOR judge '{\"type\": \"exec\"}'; $DOOR judge '{\"type\": \"stop\"}'; $DOOR judge '{\"version\": \"0/0\"}'; $DOOR judge '{\"cmd\": \"\"}'; $DOOR ended '{}' '{\"type\": \"ended\", \"exit\": 256}'; $DOOR ended '{}' '{\"type\": \"judge\"}'"
    equal 'exit code' 0 "$status" || { echo "$output$stderr" && return 1; }
    equal 'answers to noise' $'error\nerror\nerror\nerror' "$(head -n 4 <<<"$output")"
    lacks "$(sed -n 5,8p <<<"$output")" '"denied"'
    equal 'the two that were judged and told no end' $'[137,"killed"]\n[137,"killed"]' "$(nested '[.exit, .outcome]')"
    run -0 substrate -c "$DOOR flood 2000; ./substrate -c 'echo after the flood'"
    # Connections that say nothing are not waited for longer than a few seconds.
    run -0 substrate -c "coproc $DOOR hold 100; read -r -u \${COPROC[0]}; ./substrate -c 'echo after the others'"
    equal output 'after the others' "$output"
    inside "head -c 170000 /dev/zero | tr '\\0' x >long; ./substrate -- true \"\$(head -c 100000 long)\" \"\$(head -c 100000 long)\""
    equal 'too long' 2 "$status" || { echo "$stderr" && return 1; }
    contains "$stderr" 'cannot be judged'
    equal 'the same agent' "$agent" "$(substrate world status --json | jq .agent.pid)"
    wait_for 10 no_connections
}
no_connections() { [[ $(substrate world status --json | jq .agent.pid | xargs -I{} find /proc/{}/fd -lname 'socket:*' 2>/dev/null | wc -l) -lt 40 ]]; }

@test "a nested span is not repeated alone" {
    run -0 substrate -c './substrate -c "echo x"'
    refused 2 substrate replay "$(nested .span_id | tr -d '"')"
    contains "$stderr" "$(nested .parent_span | tr -d '"')"
}
