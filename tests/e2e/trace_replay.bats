#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What is recorded, how it is found again, and running it again.
load common

trace_file() { echo "$SUBSTRATE_HOME/trace.jsonl"; }

@test "list, last, one span, JSON" {
    substrate -c 'echo first'
    substrate -c 'echo second >f; exit 3' || true
    run -0 substrate trace
    equal lines 2 "${#lines[@]}"
    contains "${lines[0]}" spn_ 'echo first'
    contains "${lines[1]}" 'echo second'
    run -0 substrate trace --last
    contains "$output" 'echo second' 'failed (exit 3)' '+ f' "$P" applied overlay
    local span
    span=$(last_span)
    equal 'by id' "$output" "$(substrate trace "$span")"
    run -0 substrate trace "$span" --json
    equal fields "$span 3 failed command_complete 1" "$(jq -r '"\(.span_id) \(.exit) \(.outcome) \(.event_type) \(.trace_schema_version)"' <<<"$output")"
    run -0 substrate trace --json
    equal records 2 "$(jq -s length <<<"$output")"
    run -0 substrate trace -n 1
    equal lines 1 "${#lines[@]}"
    equal 'only its owner reads it' 600 "$(stat -c %a "$(trace_file)")"
}

@test "filters" {
    SUBSTRATE_AGENT_ID=robot substrate -c 'echo robot'
    substrate -c false || true
    substrate -c 'kill -9 $$' || true
    equal agent robot "$(substrate trace --agent robot --json | jq -r .agent_id)"
    equal failed false "$(substrate trace --outcome failed --json | jq -r .cmd)"
    equal killed 137 "$(substrate trace --outcome killed --json | jq -r .exit)"
    equal session 3 "$(substrate trace --session "$(last .session_id)" --json | wc -l)"
    equal since 3 "$(substrate trace --since 1h | wc -l)"
    equal 'since the future' 0 "$(substrate trace --since 2199-01-01T00:00:00Z | wc -l)"
    run substrate trace --since yesterdayish
    equal 'exit code' 2 "$status"
}

@test "spans that are not there: exit 2 and one line" {
    refused 2 substrate trace spn_01a20000-0000-7000-8000-000000000000
    refused 2 substrate trace --last
    refused 2 substrate replay spn_01a20000-0000-7000-8000-000000000000
    substrate -c true
    refused 2 substrate trace spn_01a20000-0000-7000-8000-000000000000
    refused 2 substrate trace nonsense
    refused 2 substrate trace $'spn_\033[31m'
    refused 2 substrate replay spn_01a20000-0000-7000-8000-000000000000
    refused 2 substrate replay ../../etc/passwd
    refused 2 substrate --replay spn_01a20000-0000-7000-8000-000000000000
    run -2 substrate replay
}

@test "foreign, damaged and torn lines are named and skipped" {
    substrate -c 'echo first'
    local first
    first=$(last_span)
    {
        echo 'not json at all'
        echo '{"event_type":"command_complete","span_id":42}'
        echo '{}'
        echo '[1,2,3]'
        printf 'nul\0byte \377\376 \033[31m\n'
        head -c 70000 /dev/zero | tr '\0' z
        echo
        printf '{"event_type":"command_complete","span_id":"spn_torn'
    } >>"$(trace_file)"
    run --separate-stderr -0 substrate trace "$first"
    contains "$output" 'echo first'
    run --separate-stderr -0 substrate trace
    contains "$output" 'echo first'
    contains "$stderr" skipped
    lacks "$stderr" $'\033'
    # The next record starts a line of its own, after the torn one.
    substrate -c 'echo second'
    run --separate-stderr -0 substrate trace
    contains "$output" 'echo first' 'echo second'
    equal last 'echo second' "$(last .cmd 2>/dev/null)"
    run -0 substrate replay "$first" --verify
}

