#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Processes of Substrate are killed at any moment, disks fill up: nothing is half done,
# nothing is lost, and nothing stays that `world gc` does not clear.
load common

more_setup() { mkdir .git; }

agent_pid() { substrate world status --json | jq -r '.agent_pid // empty'; }
init_pid() { substrate world status --json | jq -r '.projects[0].worlds[0].init_pid // empty'; }

# hold LINE: starts a command that has run LINE, and then waits.
hold() {
    [[ -e $T/hold ]] || { mkfifo "$T/hold" && exec 7<>"$T/hold"; }
    : >"$T/held"
    substrate -c "$1; echo ready; read -r x; echo after >late" <&7 >"$T/held" 2>"$T/held.err" 3>&- &
    held=$!
    wait_for 20 grep -q ready "$T/held"
}
# What the project, the next command and gc are like when all is well.
works_again() {
    local report
    run substrate -c 'echo again >again; cat again'
    equal "exit, $output" 0 "$status"
    equal 'the next command' again "$output"
    equal host again "$(cat again)"
    substrate world stop
    report=$(substrate world gc --json)
    equal 'errors of gc' '[]' "$(jq -c .errors <<<"$report")"
    # Groups belong to no home: those of other tests become leftovers meanwhile.
    equal 'removed by a second gc' '[]' "$(substrate world gc --json | jq -c '.removed | map(select(startswith("cgroup ") | not))')"
    equal 'worlds left' '' "$(find "$SUBSTRATE_HOME/overlay" -mindepth 3 -maxdepth 3 -path '*/worlds/*')"
    equal 'trash left' '' "$(find "$SUBSTRATE_HOME/overlay" -mindepth 3 -maxdepth 3 -path '*/trash/*')"
    substrate world stop
    ! grep -F "$T" /proc/self/mountinfo
    wait_for 15 no_processes
}
dead() { gone "$1"; }

@test "the command line program is killed" {
    hold 'echo before >f; (sleep 1000 & sleep 1000 &) >/dev/null 2>&1'
    kill -KILL "$held"
    wait "$held" 2>/dev/null || true
    # Its command ends as well, and is recorded.
    wait_for 30 grep -q '"command_complete"' "$SUBSTRATE_HOME/trace.jsonl"
    equal outcome killed "$(last .outcome)"
    [[ ! -e late ]]
    run -0 substrate -c 'pgrep -c sleep; true'
    works_again
}

@test "the agent is killed while a command runs" {
    hold 'echo before >f'
    local agent init
    agent=$(agent_pid) init=$(our_processes)
    kill -KILL "$agent"
    local code=0
    wait "$held" || code=$?
    [[ $code != 0 ]]
    contains "$(cat "$T/held.err")" substrate:
    equal lines 1 "$(wc -l <"$T/held.err")"
    # Its worlds die with it.
    wait_for 15 gone "$init"
    [[ ! -e late ]]
    works_again
    # What the command had changed is on the host, or kept, or was never said to be done.
    [[ -e f ]] || substrate diff | grep -q '+ f' || substrate world gc --json | jq -e '.kept[] | select(.reason | test("interrupted"))' >/dev/null
}

@test "process 1 of the world is killed while a command runs" {
    hold 'echo before >f'
    # The world is in use: its process is the agent's child.
    local init code=0
    init=$(pgrep -P "$(agent_pid)" | head -n 1)
    kill -KILL "$init"
    wait "$held" || code=$?
    [[ $code != 0 ]]
    contains "$(cat "$T/held.err")" substrate:
    [[ ! -e late ]]
    # What it had changed is kept for a decision.
    [[ -e f ]] || { substrate diff "$(last_span)" | grep -q '+ f'; }
    substrate discard "$(last_span)" >/dev/null 2>&1 || true
    works_again
}

@test "process 1 of an idle world is killed" {
    substrate -c 'echo x >f'
    kill -KILL "$(init_pid)"
    works_again
}

