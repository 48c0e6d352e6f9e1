#!/usr/bin/env bats
# shellcheck disable=SC2030,SC2031,SC2154
# Every payload of payloads.txt in worlds as a person starts them.
load common

more_setup() {
    # A place that worlds show: what payloads must not reach shall be there to be reached.
    B=${SUBSTRATE_TEST_OUTSIDE:-$T}/$BATS_TEST_NUMBER
    mkdir "$B"
    X=$SUBSTRATE_TEST_EXTRA
}

# all_as_expected COMMAND…: what it prints is shown.
all_as_expected() {
    local code=0
    SUBSTRATE_TEST_WAY=$SUBSTRATE_TEST_WAY "$@" >"$T/report" 2>&1 3>&- || code=$?
    [[ $code != 77 ]] || skip "$(tail -n 1 "$T/report")"
    grep -E '^(open|skipped): |payloads, ' "$T/report" | sed 's/^/# /' >&3
    grep -q ' payloads, ' "$T/report" || code=99
    [[ $code == 0 ]] || { cat "$T/report" && return 1; }
}

@test "payloads in session worlds and in worlds of their own" {
    all_as_expected bash "$X/security/session.bash" "$X" "$B" world fresh pty stdin-file stdin-dir
}

@test "the guard holds what it promises" {
    local report
    report=$("$X/security/guard.sh" bash "$X/security/guard_test.bash" 3>&-) || { echo "$report" && [[ $report == *'guard: no user namespace'* ]] && skip "$report"; false; }
    contains "$report" 'the guard holds'
}

@test "payloads that could hurt the machine, in the guard" {
    # shellcheck disable=SC2016 # for the shell inside
    all_as_expected "$X/security/guard.sh" bash -c 'mkdir "$GUARD/base" && exec bash "$0" "$1" "$GUARD/base" guard' \
        "$X/security/session.bash" "$X"
}

# swap A B …: exchanges the names of each pair again and again, until it is ended. Prints "ready".
swapper() {
    /usr/bin/python3 -c '
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
parent = os.getppid()
pairs = list(zip(sys.argv[1::2], sys.argv[2::2]))
def swap():
    for one, other in pairs:
        if libc.renameat2(-100, one.encode(), -100, other.encode(), 2) != 0: sys.exit(1)
swap()
swap()
print("ready", flush=True)
while os.getppid() == parent: swap()' "$@"
}

@test "the project and a writable directory are swapped for links while worlds start: nothing outside is written or mounted" {
    local real=$B/work/project outside=$B/outside cache=$HOME/.cache-of-tool before
    mkdir -p "$real" "$outside" "$cache" "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
    # shellcheck disable=SC2016 # the policy's own words
    printf 'id: default\nfs: {write: [$PROJECT, $HOME/.cache-of-tool]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
    echo before >"$outside/made"
    ln -s "$outside" "$B/work/link"
    ln -s "$outside" "$HOME/link"
    # The attack is one: by either link the file can be written.
    [[ $(cat "$B/work/link/made" "$HOME/link/made") == $'before\nbefore' ]]
    before=$(cut -d ' ' -f 3- /proc/self/mountinfo)
    swapper "$real" "$B/work/link" "$cache" "$HOME/link" >"$T/ready" 3>&- &
    local swapping=$! ran=0 i
    until [[ -s $T/ready ]]; do kill -0 "$swapping"; done
    cd "$B/work"
    for ((i = 0; i < 60; ++i)); do
        # From the real directory, whatever its name is just now.
        (cd -P project 2>/dev/null && [[ ! -e made || $(cat made) != before ]] &&
            substrate --ephemeral --timeout 20 -c 'echo attack >made; echo attack >~/.cache-of-tool/made') >"$T/out" 2>&1 3>&- && ran=$((ran + 1))
    done
    kill "$swapping" || { echo 'nothing was swapped' && false; }
    wait "$swapping" || :
    substrate world stop >/dev/null 2>&1 || :
    equal 'outside' before "$(cat "$outside/made")"
    equal 'beside it' made "$(ls -A "$outside")"
    equal 'mounts' "$before" "$(cut -d ' ' -f 3- /proc/self/mountinfo)"
    # Some of them were not hindered, so there was something to win.
    ((ran > 0)) || { cat "$T/out" && false; }
}

@test "a link in the place of a directory for captures is not followed" {
    [[ $SUBSTRATE_TEST_WAY == user ]] || skip 'root keeps captures where nobody else can plant'
    # shellcheck disable=SC2016 # for the shell inside
    all_refused=$("$X/security/guard.sh" bash -c '
        mkdir "$GUARD/outside" "$GUARD/project" && cd "$GUARD/project" || exit 1
        ln -s "$GUARD/outside" "/tmp/substrate-$(id -u)"
        ln -s "$GUARD/outside" "$XDG_RUNTIME_DIR/substrate"
        ln -s "$GUARD/outside" "$SUBSTRATE_HOME/overlay"
        substrate -c "echo x >made" 2>&1
        substrate world stop >/dev/null 2>&1
        echo "left: $(ls -A "$GUARD/outside")"' 3>&-) || { [[ $all_refused == *'guard: no user namespace'* ]] && skip "$all_refused"; }
    contains "$all_refused" 'left: '
    [[ $all_refused == *'left: ' ]] || { echo "$all_refused" && false; }
}
