#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What policies let run, at every door.
load common

more_setup() {
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
}
# policy ID TEXT: as an editor saves it.
policy() {
    printf 'id: %s\n%s\n' "$1" "$2" >"$SUBSTRATE_HOME/policies/.new"
    mv "$SUBSTRATE_HOME/policies/.new" "$SUBSTRATE_HOME/policies/$1.yaml"
}
enforce() { policy default $'mode: enforce\ncommands:\n  denied: [touch no*, rm -rf /]\n  isolated: [touch iso*]'; }
denied() { refused 126 "$@" && [[ $stderr == *'command denied by policy: '* ]]; }

@test "a denied command does not run, at any door" {
    enforce
    refused 126 substrate -c 'touch yes; rm -rf /'
    equal 'the line' 'substrate: command denied by policy: rm -rf / (policy default, commands.denied[1] "rm -rf /")' "$stderr"
    denied substrate -c 'touch no'
    denied substrate -- touch no
    denied substrate -- bash -c 'touch no'
    denied substrate --ephemeral -c 'touch no'
    denied substrate --direct -c 'touch no'
    denied substrate --shell /bin/sh -c 'touch no'
    denied substrate --no-world -c 'touch no'
    SUBSTRATE_WORLD=disabled denied substrate -c 'touch no'
    denied substrate -c 'bash -c "t\ouch no"'
    denied substrate -c $'cat <<END | sh\ntouch no\nEND'
    equal 'left by any of them' '' "$(ls)"
    run -0 substrate -c 'touch yes'
    [[ -e yes ]]
}

@test "scripts and standard input are judged whole and run as the shell runs them" {
    printf '#!/bin/bash\necho "$0 $# $2"\nread -r line && echo "read $line"\nexit 3\n' >ok.sh
    run --separate-stderr -3 substrate -f ok.sh 'a b' c <<<input
    equal output $'ok.sh 2 c\nread input' "$output"
    enforce
    printf 'echo first\nif false; then\n  touch no\nfi\n' >bad.sh
    denied substrate -f bad.sh
    run --separate-stderr -0 bash -c 'printf "echo one\necho two >made\n" | substrate'
    equal output one "$output"
    equal made two "$(cat made)"
    refused 126 bash -c 'printf "echo one\nrm -rf /\n" | substrate'
    refused 2 substrate -f missing.sh
    refused 2 substrate -f .
    refused 2 substrate -f
    refused 2 substrate -c true -f ok.sh
    printf '#!/usr/bin/python3\nprint(1)\n' >script.py
    refused 2 substrate -f script.py
    head -c 200000 /dev/zero | tr '\0' '#' >long.sh
    refused 2 substrate -f long.sh
    refused 2 substrate </dev/null
    [[ ! -e no ]]
}

@test "a denial is a span with its decision, and a violation" {
    enforce
    refused 126 substrate -c 'ls; touch no'
    equal span '["denied",126,"deny","commands.denied[0]","touch no*","default"]' \
        "$(last '[.outcome, .exit, .policy_decision.action, .policy_decision.rule, .policy_decision.pattern, .policy_id] | tojson')"
    [[ $(last .policy_hash) == sha256:* ]]
    equal violation '["denied","touch no"]' \
        "$(jq -c 'select(.event_type == "policy_violation") | [.outcome, .command]' "$SUBSTRATE_HOME/trace.jsonl")"
    run -0 substrate trace --outcome denied
    contains "$output" 'ls; touch no'
}

@test "a policy that observes lets run what it would deny, and says so" {
    policy default $'commands:\n  denied: [touch no*]'
    run --separate-stderr -0 substrate -c 'touch no1'
    contains "$stderr" 'substrate: command would be denied by policy: touch no1 (policy default, commands.denied[0] "touch no*")'
    [[ -e no1 ]]
    equal span '["would_deny",0,"deny"]' "$(last '[.outcome, .exit, .policy_decision.action] | tojson')"
    run --separate-stderr -0 substrate --no-world -c 'touch no2'
    equal 'on the host' would_deny "$(last .outcome)"
}

@test "without any file the shipped policy observes" {
    run --separate-stderr substrate -c 'sudo --version >/dev/null 2>&1; true'
    equal exit 0 "$status"
    contains "$stderr" 'would be denied by policy: sudo --version' '"sudo *"'
}

