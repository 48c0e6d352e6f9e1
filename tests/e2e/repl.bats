#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154
# `substrate` at a terminal: lines of one shell in a world, each judged.

load common

policy() {
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
    printf 'id: default\n%s\n' "$1" >"$SUBSTRATE_HOME/policies/default.yaml"
}
# The interactive shell in a terminal; what follows its end is shown too.
repl() {
    need_program tmux
    in_terminal "bash --norc --noprofile -c 'substrate; echo left-\$?; exec cat'"
    # What is waited for must not be wrapped.
    terminal resize-window -x 180 -y 24
    shown '(default .*) [$#]'
    wait_for 20 has_size '24 180'
}
# says LINE PATTERN: types the line, and waits for what it shows at the beginning of a line, and for the prompt:
# only then it is on the host.
says() { typed "$1" && shown "^$2" && wait_for 20 at_prompt; }
at_prompt() { terminal capture-pane -p | grep -v '^$' | tail -n 1 | grep -q ') [$#]$'; }
# The same for a line that needs a variable's value: under `enforce` that is asked about.
says_unresolved() {
    says 'clear; echo cleared' cleared
    typed "$1"
    wait_for 20 prompts '\[o\]nce' 1
    says o "$2"
}
prompts() { (($(terminal capture-pane -p | grep -c "$1") >= $2)); }
has_size() { [[ $(stty -F "$(terminal display-message -p '#{pane_tty}')" size) == "$1" ]]; }
spans() { jq -r 'select(.event_type == "command_complete") | .cmd' "$SUBSTRATE_HOME/trace.jsonl"; }

@test "directory, variables, functions and arrays live on from line to line" {
    mkdir sub
    repl
    says 'cd sub; X=5; export Y=6; a=(1 2 3); f() { echo "in f $1"; }; false' "$P/sub (default observe)"
    says 'echo "status $? x $X y $Y a ${a[2]}"; f z' 'status 1 x 5 y 6 a 3'
    shown '^in f z'
    says 'bash -c "echo child=\$Y\$X" | cat' 'child=6$'
    says 'echo made >file; pwd' "$P/sub$"
    equal 'it is on the host' made "$(cat sub/file)"
    # Each line is a span of one session, and what bash itself does is one too.
    equal sessions 1 "$(jq -r 'select(.event_type == "command_complete") | .session_id' "$SUBSTRATE_HOME/trace.jsonl" | sort -u | wc -l)"
    contains "$(spans)" 'echo made >file; pwd' 'cd sub; X=5'
    equal change '["sub/file"]' "$(last '[.fs_diff.entries[].path] | tojson')"
    typed 'exit 7'
    shown '^left-7'
}

@test "every line is judged, and what is denied leaves 126" {
    policy $'mode: enforce\ncommands:\n  denied: ["touch no*"]'
    repl
    says 'touch no1; echo ran' 'substrate: command denied by policy: touch no1'
    says 'touch no1' 'substrate: command denied'
    typed 'echo "status $?"'
    wait_for 20 prompts '\[o\]nce' 1
    says o 'status 126'
    # In a function's body as well, and by a longer way.
    says 'g() { touch no2; }' 'substrate: command denied by policy: touch no2'
    says 'clear; true && command touch "n"o3' 'substrate: command denied by policy: touch no3'
    says 'touch yes; echo made' made
    [[ -e yes && ! -e no1 && ! -e no2 && ! -e no3 ]]
    equal span '["denied",126]' "$(jq -c 'select(.event_type == "command_complete" and .cmd == "touch no1; echo ran") | [.outcome, .exit]' "$SUBSTRATE_HOME/trace.jsonl")"
    # An edit is in force for the next line.
    policy $'mode: enforce\ncommands:\n  denied: ["touch yes*"]'
    says 'clear; touch no4; echo now' now
    [[ -e no4 ]]
    says 'touch yes2' 'substrate: command denied by policy: touch yes2'
}

