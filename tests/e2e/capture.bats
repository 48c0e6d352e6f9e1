#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What commands change: seen the same by every way of capturing, brought to the host or
# kept as asked, never over what somebody else has changed meanwhile.
load common

more_setup() { git init -q . 2>/dev/null || mkdir .git; rm -rf .git/hooks; }

# A project in the current directory, and what changes all of it.
fill() {
    mkdir -p .git keep dir/sub emptied dir_to_file renamed_dir
    echo one >modified && echo two >deleted && echo three >file_to_dir && echo four >to_link
    echo five >chmodded && echo six >old_name && ln -s modified link && echo seven >dir/sub/deep && echo eight >emptied/a
    echo nine >dir_to_file/inner && echo ten >renamed_dir/member && echo eleven >keep/kept && echo twelve >touched
    head -c 100000 /dev/zero >large && echo x >$'bad\377name' && echo same >same_size
    chmod 644 chmodded
}
changes=$(
    cat <<'END'
echo more >>modified; rm deleted; rm file_to_dir; mkdir file_to_dir; echo in >file_to_dir/new; ln -sf modified to_link
chmod 755 chmodded; mv old_name new_name; ln -sfn deleted link; rm -r dir/sub; rm -r emptied; mkdir emptied; echo b >emptied/b
rm -r dir_to_file; echo file >dir_to_file; mv renamed_dir moved_dir; mkdir -p new/nested; echo created >new/nested/file
touch 'with space' $'new\nline' $'esc\033[31mred' $'other\377bytes' '漢字 ü' $'rtl\u202egnp.exe' -- -dash; rm $'bad\377name'
printf Z | dd of=large bs=1 seek=50000 conv=notrunc 2>/dev/null; echo emas >same_size; mkfifo pipe; touch -d '2001-02-03' touched
END
)
# What is told of it. A rename is told as one only where the capture can know it.
summary_of() {
    jq '.fs_diff.entries | map(if .kind == "rename" then (.path = .from | .kind = "delete"), (.kind = "create") else . end
        | [.path, .kind, .file_type] + if .kind == "delete" then [] else [.mode, .size, .link_target] end) | sort'
}

# by_all LINE STRATEGY…: LINE does the same to the host by every strategy as it does
# without Substrate, and the same is told of it as by the first of them.
by_all() {
    local line=$1 strategy first='' failed=0
    shift
    umask 022
    mkdir "$T/expected"
    (cd "$T/expected" && fill && eval "$line")
    tree_of "$T/expected" >"$T/expected.tree"
    for strategy in "$@"; do
        mkdir "$T/$strategy"
        cd "$T/$strategy" || return 1
        fill
        substrate --capture "$strategy" -c "$line" || failed=1
        equal 'strategy' "$strategy" "$(last .world_fs_strategy.final)" || failed=1
        equal "commit by $strategy" applied "$(last .commit)" || failed=1
        last . | summary_of >"$T/$strategy.seen"
        tree_of . >"$T/$strategy.tree"
        diff -a "$T/expected.tree" "$T/$strategy.tree" || { echo "^ the host's tree by $strategy" && failed=1; }
        first=${first:-$strategy}
        diff -a "$T/$first.seen" "$T/$strategy.seen" || { echo "^ the diff by $strategy" && failed=1; }
    done
    return "$failed"
}

@test "every strategy sees the same changes and brings the same to the host" {
    by_all "$changes" overlay direct copy-diff
}

@test "fuse-overlayfs sees the same changes and brings the same to the host" {
    [[ $(substrate world doctor --json | jq .fuse.works) == true ]] || skip 'fuse-overlayfs does not work here'
    by_all "$changes" overlay fuse
}

@test "fuse-overlayfs captures plain changes" {
    [[ $(substrate world doctor --json | jq .fuse.works) == true ]] || skip 'fuse-overlayfs does not work here'
    by_all 'echo more >>modified; rm deleted; echo new >new; ln -s new symlink; chmod 755 chmodded' overlay fuse
}

