#!/usr/bin/env bats
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Terminals over the WebSocket /v1/stream, by frames made by hand and by the npm package ws.
load common
load api

stream() { client stream "$@"; }
agent_pid() { our_processes | cut -d' ' -f1 | head -n1; }

@test "one command: its terminal, input, change, span" { stream commands; }
@test "a start frame names a trace, a profile and a world" {
    policy default 'mode: enforce'
    policy strict $'mode: enforce\ncommands:\n  denied: [touch strict*]'
    stream start_members
}
posted() {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]'
    client stream_post "$1"
}
@test "without a WebSocket: a command" { posted commands; }
@test "without a WebSocket: lines of a session" { posted lines; }
@test "without a WebSocket: what is refused" { posted refusals; }
@test "signals, by frame, key and cancel" { stream signals; }
@test "frames that are wrong" { stream refusals; }
@test "denied, and to run in a world of its own" {
    policy default $'mode: enforce\ncommands:\n  denied: [touch no*]\n  isolated: [true alone]'
    stream denials
}
asking() { client stream_approvals "$1"; }
@test "commands that a person is asked about" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    asking commands
}
@test "lines of a session that a person is asked about" {
    policy default $'mode: enforce\napproval:\n  require: [touch ask*]'
    asking lines
}
@test "an answer covers what was tried on the terminal before" {
    policy default $'mode: enforce\nworld:\n  commit: ask\napproval:\n  require: [touch ask*]'
    asking previews
}
@test "50 MB of random bytes through a raw terminal" { stream random_bytes 52428800; }
@test "a storm of sizes ends with the last" { stream resizes; }
@test "a client that dies ends its command" { stream dies; }
@test "a slow reader slows the command, and nothing piles up" {
    substrate world warm >/dev/null
    stream slow "$(agent_pid)"
}
@test "a session: lines in one shell, each a span with its change" { stream lines; }
@test "a dropped connection, and back" { stream reattaches; }
@test "sessions end by themselves" {
    export SUBSTRATE_API_DETACHED_MS=300 SUBSTRATE_API_SESSION_IDLE_MS=300
    stream ends
}
@test "sessions and terminals end with the agent" {
    stream stops &
    local client=$!
    wait_for 30 test -e ready
    substrate world stop
    wait "$client"
    equal 'what the session had written' x "$(cat kept)"
}

# node_stream TEST: drives a program through a terminal; its last words are in $output, the screen in out.
node_stream() {
    need_program node
    WS=$(dirname "$(find "${SUBSTRATE_TEST_EXTRA:-/nonexistent}" -path '*/ws-*/package.json' | head -n1)")
    [[ -e $WS/package.json ]] || skip 'the npm package ws is missing (./dev test fetches it)'
    substrate world warm >/dev/null
    run -0 --separate-stderr timeout 60 node "$BATS_TEST_DIRNAME/stream_node.js" "$SUBSTRATE_HOME/sock/agent.sock" "$WS" "$1"
}
@test "vim leaves the file, the change and the terminal as on a bare one" {
    need_program vim
    node_stream vim
    equal 'how it ended' 'exit 0 1000 0' "$stderr"
    equal 'the file' 'hello from vim' "$(cat f.txt)"
    # Terminal modes after vim: those of a new terminal, but for its size.
    local after bare
    after=$(tr -d '\r' <<<"$output" | grep -aoE '[-]?(icanon|echo|icrnl|opost|isig|ixon|onlcr|iexten)\b' | xargs)
    bare=$(python3 "$BATS_TEST_DIRNAME/stream_client.py" bare_vim | tr -d '\r' | grep -aoE '[-]?(icanon|echo|icrnl|opost|isig|ixon|onlcr|iexten)\b' | xargs)
    equal 'the modes' "$bare" "$after"
}
@test "less, fzf, htop and bash" {
    for program in less fzf htop; do
        command -v "$program" >/dev/null || continue
        node_stream "$program"
        equal "$program" 'exit 0 1000 0' "$stderr"
    done
    [[ ! -e picked ]] || equal 'what fzf picked' two "$(cat picked)"
    node_stream bash
    equal bash 'exit 3 1000 0' "$stderr"
    [[ $output == *"/dev/pts/0"* ]]
}