@test "an isolated command changes nothing before it is seen" {
    enforce
    run --separate-stderr -0 substrate -c 'touch iso'
    contains "$stderr" 'kept: 1 changed paths'
    [[ ! -e iso ]]
    equal decision '["allow_with_restrictions",["isolate"],"pending"]' \
        "$(last '[.policy_decision.action, .policy_decision.restrictions, .commit] | tojson')"
    run -0 substrate apply
    [[ -e iso ]]
    # On the host it could not be.
    denied substrate --no-world -c 'touch iso2'
}

@test "observing lets a denied command run, but one that is isolated stays so" {
    policy default $'mode: observe\ncommands:\n  denied: [touch iso-no*]\n  isolated: [touch iso*]\n  unresolved: isolate'
    run --separate-stderr -0 substrate -c 'touch iso-no'
    contains "$stderr" 'would be denied by policy: touch iso-no' 'kept: 1 changed paths'
    [[ ! -e iso-no ]]
    equal outcome '["would_deny","pending"]' "$(last '[.outcome, .commit] | tojson')"
    run -0 substrate discard
    # What is not known holds nothing back either.
    run -0 substrate -c 'D=.; touch "$D/known-to-the-shell"'
    [[ -e known-to-the-shell ]]
}

@test "a direct command works on the project itself" {
    policy default $'commands:\n  direct: ["cat *"]'
    echo text >file
    run -0 substrate -c 'cat file'
    equal capture direct "$(last .world_fs_strategy.final)"
    run -0 substrate -c 'cat file; touch x'
    [[ $(last .world_fs_strategy.final) != direct ]]
}

@test "an edit is in force for the next command of a running agent" {
    enforce
    denied substrate -c 'touch no'
    local agent world
    agent=$(substrate world status --json | jq .agent_pid)
    run -0 substrate -c true
    world=$(last .world_id)
    policy default $'mode: enforce\ncommands:\n  denied: [touch other*]'
    run -0 substrate -c 'touch no'
    equal 'the same world' "$world" "$(last .world_id)"
    denied substrate -c 'touch other'
    # In place, as some editors save.
    printf 'id: default\nmode: enforce\ncommands:\n  denied: [touch third*]\n' >"$SUBSTRATE_HOME/policies/default.yaml"
    denied substrate -c 'touch third'
    run -0 substrate -c 'touch other'
    equal 'the same agent' "$agent" "$(substrate world status --json | jq .agent_pid)"
    wait_for 10 reloads 2
}
reloads() { (($(jq -c 'select(.event_type == "policy_reload")' "$SUBSTRATE_HOME/trace.jsonl" | wc -l) >= $1)); }

@test "an edit is read when it is made, not only when a command comes" {
    enforce
    run -0 substrate -c true
    policy default 'mode: ['
    wait_for 10 reloads 1
    equal 'what was wrong' true "$(jq -c 'select(.event_type == "policy_reload") | .problem | contains("default.yaml:2")' "$SUBSTRATE_HOME/trace.jsonl")"
}

@test "a broken edit keeps the last good policy in force and says so" {
    enforce
    denied substrate -c 'touch no'
    local file=$SUBSTRATE_HOME/policies/default.yaml text
    for text in $'id: default\nmode: [' $'id: default\nnonsense: 1' $'id: default\nmode: 3' $'id: default\nid: default' ''; do
        printf '%s\n' "$text" >"$file"
        run --separate-stderr substrate -c 'touch no'
        equal "exit with $text" 126 "$status"
        contains "$stderr" "$file" 'the last good one stays in force' 'commands.denied[0] "touch no*"'
    done
    enforce
    rm "$file" && mkfifo "$file"
    run --separate-stderr substrate -c 'touch no'
    equal 'exit with a FIFO' 126 "$status"
    rm "$file" && mkdir "$file"
    run --separate-stderr substrate -c 'touch no'
    equal 'exit with a directory' 126 "$status"
    rmdir "$file"
    enforce && chmod 0666 "$file"
    run --separate-stderr substrate -c 'touch no'
    contains "$stderr" 'can be written by other accounts'
    equal 'never run' '' "$(ls)"
}

@test "a policy that was never good lets nothing run" {
    local file=$SUBSTRATE_HOME/policies/default.yaml
    printf 'id: default\nmode: [\n' >"$file"
    refused 126 substrate -c 'touch x'
    contains "$stderr" 'no policy could be read' "$file:2" 'substrate policy validate'
    equal span '["denied","none"]' "$(last '[.outcome, .policy_id] | tojson')"
    # Not to be had otherwise either.
    refused 126 substrate --no-world -c 'touch x'
    equal 'left by any of them' '' "$(ls)"
    rm "$file"
    wait_for 10 substrate -c 'touch x'
}

