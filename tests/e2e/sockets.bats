#!/usr/bin/env bats
# shellcheck disable=SC2154
# Who may speak at the agent's two sockets, tried by a second account that can reach them.
load common

more_setup() { need_program python3; }

# asks AS…: what both doors say to whoever AS makes of us.
asks() { "$@" python3 "$BATS_TEST_DIRNAME/peer_client.py" "$SUBSTRATE_HOME/sock/control.sock" "$SUBSTRATE_HOME/sock/agent.sock"; }

@test "another account that can reach the sockets is not listened to" {
    [[ $EUID == 0 && $SUBSTRATE_TEST_WAY == root ]] || skip 'needs root, to be a second account'
    need_program setpriv
    local other=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all)
    substrate world warm >/dev/null
    run -0 asks env
    equal 'the account itself' $'control connected answered\nagent connected answered' "$output"
    # As it is, the directory refuses.
    run ! asks "${other[@]}"
    contains "$output" PermissionError
    # Opened, so that nothing but the peer's uid is left to tell by.
    chmod o+x "$T" "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/sock"
    chmod 0666 "$SUBSTRATE_HOME/sock/control.sock" "$SUBSTRATE_HOME/sock/agent.sock"
    run -0 asks "${other[@]}"
    equal 'another account' $'control connected closed\nagent connected closed' "$output"
    run -0 asks env
    equal 'the account itself, as before' $'control connected answered\nagent connected answered' "$output"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/sock"
}
@test "root is no other account's agent's client" {
    [[ $EUID == 0 && $SUBSTRATE_TEST_WAY == root ]] || skip 'needs root, to be a second account'
    need_program setpriv
    local other=(setpriv --reuid nobody --regid nogroup --clear-groups --inh-caps=-all)
    chmod o+x "$T"
    mkdir -m 0755 "$T/theirs"
    chown nobody:nogroup "$T/theirs"
    export SUBSTRATE_HOME=$T/theirs/state HOME=$T/theirs XDG_RUNTIME_DIR=$T/theirs
    cd "$HOME"
    run -0 "${other[@]}" substrate world warm
    run -0 asks "${other[@]}"
    equal 'the account itself' $'control connected answered\nagent connected answered' "$output"
    # Root passes every mode.
    run -0 asks env
    equal root $'control connected closed\nagent connected closed' "$output"
    run -0 "${other[@]}" substrate world stop
    wait_for 15 no_processes
    export SUBSTRATE_HOME=$T/state HOME=$T/home
}
