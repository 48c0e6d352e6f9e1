#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2154
# The API over TCP: on loopback, for whoever has the token, and for nobody by default.
load common
load api

more_setup() {
    need_program curl
    api_setup
    export SUBSTRATE_LISTEN=127.0.0.1:0
}
address() { cat "$SUBSTRATE_HOME/sock/agent.tcp"; }
# asks PATH [CURL'S ARGUMENTS]: with the token, which no argument shows.
asks() { curl -sS -H @<(printf 'Authorization: Bearer %s\n' "$(cat "$SUBSTRATE_HOME/api-token")") "${@:2}" "http://$(address)$1"; }
# listeners PID: how many TCP sockets that process has.
listeners() { python3 -c 'import os, sys
pid = sys.argv[1]
mine = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
print(sum("socket:[%s]" % line.split()[9] in mine for f in ("tcp", "tcp6") for line in open(f"/proc/{pid}/net/{f}").readlines()[1:]))' "$1"; }

@test "there is none unless it was asked for" {
    unset SUBSTRATE_LISTEN
    (umask 077 && mkdir -p "$SUBSTRATE_HOME/sock")
    touch "$SUBSTRATE_HOME/api-token" "$SUBSTRATE_HOME/sock/agent.tcp"
    substrate world warm >/dev/null
    equal 'listeners of the agent' 0 "$(listeners "$(substrate world status --json | jq .agent_pid)")"
    equal 'in the status' null "$(substrate world status --json | jq .tcp)"
    [[ ! -e $SUBSTRATE_HOME/api-token && ! -e $SUBSTRATE_HOME/sock/agent.tcp ]]
}
@test "curl with the token; the address is shown and goes with the agent" {
    substrate world warm >/dev/null
    equal modes '600 600' "$(stat -c %a "$SUBSTRATE_HOME/api-token" "$SUBSTRATE_HOME/sock/agent.tcp" | xargs)"
    [[ $(cat "$SUBSTRATE_HOME/api-token") =~ ^[0-9a-f]{64}$ ]]
    equal status "$(address)" "$(substrate world status --json | jq -r .tcp)"
    contains "$(substrate world status)" "http://$(address)/"
    run -0 asks /v1/execute --json "$(jq -n --arg cwd "$P" '{agent_id: "me", cmd: "echo hi; echo x >f", cwd: $cwd}')"
    equal 'exit, output' '0 hi' "$(jq -r '"\(.exit) \(.stdout_b64|@base64d)"' <<<"$output" | xargs)"
    equal 'the file' x "$(cat f)"
    contains "$(asks /v1/doctor/world)" tcp_listener "$(address)"
    # Nowhere but in its file.
    local token
    token=$(cat "$SUBSTRATE_HOME/api-token")
    lacks "$(asks /metrics)$(asks /v1/capabilities)$(substrate world status --json)$(substrate trace --last --json)" "$token"
    lacks "$(cat "$SUBSTRATE_HOME/agent.log" "$SUBSTRATE_HOME/trace.jsonl")" "$token"
    lacks "$(tr '\0' '\n' <"/proc/$(substrate world status --json | jq .agent_pid)/cmdline")" "$token"
    run -0 timeout 60 substrate world stop
    [[ ! -e $SUBSTRATE_HOME/api-token && ! -e $SUBSTRATE_HOME/sock/agent.tcp ]]
    substrate world warm >/dev/null
    [[ $(cat "$SUBSTRATE_HOME/api-token") != "$token" ]]
}
@test "without the token, for other hosts, from web pages: nothing" { client tcp refuses; }
@test "WebSocket only with the token" { client tcp upgrades; }
@test "a client that goes away ends its command" { client tcp goes_away; }
@test "who has no token keeps nobody out and is not waited for" {
    SUBSTRATE_API_READ_MS=700 client tcp crowds
}
@test "on the loopback of IPv6" {
    need ipv6 python3 -c 'import socket; socket.create_server(("::1", 0), family=socket.AF_INET6)'
    SUBSTRATE_LISTEN='[::1]:0' substrate world warm >/dev/null
    [[ $(address) == '[::1]:'* ]]
    run -0 asks /healthz
}
@test "worlds do not reach it, and on the host's network they lack the token" {
    substrate world warm >/dev/null
    run substrate -c "exec 3<>/dev/tcp/127.0.0.1/$(address | cut -d: -f2)"
    [[ $status != 0 ]]
    run --separate-stderr -0 substrate --share-network -c "cat '$SUBSTRATE_HOME/api-token'; curl -s -o /dev/null -w '%{http_code}' http://$(address)/healthz"
    equal 'the answer there' 401 "$output"
}
@test "other addresses, names and ports are refused, and nothing runs" {
    local wrong
    for wrong in 0.0.0.0:80 10.0.0.1:80 '[::]:80' '[::1]' 127.0.0.1 localhost:80 :80 ::1:80 '[127.0.0.1]:80' 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:x 127.1:80 127.0.0.1:; do
        SUBSTRATE_LISTEN=$wrong run timeout 60 substrate -c 'touch never'
        equal "status of $wrong" 3 "$status"
        contains "$output" 'SUBSTRATE_LISTEN: ' 'a proxy with TLS'
    done
    [[ ! -e never ]]
    # A port that is somebody else's.
    substrate world warm >/dev/null
    local taken
    taken=$(address)
    (umask 077 && mkdir -p "$T/second/sock")
    SUBSTRATE_HOME=$T/second run timeout 60 "$SUBSTRATE_BIN/substrate-world-agent" --listen "$taken"
    [[ $status != 0 ]]
    contains "$output" "listening on TCP for the API" "$taken"
    [[ ! -e $T/second/sock/agent.tcp && ! -e $T/second/api-token ]]
}