@test "files of the project only tighten" {
    enforce
    policy loose 'mode: observe'
    policy strict $'mode: enforce\ncommands:\n  denied: [mkdir *]'
    echo loose >.substrate-profile
    denied substrate -c 'touch no'
    echo strict >.substrate-profile
    denied substrate -c 'touch no'
    denied substrate -c 'mkdir d'
    rm .substrate-profile
    printf 'id: mine\nmode: observe\n' >.substrate-policy.yaml
    denied substrate -c 'touch no'
    echo unknown-to-all >.substrate-profile
    refused 126 substrate -c true
    contains "$stderr" "there is no policy 'unknown-to-all'"
}

@test "a command cannot change the policy it is under" {
    enforce
    # Each of these may fail in the world; none may have an effect on what is judged next.
    substrate -c "mkdir -p '$SUBSTRATE_HOME/policies'; echo 'id: default' >'$SUBSTRATE_HOME/policies/default.yaml'" || true
    substrate -c "rm -f '$SUBSTRATE_HOME/policies/default.yaml'; mkdir -p /etc/substrate; echo 'id: x' >/etc/substrate/managed.yaml" || true
    substrate -c 'mkdir -p ~/.substrate/policies; echo "id: default" >~/.substrate/policies/default.yaml' || true
    substrate -c 'echo loose >.substrate-profile; printf "id: loose\nmode: observe\n" >.substrate-policy.yaml' || true
    substrate -c 'mkdir -p .substrate/policies; printf "id: default\nmode: observe\n" >.substrate/policies/default.yaml' || true
    rm -f .substrate-profile
    denied substrate -c 'touch no'
    [[ ! -e /etc/substrate/managed.yaml ]]
}

@test "a call from inside a world is no way around" {
    enforce
    # Where a world can see it.
    cp "$SUBSTRATE_BIN"/substrate* .
    denied substrate -c "./substrate -c 'touch no'"
    denied substrate -c "./substrate -c 'x'; touch no"
    [[ ! -e no ]]
}

@test "what a shell would run besides its line is refused" {
    enforce
    echo 'touch no' >rc
    refused 126 substrate --env BASH_ENV=rc -c true
    contains "$stderr" BASH_ENV
    refused 126 substrate --env 'BASH_FUNC_ls%%=() { touch no; }' -c ls
    refused 126 substrate --env ENV=rc --shell /bin/sh -c true
    [[ ! -e no ]]
}

@test "the host's network is the policy's to share" {
    enforce
    denied substrate --share-network -c true
    contains "$stderr" 'world.isolate_network'
    policy default $'mode: enforce\nworld:\n  isolate_network: false'
    run -0 substrate -c true
    equal netns host "$(last .enforcement.netns)"
}

@test "limits and care of a policy hold for every command" {
    policy default $'mode: enforce\nworld:\n  commit: manual\n  limits:\n    runtime: 300ms'
    run --separate-stderr substrate -c 'touch x; sleep 60'
    equal outcome timeout "$(last .outcome)"
    [[ ! -e x ]]
    equal commit pending "$(last .commit)"
}

@test "a replay is judged by today's policy and says when it differs" {
    run -0 substrate -c 'touch no'
    local span
    span=$(last_span)
    run --separate-stderr -0 substrate replay "$span"
    rm no
    enforce
    run --separate-stderr substrate replay "$span"
    equal 'exit code' 126 "$status"
    contains "$stderr" 'command denied by policy: ' 'policy content changed'
    equal 'left by it' '' "$(ls)"
}

@test "without a terminal what needs approval is denied" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    refused 126 substrate -c 'touch ask'
    contains "$stderr" 'approval is asked for' 'no terminal to ask on'
    refused 126 substrate --no-world -c 'touch ask'
    policy default $'mode: enforce\nworld:\n  commit: ask\napproval:\n  require: [touch ask*]'
    refused 126 substrate -c 'touch ask'
    equal 'left by any of them' '' "$(ls)"
}