@test "the diff names every kind of change" {
    fill
    substrate -c "$changes"
    local diff
    diff=$(substrate diff "$(last_span)")
    contains "$diff"$'\n' '+ new/nested/file'$'\n' '+ new/nested'$'\n' '~ modified'$'\n' '- deleted'$'\n' '- dir/sub/deep'$'\n' '- dir/sub'$'\n' \
        '~ chmodded'$'\n' '~ dir_to_file (now a file)' '~ file_to_dir (now a directory)' '~ link -> deleted' '- emptied/a'$'\n' \
        '+ emptied/b'$'\n' '+ with space'$'\n' '漢字 ü' '~ same_size'$'\n' '~ large'$'\n' '~ to_link (now a symlink)'
    lacks "$diff" keep/kept
    # Safe to print: one line for each name, no escape sequence, no reversed text.
    lacks "$diff" $'\033' $'\u202e' $'new\nline'
    substrate diff "$(last_span)" >"$T/diff"
    iconv -f UTF-8 -t UTF-8 "$T/diff" >/dev/null
    [[ $(substrate diff "$(last_span)" --json | jq -r '.fs_diff_schema_version // .fs_diff.fs_diff_schema_version') == 1 ]]
    substrate trace --last >"$T/trace"
    lacks "$(cat "$T/trace")" $'\033' $'\u202e'
    run -0 substrate diff "$(last_span)" --stat
    contains "$output" created modified deleted
}

@test "nothing is said to change when nothing does" {
    fill
    substrate -c 'cat modified >/dev/null; ls -lR >/dev/null; touch n; rm n; cp modified m2; rm m2'
    equal changes '[]' "$(last .fs_diff.entries -c)"
    equal commit none "$(last .commit)"
}

@test "--commit manual keeps the change until apply" {
    echo old >f
    run --separate-stderr -0 substrate --commit manual -c 'echo new >f; echo text >g; rm -f none'
    contains "$stderr" kept 'substrate apply'
    equal host old "$(cat f)"
    [[ ! -e g ]]
    run -0 substrate diff
    contains "$output" pending '~ f' '+ g'
    run -0 substrate diff --patch
    contains "$output" '-old' '+new' '+text'
    equal json '["f","g"]' "$(substrate diff --json | jq -c '[.[0].fs_diff.entries[].path]')"
    # Later commands see it, the host does not.
    run -0 substrate -c 'cat f g'
    equal 'seen by the next' $'new\ntext' "$output"
    run --separate-stderr -0 substrate -c 'echo third >>f'
    contains "$stderr" "kept: 1 changed paths, after others that wait"
    equal host old "$(cat f)"
    run -0 substrate apply
    equal 'two spans' 2 "$(grep -c applied <<<"$output")"
    equal host $'new\nthird' "$(cat f)"
    equal host text "$(cat g)"
    run -0 substrate apply
    contains "$output" 'nothing is pending'
}

@test "discard drops the change" {
    substrate --commit manual -c 'echo x >f' 2>/dev/null
    run -0 substrate discard "$(last_span)"
    contains "$output" discarded
    run -0 substrate -c 'ls'
    equal 'seen by the next' '' "$output"
    [[ ! -e f ]]
    run -0 substrate diff
    contains "$output" 'nothing is pending'
    run substrate apply "$(substrate trace --json | jq -r 'select(.commit == "pending").span_id')"
    [[ $status != 0 ]]
}

@test "apply of single paths" {
    substrate --commit manual -c 'mkdir d; echo 1 >d/one; echo 2 >two; echo 3 >three' 2>/dev/null
    local span
    span=$(last_span)
    run -0 substrate apply "$span" d
    equal applied 1 "$(cat d/one)"
    [[ ! -e two && ! -e three ]]
    run -0 substrate apply "$span"
    equal rest $'2\n3' "$(cat two three)"
}

@test "--commit ask: without a terminal it is kept, with one it is asked" {
    run --separate-stderr -0 substrate --commit ask -c 'echo 1 >f'
    contains "$stderr" kept
    [[ ! -e f ]]
    substrate discard >/dev/null
    need_program script
    local answer
    for answer in n y; do
        mkfifo "$T/keys.$answer"
        exec 7<>"$T/keys.$answer"
        script -qec "substrate --commit ask -c 'echo 1 >f'" /dev/null <&7 >"$T/screen.$answer" 3>&- &
        wait_for 20 grep -q 'Apply these changes' "$T/screen.$answer"
        contains "$(cat "$T/screen.$answer")" '+ f'
        printf '%s\n' "$answer" >&7
        wait $!
        exec 7>&-
        if [[ $answer == y ]]; then [[ -e f ]]; else [[ ! -e f ]]; fi
        substrate discard >/dev/null 2>&1
    done
}

