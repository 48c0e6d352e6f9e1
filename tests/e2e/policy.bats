#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# `substrate policy`: looking at policies, and saying what holds.
load common

more_setup() {
    policies=$SUBSTRATE_HOME/policies
    mkdir -p "$policies"
    chmod 0700 "$SUBSTRATE_HOME" "$policies"
}
# policy ID TEXT: as an editor saves it.
policy() {
    printf 'id: %s\n%s\n' "$1" "$2" >"$policies/.new"
    mv "$policies/.new" "$policies/$1.yaml"
}
# invalid PROBLEMS FILE…: exit 2, and exactly these lines on standard output.
invalid() {
    local problems=$1
    shift
    run --separate-stderr substrate policy validate "$@"
    equal "exit for $*" 2 "$status" || { echo "$output$stderr" && return 1; }
    equal "problems of $*" "$problems" "$output"
}

@test "each command has help, and a wrong call is one line" {
    local command
    run -0 substrate policy --help
    for command in show validate reload explain test backtest suggest trust approvals; do
        contains "$output" "$command"
        run -0 substrate policy "$command" --help
        run -0 substrate policy --help
    done
    refused 2 substrate policy
    refused 2 substrate policy nonsense
    refused 2 substrate policy show --nonsense
    refused 2 substrate policy test
    refused 2 substrate policy explain
    refused 2 substrate policy explain a -- b
    refused 2 substrate policy suggest
    refused 2 substrate policy suggest --from nonsense
    refused 2 substrate policy trust --list --revoke
}

@test "without the program beside it the client says so" {
    mkdir "$T/bin"
    cp "$SUBSTRATE_BIN/substrate" "$T/bin/"
    refused 4 "$T/bin/substrate" policy show
    contains "$stderr" substrate-policy
}

@test "validate: what is shipped is valid, and what is wrong has its place" {
    run --separate-stderr -0 substrate policy validate
    contains "$output" '(shipped)/default.yaml: ok, default (observe)'
    local f=$T/p.yaml
    printf 'id: p\nmode: enforce\ncommands:\n  denied:\n    - rm -rf /\n' >"$f"
    run --separate-stderr -0 substrate policy validate "$f"
    equal 'a good one' "$f: ok, p (enforce)" "$output"
    printf 'id: p\nmode: [\n' >"$f"
    invalid "$f:2:1: end of sequence flow not found" "$f"
    printf 'id: p\nnonsense: 1\nfs:\n  wrote: []\n' >"$f"
    run --separate-stderr substrate policy validate "$f"
    equal exit 2 "$status"
    contains "${lines[0]}" "$f:2:1: /nonsense: is not a known key"
    contains "${lines[1]}" "$f:4:1: /fs/wrote: is not a known key"
    printf 'id: p\nmode: 3\ncommands: []\nallow_shell_operators: "no"\n' >"$f"
    invalid "$f:2:7: /mode: must be one of observe, enforce
$f:3:11: /commands: must be a mapping
$f:4:24: /allow_shell_operators: must be true or false" "$f"
    printf 'id: p\nid: q\n' >"$f"
    invalid "$f:2:1: the key \"id\" is there twice" "$f"
    printf 'id: p\na: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n' >"$f"
    invalid "$f:2:4: anchors are not supported" "$f"
    printf 'mode: observe\n' >"$f"
    invalid "$f:1:1: /id: is missing" "$f"
    : >"$f"
    invalid "$f:1:1: must be a mapping" "$f"
    printf 'id: p\ncommands:\n  denied:\n    - ls\n    - a; b\n' >"$f"
    run --separate-stderr substrate policy validate "$f"
    equal exit 2 "$status"
    contains "$output" "$f:5:1: /commands/denied/1: the pattern \"a; b\" cannot be used"
    printf 'id: p\n\033[2J: 1\n' >"$f"
    run --separate-stderr substrate policy validate "$f"
    lacks "$output" $'\033'
    head -c 9000000 /dev/zero | tr '\0' '#' >"$f"
    refused 2 substrate policy validate "$f"
}

