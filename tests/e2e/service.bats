#!/usr/bin/env bats
# shellcheck disable=SC2154
# The agent as a service: sockets that somebody else keeps, readiness, settings.
load common

start_manager() {
    (umask 077 && mkdir -p "$SUBSTRATE_HOME/sock")
    mkfifo "$T/orders"
    NOTIFY_SOCKET=$T/notify python3 "$BATS_TEST_DIRNAME/service_manager.py" "$SUBSTRATE_BIN/substrate-world-agent" \
        "$@" <"$T/orders" >"$T/said" 2>&1 3>&- &
    manager=$!
    exec 8>"$T/orders"
    wait_for 20 grep -q listening "$T/said"
}

# said COUNT TEXT: so often has the manager said it.
said() { (($(grep -c -- "$2" "$T/said") == $1)); }
start_agent() {
    echo start >&8
    wait_for 20 said "$1" READY=1
}

end_manager() {
    exec 8>&-
    wait "$manager" || true
}

@test "the sockets of a service manager are served, and stay when the agent ends" {
    start_manager "$SUBSTRATE_HOME/sock/control.sock" "$SUBSTRATE_HOME/sock/agent.sock"
    for round in 1 2; do
        start_agent "$round"
        equal output "round $round" "$(timeout 60 substrate -c "echo round $round")"
        equal health 200 "$(curl -s -o "$T/body" -w '%{http_code}' --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" http://localhost/healthz)"
        run -0 timeout 60 substrate world stop
        wait_for 20 said "$round" 'ended 0'
        [[ -S $SUBSTRATE_HOME/sock/control.sock && -S $SUBSTRATE_HOME/sock/agent.sock ]]
    done
    # Who comes while no agent runs waits for the next one.
    timeout 60 substrate -c 'echo waited' >"$T/waited" 3>&- &
    client=$!
    start_agent 3
    wait "$client"
    equal output waited "$(cat "$T/waited")"
    run -0 timeout 60 substrate world stop
    end_manager
    # Without the manager the sockets are dead files, and a client starts an agent of its own.
    run -0 timeout 60 substrate -c 'echo alone'
    equal output alone "$output"
}

@test "a command inherits nothing of the service manager" {
    start_manager "$SUBSTRATE_HOME/sock/control.sock"
    start_agent 1
    run -0 timeout 60 substrate -c 'ls /proc/self/fd | wc -l; env | grep -c "LISTEN_\|NOTIFY_" || true'
    equal output '4 0' "$(xargs <<<"$output")"
    run -0 timeout 60 substrate world stop
    end_manager
}

@test "sockets that are none of the agent's are refused" {
    start_manager "$SUBSTRATE_HOME/sock/other.sock"
    echo start >&8
    wait_for 20 grep -q 'ended 2' "$T/said"
    grep -q "substrate-world-agent: .*other.sock.* none of the agent's" "$T/said"
    end_manager
}

@test "systemd starts it by its socket" {
    need_program systemd-socket-activate
    (umask 077 && mkdir -p "$SUBSTRATE_HOME/sock")
    systemd-socket-activate -l "$SUBSTRATE_HOME/sock/control.sock" -l "$SUBSTRATE_HOME/sock/agent.sock" \
        -E HOME -E PATH -E SUBSTRATE_HOME "$SUBSTRATE_BIN/substrate-world-agent" >"$T/log" 2>&1 3>&- &
    manager=$!
    wait_for 20 test -S "$SUBSTRATE_HOME/sock/agent.sock"
    equal output hello "$(timeout 60 substrate -c 'echo hello')"
    equal 'the process' "$manager" "$(substrate world status --json | jq .agent_pid)"
    run -0 timeout 60 substrate world stop
    wait "$manager"
}

@test "settings come from flags, the environment and agent.yaml, and are shown" {
    (umask 077 && mkdir -p "$SUBSTRATE_HOME")
    printf 'agent-idle: 2h\nworld-idle: 90s\n' >"$SUBSTRATE_HOME/agent.yaml"
    SUBSTRATE_WORLD_IDLE_SECS=7 run -0 timeout 60 substrate -c true
    equal settings 'agent-idle 7200000 world-idle 7000 SUBSTRATE_WORLD_IDLE_SECS' \
        "$(substrate world status --json | jq -r '[.settings[] | select(.key | endswith("-idle") and (startswith("api") | not))] | "\(.[0].key) \(.[0].value_ms) \(.[1].key) \(.[1].value_ms) \(.[1].source)"')"
    run -0 timeout 60 substrate world stop
    printf 'agent-idle: 2h\nworld-idel: 90s\n' >"$SUBSTRATE_HOME/agent.yaml"
    run timeout 60 substrate -c 'touch never'
    equal status 3 "$status"
    [[ $output == "substrate: "*"agent.yaml:2:1: 'world-idel' is no setting"* ]] || fail_with "$output"
    [[ ! -e never ]]
    rm "$SUBSTRATE_HOME/agent.yaml"
    SUBSTRATE_STANDBY=perhaps run timeout 60 substrate -c true
    equal status 3 "$status"
    [[ $output == *'SUBSTRATE_STANDBY: must be 0 or 1'* ]] || fail_with "$output"
    run timeout 60 "$SUBSTRATE_BIN/substrate-world-agent" --agent-idle soon
    equal status 2 "$status"
    [[ $output == *'--agent-idle: must be a time'* ]] || fail_with "$output"
}