# hold LINE: starts a command that has run LINE, and then waits for release.
hold() {
    [[ -e $T/hold ]] || { mkfifo "$T/hold" && exec 7<>"$T/hold"; }
    : >"$T/held"
    substrate -c "$1; echo ready; read -r x" <&7 >"$T/held" 2>&1 3>&- &
    held=$!
    wait_for 20 grep -q ready "$T/held"
}
release() {
    echo go >&7
    wait "$held" || true
}

@test "a file that the host changed meanwhile is a conflict, and nothing is written" {
    echo old >f
    echo old >other
    hold 'echo inside >f; echo inside >other; echo new >g'
    echo 'from the host' >f
    release
    contains "$(cat "$T/held")" conflict 'substrate diff'
    equal host 'from the host' "$(cat f)"
    equal 'the other file' old "$(cat other)"
    [[ ! -e g ]]
    equal commit conflict "$(last .commit)"
    local span
    span=$(last_span)
    run -0 substrate diff "$span"
    contains "$output" '~ f' '+ g'
    run substrate apply "$span"
    [[ $status != 0 ]]
    contains "$output" f
    equal 'still the host' 'from the host' "$(cat f)"
    run -0 substrate apply "$span" --force
    equal forced inside "$(cat f)"
    equal 'the new file' new "$(cat g)"
}

@test "conflicts of every shape are refused" {
    local case before failed=0
    mkdir -p "$T/c/.git"
    cd "$T/c"
    for case in 'rm f|echo host >f' 'echo x >f|rm f' 'echo x >>f|rm f' 'echo x >new|echo host >new' 'rm -r d|echo host >d/late' \
        'mkdir dir; echo x >dir/f|echo host >dir' 'mv f moved|echo host >f' 'chmod 600 f|chmod 755 f' 'ln -s x l|echo host >l' \
        'echo x >d/f|rm -r d' 'rm f; mkdir f|echo host >f' 'rm -r d; echo x >d|echo host >d/f' 'echo x >d/f|mv d e; ln -s e d' 'mv f moved|rm f'; do
        rm -rf -- *
        mkdir d && echo old >f && echo old >d/f
        hold "${case%%|*}"
        eval "${case##*|}"
        before=$(tree_of .)
        release
        equal "commit of: $case" conflict "$(last .commit)" || failed=1
        equal "host after: $case" "$before" "$(tree_of .)" || failed=1
        substrate discard "$(last_span)" >/dev/null
    done
    return "$failed"
}

@test "both sides doing the same is no conflict, or is told as one" {
    echo old >f
    hold 'rm f'
    rm f
    release
    contains 'none applied conflict' "$(last .commit)"
    [[ ! -e f ]]
}

@test "two commands that change one file: the second is refused, not lost" {
    echo old >f
    hold 'echo first >f'
    run -0 substrate -c 'echo second >f'
    equal 'the faster one' second "$(cat f)"
    release
    equal host second "$(cat f)"
    equal commit conflict "$(last .commit)"
    equal states '["applied","conflict"]' "$(substrate trace --json | jq -s -c '[.[].commit]')"
}

@test "parallel commands in one project all commit" {
    local i pids=()
    for i in 1 2 3 4 5 6 7 8; do
        substrate -c "echo $i >f$i; mkdir -p shared; echo $i >shared/$i" 3>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    equal content "$(seq 8)" "$(cat f1 f2 f3 f4 f5 f6 f7 f8)"
    equal 'in one directory' 8 "$(find shared -type f | wc -l)"
    equal spans 8 "$(substrate trace --json | jq -r .commit | grep -c applied)"
}

@test "edits on the host between commands are seen, by rename too" {
    echo 1 >f
    run -0 substrate -c 'cat f'
    echo 2 >f
    run -0 substrate -c 'cat f'
    equal 'written in place' 2 "$output"
    echo 3 >.f.swp
    mv .f.swp f
    run -0 substrate -c 'cat f; ls -A'
    equal 'saved by rename' 3 "${lines[0]}"
    rm f
    mkdir f
    run -0 substrate -c 'test -d f && echo directory'
    equal 'made a directory' directory "$output"
    rm -r f
    run -0 substrate -c 'ls'
    equal removed '' "$output"
    # The whole project replaced by another.
    cd "$T"
    mv project old && mkdir -p project/.git && echo new >project/new
    cd project
    run -0 substrate -c 'cat new'
    equal replaced new "$output"
}