@test "what a line writes into policies does not loosen them" {
    policy $'mode: enforce\ncommands:\n  denied: ["touch no*"]'
    repl
    says "mkdir -p '$SUBSTRATE_HOME/policies'; echo 'id: default' >'$SUBSTRATE_HOME/policies/default.yaml'; echo tried" tried
    says 'echo "id: default" >.substrate-policy.yaml; echo default >.substrate-profile; echo wrote' wrote
    says 'clear; touch no1' 'substrate: command denied by policy: touch no1'
    [[ ! -e no1 ]]
    contains "$(cat "$SUBSTRATE_HOME/policies/default.yaml")" 'touch no'
}

@test "a policy that allows a few commands only lets the shell open" {
    policy $'mode: enforce\ncommands:\n  allowed: ["echo *", cd]'
    repl
    says 'echo fine' fine
    says 'touch x' 'substrate: command denied by policy'
    [[ ! -e x ]]
}

@test "approvals are asked on the same terminal" {
    policy $'mode: enforce\napproval:\n  require: ["touch ask*"]'
    repl
    typed 'touch ask1; echo one'
    wait_for 20 prompts '\[o\]nce' 1
    [[ ! -e ask1 ]]
    says o one
    [[ -e ask1 ]]
    says 'clear; echo cleared' cleared
    typed 'touch ask2'
    wait_for 20 prompts '\[o\]nce' 1
    says d 'substrate: command denied by policy'
    [[ ! -e ask2 ]]
    says 'clear; echo cleared' cleared
    typed 'touch ask3'
    wait_for 20 prompts '\[o\]nce' 1
    typed s
    wait_for 20 test -e ask3
    # For the session: not asked again.
    rm ask3
    says 'clear; echo cleared' cleared
    typed 'touch ask3'
    wait_for 20 test -e ask3
}

@test "what is to be isolated runs in a world of its own, and waits for a decision" {
    policy $'mode: enforce\ncommands:\n  isolated: ["touch iso*"]'
    mkdir sub
    repl
    says 'cd sub; X=1' "$P/sub (default enforce)"
    typed 'touch iso1'
    wait_for 20 prompts 'Apply these changes' 1
    says n 'substrate: .*world of its own'
    shown '1 pending'
    [[ ! -e sub/iso1 ]]
    says_unresolved 'echo "still $X $?"' 'still 1 0'
    says ':diff' '.*iso1'
    typed ':apply'
    wait_for 20 test -e sub/iso1
    # The shell has gone on.
    says_unresolved 'echo "and $X"; ls' 'and 1'
    shown '^iso1'
}

@test "leaving says what is pending" {
    policy $'mode: enforce\nworld:\n  commit: manual'
    repl
    says 'echo text >kept; cat kept' text
    shown '1 pending'
    says 'cat kept' text
    says ':diff' '.*+ kept'
    [[ ! -e kept ]]
    typed ':apply'
    wait_for 20 test -e kept
    shown 'the shell ends first'
    says 'echo more >>kept; cat kept' more
    equal 'on the host' text "$(cat kept)"
    terminal send-keys C-d
    shown '^substrate: 1 change waits for a decision'
    shown '^left-0'
    run -0 substrate apply
    equal kept $'text\nmore' "$(cat kept)"
}

@test "changes that wait already: said so, and decided about in place" {
    policy $'mode: enforce\nworld:\n  commit: manual'
    run -0 substrate -c 'echo one >kept'
    need_program tmux
    in_terminal "bash --norc --noprofile -c 'substrate; echo left-\$?; exec cat'"
    terminal resize-window -x 180 -y 24
    shown 'wait for a decision'
    shown '(no shell)'
    typed ':apply'
    wait_for 20 test -e kept
    says 'cat kept' one
    shown '(default enforce)'
}

@test "lines that are not finished ask on" {
    repl
    typed 'cat <<END'
    shown '^>'
    typed 'a here-document'
    says END 'a here-document'
    typed 'for i in 1 2; do'
    typed 'echo "no $i'
    says '"; done' 'no 2'
    typed "echo 'quoted"
    says "text'" 'text$'
    typed 'echo continued '\\
    says '  line' 'continued line'
    # Given up with Ctrl-C.
    typed 'if true'
    terminal send-keys C-c
    says 'echo after' after
    contains "$(spans)" 'cat <<END'
    # One that is wrong is said to be.
    says 'echo )' 'bash: syntax error'
}

