#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Patterns of fs.deny, held by name: whatever way leads to a denied file, and whatever builds do beside it.
load common

more_setup() {
    mkdir -p "$SUBSTRATE_HOME/policies" sub a/b
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
    echo 'the secret' | tee .env sub/.env >a/b/key
    echo plain >plain
    need_guard
    deny '"**/.env", "a/*/key", "new/secret", "*.pem"'
}
policy() {
    printf 'id: default\n%s\n' "$1" >"$SUBSTRATE_HOME/policies/.new"
    mv "$SUBSTRATE_HOME/policies/.new" "$SUBSTRATE_HOME/policies/default.yaml"
}
deny() { policy "fs: {deny: [$1]}"; }
need_guard() {
    local scope=/proc/sys/kernel/yama/ptrace_scope
    [[ ! -e $scope || $(cat "$scope") == 0 ]] || skip 'Yama keeps guards from reading memory'
    printf '5.19\n%s\n' "$(uname -r)" | sort -VC || skip 'no guards before Linux 5.19'
}
# kept LINE: runs it, and throws away what it changed.
kept() {
    run substrate --commit manual -c "$1"
    substrate discard >/dev/null 2>&1 || :
}
# keeps LINE: prints nothing of the secret, and the host's files are as they were. It is seen to
# succeed where nothing is denied.
keeps() {
    policy 'name: nothing denied'
    kept "$1"
    [[ $output == *'the secret'* ]] || { echo "no attack: $1: $output" && return 1; }
    deny '"**/.env", "a/*/key", "new/secret", "*.pem"'
    kept "$1"
    lacks "$output" 'the secret' || { echo "by: $1" && return 1; }
    equal 'the file' 'the secret' "$(cat .env)"
}
program() {
    need_program cc
    cc -O1 -w -o "$T/$1" -x c - -static -pthread && mv "$T/$1" "./$1"
}

@test "denied files cannot be read by any way that leads to them" {
    local line
    for line in 'cat .env' 'cat sub/.env' 'cat "$PWD/sub/../.env"' 'cat ./sub//./.env' 'cd sub && cat .env' \
        'cat a/b/key' 'ln -s .env l; cat l' 'ln -s sub l; cat l/.env' 'ln -s "$PWD" l; cat l/l/l/.env' \
        'cat /proc/self/root"$PWD"/.env' 'cat /proc/self/cwd/.env' 'cat /proc/$$/cwd/sub/.env' 'cat /proc/thread-self/cwd/.env' \
        'exec 3<.; cat /proc/self/fd/3/.env' 'exec 3<sub; cat /dev/fd/3/.env' 'cp .env copy; cat copy' 'cat <.env' \
        'read -r x <.env; echo "$x"' 'ln .env hard; cat hard' 'ln -s .env l; ln -L l hard; cat hard' \
        'mv .env moved; cat moved' 'mv a z; cat z/b/key' 'mv a/b z; cat z/key' 'mv sub/.env other; cat other' \
        'tar c .env | cat' 'dd if=.env status=none' 'grep -r secret .' 'sh ./.env; sed -n p .env' 'find . -name .env -exec cat {} +'; do
        keeps "$line"
    done
}

@test "denied names cannot be made, taken, changed or removed" {
    run -0 substrate -c 'mkdir -p new'
    local line
    for line in 'echo x >x.pem' 'echo x >new/secret' 'echo x >>.env' 'rm .env' 'rm -f sub/.env' 'mv plain x.pem' \
        'mv plain .env' 'ln plain x.pem' 'ln -s plain x.pem' 'mkdir x.pem' 'mkfifo x.pem' 'chmod 0 .env' 'touch .env' \
        'touch x.pem' 'truncate -s 0 .env' 'mv new z && echo >z/secret && mv z new' 'mkdir z && echo >z/secret && mv z/secret new/secret' \
        'rm -r sub' 'mv -T a z' 'echo x >/proc/self/cwd/x.pem' 'cp plain a/b/key' 'exec 3>x.pem'; do
        run ! substrate -c "$line"
    done
    equal 'what is there' 'a a/b a/b/key .env new plain sub sub/.env' "$(find . -mindepth 1 -printf '%P\n' | grep -v '^z' | LC_ALL=C sort -f | LC_ALL=en_US sort | xargs)" ||
        equal 'what is there' '.env a a/b a/b/key new plain sub sub/.env' "$(find . -mindepth 1 -printf '%P\n' | grep -v '^z' | LC_ALL=C sort | xargs)"
    equal 'the file' 'the secret' "$(cat .env sub/.env a/b/key | sort -u)"
}