@test "the project is found by its mark, and commands in its parts change all of it" {
    mkdir -p sub/deeper
    cd sub/deeper
    run -0 substrate -c 'echo up >../../top; pwd'
    equal directory "$P/sub/deeper" "$output"
    equal 'at the top' up "$(cat "$P/top")"
    equal project "$P" "$(last .project)"
    mkdir "$T/unmarked"
    cd "$T/unmarked"
    run -0 substrate -c 'echo here >f'
    equal project "$T/unmarked" "$(last .project)"
    equal here here "$(cat f)"
}

@test "--direct changes the project as it goes" {
    mkfifo "$T/hold"
    exec 7<>"$T/hold"
    substrate --direct -c 'echo at once >f; echo ready; read -r x; rm f; echo end >g' <&7 >"$T/held" 3>&- &
    held=$!
    wait_for 20 grep -q ready "$T/held"
    equal 'while it runs' 'at once' "$(cat f)"
    release
    equal 'the diff' '["g"]' "$(last '[.fs_diff.entries[].path] | tojson')"
    run substrate --direct -c "echo x >$T/outside; echo x >/etc/substrate-e2e-probe"
    [[ ! -e $T/outside && ! -e /etc/substrate-e2e-probe ]]
}

@test "more changes than are listed: counted, summarised and hashed" {
    substrate -c 'mkdir many; for i in $(seq 1200); do : >many/$i; done'
    equal truncated true "$(last .fs_diff.truncated)"
    equal files 1200 "$(last .fs_diff.counts.files)"
    contains "$(last .fs_diff.summary)" 1200 tree_hash
    contains "$(last .fs_diff.tree_hash)" xxh3:
    equal host 1200 "$(find many -type f | wc -l)"
    substrate -c 'rm -r many'
    [[ ! -e many ]]
}

@test "a directory reached by a symbolic link" {
    ln -s "$P" "$T/link"
    cd "$T/link"
    run -0 substrate -c 'pwd -P; echo x >f'
    equal directory "$P" "$output"
    equal written x "$(cat "$P/f")"
}

@test "a working directory that is no more" {
    mkdir "$T/gone"
    cd "$T/gone"
    rmdir "$T/gone"
    refused 2 substrate -c true
    refused 2 substrate world warm
    refused 2 substrate diff
    cd "$P"
}

@test "the root directory as working directory: a clear refusal or the right thing" {
    cd /
    run --separate-stderr substrate -c 'pwd'
    if [[ $status == 0 ]]; then
        equal directory / "$output"
    else
        [[ $status -ge 2 && $status -le 5 ]]
        equal lines 1 "${#stderr_lines[@]}"
        contains "$stderr" substrate:
    fi
    run substrate -c 'echo bad >/etc/substrate-e2e-probe; echo bad >/substrate-e2e-probe'
    [[ ! -e /etc/substrate-e2e-probe && ! -e /substrate-e2e-probe ]] || { rm -f /etc/substrate-e2e-probe /substrate-e2e-probe; false; }
}

@test "the home directory as project, with its state inside" {
    cd "$HOME"
    unset SUBSTRATE_HOME
    [[ $SUBSTRATE_TEST_WAY != root ]] || export SUBSTRATE_HOME=$HOME/.substrate
    mkdir -p .ssh && echo SECRET >.ssh/key
    run -0 substrate -c 'echo x >file; ls -A'
    local listed=$output strategy
    strategy=$(last .world_fs_strategy.final)
    substrate world stop
    SUBSTRATE_HOME=$HOME/.substrate wait_for 10 no_processes
    export SUBSTRATE_HOME=$HOME/.substrate
    contains "$listed" file
    equal written x "$(cat file)"
    equal 'the secret' SECRET "$(cat .ssh/key)"
    contains 'overlay copy-diff' "$strategy"
}

# elsewhere MOUNT LINE: in a mount namespace of its own, which agents started there live in.
elsewhere() {
    local privileges=()
    ((EUID == 0)) || privileges=(-r)
    need userns unshare "${privileges[@]}" -m true
    run --separate-stderr unshare "${privileges[@]}" -m bash -c "cd / && $1 && cd '$P' && { $2
        }; code=\$?; substrate world stop; exit \$code"
}