@test "validate: what is no file is one line each" {
    mkdir "$T/d.yaml" && mkfifo "$T/fifo.yaml" && ln -s loop.yaml "$T/loop.yaml"
    for f in "$T/d.yaml" "$T/fifo.yaml" "$T/loop.yaml" "$T/missing.yaml" "$T/d.yaml/x" /dev/null; do
        refused 2 timeout 10 substrate policy validate "$f"
        contains "$stderr" "${f##*/}"
    done
    run --separate-stderr substrate policy validate "$T/missing.yaml" /dev/null
    equal 'lines for two' 2 "${#stderr_lines[@]}"
}

@test "validate without a file: all that can be named, held to the rules of their places" {
    policy good 'mode: observe'
    policy broken 'mode: 3'
    policy named 'mode: observe' && mv "$policies/named.yaml" "$policies/other.yaml"
    policy written 'mode: observe' && chmod 0666 "$policies/written.yaml"
    mkdir "$policies/directory.yaml" && mkfifo "$policies/fifo.yaml"
    run --separate-stderr timeout 10 substrate policy validate
    equal exit 2 "$status"
    contains "$output" "$policies/good.yaml: ok, good (observe)" "$policies/broken.yaml:2:7: /mode: must be one of" \
        "$policies/other.yaml:1:1: /id: is 'named', but the file's name says 'other'"
    contains "$stderr" "written.yaml' can be written by other accounts" "directory.yaml' is a directory" \
        "fifo.yaml' is not a regular file"
    run --separate-stderr substrate policy validate --json
    equal exit 2 "$status"
    equal 'those not ok' '["broken","directory","fifo","other","written"]' \
        "$(jq -c '[.[] | select(.ok | not) | .file | split("/")[-1] | rtrimstr(".yaml")] | sort' <<<"$output")"
    equal place '[2,7,"/mode"]' \
        "$(jq -c '.[] | select(.file | endswith("/broken.yaml")) | .problems[0] | [.line, .column, .pointer]' <<<"$output")"
}

@test "validate: a policy of another account is refused" {
    [[ $SUBSTRATE_TEST_WAY == root ]] || skip 'needs a second account'
    policy foreign 'mode: observe'
    chown 12345 "$policies/foreign.yaml"
    run --separate-stderr substrate policy validate
    equal exit 2 "$status"
    contains "$stderr" "foreign.yaml' belongs to another account (uid 12345)"
}

@test "show: what governs a directory, and where each value came from" {
    run --separate-stderr -0 substrate policy show
    contains "$output" 'policy      default' 'mode        observe' 'nothing here: the default holds' 'none runs' \
        '(shipped)/default.yaml' 'sudo *'
    policy default $'mode: enforce\ncommands:\n  denied:\n    - rm -rf /\nworld:\n  limits: {runtime: 90s}'
    run --separate-stderr -0 substrate policy show --explain
    [[ $output =~ \[0\]\ rm\ -rf\ /\ +"$policies/default.yaml:5" ]] || { echo "$output" && return 1; }
    [[ $output =~ world.limits.runtime\ +90s\ +"$policies/default.yaml:7" ]]
    [[ $output =~ world.commit\ +auto\ +default ]]
    run --separate-stderr -0 substrate policy show --json --explain
    equal json '["default","enforce","chosen","90s","auto"]' "$(jq -c '[.policy_id, .mode, .layers[0].role,
        .layers[0].values["/world/limits/runtime"], .merged["/world/commit"]]' <<<"$output")"
    equal origin "$policies/default.yaml:2" "$(jq -r '.layers[0].origins["/mode"]' <<<"$output")"
    [[ $(jq -r .policy_hash <<<"$output") == "sha256:$(sha256sum <"$policies/default.yaml" | cut -d' ' -f1)" ]]
    run --separate-stderr -0 substrate policy show npm
    contains "$output" '(shipped)/npm.yaml'
    run --separate-stderr -0 substrate policy show "$policies/default.yaml" --json
    equal 'by its file' enforce "$(jq -r .mode <<<"$output")"
    refused 2 substrate policy show unknown-to-all
    refused 2 substrate policy show "$T/missing.yaml"
}

