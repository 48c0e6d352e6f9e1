#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# HTTP on agent.sock, by curl, Python's http.client and bare sockets.
load common
load api

more_setup() {
    need_program curl
    api_setup
    S=$SUBSTRATE_HOME/sock/agent.sock
}
api() { client api "$@"; }
attack() { client http_attacks "$@"; }

@test "curl: health, execution, a stream, refusals" {
    substrate world warm >/dev/null
    equal 'the sockets' '600 socket 600 socket' "$(stat -c '%a %F' "$S" "$SUBSTRATE_HOME/sock/control.sock" | xargs)"
    equal 'their directory' 700 "$(stat -c %a "$SUBSTRATE_HOME/sock")"
    run -0 curl -sS --unix-socket "$S" http://localhost/healthz
    equal health ok "$(jq -r .status <<<"$output")"
    run -0 curl -sS --unix-socket "$S" --json '{"agent_id":"me","cmd":"echo hi; echo x >f"}' http://localhost/v1/execute
    equal 'exit, output' '0 hi' "$(jq -r '"\(.exit) \(.stdout_b64|@base64d)"' <<<"$output" | xargs)"
    equal 'the file' x "$(cat f)"
    equal 'who, in the span' me "$(last .agent_id)"
    run -0 curl -sSN --unix-socket "$S" --json '{"agent_id":"me","cmd":"seq 3; exit 7"}' http://localhost/v1/execute/stream
    equal frames 'start stdout exit' "$(jq -r .type <<<"$output" | uniq | xargs)"
    equal 'the exit frame' 7 "$(jq -r 'select(.type == "exit").exit' <<<"$output")"
    run -22 curl -sSf --unix-socket "$S" --json '{"cmd":"echo hi"}' http://localhost/v1/execute
    # curl asks before it sends much.
    head -c 1500000 /dev/zero | base64 -w0 | jq -Rc '{agent_id: "me", cmd: "wc -c", stdin_b64: .}' >big.json
    run -0 curl -sS --unix-socket "$S" --json @big.json http://localhost/v1/execute
    equal 'bytes that arrived' 1500000 "$(jq -r '.stdout_b64|@base64d' <<<"$output")"
}
@test "every operation answers as the document says" { api answers; }
@test "execute: output, exit, change, span, input, variables, directory, limits" { api executes; }
@test "execute: denied, and to be asked about with nobody there" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]\napproval:\n  require: [touch ask*]\n  timeout: 300ms'
    api denies
    # On a stream the answer has begun by then.
    run -0 curl -sSN --unix-socket "$S" --json '{"agent_id":"me","cmd":"touch ask"}' http://localhost/v1/execute/stream
    equal frames 'start approval event event error' "$(jq -r .type <<<"$output" | xargs)"
    equal error denied "$(jq -r 'select(.type == "error").error' <<<"$output")"
    contains "$(jq -r 'select(.type == "error").message' <<<"$output")" 'nobody has decided in time'
    equal 'rule, pattern' 'approval.require[0] touch ask*' "$(jq -r 'select(.type == "error") | "\(.rule) \(.pattern)"' <<<"$output")"
}
@test "approvals: listed, and decided by who has the token" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    substrate world warm >/dev/null
    python3 "$BATS_TEST_DIRNAME/approvals_client.py"
    contains "$(substrate policy approvals)" 'touch ask3'
}
call_asking() { curl -sS -o answer --unix-socket "$S" --json '{"agent_id":"me","cmd":"'"$1"'"}' http://localhost/v1/execute & }
@test "approvals: listed and decided by the command line" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    substrate world warm >/dev/null
    call_asking 'touch ask1'
    wait_for 20 asked
    run -0 substrate policy approvals
    contains "$output" 'touch ask1  for me' "session or always: touch ask1  in $P"
    id=$(substrate policy approvals --json | jq -r '.[0] | select(.state == "waiting") | .approval_id')
    refused 2 substrate policy approvals approve ask_nothing
    refused 2 substrate policy approvals approve "$id" sometimes
    # The token decides, not that somebody asks.
    mv "$SUBSTRATE_HOME/approval-token" token
    refused 1 substrate policy approvals approve "$id"
    printf '%064d\n' 0 >"$SUBSTRATE_HOME/approval-token"
    refused 126 substrate policy approvals approve "$id"
    mv token "$SUBSTRATE_HOME/approval-token"
    [[ ! -e ask1 ]]
    run -0 substrate policy approvals approve "$id"
    equal said "$id once" "$output"
    wait "$!"
    equal outcome ok "$(jq -r .outcome answer)"
    [[ -e ask1 ]]
    refused 2 substrate policy approvals deny "$id"
    call_asking 'touch ask2'
    wait_for 20 asked
    run -0 substrate policy approvals --json deny "$(substrate policy approvals --json | jq -r '.[0].approval_id')"
    equal decision deny "$(jq -r .decision <<<"$output")"
    wait "$!"
    equal error denied "$(jq -r .error answer)"
    [[ ! -e ask2 ]]
    call_asking 'touch ask3'
    wait_for 20 asked
    run -0 substrate policy approvals approve "$(substrate policy approvals --json | jq -r '.[0].approval_id')" always
    wait "$!"
    contains "$(substrate policy approvals)" 'touch ask3'
    equal kept always "$(substrate policy approvals --json | jq -r '.[0].state')"
    run -0 curl -sS --unix-socket "$S" --json '{"agent_id":"me","cmd":"touch ask3"}' http://localhost/v1/execute
    equal 'not asked again' ok "$(jq -r .outcome <<<"$output")"
}
@test "an agent that stops waits for no decision" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    substrate world warm >/dev/null
    curl -sS -o answer -w '%{http_code}' --unix-socket "$S" --json '{"agent_id":"me","cmd":"touch ask"}' http://localhost/v1/execute >code &
    wait_for 20 asked
    run -0 timeout 20 substrate world stop
    wait "$!" || :
    equal status 403 "$(cat code)"
    [[ ! -e ask ]]
}
asked() { [[ $(curl -sS --unix-socket "$S" http://localhost/v1/approvals | jq '.approvals | length') == 1 ]]; }
@test "an answer covers what was tried before" {
    policy default $'mode: enforce\nworld:\n  commit: ask\napproval:\n  require: [touch ask*]'
    substrate world warm >/dev/null
    curl -sS --unix-socket "$S" --json '{"agent_id":"me","cmd":"touch ask; echo x >run.sh; chmod +x run.sh"}' http://localhost/v1/execute >answer &
    wait_for 20 asked
    [[ ! -e ask ]]
    run -0 curl -sS --unix-socket "$S" http://localhost/v1/approvals
    contains "$(jq -r '.approvals[0].impact | join("|")' <<<"$output")" 'writes 2 paths' 'executable: run.sh'
    jq --rawfile token "$SUBSTRATE_HOME/approval-token" '{approval_id: .approvals[0].approval_id, decision: "once", token: ($token | rtrimstr("\n"))}' <<<"$output" >decision.json
    run -0 curl -sSf --unix-socket "$S" --json @decision.json http://localhost/v1/approvals
    wait "$!"
    equal commit applied "$(jq -r .commit answer)"
    [[ -e ask && -x run.sh ]]
}
@test "execute: requests that are wrong" { api refuses; }
@test "stream: frames in their order, all bytes, HTTP/1.0" { api streams; }
@test "cancel" { api cancels; }
@test "a client that goes away ends its command" { api goes_away; }
@test "a flood of output and a slow reader" { api flood; }
@test "200 at once" { api parallel; }
@test "keep-alive and pipelining" { api keeps_alive; }
@test "ambiguous requests, hosts, web pages" { attack smuggles; }
@test "what begins no WebSocket is told why" { attack shakes_hands; }
@test "heads and bodies have bounds" { attack bounds; }
@test "slow clients are not waited for" {
    export SUBSTRATE_API_READ_MS=300
    api slow
}
@test "budgets" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]'
    api budgets
}
@test "budgets count what runs by substrate inside a world" {
    cp "$SUBSTRATE_BIN"/substrate .
    substrate world warm >/dev/null
    run -0 curl -sS --unix-socket "$S" --json \
        '{"agent_id":"me","cmd":"./substrate -c \"touch one\"; ./substrate -c \"touch two\"; echo code $?","budget":{"max_execs":2}}' \
        http://localhost/v1/execute
    equal stdout 'code 126' "$(jq -r .stdout_b64 <<<"$output" | base64 -d)"
    contains "$(jq -r .stderr_b64 <<<"$output" | base64 -d)" 'the budget max_execs of me is used up: 2 of 2'
    [[ -e one && ! -e two ]]
    equal recorded '["me","max_execs",2]' "$(jq -c 'select(.event_type == "rate_limit") | [.agent_id, .limit, .used]' "$SUBSTRATE_HOME/trace.jsonl")"
    # The next call of that id finds it used up, another id does not.
    run -0 curl -sS -o /dev/null -w '%{http_code}' --unix-socket "$S" --json '{"agent_id":"me","cmd":"true","budget":{"max_execs":2}}' http://localhost/v1/execute
    equal 'the next call' 429 "$output"
    run -0 curl -sS -o /dev/null -w '%{http_code}' --unix-socket "$S" --json '{"agent_id":"you","cmd":"./substrate -c true","budget":{"max_execs":2}}' http://localhost/v1/execute
    equal 'another id' 200 "$output"
}
@test "worlds: list, diff, apply, discard, conflict" { api worlds; }
@test "no world reaches a socket" { api reaches; }
@test "stopping waits for what runs and closes what rests" { api stops; }
