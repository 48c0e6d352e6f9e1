#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# `--pty`: a command on a terminal of its world's own, as a person at a terminal sees it.
load common

shell_in_terminal() {
    need_program tmux
    in_terminal 'exec bash --norc --noprofile -i'
    terminal resize-window -x 120 -y 24
    typed "PS1='ready> '"
    shown '^ready> *$'
}

@test "there is a /dev/tty, a size, job control; the code and the span are the command's" {
    shell_in_terminal
    typed "substrate --pty -c 'tty; echo via >/dev/tty; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && echo three; stty size; exit 7'; echo code-\$?"
    shown '^code-7'
    shown '^/dev/pts/0$'
    shown '^via$'
    shown '^three$'
    shown '^24 120$'
    equal span '[true,7]' "$(last '[.pty, .exit] | tojson')"
    typed "clear; substrate --pty -c 'set -m; sleep 1000 & kill -STOP %1; wait %1; jobs -s; kill -KILL %1'"
    shown 'Stopped .*sleep 1000'
    # The person's terminal is as it was.
    typed 'clear; stty -a | grep -ow -e -icanon -e -echo -e -isig; echo settings-$?'
    shown '^settings-1'
}

@test "a password is asked for and read, and Ctrl-C interrupts" {
    shell_in_terminal
    typed "echo piped | substrate --pty -c 'read -r -s -p \"Password: \" x </dev/tty; echo; read -r y; echo got-\$x-\$y'; echo code-\$?"
    shown '^Password:'
    typed hidden
    shown '^got-hidden-piped'
    shown '^code-0'
    typed "clear; substrate --pty -c 'echo here; exec sleep 1000'; echo code-\$?"
    shown '^here'
    terminal send-keys C-c
    shown 'code-130'
    typed "clear; substrate --pty -c 'trap \"echo caught; exit 3\" INT; echo here; while :; do read -r -t 1 x; done'; echo code-\$?"
    shown '^here'
    terminal send-keys C-c
    shown 'caught'
    shown 'code-3'
}

@test "redirected streams stay the caller's" {
    shell_in_terminal
    typed "echo in | substrate --pty -c 'cat; echo err >&2; echo tty >/dev/tty; [ -t 2 ]' >out; echo code-\$?"
    shown '^code-0'
    shown '^err$'
    shown '^tty$'
    equal 'the file' in "$(cat out)"
    typed "clear; substrate --pty -c 'echo out; echo err >&2' 2>&1 | tr a-z A-Z; echo code-\$?"
    shown '^code-0'
    shown '^OUT$'
    shown '^ERR$'
    # One stream that is a terminal is enough.
    typed "clear; substrate --pty -c 'tty <&2' </dev/null >out; echo code-\$?"
    shown '^code-0'
    equal 'its name' /dev/pts/0 "$(cat out)"
}

@test "Ctrl-Z stops the command and gives the terminal back; fg goes on" {
    shell_in_terminal
    typed "substrate --pty -c 'echo here; read -r x; echo got-\$x'"
    shown '^here'
    terminal send-keys C-z
    shown 'Stopped'
    typed 'clear; echo between-$((1 + 1))'
    shown '^between-2'
    typed fg
    wait_for 20 in_front substrate
    typed something
    shown '^got-something'
    # Where a shell inside has jobs, the key is its own.
    typed "clear; substrate --pty -- bash --norc --noprofile -i"
    typed "PS1='inside> '"
    shown '^inside> *$'
    typed 'sleep 1000'
    terminal send-keys C-z
    shown 'Stopped .*sleep 1000'
    typed 'kill -KILL %1; clear; echo still-$((2 + 2))'
    shown '^still-4'
    typed exit
    shown '^ready> *$'
}

@test "a size that changes is told" {
    shell_in_terminal
    typed "substrate --pty -c 'trap \"stty size\" WINCH; echo here; while :; do read -r -t 1 x; done'"
    shown '^here'
    terminal resize-window -x 91 -y 17
    shown '^17 91$'
    terminal send-keys C-c
}

@test "editors and pagers draw" {
    need_program less
    shell_in_terminal
    seq 1000 >numbers
    typed 'cat numbers | substrate --pty -c less'
    shown '^22$'
    terminal send-keys G
    shown '^1000$'
    terminal send-keys q
    shown '^ready> *$'
    if command -v vim >/dev/null; then
        typed "clear; substrate --pty -c 'vim -u NONE -N new'; echo code-\$?"
        shown '^~'
        terminal send-keys i
        typed 'written in a world'
        terminal send-keys Escape
        typed ':wq'
        shown '^code-0'
        contains "$(cat new)" 'written in a world'
    fi
    if command -v fzf >/dev/null; then
        typed "clear; substrate --pty -c 'fzf <numbers'; echo code-\$?"
        shown '1000/1000'
        terminal send-keys -l 777
        shown '1/1000'
        terminal send-keys Enter
        shown '^777'
        shown '^code-0'
    fi
}

@test "it is refused where there is no terminal, no world, or one already" {
    run --separate-stderr -2 setsid -w substrate --pty -c true </dev/null
    contains "$stderr" '--pty: none of standard input, output and error is a terminal'
    run --separate-stderr -2 substrate --pty --no-world -c true
    contains "$stderr" '--pty'
    cp "$SUBSTRATE_BIN/substrate" .
    run --separate-stderr -4 substrate -c './substrate --pty -c true'
    contains "$stderr" '--pty'
}

@test "a question is asked before, and a denied command gets no terminal" {
    shell_in_terminal
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
    printf 'id: default\nmode: enforce\ncommands: {denied: [touch no]}\napproval: {require: [tty]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
    typed "substrate --pty -c 'touch no'; echo code-\$?"
    shown '^code-126'
    typed "clear; substrate --pty -c tty; echo code-\$?"
    shown '\[o\]nce'
    typed o
    shown '^code-0'
    shown '^/dev/pts/0'
}

@test "a terminal that goes away ends its command" {
    shell_in_terminal
    typed "substrate --pty -c 'echo \$\$ >pid; mkfifo f; exec sleep 1000'"
    wait_for 20 running sleep
    terminal kill-server
    wait_for 20 not_running sleep
    equal outcome killed "$(last .outcome)"
}
running() { our_processes | tr ' ' '\n' | xargs -r -n1 pgrep -P | xargs -r -n1 ps -o comm= -p | grep -qx "$1"; }
not_running() { ! running "$1"; }