@test "a trace file that is a directory, unreadable or empty" {
    substrate world warm >/dev/null
    substrate world stop
    rm -f "$(trace_file)"
    : >"$(trace_file)"
    run -0 substrate trace
    rm "$(trace_file)"
    mkdir "$(trace_file)"
    run --separate-stderr substrate trace
    local listed=$status
    run --separate-stderr substrate -c 'echo ran'
    rmdir "$(trace_file)"
    [[ $listed -le 2 && $status != 0 ]]
    equal lines 1 "${#stderr_lines[@]}"
    contains "$stderr" 'substrate: ' trace.jsonl
}

@test "every record is valid by the schema" {
    local validator=$SUBSTRATE_BIN/../support/validate_schemas.py
    [[ -f $validator && -d $SUBSTRATE_BIN/../schemas ]] || skip 'the validator is missing'
    substrate -c 'echo x >f; mkdir d; ln -s f l'
    substrate -c 'rm f; exit 9' || true
    substrate -c $'touch $\'a\\377\\nb\''
    substrate --commit manual -c 'echo kept >k' 2>/dev/null
    substrate --direct -c 'echo d >d2'
    substrate --no-world -c 'true' 2>/dev/null
    substrate --timeout 0.1 -c 'sleep 100' || true
    substrate apply >/dev/null
    substrate replay "$(substrate trace --json | jq -r 'select(.outcome == "ok").span_id' | tail -n 1)" || true
    run /usr/bin/python3 "$validator" "$SUBSTRATE_BIN/../schemas/trace.schema.json" <"$(trace_file)"
    [[ $status != 77 ]] || skip 'python3-jsonschema is missing'
    equal 'exit code' 0 "$status" || { echo "$output" && return 1; }
    [[ $(wc -l <"$(trace_file)") -ge 8 ]]
}

@test "secrets do not reach the trace" {
    substrate -c 'echo --token=SECRET-A "Authorization: Bearer SECRET-B" https://user:SECRET-C@host/ AWS_SECRET_ACCESS_KEY=SECRET-D >/dev/null'
    substrate -c 'MY_API_KEY=SECRET-E true --password SECRET-F' || true
    substrate -- true mysql -pSECRET-G --api-key=SECRET-H
    local found
    found=$(grep -rlF SECRET- "$SUBSTRATE_HOME" || true)
    equal 'files with a secret' '' "$found"
    contains "$(cat "$(trace_file)")" '[REDACTED]'
    run --separate-stderr substrate replay "$(last_span)"
    contains "$stderr" 'redacted'
}

# verifies LINE…: recorded and replayed, each is the same.
verifies() {
    local line failed=0
    for line in "$@"; do
        substrate -c "$line" >"$T/recorded" 2>"$T/recorded.err" </dev/null || true
        substrate replay "$(last_span)" --verify >"$T/replayed" 2>"$T/replayed.err" </dev/null || {
            printf -- '-- %s\n' "$line"
            cat "$T/replayed.err"
            failed=1
        }
        cmp "$T/recorded" "$T/replayed" || { echo "^ output of: $line" && failed=1; }
    done
    return "$failed"
}

@test "replays are the same: redirection, lists, quotes, here-documents, Unicode, signals" {
    printf 'three\none\ntwo\n' >input
    verifies 'echo hi' 'echo hi >f' 'echo more >>f; cat f' 'sort <input | uniq -c | tee sorted' 'false || echo or && echo and' 'true && false' \
        '(cd /; echo sub >&2; exit 3)' "echo 'single  quotes' \"double \$HOME\" \\\\ back" $'cat <<EOF >doc\nline $((1+1))\nEOF\ncat doc' \
        'cat <<<"here string"' "echo 'é 漢字 🎉' >ü; cat ü" 'sleep 0.01 & wait; echo joined' 'for i in 1 2 3; do mkdir -p d/$i; done; rm -r d/2' \
        'kill -TERM $$' 'exit 42' 'echo out; echo err >&2; echo out2' 'seq 1 200000' 'mv input moved; ln -s moved l; chmod 600 moved' \
        'umask; pwd; hostname' 'echo $LANG; locale charmap' 'nosuchprogram' 'ls -la /nonexistent' 'cat' 'rm -f f; mkdir f; touch f/x' 'printf "a\0b\377"' \
        'true' '/bin/echo simple words' 'cat input 2>/dev/null; wc -c <moved'
}

