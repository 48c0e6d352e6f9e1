#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Commands run as they would without Substrate: output, exit code, streams, signals.
load common

# same LINE: `substrate -c LINE` does what `bash -c LINE` does.
same() {
    local line=$1 want=0 got=0
    mkdir -p "$T/plain" "$T/out"
    (cd "$T/plain" && printf 'one\ntwo\n' | bash -c "$line" >"$T/out/want" 2>"$T/out/want.err") || want=$?
    printf 'one\ntwo\n' | substrate -c "$line" >"$T/out/got" 2>"$T/out/got.err" || got=$?
    sed -i "s|$T/plain|$P|g" "$T/out/want" "$T/out/want.err"
    if [[ $want != "$got" ]] || ! cmp -s "$T/out/want" "$T/out/got" || ! cmp -s "$T/out/want.err" "$T/out/got.err"; then
        printf -- '-- %s\nexit %s, expected %s\n' "${line:0:200}" "$got" "$want"
        diff -a "$T/out/want" "$T/out/got" | head -n 10
        diff -a "$T/out/want.err" "$T/out/got.err" | head -n 10
        return 1
    fi
}
# all LINE…: reports every line that differs.
all() {
    local line failed=0
    for line in "$@"; do same "$line" || failed=1; done
    return "$failed"
}

@test "quoting and expansion" {
    all "echo one  two" "echo 'one  two'" 'echo "a $HOME_NOT_SET b"' "echo \$((6 * 7))" 'echo "$(echo nested "$(echo deeper)")"' \
        "printf '%s|' a 'b c' ''" 'x="a  b"; echo $x; echo "$x"' "echo \\\\ \\' '\"'" 'echo {a,b}{1,2}' 'echo ~+ | wc -l' \
        $'echo "two\nlines"' $'echo one\necho two' "echo 'é ü 漢字 🎉'" 'x=漢字; echo ${#x}' 'echo ${x:-default}' 'set -- a b; echo $# "$2"' \
        'a=(1 2 3); echo ${a[@]: -1}' 'echo "!"' 'echo *' "echo \$'tab\\there'" '# only a comment' 'echo a # comment' 'true;' ''
}

@test "redirection, pipes and lists" {
    all 'echo out; echo err >&2' 'echo both 2>&1 >/dev/null' 'ls /nonexistent' 'ls /nonexistent 2>&1' 'cat' 'cat -' 'head -n 1; cat' \
        'wc -l' 'sort -r | tr a-z A-Z' 'cat <<EOF
here $((1+1))
EOF' "cat <<'EOF'
raw \$x
EOF" 'cat <<<word' 'echo a >f; echo b >>f; cat f; rm f' '(echo sub; exit 3)' '{ echo group; }; false || echo or && echo and' \
        'false | true' 'set -o pipefail; false | true' 'cat < /nonexistent' 'exec 3>&1; echo three >&3' 'diff <(echo a) <(echo b)' \
        'while read -r l; do echo "[$l]"; done' 'for i in 1 2 3; do echo $i; done | tac' 'echo x | tee /dev/stderr' 'cat /dev/fd/0' \
        'echo to >/dev/stdout; echo to >/dev/stderr'
}

@test "exit codes" {
    all true false 'exit 42' 'exit 256' 'false; echo $?' '(exit 7); echo $?; exit $?' nosuchprogram 'nosuchprogram | cat' /etc/passwd . ./nothere \
        'echo x >n; ./n; rm n' 'exec nosuchprogram' 'exec true' 'kill -TERM $$' 'kill -KILL $$' 'kill -9 $$; true' 'sh -c "kill -SEGV \$\$"' \
        'trap "echo trapped; exit 5" TERM; kill $$; echo no' 'return 3' 'if' 'echo "unfinished' 'test -t 0 && test -t 1' 'set -e; false; echo no' \
        'timeout 0.05 sleep 5' 'sh -c "exit 3" & wait $!' 'yes | head -n 3'
}

@test "a program without a shell: -- PROGRAM ARGUMENTS" {
    run -0 substrate -- printf '<%s>' a 'b  c' '' '$HOME' '*' '[a,b]' '%%' "it's" --help -c -- '{x}' $'new\nline' '"q"'
    equal arguments "<a><b  c><><\$HOME><*><[a,b]><%%><it's><--help><-c><--><{x}><new"$'\n'"line><\"q\">" "$output"
    run -3 substrate -- sh -c 'exit 3'
    run -127 substrate -- nosuchprogram
    contains "$output" 'nosuchprogram: not found'
    run -126 substrate -- /etc/passwd
    contains "$output" 'Permission denied'
    printf '#!/bin/sh\necho "script $1"\n' >script
    chmod +x script
    run -0 substrate -- ./script arg
    equal script 'script arg' "$output"
    run -143 substrate -- sh -c 'kill -TERM $$'
}