@test "lines that nobody can read whole follow the policy" {
    policy default $'mode: enforce\ncommands:\n  unresolved: deny'
    refused 126 substrate -c 'echo $(ls)"'
    refused 126 substrate -c '$X ls'
    refused 126 substrate -c "$(printf ':;%.0s' {1..20001})"
    contains "$stderr" 'cannot be judged as a whole'
    refused 126 substrate -c $'true\r'
}

@test "a person is asked on the terminal" {
    need_program tmux
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    in_terminal 'bash --norc --noprofile -i'
    typed "substrate -c 'touch ask1'; echo code-\$?"
    shown 'touch ask1 *$'
    shown "$P"
    wait_for 20 prompted 1
    [[ ! -e ask1 ]]
    typed o
    shown '^code-0'
    [[ -e ask1 ]]
    # Once was once.
    typed "clear; substrate -c 'touch ask1'; echo again-\$?"
    wait_for 20 prompted 1
    typed d
    shown '^again-126'
    equal span '["denied","ask","approval.require[0]"]' "$(last '[.outcome, .policy_decision.action, .policy_decision.rule] | tojson')"
    equal answers '"once"
"deny"' "$(jq -c 'select(.event_type == "approval") | .answer' "$SUBSTRATE_HOME/trace.jsonl")"
}
prompted() { (($(terminal capture-pane -p | grep -c '\[o\]nce') >= $1)); }

@test "what is approved for the session or for always is not asked again" {
    need_program tmux
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    in_terminal 'bash --norc --noprofile -i'
    typed "substrate -c 'touch ask1'; echo code-\$?"
    wait_for 20 prompted 1
    typed s
    shown '^code-0'
    run -0 substrate -c "touch  'ask1'"
    refused 126 substrate -c 'touch ask1 ask2'
    refused 126 substrate -c 'touch ask1; true'
    refused 126 substrate -c './touch ask1'
    run -0 substrate world stop
    refused 126 substrate -c 'touch ask1'
    typed "clear; substrate -c 'touch ask1'; echo always-\$?"
    wait_for 20 prompted 1
    typed a
    shown '^always-0'
    run -0 substrate world stop
    run -0 substrate -c 'touch ask1'
    equal 'only its owner reads it' 600 "$(stat -c %a "$SUBSTRATE_HOME/approvals.yaml")"
    # It was for the policy as it was.
    policy default $'mode: enforce\napproval:\n  require: [touch ask*, ls]'
    refused 126 substrate -c 'touch ask1'
    # A broken file approves nothing, and stays as it is.
    echo 'version: [' >"$SUBSTRATE_HOME/approvals.yaml"
    run --separate-stderr substrate -c 'touch ask1'
    equal 'exit code' 126 "$status"
    contains "$stderr" approvals.yaml
    typed "clear; substrate -c 'touch ask1'; echo kept-\$?"
    wait_for 20 prompted 1
    typed a
    shown '^kept-0'
    shown 'the answer holds for this once only'
    equal content 'version: [' "$(cat "$SUBSTRATE_HOME/approvals.yaml")"
}

@test "a question that nobody answers in time is denied" {
    need_program tmux
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  timeout: 200ms'
    in_terminal "substrate -c 'touch ask1'; echo code-\$?"
    shown '^code-126'
    [[ ! -e ask1 ]]
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]\n  interactive: false'
    refused 126 substrate -c 'touch ask1'
    contains "$stderr" 'approval.interactive'
}

@test "where the policy says so, the change is seen before it is approved" {
    need_program tmux
    policy default $'mode: enforce\nworld:\n  commit: ask\napproval:\n  require: [touch ask*]'
    in_terminal 'bash --norc --noprofile -i'
    typed "substrate -c 'touch ask1'; echo code-\$?"
    wait_for 20 prompted 1
    shown 'writes 1 path'
    [[ ! -e ask1 ]]
    typed o
    shown '^code-0'
    [[ -e ask1 ]]
    equal commit applied "$(last .commit)"
    typed "clear; substrate -c 'touch ask2'; echo no-\$?"
    wait_for 20 prompted 1
    typed d
    shown '^no-126'
    [[ ! -e ask2 ]]
    equal span '["denied","discarded"]' "$(last '[.outcome, .commit] | tojson')"
}

@test "on the host it is asked too" {
    need_program tmux
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    in_terminal "substrate --no-world -c 'touch ask1'; echo code-\$?"
    wait_for 20 prompted 1
    typed o
    shown '^code-0'
    [[ -e ask1 ]]
}
