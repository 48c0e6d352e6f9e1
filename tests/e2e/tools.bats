#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Real programs at their work.
load common

@test "a C project under git: configured, built in parallel, changed, built again" {
    need_program gcc && need_program make && need_program git
    cat >Makefile <<'END'
objects = main.o greet.o count.o
program: $(objects)
	$(CC) -o $@ $(objects)
%.o: %.c project.h
	$(CC) -O1 -c -o $@ $<
check: program
	./program world | grep -q 'hello world 5'
clean:
	rm -f program $(objects)
END
    echo 'int count(const char*); void greet(const char*);' >project.h
    printf '#include "project.h"\nint main(int argc, char** argv) { greet(argv[argc - 1]); return 0; }\n' >main.c
    printf '#include <stdio.h>\n#include "project.h"\nvoid greet(const char* who) { printf("hello %%s %%d\\n", who, count(who)); }\n' >greet.c
    printf '#include <string.h>\n#include "project.h"\nint count(const char* text) { return (int)strlen(text); }\n' >count.c
    substrate -c 'git init -q . && git config user.email a@b.c && git config user.name n && printf "*.o\nprogram\n" >.gitignore && git add -A && git commit -qm first'
    equal 'status' '' "$(git status --porcelain)"
    equal commits 1 "$(git rev-list --count HEAD)"
    git fsck --no-progress
    run -0 substrate -c 'make -j2'
    run -0 ./program world
    equal 'on the host' 'hello world 5' "$output"
    run -0 substrate -c 'make check && make -q program'
    # Nothing is to be done on the host either: times came along.
    make -q program
    # An edit on the host, a build in the world: only what is needed.
    echo '/* edited */' >>count.c
    run -0 substrate -c 'make -j2 && git status --porcelain && git diff --stat'
    contains "$output" count.c
    lacks "$output" 'main.o main.c'
    equal 'what it changed' '["count.o","program"]' "$(last '[.fs_diff.entries[] | select(.path | startswith(".git") | not) | .path] | tojson')"
    run -0 substrate -c 'git commit -qam second && git log --oneline | wc -l && git checkout -q -b topic && git gc -q && git stash list'
    equal branch topic "$(git branch --show-current)"
    git fsck --no-progress
    run -0 substrate -c 'make clean'
    [[ ! -e program && ! -e main.o ]]
}

@test "a replay of the build gives the same change" {
    need_program gcc
    echo 'int main(void) { return 0; }' >a.c
    substrate -c 'gcc -o a a.c && ./a'
    run --separate-stderr -0 substrate replay "$(last_span)" --verify
    [[ -x a ]]
}

@test "npm installs a dependency from a directory" {
    need_program npm && need_program node
    mkdir -p dep app
    echo '{"name":"dep","version":"1.0.0","main":"index.js"}' >dep/package.json
    echo 'module.exports = "from dep"' >dep/index.js
    run -0 substrate -c 'cd app && npm_config_cache=/tmp/npm npm_config_update_notifier=false npm init -y >/dev/null && npm_config_cache=/tmp/npm npm_config_audit=false npm_config_fund=false npm install --offline ../dep'
    # The shipped policy isolates installs: what they change is shown first.
    contains "$output" 'substrate: kept: '
    [[ ! -e app/package.json ]]
    run -0 substrate -c 'cd app && node -p "require(\"dep\")"'
    equal 'before it is applied' 'from dep' "$output"
    run -0 substrate apply
    contains "$(cat app/package.json)" '"dep"'
    run -0 bash -c "cd app && node -p 'require(\"dep\")'"
    equal 'on the host' 'from dep' "$output"
    run -0 substrate -c 'cd app && node -p "require(\"dep\")"'
    equal 'in the world' 'from dep' "$output"
}

@test "an editor in a terminal" {
    need_program tmux && need_program vim.tiny
    echo 'first line' >file
    in_terminal "substrate -c 'vim.tiny -u NONE -N file'; echo \$? >'$T/code'"
    shown 'first line'
    terminal send-keys o 'second line' Escape
    shown 'second line'
    terminal send-keys ':wq' Enter
    wait_for 20 test -s "$T/code" || { terminal capture-pane -p && return 1; }
    equal 'exit code' 0 "$(cat "$T/code")"
    equal content $'first line\nsecond line' "$(cat file)"
    equal 'what it changed' '["file"]' "$(last '[.fs_diff.entries[].path] | tojson')"
}

@test "a terminal's job control: stopped and continued" {
    need_program tmux
    in_terminal 'bash --norc --noprofile -i'
    terminal send-keys "substrate -c 'echo started; read -r x; echo got \$x'" Enter
    shown '^started'
    terminal send-keys C-z
    shown 'Stopped'
    terminal send-keys fg Enter
    # What is typed before that, the shell's own modes hold back.
    wait_for 20 in_front substrate
    terminal send-keys later Enter
    shown '^got later'
}

@test "archives, searches and scripts" {
    mkdir tree && for i in 1 2 3 4 5; do echo "needle $i" >"tree/$i"; done
    run -0 substrate -c 'tar cf - tree | (mkdir copy && tar xf - -C copy) && diff -r tree copy/tree && find . -name "[0-9]" | wc -l && grep -rl needle . | wc -l'
    equal output $'10\n10' "$output"
    run -0 substrate -c 'sed -i s/needle/pin/ tree/* && cat tree/1 && python3 -c "import os; print(len(os.listdir(\"tree\")))"'
    equal output $'pin 1\n5' "$output"
    equal host 'pin 5' "$(cat tree/5)"
    run -0 substrate -c 'cp -a tree tree2 && rsync -a tree/ tree3/ 2>/dev/null || cp -a tree tree3; diff -r tree2 tree3 && echo equal'
    contains "$output" equal
}