@test "command lines that say nothing or too much" {
    run -0 substrate --version
    run -0 substrate --help
    contains "$output" trace replay world
    refused 2 substrate
    refused 2 substrate -c 'true' -- true
    run -2 substrate --nosuchoption
    run -2 substrate -c true --commit sometimes
    refused 2 substrate --env =x -c true
    refused 2 substrate --env NOT_SET_ANYWHERE -c true
}

@test "the environment's marks, umask and directory" {
    umask 027
    same 'umask; mkdir sub; cd sub; pwd; pwd -P; touch f; stat -c %a f .; cd ..; rm -r sub'
    mkdir -p deep/er
    cd deep/er
    run -0 substrate -c 'pwd; echo $PWD'
    equal directory "$P/deep/er"$'\n'"$P/deep/er" "$output"
}

@test "arguments near the kernel's limit, input of 1 MiB in one line" {
    local arg
    arg=$(head -c 130000 /dev/zero | tr '\0' x)
    run -0 substrate -- sh -c 'printf %s "$1" | wc -c' _ "$arg"
    equal argument 130000 "$output"
    run -0 substrate -c "x=$arg; echo \${#x}"
    equal line 130000 "$output"
    head -c 1048576 /dev/zero | tr '\0' y >"$T/line"
    echo >>"$T/line"
    run -0 substrate -c 'read -r line; echo ${#line}' <"$T/line"
    equal 'line on standard input' 1048576 "$output"
    # Many that are allowed together, as a line of more than one argument's size.
    # shellcheck disable=SC2046
    run -0 substrate -- sh -c 'echo $#' _ $(yes "${arg:0:1000}" | head -n 1000)
    equal arguments 1000 "$output"
}

@test "standard input passes through, byte by byte" {
    head -c 300000 /dev/urandom >"$T/random"
    substrate -c cat <"$T/random" >"$T/copy"
    cmp "$T/random" "$T/copy"
    # shellcheck disable=SC2002
    cat "$T/random" | substrate -c 'cat' | cmp - "$T/random"
    printf 'a\0b\0\377\376' | substrate -c cat | cmp - <(printf 'a\0b\0\377\376')
    # What the command does not read stays for the next one.
    run -0 bash -c 'printf "first\nsecond\n" >"$T/in"; { substrate -c "read -r x; echo got \$x"; cat; } <"$T/in"'
    equal 'rest of the input' 'got first'$'\n''second' "$output"
    run -0 substrate -c 'cat; echo end' </dev/null
    equal 'empty input' end "$output"
}

@test "closed standard streams" {
    run -0 bash -c 'substrate -c "echo fine" <&-'
    equal 'without input' fine "$output"
    run -0 bash -c 'substrate -c "echo to stderr >&2" 2>&1 >&-'
    equal 'without output' 'to stderr' "$output"
    run bash -c 'substrate -c "echo lost" >&-'
    equal 'echo into nothing' 1 "$status" || equal 'or into /dev/null' 0 "$status"
    run -0 bash -c 'substrate -c "echo fine" 2>&-'
    equal 'without errors' fine "$output"
    run -4 bash -c 'substrate -c "exit 4" <&- >&- 2>&-'
    wait_for 10 test -s "$SUBSTRATE_HOME/trace.jsonl"
    equal recorded 4 "$(last .exit)"
}

@test "the order of both streams in one pipe" {
    run -0 substrate -c 'for i in 1 2 3 4 5 6 7 8; do echo out$i; echo err$i >&2; done'
    equal interleaved "$(for i in 1 2 3 4 5 6 7 8; do echo "out$i"; echo "err$i"; done)" "$output"
    substrate -c 'for i in 1 2 3; do echo o$i; ls /nonexistent/$i; done' >"$T/file" 2>&1 || true
    equal 'in a file' "$(bash -c 'for i in 1 2 3; do echo o$i; ls /nonexistent/$i; done' 2>&1)" "$(cat "$T/file")"
    echo before >"$T/file"
    substrate -c 'echo after' >>"$T/file"
    equal appended before$'\n'after "$(cat "$T/file")"
}