@test "Ctrl-C drops a line and interrupts a command; Ctrl-Z stops one" {
    repl
    terminal send-keys -l 'touch never'
    terminal send-keys C-c
    shown '\^C$'
    says 'echo fresh' fresh
    [[ ! -e never ]]
    typed 'sleep 1000'
    wait_for 20 pgrep -f '^sleep 1000$'
    terminal send-keys C-c
    says 'echo "status $?"' 'status 130'
    typed 'sleep 1001'
    wait_for 20 pgrep -f '^sleep 1001$'
    terminal send-keys C-z
    shown 'Stopped'
    says 'bg >/dev/null; jobs' '.*Running.*sleep 1001'
    says 'kill %1; wait; echo gone' gone
    typed 'read -r line; echo "read <$line>"'
    says 'some words' 'read <some words>'
}

@test "what is typed while a line runs is for the next" {
    repl
    typed 'sleep 2; head -n 1'
    typed 'for the program'
    typed 'echo for the shell'
    terminal send-keys -l 'echo in pa'
    shown 'echo in pa'
    shown '^for the shell$'
    terminal send-keys -l 'rts'
    terminal send-keys Enter
    shown '^in parts$'
    equal 'typed and shown' 2 "$(terminal capture-pane -p | grep -c 'for the program$')"
}

@test "programs that draw, at the size that the terminal has" {
    need_program vim
    need_program less
    repl
    says 'stty size' '24 180'
    seq 100 >numbers
    typed 'less numbers'
    shown '^23$'
    terminal send-keys G
    shown '^100$'
    terminal send-keys q
    says 'echo "less $?"' 'less 0'
    typed 'vim -u NONE -i NONE text'
    shown '^~'
    terminal send-keys -l 'ihello'
    shown '^hello'
    terminal resize-window -x 60 -y 20
    wait_for 20 prompts '^~' 17
    terminal send-keys Escape
    typed ':wq'
    says 'cat text; stty size' 'hello'
    shown '^20 60'
    terminal resize-window -x 70 -y 21
    wait_for 20 has_size '21 70'
    says 'clear; stty size' '21 70'
}

@test "what runs in the background shows when it is there" {
    repl
    typed '(sleep 2; echo late words) &'
    shown '^\[1\]'
    terminal send-keys -l 'echo half'
    shown '^late words'
    # The line that was being typed is still there.
    terminal send-keys -l 'way'
    terminal send-keys Enter
    shown '^halfway'
}

@test "the agent is killed: said, and the next line has a new shell" {
    repl
    mkdir sub
    says 'X=1; cd sub; echo "set $X"' 'set 1'
    kill -KILL "$(substrate world status --json | jq .agent_pid)"
    typed 'echo lost'
    shown '^substrate: the agent closed the connection'
    says 'clear; echo "anew <$X>"; pwd' 'anew <>'
    shown "^$P/sub$"
    # From outside of the project it is back where it began.
    says 'cd /tmp; echo there' there
    kill -KILL "$(substrate world status --json | jq .agent_pid)"
    typed 'echo lost'
    says 'clear; echo "anew <$X>"; pwd' 'anew <>'
    shown "^$P/sub$"
    # In the middle of a line, the terminal is given back as it was.
    typed 'sleep 1002'
    wait_for 20 pgrep -f '^sleep 1002$'
    kill -KILL "$(substrate world status --json | jq .agent_pid)"
    shown '^substrate: the agent closed the connection'
    says 'clear; echo again' again
    # A shell that is killed from within is no reason to leave.
    says 'kill -KILL $$' 'substrate: the shell was ended by signal 9'
    says 'clear; echo "and $?"' 'and 0'
}

