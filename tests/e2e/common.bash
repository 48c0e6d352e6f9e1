# shellcheck shell=bash disable=SC2154
# What every suite needs. Each test has a directory of its own, $T, on a real disk, with
# $HOME, $SUBSTRATE_HOME and a project in it, and starts in the project.

bats_require_minimum_version 1.5.0

setup() {
    local base=${TMPDIR:-/var/tmp}
    [[ $(stat -f -c %T "$base") != tmpfs ]] || base=/var/tmp
    T=$(mktemp -d "$base/e2e.XXXXXXXX")
    T=$(cd "$T" && pwd -P)
    export T HOME=$T/home SUBSTRATE_HOME=$T/state XDG_RUNTIME_DIR=$T/run PATH=$SUBSTRATE_BIN:/usr/sbin:/usr/bin:/sbin:/bin
    # Programs that start a shell of their own take the account's otherwise, which is
    # nologin(8) for a test's account.
    export LANG=C.UTF-8 TERM=xterm SHELL=/bin/sh
    unset LC_ALL BASH_ENV ENV CDPATH SUBSTRATE_WORLD SUBSTRATE_REPLAY_USE_WORLD SUBSTRATE_SESSION_ID SUBSTRATE_SPAN_ID \
        SUBSTRATE_AGENT_ID TRACEPARENT
    P=$T/project
    mkdir -p "$HOME" "$P"
    mkdir -m 0700 "$XDG_RUNTIME_DIR"
    cd "$P" || return 1
    more_setup
}
# For a suite to define.
more_setup() { :; }

# Whatever the test did, nothing of it may be left.
teardown() {
    cd / || return 1
    local failed=0 pids
    kill_jobs
    [[ ! -S $T/tmux ]] || tmux -S "$T/tmux" kill-server || :
    pids=$(our_processes)
    timeout 30 substrate world stop || { echo "world stop failed" && failed=1; }
    wait_for 15 gone "$pids" || failed=1
    wait_for 15 no_processes || failed=1
    check_gc || failed=1
    if grep -F "$T" /proc/self/mountinfo; then echo "mounts are left" && failed=1; fi
    [[ $failed == 0 ]] || { echo "-- agent.log:" && tail -n 20 "$SUBSTRATE_HOME/agent.log"; }
    chmod -R u+rwX "$T" 2>/dev/null
    rm -rf "$T" || failed=1
    return "$failed"
}

check_gc() {
    local report failed=0
    [[ -d $SUBSTRATE_HOME && -w $SUBSTRATE_HOME ]] || return 0
    report=$(timeout 30 substrate world gc --dry-run --json) || { echo "gc --dry-run failed: $report" && failed=1; }
    [[ $(jq -c '[.removed, .errors]' <<<"$report") == '[[],[]]' ]] || { echo "gc finds leftovers: $report" && failed=1; }
    timeout 30 substrate world stop || failed=1
    wait_for 15 no_processes || failed=1
    return "$failed"
}

kill_jobs() {
    local job
    for job in $(jobs -p); do kill -KILL "$job" 2>/dev/null; done
    wait 2>/dev/null
    return 0
}

# The agents of this test's home and their children, without the dead that nobody reaped.
our_processes() {
    local pid
    grep -lzxF "SUBSTRATE_HOME=$SUBSTRATE_HOME" /proc/[0-9]*/environ 2>/dev/null | while IFS=/ read -r _ _ pid _; do
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) != substrate-world* ]] || echo "$pid" "$(pgrep -P "$pid")"
    done
}
gone() {
    local pid
    for pid in $1; do
        # Of all threads: while one lives on, so do the process's sockets and locks.
        grep -qs '^State:.[^ZX]' "/proc/$pid/task/"*/status || continue
        # The number may be another process's by now.
        [[ $(cat "/proc/$pid/comm" 2>/dev/null) != substrate* ]] || return 1
    done
}
no_processes() { gone "$(our_processes)"; }

# wait_for SECONDS COMMAND…: until the command succeeds; complains when it does not.
wait_for() {
    local seconds=$1 deadline
    shift
    deadline=$((SECONDS + seconds))
    until "$@"; do
        if ((SECONDS >= deadline)); then
            echo "not within $seconds s: $*"
            return 1
        fi
        sleep 0.02
    done
}

# need FEATURE COMMAND…: skips the test unless the command succeeds; a failure where
# SUBSTRATE_TEST_REQUIRE names the feature.
need() {
    local feature=$1
    shift
    ! "$@" >/dev/null 2>&1 || return 0
    if [[ ,${SUBSTRATE_TEST_REQUIRE:-}, == *,$feature,* ]]; then
        echo "$feature is required here, but this fails: $*"
        return 1
    fi
    skip "needs $feature"
}
need_program() { command -v "$1" >/dev/null || skip "$1 is missing"; }

# equal WHAT EXPECTED ACTUAL
equal() {
    [[ $2 == "$3" ]] || {
        printf -- '-- %s\nexpected: %q\nactual:   %q\n' "$1" "$2" "$3"
        return 1
    }
}
# contains TEXT PART…: every part is in the text.
contains() {
    local text=$1 part
    shift
    for part in "$@"; do
        [[ $text == *"$part"* ]] || {
            printf -- '-- no %q in:\n%s\n' "$part" "$text"
            return 1
        }
    done
}
# lacks TEXT PART…
lacks() {
    local text=$1 part
    shift
    for part in "$@"; do
        [[ $text != *"$part"* ]] || {
            printf -- '-- %q is in:\n%s\n' "$part" "$text"
            return 1
        }
    done
}
# refused CODE COMMAND…: exits with CODE and one line on standard error that
# begins with "substrate: ", and prints nothing else.
refused() {
    local want=$1
    shift
    run --separate-stderr "$@"
    equal "exit of $*" "$want" "$status" || { echo "$output$stderr" && return 1; }
    equal "lines on standard error of $*: $stderr" 1 "${#stderr_lines[@]}" || return 1
    [[ $stderr == 'substrate: '* ]] || { echo "unexpected: $stderr" && return 1; }
    equal "standard output of $*" '' "$output"
}

# Starts COMMAND in a terminal of its own; what it shows stays there after its end.
in_terminal() {
    echo 'set-option -g remain-on-exit on' >"$T/tmux.conf"
    # A server that was told to end just before may still have the socket.
    local try
    for try in 1 2 3; do
        tmux -S "$T/tmux" -f "$T/tmux.conf" new-session -d -x 80 -y 24 "$1" 3>&- && return 0
    done
    echo "tmux did not start, $try times" && return 1
}
terminal() { tmux -S "$T/tmux" "$@"; }
# The terminal belongs to this program.
in_front() { [[ $(terminal display-message -p '#{pane_current_command}') == "$1" ]]; }
shows() { terminal capture-pane -p | grep -q "$1"; }
# typed LINE: as a person does, in the shell of the terminal.
typed() { terminal send-keys -l "$1" && terminal send-keys Enter; }
# shown PATTERN: within a while; complains with what the terminal shows instead.
shown() { wait_for 20 shows "$1" || { terminal capture-pane -p && return 1; }; }

last() { substrate trace --last --json | jq -r "$1"; }
last_span() { last .span_id; }
# The hashes, modes, names and link targets of a tree, for comparing.
tree_of() { (cd "$1" && find . -mindepth 1 ! -type d -printf '%P %y %m %l ' -exec sh -c '[ -L "$1" ] || [ ! -f "$1" ] || sha1sum <"$1"' _ {} \; -print | LC_ALL=C sort; find . -type d -printf '%P %m\n' | LC_ALL=C sort); }