@test "a reader that stops reading ends the command" {
    run -0 bash -c 'substrate -c "yes" | head -n 2'
    equal output y$'\n'y "$output"
    run -0 bash -c 'set +o pipefail; substrate -c "yes | head -n 1; echo \${PIPESTATUS[0]}"'
    equal 'inside' y$'\n'141 "$output"
    run -0 bash -c 'substrate -c "yes" | head -n 1; echo "${PIPESTATUS[0]}"'
    equal 'its exit code' y$'\n'141 "$output"
}

@test "a gigabyte of output" {
    [[ $SUBSTRATE_TEST_WAY != unshare ]] || skip 'the same as for the ordinary account'
    run -0 bash -c "substrate -c 'head -c 1G /dev/zero' | wc -c"
    equal bytes 1073741824 "$output"
    equal recorded 1073741824 "$(last .output.stdout_bytes)"
}

# start LINE: in the background, until it has said "ready". A shell without job
# control starts background commands with INT and QUIT ignored; a person's does not.
start() {
    : >"$T/output"
    env --default-signal=INT,QUIT substrate -c "$1" >"$T/output" 2>"$T/errors" 3>&- &
    pid=$!
    wait_for 20 grep -q ready "$T/output"
}
ended() {
    local code=0
    wait_for 20 gone "$pid" || return 1
    wait "$pid" || code=$?
    equal 'exit code' "$1" "$code"
}

@test "signals reach the command" {
    local signal
    for signal in INT TERM HUP USR1 USR2 QUIT; do
        start "trap 'echo got $signal; exit 9' $signal; echo ready; while :; do sleep 0.01; done"
        kill -"$signal" "$pid"
        ended 9
        contains "$(cat "$T/output")" "got $signal"
    done
    start 'echo ready; exec sleep 1000'
    kill -TERM "$pid"
    ended 143
    equal outcome 'killed 15' "$(last '"\(.outcome) \(.signal)"')"
    start 'echo ready; exec sleep 1000'
    kill -INT "$pid"
    ended 130
}

@test "a signal that the command ignores does not end it" {
    mkfifo "$T/go"
    exec 7<>"$T/go"
    substrate -c 'trap "" TERM; echo ready; read -r x; echo "$x"; exit 4' <&7 >"$T/output" 3>&- &
    pid=$!
    wait_for 20 grep -q ready "$T/output"
    kill -TERM "$pid"
    echo 'went on' >&7
    ended 4
    contains "$(cat "$T/output")" 'went on'
}

@test "a time limit" {
    run -143 substrate --timeout 0.2 -c 'sleep 1000'
    equal outcome timeout "$(last .outcome)"
    run -137 substrate --timeout 0.2 -c 'trap "" TERM; while :; do sleep 1000; done'
    equal outcome timeout "$(last .outcome)"
}

@test "background processes outlive their command, and are no reason to wait" {
    mkfifo "$T/hold"
    # The reader holds our fifo open: the background process can only end by us.
    exec 7<>"$T/hold"
    run -0 substrate -c 'setsid sh -c "read -r x; echo late >late" >/dev/null 2>&1 <&0 & echo done' <&7
    equal output 'done' "$output"
    run -0 substrate -c 'pgrep -f "read -r" >/dev/null && echo alive'
    equal 'still there' alive "$output"
    echo go >&7
    exec 7>&-
    wait_for 20 test -f late
    equal 'its change' late "$(cat late)"
}

@test "a command that forks twice" {
    run -0 substrate -c '(setsid sh -c "echo grandchild >gc; sleep 0.01" >/dev/null 2>&1 &) ; echo parent'
    equal output parent "$output"
    wait_for 20 test -s gc
    run -0 substrate -c 'cat gc'
    equal 'what it wrote' grandchild "$output"
}

@test "a background process's output arrives after its command has ended" {
    mkfifo "$T/in"
    exec 8<>"$T/in"
    substrate -c '(read -r x; echo late) <&0 & echo early' <&8 >"$T/file" 2>&1 3>&-
    equal early early "$(cat "$T/file")"
    echo >&8
    exec 8>&-
    wait_for 20 grep -q late "$T/file"
}

@test "a terminal stays a terminal" {
    need_program script
    run -0 script -qec "substrate -c 'test -t 0 && test -t 1 && test -t 2 && echo all three; stty size >/dev/null && echo sized'" /dev/null </dev/null
    contains "$output" 'all three' sized
    # The interrupt key reaches the command, once.
    mkfifo "$T/keys"
    exec 7<>"$T/keys"
    script -qec "substrate -c 'trap \"echo interrupted; exit 8\" INT; echo ready; while :; do sleep 0.01; done'" /dev/null \
        <&7 >"$T/screen" 3>&- &
    pid=$!
    wait_for 20 grep -q ready "$T/screen"
    printf '\003' >&7
    ended 8
    equal times 1 "$(grep -c interrupted "$T/screen")"
}