@test "world stop ends an open shell" {
    repl
    says 'echo open' open
    run -0 timeout 30 substrate world stop
    typed 'echo next'
    shown '^substrate: the agent closed the connection'
    says 'clear; echo goes on' 'goes on'
}

@test "commands of its own" {
    policy $'mode: enforce\ncommands:\n  denied: ["touch no*"]\nworld_fs:\n  require_world: true'
    repl
    says ':help' ':discard'
    says ':why' 'substrate: nothing has run yet'
    typed 'touch no1'
    shown 'denied by policy'
    typed ':why'
    shown 'decision *deny (denied by the pattern "touch no'
    says ':nothing' "substrate: there is no ':nothing'"
    says ':host touch on-host' 'substrate: command denied by policy: the policy lets commands run in worlds only'
    [[ ! -e on-host ]]
    policy 'mode: enforce'
    typed ':host touch on-host'
    wait_for 20 test -e on-host
    # The world that the policy wants now is another one.
    says 'echo other' other
    shown '^substrate: the policy wants another world .*:restart'
    typed ':restart'
    says 'clear; echo cleared' cleared
    typed ':host exit 3'
    shown '^substrate: no world'
    typed 'echo "host left $?"'
    wait_for 20 prompts '\[o\]nce' 1
    says o 'host left 3'
    says ': an ordinary command; echo colon' colon
    typed ':quit'
    shown '^left-0'
}

@test "Tab completes commands, files, variables and functions as the shell knows them" {
    mkdir 'some dir'
    echo text >'some dir/file one'
    repl
    says 'my_function() { echo "called $1"; }; export MY_VARIABLE=value; echo ready' ready
    terminal send-keys -l 'my_fu'
    terminal send-keys Tab
    shown 'my_function$'
    says 'x' 'called x'
    terminal send-keys -l 'cat so'
    terminal send-keys Tab
    shown 'some\\ dir/$'
    terminal send-keys Tab
    shown 'file\\ one'
    terminal send-keys Enter
    shown '^text'
    terminal send-keys -l 'echo $MY_VAR'
    terminal send-keys Tab Enter
    shown '^value'
    terminal send-keys -l ':res'
    terminal send-keys Tab
    shown ':restart'
    # Nothing of it is a line: neither a span nor in $?.
    terminal send-keys C-c
    says 'false' ''
    terminal send-keys -l 'my_'
    terminal send-keys Tab C-c
    says 'echo "status $?"' 'status 1'
    lacks "$(spans)" compgen
}

@test "history: kept for the next time, without secrets, for its owner" {
    repl
    says 'echo first-$((40 + 2))' 'first-42'
    says 'T=1 curl -s -H "Authorization: Bearer hunter2hunter2" file:///dev/null; echo sent' sent
    says ' echo hidden' hidden
    typed ':quit'
    shown '^left-0'
    equal mode 600 "$(stat -c %a "$SUBSTRATE_HOME/history")"
    lacks "$(cat "$SUBSTRATE_HOME/history")" hunter2 hidden
    terminal kill-server
    repl
    terminal send-keys -l 'echo fi'
    terminal send-keys Up Enter
    shown '^first-42'
}

@test "without colours where they are not wanted" {
    need_program tmux
    in_terminal 'NO_COLOR=1 substrate'
    shown '(default observe)'
    lacks "$(terminal capture-pane -e -p)" $'\e['
    terminal kill-server
    in_terminal 'TERM=dumb substrate'
    shown '(default observe)'
    says 'echo plain' plain
    lacks "$(terminal capture-pane -e -p)" $'\e['
}

@test "only at a terminal, and not in a world" {
    run -0 --separate-stderr substrate <<<'echo from stdin'
    equal stdout 'from stdin' "$output"
    refused 2 substrate --no-world </dev/null
    cp "$SUBSTRATE_BIN"/substrate* .
    repl
    says './substrate' 'substrate: .*the interactive shell'
    says 'echo "nested $?"' 'nested [1-9]'
    says "./substrate -c 'echo inside'" inside
    # In the background too, while nobody runs a line.
    says "(sleep 1; ./substrate -c 'echo behind') &" behind
}