@test "a program without a shell is replayed without one" {
    substrate -- printf '<%s>' 'a  b' '' '[c]' '*' >"$T/out"
    run --separate-stderr -0 substrate replay "$(last_span)" --verbose
    contains "$stderr" '[replay] mode: exec'
    contains "$output" "$(cat "$T/out")"
    substrate replay "$(last_span)" --verify >/dev/null
}

@test "replay reproduces the project as it was then" {
    echo one >f
    substrate -c 'cat f; echo two >f; touch new' >/dev/null
    local span
    span=$(last_span)
    substrate -c 'cat f; echo three >f; rm new; mkdir d; touch d/x' >/dev/null
    local second
    second=$(last_span)
    substrate -c 'rm -r f d; echo other >input'
    run --separate-stderr -0 substrate replay "$span" --verify
    equal 'what it read' one "$output"
    run --separate-stderr -0 substrate replay "$second" --verify
    equal 'what it read' two "$output"
    # Nothing reached the host.
    equal host input "$(ls)"
}

@test "a different result is told, and fails only with --verify" {
    substrate -c 'date +%N >f; date +%N' >"$T/out"
    run --separate-stderr -0 substrate replay "$(last_span)"
    contains "$stderr" '[replay] standard output: recorded'
    run --separate-stderr -1 substrate replay "$(last_span)" --verify
    contains "$stderr" recorded replayed
    # The command's own exit code, where it is not about verifying.
    substrate -c 'exit 6' || true
    run -6 substrate replay "$(last_span)"
    run -0 substrate replay "$(last_span)" --verify
    run -0 substrate replay "$(last_span)" --verify --json
    equal json true "$(sed -n '/^{/,$p' <<<"$output" | jq .same)"
}

@test "the printed form" {
    substrate -c 'mkdir demo && echo x >demo/file.txt'
    local span
    span=$(last_span)
    run --separate-stderr -0 substrate replay "$span" --verbose
    equal 'standard output' "Exit code: 0
Filesystem changes:
  + demo
  + demo/file.txt" "$output"
    # -l only where the recording does not say how the shell was called.
    equal 'first lines' "[replay] span: $span
[replay] mode: bash -c
[replay] cwd: $P" "$(head -n 3 <<<"$stderr" | sed 's/bash -lc$/bash -c/')"
    contains "$stderr" '[replay] world strategy: '
    # The older form.
    run --separate-stderr -0 substrate --replay "$span" --replay-verbose
    contains "$output" 'Exit code: 0' 'Filesystem changes:' '  + demo/file.txt'
    contains "$stderr" "[replay] span: $span" '[replay] mode: bash -'
    run --separate-stderr -0 substrate --replay "$span"
    equal 'without verbose' '' "$output"
    # Without changes: what was looked at.
    substrate -c 'cat /dev/null | cat'
    run --separate-stderr -0 substrate replay "$(last_span)" --verbose
    contains "$stderr" '[replay] upper entries: 0'
    [[ -d demo ]]
}

@test "layers that this machine cannot give are named on replay" {
    skip "cgroups and nftables are not in use yet, so a replay does not name them"
    run -0 substrate world doctor --json
    [[ $(jq .cgroup_v2 <<<"$output") == false ]] || skip 'cgroup v2 works here'
    substrate -c true
    run --separate-stderr -0 substrate replay "$(last_span)" --verbose
    contains "$stderr" '[replay] warn: cgroup v2 unavailable or insufficient privileges; skipping cgroup attach'
}