@test "show: a project's files as layers, trusted and not" {
    policy strict $'mode: enforce\ncommands:\n  denied: [mkdir *]'
    echo strict >.substrate-profile
    run --separate-stderr -0 substrate policy show
    contains "$output" ".substrate-profile in $P (not trusted: only tightens; substrate policy trust $P)"
    equal roles '["chosen","floor"]' "$(substrate policy show --json | jq -c '[.layers[].role] | sort')"
    run -0 substrate policy trust --yes
    run --separate-stderr -0 substrate policy show --json
    equal 'after trust' '[true,["chosen"]]' "$(jq -c '[.trusted, [.layers[].role]]' <<<"$output")"
    rm .substrate-profile
    run --separate-stderr -0 substrate policy show
    contains "$output" 'policy      strict' "what was trusted for $P, whose files are gone"
    run -0 substrate policy trust --revoke
    run --separate-stderr -0 substrate policy show
    contains "$output" 'policy      default'
}

@test "show and explain: nothing that can be read" {
    echo unknown-to-all >.substrate-profile
    run --separate-stderr substrate policy show
    equal exit 2 "$status"
    contains "$output" "there is no policy 'unknown-to-all'" 'every command is denied until this is mended'
    run --separate-stderr substrate policy explain ls
    equal 'exit of explain' 126 "$status"
    contains "$output" 'no policy could be read' 'would run   no'
    for name in '' 'a b' ../x 'A' "$(printf 'x%.0s' {1..65})" $'\033[2J'; do
        printf '%s\n' "$name" >.substrate-profile
        run --separate-stderr substrate policy show
        equal "exit for $name" 2 "$status"
        contains "$output" 'is not the name of a policy'
        lacks "$output" $'\033'
    done
    echo default >"$T/elsewhere"
    rm .substrate-profile && ln -s "$T/elsewhere" .substrate-profile
    run --separate-stderr substrate policy show
    equal 'exit for a link' 2 "$status"
    contains "$output" 'is a link'
    rm .substrate-profile
    # A name that is there twice is two policies, not a circle.
    echo default >.substrate-profile
    printf 'id: default\nmode: enforce\n' >.substrate-policy.yaml
    run --separate-stderr -0 substrate policy show --json
    equal 'layers of one name' '[["chosen","default"],["floor","default"]]' "$(jq -c '[.layers[] | [.role, .id]] | sort' <<<"$output")"
    rm .substrate-profile .substrate-policy.yaml
    policy default 'mode: 3'
    run --separate-stderr substrate policy show --json
    equal exit 2 "$status"
    equal problem "$policies/default.yaml" "$(jq -r '.problems[0].file' <<<"$output")"
    equal 'in force' null "$(jq .policy_id <<<"$output")"
}

@test "a policy of one's own that cannot be had is not passed over for a looser one" {
    for target in default.yaml nowhere.yaml; do
        ln -sfn $target "$policies/default.yaml"
        run --separate-stderr substrate policy show
        equal "exit for a link to $target" 2 "$status"
        refused 126 substrate -c true
    done
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]'
    mv "$policies/default.yaml" "$T/default.yaml"
    ln -s "$T/default.yaml" "$policies/default.yaml"
    refused 126 substrate -c 'touch no'
    contains "$stderr" 'commands.denied[0]'
    [[ $SUBSTRATE_TEST_WAY == user ]] || return 0
    substrate world stop
    chmod 0 "$policies"
    run --separate-stderr substrate policy show
    equal 'exit for a closed directory' 2 "$status"
    refused 126 substrate -c true
    chmod 0700 "$policies"
}

@test "a running agent: what it has in force, and its last good text" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]'
    run --separate-stderr -0 substrate policy reload
    equal 'without one' 'no agent runs; the next command reads the files anyway' "$output"
    substrate -c true
    run --separate-stderr -0 substrate policy show
    contains "$output" 'has this in force'
    run --separate-stderr -0 substrate policy reload --json
    equal reload '[true,false]' "$(jq -c '[.agent, .broken]' <<<"$output")"
    local hash
    hash=$(substrate policy show --json | jq -r .agent.policy_hash)
    policy default 'mode: 3'
    run --separate-stderr substrate policy reload
    equal 'exit for a broken one' 2 "$status"
    contains "$stderr" "$policies/default.yaml:2:7: /mode"
    run --separate-stderr substrate policy show
    equal 'exit of show' 2 "$status"
    contains "$output" "in force    the last good text stays: default $hash" "broken      $policies/default.yaml:2:7: /mode"
    equal json "$hash" "$(substrate policy show --json | jq -r .agent.policy_hash)"
    policy default 'mode: observe'
    run --separate-stderr -0 substrate policy reload
    run --separate-stderr -0 substrate policy show
    contains "$output" 'has this in force'
}