@test "all of it is killed at once" {
    hold 'echo before >f'
    local all
    all=$(our_processes)
    # shellcheck disable=SC2086
    kill -KILL $all "$held" 2>/dev/null || true
    wait "$held" 2>/dev/null || true
    wait_for 15 gone "$all"
    works_again
}

@test "the agent is killed while background processes live" {
    substrate -c 'setsid sleep 1000 >/dev/null 2>&1 & echo x >f'
    local all
    all=$(our_processes)
    kill -KILL "$(agent_pid)"
    wait_for 15 gone "$all"
    works_again
}

can_trace() {
    need_program strace
    timeout --kill-after=5 20 strace -f -o /dev/null true 2>/dev/null || skip 'strace cannot trace here'
}
traced() { grep -qs '^TracerPid:.*[1-9]' "/proc/$1/status"; }
# inject CALLS N: whichever process of the agent makes its N-th of these calls dies there.
inject() {
    agent=$(agent_pid)
    timeout --kill-after=5 60 strace -f -q -o "$T/strace" -p "$agent" -e trace="$1" -e signal=none -e inject="$1:signal=KILL:when=$2" 3>&- 2>/dev/null &
    tracer=$!
    wait_for 20 traced "$agent"
}
injected() {
    # Told to stop while its tracees die, strace may wait for ever for one of them: then it is killed.
    kill -TERM "$tracer" 2>/dev/null || true
    wait "$tracer" 2>/dev/null || true
    # The call that it died in has no result.
    grep -qE ' = \?$|killed by SIGKILL' "$T/strace"
}

# A world's set-up dies at each of these calls, one after another, until there is no
# such call left. The command must fail with a line; afterwards all is well.
set_up_killed_at() {
    can_trace
    local call n
    for call in "$@"; do
        for ((n = 1; n < 200; ++n)); do
            # Starts an agent, which has probed the machine, but no world.
            substrate world stop
            substrate world gc >/dev/null
            inject "$call" "$n"
            run --separate-stderr timeout 60 substrate -c 'echo ran'
            injected || break
            # It may also be what prepares the next capture, when the command has ended,
            # or the command's own process, on the way to its program.
            [[ $status == 0 && $output == ran || $status == 137 || $status != 0 && $stderr == 'substrate: '* ]] || {
                echo "killed at $call $n: exit $status, output '$output', errors '$stderr'"
                return 1
            }
            substrate world stop
            wait_for 20 gone "$agent" || { echo "left after $call $n" && return 1; }
        done
        echo "$call: killed at $((n - 1)) places"
        [[ $n -gt 1 && $n -lt 200 ]]
    done
    works_again
}

@test "killed at every step of set-up: mounts" { set_up_killed_at move_mount; }
@test "killed at every step of set-up: trees and attributes" { set_up_killed_at open_tree mount_setattr; }
@test "killed at every step of set-up: file systems, root, names, limits" { set_up_killed_at fsopen fsmount pivot_root umount2 sethostname capset seccomp; }

@test "the agent or its probes die at start" {
    can_trace
    local call n
    for call in move_mount clone3 bind openat renameat2 flock; do
        for n in 1 2 5; do
            timeout --kill-after=5 60 strace -f -q -o "$T/strace" -e trace="$call" -e signal=none -e inject="$call:signal=KILL:when=$n" \
                bash -c 'substrate -c "echo ran"; echo "exit $?"; exec timeout 30 substrate world stop' >"$T/out" 2>"$T/err" </dev/null 3>&- || true
            # It worked, or it said why not; and was not in the way of the next one.
            [[ $(cat "$T/out") == ran* || -s $T/err ]] || ! grep -q 'exit' "$T/out" || { echo "silent at $call $n: $(cat "$T/out")" && return 1; }
            timeout 30 substrate world stop
            wait_for 20 no_processes
        done
    done
    works_again
}