@test "replay on the host is only by request, and announced" {
    substrate -c 'echo "in ${SUBSTRATE:-none}"; echo x >made' >/dev/null
    local span
    span=$(last_span)
    rm made
    run --separate-stderr substrate replay "$span"
    equal 'in a world' 'in 1' "$output"
    [[ ! -e made ]]
    run --separate-stderr substrate replay "$span" --no-world
    contains "$stderr" 'no world'
    contains "$output" 'in '
    [[ -e made ]]
    rm made
    SUBSTRATE_REPLAY_USE_WORLD=0 run --separate-stderr substrate replay "$span"
    contains "$stderr" 'no world'
    [[ -e made ]]
    rm made
    SUBSTRATE_REPLAY_USE_WORLD=1 run --separate-stderr substrate replay "$span"
    [[ ! -e made ]]
}

@test "drift of the project is a warning" {
    echo old >edited
    substrate -c 'cat edited; echo x >ours'
    local span
    span=$(last_span)
    run --separate-stderr -0 substrate replay "$span"
    lacks "$stderr" 'project content'
    substrate -c 'echo y >later'
    echo new >edited
    run --separate-stderr -0 substrate replay "$span"
    contains "$stderr" 'warn: project content changed: edited'
    lacks "$stderr" ours later
}

@test "drift of the tool is a warning" {
    printf '#!/bin/sh\necho "version 1"\n' >tool
    chmod +x tool
    substrate -c ./tool >/dev/null
    substrate -- "$P/tool" >/dev/null
    local span
    span=$(last_span)
    printf '#!/bin/sh\necho "version 1" # otherwise the same\n' >tool
    run --separate-stderr -0 substrate replay "$span"
    contains "$stderr" '[replay] warn: tool binary' "$P/tool" changed
}

@test "the environment, umask and directory of the recording" {
    mkdir sub
    (cd sub && umask 077 && TZ=Asia/Tokyo LC_ALL=C.UTF-8 substrate --env EXTRA=given -c 'pwd; umask; echo "$TZ $LC_ALL $EXTRA"; touch private' >"$T/out")
    equal mode 600 "$(stat -c %a sub/private)"
    umask 000
    TZ=UTC run --separate-stderr -0 substrate replay "$(last_span)" --verify
    equal output "$(cat "$T/out")" "$output"
}

@test "a recorded directory that is no more" {
    mkdir "$T/elsewhere"
    (cd "$T/elsewhere" && substrate -c 'echo x')
    local span
    span=$(last_span)
    rm -r "$T/elsewhere"
    run --separate-stderr substrate replay "$span"
    [[ $status != 0 ]]
    contains "$stderr" 'substrate: '
    equal lines 1 "${#stderr_lines[@]}"
}

@test "the replay of a command that was timed out ends too" {
    run -143 substrate --timeout 0.2 -c 'echo begun; exec sleep 1000'
    run --separate-stderr timeout 20 substrate replay "$(last_span)"
    equal 'exit code' 143 "$status"
}

@test "spans of many writers at once are whole lines" {
    local i pids=()
    for i in $(seq 12); do
        (cd "$P" && for _ in 1 2 3; do substrate -c "echo $i; : $(printf 'x%.0s' {1..3000})" >/dev/null; done) 3>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    equal records 36 "$(jq -s '[.[] | select(.event_type == "command_complete")] | length' <"$(trace_file)")"
}

@test "a command of 1 MiB and a diff of thousands are recorded within bounds" {
    local big
    big=$(head -c 100000 /dev/zero | tr '\0' q)
    substrate -- true "$big" "$big" "$big" "$big" "$big"
    substrate -c 'mkdir many; for i in $(seq 3000); do : >many/file-with-a-rather-long-name-$i; done'
    [[ $(awk '{ if (length > m) m = length } END { print m }' "$(trace_file)") -lt 65536 ]]
    run -0 substrate trace --last
    contains "$output" truncated
    run -0 substrate trace
    equal lines 2 "${#lines[@]}"
    substrate replay "$(substrate trace --json | jq -r .span_id | head -n 1)" --verify
}