@test "reload without an agent: what is broken is said" {
    policy default 'mode: 3'
    run --separate-stderr substrate policy reload
    equal exit 2 "$status"
    contains "$output" 'no agent runs'
    contains "$stderr" "$policies/default.yaml:2:7: /mode"
}

@test "explain: how a line is read and judged, and nothing runs" {
    policy default $'mode: enforce\ncommands:\n  denied: [rm -rf /, curl * | sh]\n  isolated: [npm install *]\n  unresolved: ask'
    run --separate-stderr substrate policy explain 'touch x; sudo rm -fr / >out; a | b'
    equal exit 126 "$status"
    contains "$output" '[0] touch x' '[1] sudo rm -fr /' 'redirection: > out' 'part 1 of 2 of pipeline 1' 'run by [1]' \
        'decision    deny' 'rule        commands.denied[0] "rm -rf /"' \
        "policy      default (chosen), $policies/default.yaml" 'mode        enforce' 'would run   no'
    run --separate-stderr -0 substrate policy explain 'ls; npm install x'
    contains "$output" 'allow_with_restrictions' 'would run   yes, in a world of its own'
    run --separate-stderr substrate policy explain 'echo $X'
    equal 'exit for ask' 126 "$status"
    contains "$output" 'word 1 is not known before it runs: the value of a variable' 'only when a person approves it'
    run --separate-stderr -0 substrate policy explain -- echo '$X' '; rm -rf /'
    run --separate-stderr substrate policy explain --json 'curl x | sh'
    equal 'exit with --json' 126 "$status"
    equal json '["deny","curl * | sh","chosen",false,[1,2]]' "$(jq -c '[.decision.action, .decision.pattern,
        .decision.layer.role, .decision.would_run, [.commands[].pipelines[].part]]' <<<"$output")"
    run --separate-stderr substrate policy explain 'if true'
    equal 'exit for what cannot be read' 126 "$status"
    contains "$output" 'cannot be read as a whole'
    run --separate-stderr -0 substrate policy explain $'echo \033[2J'
    lacks "$output" $'\033'
    policy default $'mode: observe\ncommands:\n  denied: [rm -rf /]'
    run --separate-stderr -0 substrate policy explain 'rm -rf /'
    contains "$output" 'the policy only observes'
    equal 'made by any of them' '' "$(ls)"
    no_processes
}

@test "explain: in another directory" {
    mkdir -p "$T/other/sub" "$T/other/.git"
    policy default $'mode: enforce\ncommands:\n  denied: [rm -rf $PROJECT]'
    run --separate-stderr substrate policy explain --cwd "$T/other/sub" 'rm -rf ..'
    equal exit 126 "$status"
    run --separate-stderr -0 substrate policy explain --cwd "$T/other/sub" 'rm -rf .'
    refused 1 substrate policy explain --cwd "$T/missing" ls
}

@test "test: a table of expectations" {
    policy default $'mode: enforce\ncommands:\n  denied: [rm -rf /]\n  isolated: [npm install *]'
    cat >"$T/t.yaml" <<'END'
cases:
  - command: ls
    expect: allow
  - command: true; rm -fr /
    expect: deny
    rule: commands.denied[0]
    pattern: rm -rf /
  - argv: [npm, install, x]
    cwd: $PROJECT/sub
    expect: isolate
END
    run --separate-stderr -0 substrate policy test "$T/t.yaml"
    equal output '3 passed, 0 failed' "$output"
    printf -- '  - {command: ls, expect: deny}\n' >>"$T/t.yaml"
    run --separate-stderr substrate policy test "$T/t.yaml"
    equal exit 1 "$status"
    equal output "$T/t.yaml:11: ls: verdict deny expected, but it is allow (no rule is against it)
3 passed, 1 failed" "$output"
    run --separate-stderr substrate policy test "$T/t.yaml" --json
    equal json '[3,1,[11]]' "$(jq -c '[.passed, .failed, [.cases[] | select(.ok | not) | .line]]' <<<"$output")"
    # Another policy: beside the table, by its id, or instead of the table's.
    printf 'id: lax\n' >"$T/lax.yaml"
    printf 'policy: ./lax.yaml\ncases: [{command: rm -rf /, expect: allow}]\n' >"$T/u.yaml"
    run -0 substrate policy test "$T/u.yaml"
    run --separate-stderr substrate policy test "$T/u.yaml" --policy default
    equal 'exit by the default' 1 "$status"
}