# An apply of many files, interrupted at its N-th rename.
@test "an apply that is killed half-way is completed at the next start" {
    can_trace
    local total=200 place new
    for place in 2 50 197; do
        rm -rf -- *
        for n in $(seq $total); do echo old >"file$n"; done
        substrate --commit manual -c "for i in \$(seq $total); do echo new >file\$i; done; rm file7; mkdir d; echo x >d/y" 2>/dev/null
        local span
        span=$(last_span)
        inject renameat "$place"
        run timeout 60 substrate apply "$span"
        [[ $status != 0 ]]
        injected
        new=$(cat file* | grep -c new || true)
        ((new > 0 && new < total - 1)) || { echo "not interrupted at $place: $new of $total" && return 1; }
        # The next start brings the rest.
        run -0 substrate -c 'true'
        equal "after a kill at rename $place" " $((total - 1)) new;" "$(cat file* | sort | uniq -c | tr -s ' ' | tr '\n' ';')"
        [[ ! -e file7 ]]
        equal 'the new directory' x "$(cat d/y)"
        equal 'what is there' "$total" "$(find . -type f ! -path './.git*' | wc -l)"
        run substrate diff
        contains "$output" 'nothing is pending'
    done
    works_again
}

# A copy that was half-way to its name is nobody's file.
@test "an apply by copying that is killed leaves nothing of its own" {
    can_trace
    local place span
    for place in 2 20; do
        rm -rf -- *
        for n in $(seq 30); do echo old >"file$n"; done
        echo theirs >.substrate-apply.0
        substrate --capture copy-diff --commit manual -c 'for i in $(seq 30); do echo newer >file$i; done; rm file7' 2>/dev/null
        span=$(last_span)
        inject renameat "$place"
        run timeout 60 substrate apply "$span"
        [[ $status != 0 ]]
        injected
        equal "temporaries at $place" 1 "$(find . -name '.substrate-apply.spn_*' | wc -l)"
        run -0 substrate -c 'find . -name ".substrate-apply.*"'
        equal 'what the next command sees' ./.substrate-apply.0 "$output"
        equal 'what is there' ./.substrate-apply.0 "$(find . -name '.substrate-apply.*')"
        equal "after a kill at rename $place" ' 29 newer;' "$(cat file* | sort | uniq -c | tr -s ' ' | tr '\n' ';')"
        [[ ! -e file7 ]]
    done
    works_again
}

@test "a commit that is killed at any rename is whole or not at all" {
    can_trace
    local n call
    for call in renameat renameat2 rename linkat; do
        for n in 1 2 3 4 5; do
            rm -rf -- *
            echo old >a && echo old >b && echo old >c
            substrate world warm >/dev/null
            inject "$call" "$n"
            run timeout 60 substrate -c 'echo new >a; echo new >b; echo new >c'
            injected || continue
            run -0 substrate -c 'true'
            case $(cat a b c | tr '\n' ' ') in
                'new new new ') ;;
                'old old old ') substrate world gc --json | jq -e '.kept | map(select(.name | startswith("spn_"))) | length > 0' >/dev/null ||
                    { echo "lost after $call $n" && return 1; } ;;
                *) echo "half applied after $call $n: $(cat a b c)" && return 1 ;;
            esac
            local kept
            for kept in $(substrate world status --json | jq -r '.projects[].kept[].span_id'); do substrate discard "$kept" >/dev/null; done
        done
    done
    works_again
}

# small LINE: runs LINE in the project where SUBSTRATE_HOME is a file system of 2 MiB.
small() {
    local privileges=()
    ((EUID == 0)) || privileges=(-r)
    need userns unshare "${privileges[@]}" -m true
    mkdir -p "$SUBSTRATE_HOME"
    run --separate-stderr unshare "${privileges[@]}" -m bash -c "mount -t tmpfs -o size=2m,mode=700 none '$SUBSTRATE_HOME' && { $1
        }; code=\$?; rm -f '$SUBSTRATE_HOME/filler'; substrate world stop; exit \$code"
}