@test "a command can name its terminal" {
    skip "the command has no controlling terminal, see docs/threat-model.md"
    need_program script
    run -0 script -qec "substrate -c tty" /dev/null </dev/null
    contains "$output" /dev/
}

@test "what cannot be a project is refused with one line" {
    local place
    for place in / /proc /usr /etc; do
        cd "$place" || return 1
        refused 5 substrate -c true
        contains "$stderr" 'cannot be a project'
    done
    cd "$P" || return 1
    equal 'stores made' '' "$(find "$SUBSTRATE_HOME/overlay" -mindepth 1 -maxdepth 1 2>/dev/null)"
}

@test "paths of the environment need not be normalised" {
    local made=$SUBSTRATE_HOME
    SUBSTRATE_HOME=/${SUBSTRATE_HOME%/*}//./${SUBSTRATE_HOME##*/}/ run --separate-stderr -0 substrate -c 'echo fine'
    equal output fine "$output"
    [[ -S $made/sock/control.sock ]]
    substrate world stop
    HOME=/./$HOME// XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR/./ run --separate-stderr -0 substrate -c 'echo fine'
    equal output fine "$output"
    substrate world stop
    HOME=/ run --separate-stderr -0 substrate -c 'echo fine'
    equal output fine "$output"
    substrate world stop
    HOME=/tmp run --separate-stderr -0 substrate -c 'echo fine'
    equal output fine "$output"
    SUBSTRATE_HOME=/tmp/.. refused 2 substrate -c true
    contains "$stderr" "'..'"
    substrate world stop
}

@test "--no-world runs on the host and says so" {
    run --separate-stderr -5 substrate --no-world -c 'echo out; exit 5'
    equal output out "$output"
    contains "$stderr" 'no world'
    equal recorded '5 direct' "$(last '"\(.exit) \(.world_fs_strategy.final)"')"
    SUBSTRATE_WORLD=disabled run --separate-stderr -0 substrate -c 'echo out'
    contains "$stderr" 'no world'
    SUBSTRATE_WORLD=enabled run --separate-stderr -0 substrate -c 'echo $SUBSTRATE'
    equal 'in a world' 1 "$output"
    SUBSTRATE_WORLD=disabled run --separate-stderr -0 substrate --world -c 'echo $SUBSTRATE'
    equal 'in a world' 1 "$output"
}

@test "--no-world passes signals and keeps to its time limit" {
    run --separate-stderr -143 substrate --no-world --timeout 0.2 -c 'exec sleep 1000'
    equal outcome timeout "$(last .outcome)"
    # As a person's shell starts it, the keyboard's signals are not ignored.
    run -0 env --default-signal=INT,QUIT substrate --no-world -c 'grep SigIgn /proc/self/status'
    contains "$output" 0000000000000000
    substrate --no-world -c 'trap "echo got it; exit 9" TERM; echo ready; while :; do sleep 0.01; done' >"$T/output" 2>/dev/null 3>&- &
    pid=$!
    wait_for 20 grep -q ready "$T/output"
    kill -TERM "$pid"
    ended 9
    equal recorded 9 "$(last .exit)"
}

@test "the plain form asks the agent before the C library is set up, and once" {
    need_program strace
    timeout --kill-after=5 20 strace -o /dev/null true 2>/dev/null || skip 'strace cannot trace here'
    run -0 substrate -c true
    timeout --kill-after=5 60 strace -o "$T/calls" -e trace=connect,sendmsg,arch_prctl "$SUBSTRATE_BIN/substrate" -c true
    equal 'the order' 'connect sendmsg arch_prctl' "$(grep -oE '^(connect|sendmsg|arch_prctl)' "$T/calls" | head -n 3 | xargs)"
    equal connections 1 "$(grep -c '^connect' "$T/calls")"
    equal spans 2 "$(substrate trace --json | wc -l)"
    # What is out of the ordinary is left to the ordinary client.
    for odd in SUBSTRATE_AGENT_ID= SUBSTRATE_SESSION_ID=none; do
        timeout --kill-after=5 60 strace -o "$T/calls" -e trace=sendmsg,prlimit64 -E "$odd" "$SUBSTRATE_BIN/substrate" -c 'echo done >>log'
        equal "$odd" prlimit64 "$(grep -oE '^(sendmsg|prlimit64)' "$T/calls" | head -n 1)"
    done
    equal 'each once' 2 "$(wc -l <log)"
}