@test "test: tables that cannot be used" {
    printf 'cases:\n  - {command: ls, expect: maybe}\n' >"$T/t.yaml"
    refused 2 substrate policy test "$T/t.yaml"
    contains "$stderr" "$T/t.yaml:2:27: /cases/0/expect: must be one of"
    printf 'cases:\n  - {comand: ls, expect: deny}\n' >"$T/t.yaml"
    run --separate-stderr substrate policy test "$T/t.yaml"
    equal exit 2 "$status"
    contains "$stderr" "$T/t.yaml:2:1: /cases/0/comand: is not a known key"
    printf 'a: &a [x]\ncases: *a\n' >"$T/t.yaml"
    refused 2 substrate policy test "$T/t.yaml"
    printf 'policy: unknown-to-all\ncases: [{command: ls, expect: allow}]\n' >"$T/t.yaml"
    refused 2 substrate policy test "$T/t.yaml"
    refused 2 substrate policy test "$T"
    refused 2 substrate policy test "$T/missing"
    mkfifo "$T/fifo"
    refused 2 timeout 10 substrate policy test "$T/fifo"
}

@test "backtest: what another policy would have decided" {
    export SUBSTRATE_SESSION_ID=ses_01a202bb-f3b1-74e9-a8d1-64067e01109d
    substrate -c 'touch x'
    substrate -c 'curl --token=abcdefgh123456 -V >/dev/null 2>&1; true'
    substrate -c 'ls'
    run --separate-stderr -0 substrate policy backtest
    equal 'nothing has changed' '3 spans, 0 differ; 1 were recorded without their secrets' "$output"
    printf 'id: new\nmode: enforce\ncommands:\n  denied: [touch *, curl *]\n' >"$T/new.yaml"
    run --separate-stderr substrate policy backtest --policy "$T/new.yaml" --since 1h
    equal exit 1 "$status"
    contains "$output" 'allow → deny  touch x  (commands.denied[0] "touch *")' '[judged without its secrets' '3 spans, 2 differ'
    lacks "$output" abcdefgh123456
    run --separate-stderr substrate policy backtest --policy "$T/new.yaml" --json
    equal json '[3,1,["deny","deny"]]' "$(jq -c '[.spans, .redacted, [.differ[].new]]' <<<"$output")"
    sed -i 's/enforce/observe/' "$T/new.yaml"
    run --separate-stderr substrate policy backtest --policy "$T/new.yaml"
    contains "$output" 'allow → deny (observed)  touch x'
    run --separate-stderr -0 substrate policy backtest --policy "$T/new.yaml" --session ses_01a202bb-f3b1-74e9-a8d1-64067e01109e
    contains "$output" '0 spans, 0 differ'
    refused 2 substrate policy backtest --since yesterday
    refused 2 substrate policy backtest --policy unknown-to-all
    # What is in force now, by itself.
    policy default $'mode: enforce\ncommands:\n  denied: [touch *]'
    run --separate-stderr substrate policy backtest
    equal 'exit after an edit' 1 "$status"
    policy default 'mode: 3'
    run --separate-stderr substrate policy backtest
    equal 'exit for a broken one' 1 "$status"
    contains "$stderr" '3 spans could not be judged' '/mode: must be one of'
}