@test "a project on a memory file system" {
    elsewhere "mount -t tmpfs none '$P'" '
        mkdir -p d .git; echo old >f; substrate -c "cat f; echo new >f; mkdir d/e; rm -f none; ln -s f l" && cat f && readlink l &&
        substrate trace --last --json | jq -r .commit,.world_fs_strategy.final'
    equal 'exit code' 0 "$status" || { echo "$stderr" && return 1; }
    equal content 'old new f applied' "${lines[*]:0:4}"
    contains 'overlay copy-diff' "${lines[4]}"
}

@test "captures in memory, where there is nothing else" {
    [[ $T != /tmp/* ]] || skip 'the test itself lies in /tmp'
    # No overlay on a tmpfs: the next strategy, with the reason.
    unset XDG_RUNTIME_DIR
    mkdir -p "$SUBSTRATE_HOME"
    elsewhere "mount -t tmpfs -o mode=700 none '$SUBSTRATE_HOME' && mount -t tmpfs none /tmp" '
        mkdir .git; echo old >f; substrate -c "cat f; echo new >f" && cat f &&
        substrate trace --last --json | jq -r ".world_fs_strategy | .primary, .fallback_reason"'
    equal 'exit code' 0 "$status" || { echo "$stderr" && return 1; }
    equal content 'old new overlay' "${lines[*]:0:3}"
    contains "${lines[3]}" 'captures can lie on a tmpfs only'
    contains "$stderr" 'degraded: capture' 'set SUBSTRATE_HOME to a directory on a disk'
}

@test "a project in /dev/shm, which worlds have their own of" {
    [[ -w /dev/shm ]] || skip 'no /dev/shm'
    local project
    project=$(mktemp -d /dev/shm/substrate-e2e.XXXXXXXX)
    cd "$project"
    run --separate-stderr substrate -c 'echo x >f; cat f'
    cd "$P"
    rm -rf "$project"
    [[ $status == 0 && $output == x ]] || { equal refused 5 "$status" && equal lines 1 "${#stderr_lines[@]}"; }
}

@test "a project that cannot be written" {
    echo old >f
    elsewhere "mount --bind '$P' '$P' && mount -o remount,bind,ro '$P'" 'substrate -c "cat f; exit 7"'
    equal 'exit code' 7 "$status" || { echo "$stderr" && return 1; }
    equal read old "$output"
    elsewhere "mount --bind '$P' '$P' && mount -o remount,bind,ro '$P'" 'substrate -c "echo new >g"'
    [[ ! -e g ]]
    kept_or_failed
}

@test "a project without permission to write" {
    [[ $SUBSTRATE_TEST_WAY == user ]] || skip 'root may write everywhere'
    echo old >f
    chmod -R a-w "$P"
    run --separate-stderr -7 substrate -c 'cat f; exit 7'
    equal read old "$output"
    run --separate-stderr substrate -c 'echo new >g'
    chmod -R u+w "$P"
    [[ ! -e g ]]
    kept_or_failed
}
# What could not be written either failed inside or is kept; never both silent and lost.
kept_or_failed() {
    [[ $status == 0 ]] || return 0
    contains "$stderr" substrate:
    run -0 substrate diff "$(last_span)"
    contains "$output" '+ g'
}

@test "device nodes, setuid bits and links out of the project do not reach the host" {
    mkdir "$T/victim"
    run substrate -c 'cp /bin/true s; chmod 6755 s; mknod c c 1 3; mkdir ext; echo x >ext/f; rm -r ext; ln -s '"$T/victim"' ext'
    [[ ! -u s && ! -g s && ! -c c ]]
    [[ -x s ]]
    run substrate -c 'rm ext; mkdir ext; echo y >ext/f'
    equal 'outside' '' "$(ls -A "$T/victim")"
    equal 'inside' y "$(cat ext/f)"
}

@test "asking for what is not there" {
    refused 2 substrate diff nonsense
    refused 2 substrate apply spn_01a20000-0000-7000-8000-000000000000
    refused 2 substrate discard spn_01a20000-0000-7000-8000-000000000000
    refused 2 substrate diff spn_01a20000-0000-7000-8000-000000000000
    run -2 substrate -c true --capture nonsense
    run -0 substrate diff
    run -0 substrate discard
}