@test "what is not denied works as without patterns" {
    policy 'name: nothing denied'
    local line='set -e; mkdir -p x/y w; echo 1 >x/f; mv x/f x/y/g; ln x/y/g w/h; ln -s ../x/y/g w/i; mkfifo p; chmod 640 x/f2 2>/dev/null || :
        echo longer >x/y/g; truncate -s 1 x/y/g; cat w/h w/i; mv x v; rm -r v; umask 027; touch u; mkdir um; umask 0; touch z; stat -c "%n %a" u um z
        (echo through >p &); cat p; cat <(echo sub) <(echo sub2); echo out >/dev/stdout; echo null >/dev/null; cat </dev/null; readlink w/i
        readlink /proc/self/exe; : >/dev/tty || echo no terminal; cat here <<<text 2>&1 || cat <<<text; exec 3<>/dev/ptmx; cd w; pwd -P; cat ../plain
        test -e nothing || echo absent; ls nothing 2>&1 || cat /proc/self/comm; echo >x.pe; head -c 3 /dev/zero | od -An -tx1; touch -d @1 u2; stat -c %Y u2'
    kept "$line"
    local expected=$status:${output%substrate: kept*}
    deny '"**/.env"'
    kept "$line"
    equal 'the same' "$expected" "$status:${output%substrate: kept*}"
    [[ $expected == 0:* ]]
}

@test "the span and the plan say what is denied by name, and nothing is degraded" {
    run --separate-stderr -0 substrate -c true
    equal stderr '' "$stderr"
    equal guard 4 "$(last .enforcement.fs_guard)"
    equal degraded 0 "$(last '[.degradations[] | select(.component != "cgroup")] | length')"
    run -0 substrate --explain -c true
    contains "$output" "denied     $PWD/**/.env"
    run -0 substrate trace "$(last_span)"
    contains "$output" '4 denied by name'
}

@test "a denied path of the project that is not there yet cannot be made" {
    deny 'later, deep/later'
    mkdir deep
    run ! substrate -c 'mkdir later'
    run ! substrate -c 'echo x >later'
    run ! substrate -c 'mv deep other && echo x >other/later && mv other deep'
    [[ ! -e later && ! -e deep/later ]]
    # One that is there is masked, without a guard.
    mkdir later deep/later
    run -0 substrate -c 'grep Seccomp_filters /proc/self/status'
    equal 'filters' $'Seccomp_filters:\t1' "$output"
}

@test "full isolation: the project's other name is held too" {
    policy $'world_fs: {isolation: full, write_allowlist: [.]}\nfs: {deny: ["**/.env"]}'
    run -0 substrate -c 'cat /project/plain'
    run ! substrate -c 'cat /project/.env'
    run ! substrate -c 'cd /project/sub && cat .env'
    run ! substrate -c 'cat "$PWD/sub/.env"'
}

@test "background processes are held after their command" {
    mkfifo go
    run -0 substrate --direct -c '(read -r x <go; cat .env >out 2>&1; cat plain >out2) >/dev/null 2>&1 & echo started'
    echo >go
    wait_for 20 test -s out2
    lacks "$(cat out)" 'the secret'
    run -0 substrate -c 'cat plain; cat .env 2>&1 || true'
    lacks "$output" 'the secret'
}