@test "backtest and suggest before anything was recorded, and over damaged lines" {
    rm -rf "$SUBSTRATE_HOME"
    refused 2 substrate policy backtest
    refused 2 substrate policy suggest --from ses_01a202bb-f3b1-74e9-a8d1-64067e01109d
    substrate -c 'ls >/dev/null'
    local session
    session=$(last .session_id)
    printf 'nonsense\n{"event_type":"command_complete"}\n' >>"$SUBSTRATE_HOME/trace.jsonl"
    run --separate-stderr substrate policy backtest
    contains "$output" '1 spans, 0 differ'
    contains "$stderr" skipped
    run --separate-stderr -0 substrate policy suggest --from "$session"
    contains "$output" '"ls"'
}

@test "suggest: the least policy, which allows all that it was made from" {
    export SUBSTRATE_SESSION_ID=ses_01a202bb-f3b1-74e9-a8d1-64067e01109d
    local line
    for line in 'ls -la' 'echo one' 'echo two' 'echo three' 'touch f && echo x >g' 'cat f g | sort >h; true' 'rm -f *.o' \
        'bash -c "echo $HOME; echo $X"' "printf '%s\n' 'it'\\''s'" 'env A=1 sh -c "cat f"' 'for i in 1 2; do printf x$i; done' \
        'x=1' '[ -f f ] && [[ -d . ]]' "echo 'mode: observe'" 'curl --token=abcdefgh123456 -V >/dev/null 2>&1; true' \
        $'cat <<END | sh\nls -la\nEND'; do
        run substrate -c "$line"
    done
    run substrate -- touch 'a b' "c'd"
    run substrate -c 'if true'
    run --separate-stderr -0 substrate policy suggest --from $SUBSTRATE_SESSION_ID --id seen
    contains "$stderr" 'not covered: if true: it cannot be read as a whole'
    contains "$output" 'id: "seen"' 'mode: enforce' 'echo ?*' '- $PROJECT/f' 'unresolved: isolate' '# Not covered:'
    lacks "$output" abcdefgh123456 '- "*"'
    printf '%s\n' "$output" >"$T/seen.yaml"
    run -0 substrate policy validate "$T/seen.yaml"
    run --separate-stderr substrate policy backtest --policy "$T/seen.yaml" --session $SUBSTRATE_SESSION_ID --json
    equal 'not allowed by it' '["if true"]' "$(jq -c '[.differ[] | select(.new | test("deny|ask")) | .cmd]' <<<"$output")"
    # And nothing else.
    policy seen "$(tail -n +4 "$T/seen.yaml" | grep -v '^id:')"
    echo seen >.substrate-profile
    run --separate-stderr -0 substrate -c 'echo four'
    refused 126 substrate -c 'touch other'
    refused 2 substrate policy suggest --from ses_01a202bb-f3b1-74e9-a8d1-64067e01109e
    refused 2 substrate policy suggest --from $SUBSTRATE_SESSION_ID --id 'Not An Id'
}

@test "trust: shown, asked for, kept, listed, revoked" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]'
    refused 2 substrate policy trust
    contains "$stderr" 'has neither .substrate-profile nor .substrate-policy.yaml'
    printf 'id: mine\nname: "a\\eb"\nmode: observe\n# \033[2J\n' >.substrate-policy.yaml
    refused 126 substrate -c 'touch no'
    run --separate-stderr substrate policy trust
    equal 'without a terminal' 126 "$status"
    contains "$stderr" 'there is no terminal to ask on' --yes
    contains "$output" '  | id: mine' 'mode: observe instead of enforce (until now by default)' \
        'commands.denied no longer has: touch no*'
    lacks "$output" $'\033'
    refused 126 substrate -c 'touch no'
    run --separate-stderr -0 substrate policy trust --yes
    contains "$output" "$P is trusted"
    run --separate-stderr -0 substrate -c 'touch no'
    run --separate-stderr -0 substrate policy trust
    contains "$output" 'trusted with this content already'
    run --separate-stderr -0 substrate policy trust --list
    contains "$output" "$P"
    equal json "$P" "$(substrate policy trust --list --json | jq -r '.[0].directory')"
    # Another content is not what was trusted.
    printf 'id: mine\nmode: observe\nenv: {pass: [X]}\n' >.substrate-policy.yaml
    run --separate-stderr substrate policy trust
    contains "$output" 'env.pass also has: X'
    mkdir sub
    refused 2 substrate policy trust sub
    contains "$stderr" "substrate policy trust $P"
    run --separate-stderr -0 substrate policy trust --revoke --json
    equal revoked true "$(jq .revoked <<<"$output")"
    refused 126 substrate -c 'touch no2'
    refused 2 substrate policy trust --revoke
    run --separate-stderr -0 substrate policy trust "$P" --yes --json
    equal 'as json' '[false,true]' "$(jq -c '[.already, (.loosens | length > 0)]' <<<"$output")"
}