@test "a disk that fills up during a command: the command is told, the host is whole" {
    # Neither root of captures may be elsewhere.
    echo old >f
    XDG_RUNTIME_DIR=$SUBSTRATE_HOME/run small 'substrate --capture overlay -c "head -c 8M /dev/zero >big"; echo "exit $?"; cat f; ls'
    contains "$output" old
    # Captured elsewhere it works; where it does not fit, the command fails or its change is kept.
    if [[ $output == *'exit 0'* ]]; then [[ -e big || $stderr == *kept* ]]; else [[ ! -e big ]]; fi
}

@test "a command that fills the disk is ended before the disk is full, and its change is kept" {
    # Where root's captures lie else.
    local elsewhere=true
    [[ $SUBSTRATE_TEST_WAY != root ]] || elsewhere='mkdir -p /var/lib/substrate && mount --bind "$SUBSTRATE_HOME" /var/lib/substrate && mount --bind "$SUBSTRATE_HOME" /tmp'
    export XDG_RUNTIME_DIR=$SUBSTRATE_HOME/run
    # The last of it slowly: it is looked at five times a second, and what is held back of so small a disk
    # are eight of these steps.
    cat >fill <<'END'
trap exit TERM
head -c 1000k /dev/zero >big
for ((i = 0; i < 300; i++)); do
    head -c 4k /dev/zero >>big || exit
    read -rt 0.1 _ <> <(:)
done
END
    small "$elsewhere && substrate --capture copy-diff -c 'bash fill'
        echo \"exit \$?\"; ls; substrate trace --last --json | jq -c '[.outcome, .outcome_reason, .commit]'"
    equal "outcome; $stderr" '["killed","disk","pending"]' "${lines[-1]}"
    contains "$stderr" 'the disk is nearly full: ' 'kept: 1 changed paths'
}

@test "a full tmpfs of the world is named" {
    run --separate-stderr ! substrate -c 'head -c 17M /dev/zero >/run/lock/fill'
    contains "$stderr" "the world's own /run is full"
    equal reason disk "$(last .outcome_reason)"
    run -0 substrate -c 'rm /run/lock/fill'
}

@test "a full disk below SUBSTRATE_HOME: one clear line, nothing lost" {
    echo old >f
    small 'substrate -c "echo one >g" >/dev/null; head -c 16M /dev/zero >"$SUBSTRATE_HOME/filler" 2>/dev/null; substrate -c "echo two >f"; echo "exit $?"'
    # The earlier commit stays; the later one is on the host, or the line says why not.
    equal 'before' one "$(cat g)"
    contains "$output" exit
    if [[ $(cat f) == old ]]; then
        contains "$stderr" substrate:
    else
        equal f two "$(cat f)"
        # Space for its span was kept.
        [[ $stderr != *'not recorded'* ]]
    fi
}

@test "a full disk from the start" {
    echo old >f
    small 'head -c 16M /dev/zero >"$SUBSTRATE_HOME/filler" 2>/dev/null; substrate -c "echo two >f"'
    if [[ $status == 0 ]]; then
        equal f two "$(cat f)"
    else
        contains "$stderr" substrate: 'No space left'
        equal host old "$(cat f)"
    fi
}

@test "stale sockets and locks of the dead do not matter" {
    substrate -c true
    local all
    all=$(our_processes)
    kill -KILL "$(agent_pid)"
    wait_for 15 gone "$all"
    [[ -S $SUBSTRATE_HOME/sock/control.sock ]]
    run -0 substrate world status
    contains "$output" 'no agent'
    # Several start the next agent at the same time.
    local i pids=()
    for i in 1 2 3 4 5; do
        substrate -c "echo $i >f$i" 3>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    equal all "$(seq 5)" "$(cat f?)"
    # One of them serves, and knows of all.
    equal commands 5 "$(substrate world status --json | jq .commands)"
    works_again
}