@test "without its guard a command cannot open anything, and nobody can look into one" {
    need_program python3
    run substrate -c 'python3 -c "
import os, signal, ctypes, sys
me = os.getpid()
for pid in range(2, 400):
    if pid == me or pid == os.getppid(): continue
    try: os.kill(pid, 0)
    except OSError: continue
    libc = ctypes.CDLL(None, use_errno=True)
    print(\"traced\" if libc.ptrace(16, pid, 0, 0) == 0 else \"untraceable\")
    for name in (\"mem\", \"fd\", \"maps\", \"cwd\"):
        try: open(\"/proc/%d/%s\" % (pid, name)); print(\"SEEN\", name)
        except IsADirectoryError: print(\"SEEN\", name)
        except OSError: pass
    os.kill(pid, signal.SIGKILL)
for i in range(1000):
    try: print(open(\".env\").read())
    except OSError as e: last = e
print(last.errno)
"'
    lacks "$output" 'the secret' traced$'\n' SEEN
    contains "$output" untraceable 38
    run -0 substrate -c 'cat plain'
}

@test "builds, git and editors work" {
    need_program git
    need_program make
    need_program cc
    printf 'all: one two\none: one.c\n\tcc -o $@ $<\ntwo: two.c\n\tcc -o $@ $<\n' >Makefile
    echo 'int main(void) { return 0; }' | tee one.c >two.c
    run -0 substrate -c 'make -s -j2 && ./one && ./two && git init -q . && git add Makefile one.c && git -c user.name=x -c user.email=x@y commit -qm m && git status --short -uno && git log --oneline | wc -l'
    contains "$output" 1
    ! command -v vim >/dev/null || run -0 substrate -c 'vim -u NONE -es -c "normal ihello" -c wq edited && cat edited'
    ! command -v node >/dev/null || run -0 substrate -c 'node -e "require(\"fs\").writeFileSync(\"n\", require(\"fs\").readFileSync(\"plain\")); console.log(require(\"fs\").realpathSync(\"n\"))"'
}

@test "patterns of fs.write open what they name of the project, and nothing else" {
    echo before >notes.md
    mkdir src build
    echo 'int x;' | tee src/x.c >src/x.h
    policy 'fs: {write: [build, "**/*.md", "src/*.c"]}'
    run --separate-stderr -0 substrate -c 'echo x >notes.md; echo x >new.md; mkdir -p a/d && echo x >a/d/e.md; echo y >src/x.c; echo o >build/o'
    equal stderr '' "$stderr"
    equal 'on the host' 'x x x y o' "$(cat notes.md new.md a/d/e.md src/x.c build/o | xargs)"
    for line in 'echo x >plain' 'echo x >>src/x.h' 'rm src/x.h' 'mv src/x.h src/x.c' 'mv src/x.c src/x.o' 'ln src/x.h l.md' \
        'chmod 600 plain' 'mkdir new && echo x >new/x' 'ln -s plain q.md && echo x >q.md' 'exec 3<plain; echo x >/proc/self/fd/3' \
        'mv a a.md && echo x >a.md/z' 'cp plain src/n' 'touch src/x.h'; do
        run ! substrate -c "$line"
    done
    equal 'on the host' 'plain int x;' "$(cat plain src/x.h | xargs)"
    equal 'in src' 'x.c x.h' "$(find src -type f -printf '%f\n' | sort | xargs)"
    equal rules 1 "$(last .enforcement.fs_rules)"
    run -0 substrate --explain -c true
    contains "$output" "by name    writes below $PWD" "$PWD/**/*.md"
}

@test "patterns of fs.write hold with full isolation, in the project itself and beside what is denied" {
    policy $'world_fs: {isolation: full, write_allowlist: ["**/*.md"]}\nfs: {deny: ["**/no*"]}'
    run -0 substrate -c 'echo x >/project/a.md; cat a.md'
    for line in 'echo x >/project/plain' 'echo x >plain' 'echo x >no.md' 'mv a.md no.md'; do run ! substrate -c "$line"; done
    policy 'fs: {write: ["**/*.md"]}'
    run -0 substrate --direct -c 'echo y >a.md'
    run ! substrate --direct -c 'echo y >plain'
    equal 'on the host' 'y plain' "$(cat a.md plain | xargs)"
}

@test "of several policies, each one's patterns hold" {
    policy 'fs: {write: ["**/*.md"]}'
    printf 'id: mine\nfs: {write: ["a/**", "*.txt"]}\n' >.substrate-policy.yaml
    run -0 substrate -c 'echo x >a/x.md'
    for line in 'echo x >x.md' 'echo x >a/x.txt' 'echo x >x.txt' 'echo x >.substrate-policy.yaml'; do run ! substrate -c "$line"; done
    [[ -e a/x.md && ! -e x.md && ! -e a/x.txt && ! -e x.txt ]]
}

@test "a pattern that would open files of the host for writing opens nothing, and that is said" {
    mkdir -p "$HOME/cache/one"
    policy 'fs: {write: ["$PROJECT", "$HOME/cache/*"]}'
    run -0 substrate -c 'echo x >"$HOME/cache/one/x"'
    policy 'fs: {write: ["$PROJECT", "$HOME/cache/o*"]}'
    run --separate-stderr substrate -c 'echo x >"$HOME/cache/one/y"'
    [[ $status != 0 && ! -e $HOME/cache/one/y ]]
    contains "$stderr" 'degraded: fs: fs.write "$HOME/cache/o*" is not enforced by worlds: outside the project only paths open something; name the directory'
    equal degraded fs "$(last '.degradations[0].component')"
}

@test "patterns of fs.read show what they name, with full isolation" {
    mkdir -p "$T/data/one/pub" "$T/data/two/pub" "$T/data/two/priv"
    echo shown | tee "$T/data/one/pub/f" >"$T/data/two/pub/f"
    echo 'the secret' | tee "$T/data/two/priv/f" >"$T/data/f"
    ln -s ../../two/priv/f "$T/data/one/pub/l"
    policy $'world_fs: {isolation: full}\nfs: {read: ["'"$T"'/data/*/pub"]}'
    run --separate-stderr -0 substrate -c "cat $T/data/*/pub/f; ls $T/data"
    equal stderr '' "$stderr"
    equal shown 'shown shown f one two' "$(xargs <<<"$output")"
    for line in "cat $T/data/f" "cat $T/data/two/priv/f" "cat $T/data/one/pub/l" "ls $T/data/two/priv" "cd $T/data/two && cat priv/f" \
        "cat $T/data/one/pub/../../f" "echo x >$T/data/one/pub/f"; do
        run ! substrate -c "$line"
        lacks "$output" 'the secret' || { echo "by: $line" && return 1; }
    done
    policy $'world_fs: {isolation: full}\nfs: {read: ["/**/*.md"]}'
    run --separate-stderr -0 substrate -c 'cat plain'
    contains "$stderr" 'fs.read "/**/*.md" is not enforced by worlds: it begins with no directory, or one that holds the project'
}