@test "trust: a person is asked on the terminal" {
    need_program script
    echo default >.substrate-profile
    answer() { printf '%s\n' "$1" | SHELL=/bin/sh timeout 20 script -qec 'substrate policy trust' /dev/null; }
    for text in no y YES 'yes please' ''; do
        run answer "$text"
        equal "exit for '$text'" 126 "$status"
        contains "$output" 'with exactly this content? [yes/no]' 'nothing was trusted'
    done
    [[ ! -e $SUBSTRATE_HOME/trust.json ]]
    run -0 answer yes
    contains "$output" "$P is trusted"
    equal directory "$P" "$(substrate policy trust --list --json | jq -r '.[0].directory')"
}

@test "trust: what is broken is not trusted" {
    printf 'id: mine\nmode: [\n' >.substrate-policy.yaml
    run --separate-stderr substrate policy trust --yes
    equal exit 2 "$status"
    contains "$stderr" "$P/.substrate-policy.yaml:2" 'nothing was trusted'
    rm .substrate-policy.yaml && mkdir .substrate-policy.yaml
    run --separate-stderr substrate policy trust --yes
    equal 'exit for a directory' 2 "$status"
    rmdir .substrate-policy.yaml && mkfifo .substrate-policy.yaml
    run --separate-stderr timeout 10 substrate policy trust --yes
    equal 'exit for a FIFO' 2 "$status"
    rm .substrate-policy.yaml
    echo unknown-to-all >.substrate-profile
    run --separate-stderr substrate policy trust --yes
    equal 'exit for no such policy' 2 "$status"
    [[ ! -e $SUBSTRATE_HOME/trust.json ]]
}

@test "trust: not from inside a world" {
    echo default >.substrate-profile
    SUBSTRATE_WORLD_ID=wld_x refused 5 substrate policy trust --yes
    # And where that variable is taken away, the world does not reach what would have to be written.
    cp "$SUBSTRATE_BIN"/substrate* .
    run substrate --env SUBSTRATE_HOME -c 'env -u SUBSTRATE_WORLD_ID ./substrate policy trust --yes'
    [[ ! -e $SUBSTRATE_HOME/trust.json && ! -e $HOME/.substrate ]]
    run --separate-stderr -0 substrate policy trust --list
    equal 'trusted on the host' '' "$output"
}

@test "trust and approvals: damaged files are named and left alone" {
    echo default >.substrate-profile
    for text in '' '{' '[]' '{"version":2,"trusted":[]}' 'id: x' '{"version":1,"trusted":[{"directory":"/","hash":"x","at":"2026-01-31T12:00:00Z"}]}'; do
        printf '%s' "$text" >"$SUBSTRATE_HOME/trust.json"
        chmod 0600 "$SUBSTRATE_HOME/trust.json"
        for option in --list --revoke --yes; do
            run --separate-stderr substrate policy trust $option
            [[ $status == 2 || $status == 5 ]] || { echo "exit $status for $option of '$text'" && return 1; }
            contains "$stderr" trust.json
        done
        equal 'left as it was' "$text" "$(cat "$SUBSTRATE_HOME/trust.json")"
    done
    rm "$SUBSTRATE_HOME/trust.json"
    for text in '- x' '{' 'version: 9' $'a: &a [x]\nb: *a'; do
        printf '%s\n' "$text" >"$SUBSTRATE_HOME/approvals.yaml"
        chmod 0600 "$SUBSTRATE_HOME/approvals.yaml"
        for option in --json --revoke-all --revoke=apr_x; do
            run --separate-stderr substrate policy approvals "$option"
            [[ $status == 2 || $status == 5 ]] || { echo "exit $status for $option of '$text'" && return 1; }
            contains "$stderr" approvals.yaml
        done
        equal 'left as it was' "$text" "$(cat "$SUBSTRATE_HOME/approvals.yaml")"
    done
}

@test "approvals: listed, counted by explain, revoked" {
    policy default $'mode: enforce\napproval:\n  require: [git push *]'
    local hash id=apr_01a202bb-f3b1-74e9-a8d1-64067e01109
    hash=$(substrate policy show --json | jq -r .policy_hash)
    {
        printf 'version: 1\napprovals:\n'
        printf '  - {id: "%s", policy_id: "default", policy_hash: "%s", directory: "%s", pattern: "%s", at: "2026-01-31T12:00:00Z"}\n' \
            ${id}a "$hash" "$P" 'git push origin' ${id}b "$hash" / "echo '\\u202e\\e[2J'"
    } >"$SUBSTRATE_HOME/approvals.yaml"
    chmod 0600 "$SUBSTRATE_HOME/approvals.yaml"
    run --separate-stderr -0 substrate policy approvals
    contains "${lines[0]}" "${id}a  2026-01-31T12:00:00  git push origin  in $P  (policy default)"
    lacks "$output" $'\033' $'\u202e'
    equal json '["git push origin",2]' "$(substrate policy approvals --json | jq -c '[.[0].pattern, length]')"
    run --separate-stderr -0 substrate policy explain 'git push origin'
    contains "$output" 'decision    ask' 'would run   yes: it was approved earlier'
    run --separate-stderr substrate policy explain 'git push --force origin'
    equal 'exit for another command' 126 "$status"
    run --separate-stderr -0 substrate policy approvals --revoke ${id}a
    equal revoked '1 revoked' "$output"
    run --separate-stderr substrate policy explain 'git push origin'
    equal 'exit after it' 126 "$status"
    run --separate-stderr -0 substrate policy approvals --revoke-all --json
    equal 'revoked as json' 1 "$(jq .revoked <<<"$output")"
    equal left '[]' "$(substrate policy approvals --json)"
}

@test "approvals: none, and one that is not there" {
    run --separate-stderr -0 substrate policy approvals
    contains "$stderr" 'nothing is approved'
    equal json '[]' "$(substrate policy approvals --json)"
    refused 2 substrate policy approvals --revoke apr_01a202bb-f3b1-74e9-a8d1-64067e01109d
    run --separate-stderr -0 substrate policy approvals --revoke-all
    equal revoked '0 revoked' "$output"
}

@test "the machine's managed policy is shown, and nothing loosens it" {
    local privileges=()
    ((EUID == 0)) || privileges=(-r)
    need userns unshare "${privileges[@]}" -m true
    mkdir -p "$T/etc/substrate"
    cp /etc/passwd /etc/group "$T/etc/"
    printf 'id: corp\nmode: enforce\ncommands:\n  denied: [touch corp*]\n' >"$T/etc/substrate/managed.yaml"
    policy default 'mode: observe'
    run --separate-stderr unshare "${privileges[@]}" -m bash -c "mount --bind '$T/etc' /etc && substrate policy show --json && ! substrate policy explain 'touch corp1' >'$T/explained' && substrate policy validate >'$T/validated'"
    equal exit 0 "$status" || { echo "$output$stderr" && return 1; }
    equal layers '[["managed","corp"],["chosen","default"]]' "$(jq -c '[.layers[] | [.role, .id]]' <<<"$output")"
    contains "$(cat "$T/explained")" 'policy      corp (managed), /etc/substrate/managed.yaml'
    contains "$(cat "$T/validated")" '/etc/substrate/managed.yaml: ok, corp (enforce)'
    # The commands themselves: an agent of its own, which sees this /etc.
    export SUBSTRATE_HOME="$T/managed-home"
    run --separate-stderr unshare "${privileges[@]}" -m bash -c "mount --bind '$T/etc' /etc && { substrate -c 'touch fine'; echo \$?; substrate -c 'touch corp1'; echo \$?; substrate world stop; }"
    equal exits $'0\n126' "$(head -2 <<<"$output")" || { echo "$output$stderr" && return 1; }
    contains "$stderr" 'substrate: command denied by policy: touch corp1 (policy corp, commands.denied[0] "touch corp*")'
    [[ -e fine && ! -e corp1 ]]
}
