#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# Odd places, odd names and machines that lack what worlds are made of: the right thing
# or one clear line, nothing lost, nothing left.
load common

more_setup() {
    export P
    mkdir .git
}

# without WHAT MOUNTS LINE: runs LINE in the project in a mount namespace where MOUNTS have
# been made; WHAT is for the message if they cannot be.
without() {
    local privileges=() what=$1
    ((EUID == 0)) || privileges=(-r)
    need userns unshare "${privileges[@]}" -m true
    run --separate-stderr unshare "${privileges[@]}" -m bash -c "cd / && { $2
        } >'$T/mounts' 2>&1 || exit 99; cd '$P' && { $3
        }; code=\$?; substrate world stop; exit \$code"
    [[ $status != 99 ]] || skip "$what cannot be taken away here: $(tr '\n' ' ' <"$T/mounts")"
}

# A machine where an ordinary account cannot make a user namespace: an account without
# privileges below a user namespace that allows one of them, and that is taken.
no_user_namespaces() {
    local line="echo 1 >/proc/sys/user/max_user_namespaces && exec unshare -U --map-user=1000 --map-group=1000 bash -c"
    unshare -r bash -c "$line '! unshare -U true'" >/dev/null 2>&1 || skip 'user namespaces cannot be taken away here'
    run --separate-stderr unshare -r bash -c "$line \"\$1\"" _ "$1; code=\$?; substrate world stop; exit \$code"
}

@test "no user namespaces: refused in one line that says what to do" {
    no_user_namespaces 'substrate -c "echo ran; echo x >f"'
    equal 'exit code' 4 "$status" || { echo "$output$stderr" && return 1; }
    equal 'standard output' '' "$output"
    equal "lines: $stderr" 1 "${#stderr_lines[@]}"
    contains "$stderr" 'substrate: ' namespace user.max_user_namespaces
    [[ ! -e f ]]
    no_user_namespaces 'substrate world doctor --json'
    [[ $(jq -r .userns <<<"$output") != enabled ]] || { echo "$output$stderr" && return 1; }
    # On the host it runs, when that is asked for.
    no_user_namespaces 'substrate --no-world -c "echo ran"'
    equal 'on the host' ran "$output"
}

# No overlay can have its upper layer on an overlay. Here all of the places where worlds
# keep theirs are one, and so is the project.
all_is_overlay='mkdir -p "$T"/ov/{lower,upper} "$T"/ov/lower/{tmp,state,run,project} && chmod 700 "$T/ov/lower/run" &&
    mount -t tmpfs none "$T/ov/upper" && mkdir "$T"/ov/upper/{u,w} &&
    mount -t overlay -o "lowerdir=$T/ov/lower,upperdir=$T/ov/upper/u,workdir=$T/ov/upper/w" none "$T/ov/lower" &&
    for d in state run project; do mkdir -p "$T/$d" && mount --bind "$T/ov/lower/$d" "$T/$d" || exit 99; done &&
    if [[ $T == /tmp/* ]]; then mkdir -p "$T/ov/lower$T" && mount --rbind "$T" "$T/ov/lower$T"; fi &&
    mount --rbind "$T/ov/lower/tmp" /tmp'

@test "a project on an overlay, and no place for another: captured in another way, and said" {
    without 'the place for overlays' "$all_is_overlay" '
        mkdir -p .git d; echo old >f
        substrate -c "cat f; echo new >f; rm -r d; mkdir e; echo x >e/g; ln -s f l" && cat f e/g && readlink l && ls -d d
        substrate trace --last --json | jq -r ".world_fs_strategy.final, (.degradations | tostring)"
        substrate --capture overlay -c "echo newer >f"; echo "asked for: $?"; cat f
        substrate replay "$(substrate trace --json | jq -r .span_id | tail -n 1)" >/dev/null; echo "replay: $?"'
    contains "$output" $'old\nnew\nx\nf\n' || { echo "$stderr" && return 1; }
    contains 'fuse copy-diff' "${lines[4]}"
    contains "${lines[5]}" overlay
    contains "$output" $'asked for: 0\nnewer\nreplay: 0'
    contains "$stderr" 'substrate: degraded: capture: overlay:' 'cannot be shown as it was then'
}

@test "no /dev/fuse: the next way is taken; asked for by name it is refused" {
    local devices='mkdir -p "$T/dev" && mount -t tmpfs none "$T/dev" && cd "$T/dev" && mkdir pts shm && ln -s /proc/self/fd fd &&
        for d in null zero full random urandom tty; do : >"$d" && mount --bind "/dev/$d" "$d" || exit 99; done &&
        mount --rbind /dev/pts pts && ln -s pts/ptmx ptmx && mount --rbind "$T/dev" /dev && cd / && [[ ! -e /dev/fuse ]]'
    without /dev/fuse "$devices" '
        substrate -c "echo x >f" && cat f; substrate --capture fuse -c "echo y >f"; echo "forced: $?"; cat f
        substrate world doctor --json | jq -c .fuse.works,.fuse.dev'
    equal output $'x\nforced: 4\nx\nfalse\nfalse' "$output" || { echo "$stderr" && return 1; }
    contains "$stderr" 'substrate: ' /dev/fuse
    without 'overlay and /dev/fuse' "$all_is_overlay; $devices" '
        mkdir -p .git; substrate -c "echo x >f" && cat f; substrate trace --last --json | jq -r .world_fs_strategy.final'
    equal 'neither of them' $'x\ncopy-diff' "$output" || { echo "$stderr" && return 1; }
}

@test "a full disk below the project: the change is kept, not half applied" {
    without 'a small disk' 'mount -t tmpfs -o size=256k none "$P"' '
        mkdir .git; echo old >f; echo old >h; head -c 1M /dev/zero >filler 2>/dev/null
        substrate -c "echo new >f; echo new >h; head -c 100k /dev/zero >big"; echo "exit $?"
        cat f h; ls; substrate trace --last --json | jq -r .commit
        rm filler; substrate apply && cat f h && wc -c <big'
    equal 'before and after there is room' \
        $'exit 0\nold\nold\nf\nfiller\nh\npending\nnew\nnew\n102400' "$(grep -v '^spn_' <<<"$output")" || { echo "$stderr" && return 1; }
    contains "$stderr" 'substrate: the change could not be applied' 'No space left' 'substrate: kept'
}

@test "a working directory below a link that leads elsewhere is where it leads" {
    mkdir -p "$T/elsewhere/.git" "$T/elsewhere/sub"
    ln -s "$T/elsewhere/sub" "$P/link"
    cd "$P/link"
    run -0 substrate -c 'pwd -P; echo x >f; echo y >../g; echo bad >'"'$P/bad'"' || true'
    equal directory "$T/elsewhere/sub" "${lines[0]}"
    equal 'here and above' xy "$(cat "$T/elsewhere/sub/f" "$T/elsewhere/g" | tr -d '\n')"
    [[ ! -e $P/bad ]]
    # A directory that another took the place of while $PWD still names it.
    mkdir "$P/now" && cd "$P/now"
    mv "$P/now" "$P/was" && mkdir "$P/now"
    run -0 substrate -c 'echo z >here'
    equal 'in the directory itself' z "$(cat "$P/was/here")"
    [[ ! -e $P/now/here ]]
    cd "$P"
}

@test "a project whose name is not UTF-8, or holds newlines and escapes" {
    local name failed=0
    for name in $'not \377 utf8' $'new\nline' $'esc\033[31m' '漢字 ü' $'tab\there' "quote'\"\\" '-dash' '$(touch bad)' $'end\n' 'comma,colon:=' '%s\040'; do
        mkdir -p "$T/names/$name/.git" && cd "$T/names/$name" || return 1
        run --separate-stderr substrate -c 'printf "%s\n" "$PWD"; echo x >f; mkdir d; echo y >d/g'
        equal "exit in $(printf %q "$name"): $stderr" 0 "$status" || failed=1
        equal 'directory' "$T/names/$name" "${output%x}" || [[ $name == *$'\n' ]] || failed=1
        equal 'written' xy "$(cat f d/g | tr -d '\n')" || failed=1
        run --separate-stderr -0 substrate trace --last
        lacks "$output$stderr" $'\033' $'new\nline' || failed=1
        run --separate-stderr substrate replay "$(last_span)" --verify
        equal "replay in $(printf %q "$name"): $stderr" 0 "$status" || failed=1
    done
    equal 'nothing was run by a name' '' "$(find "$T/names" -name bad)"
    cd "$P"
    return "$failed"
}

@test "command lines and arguments that are not UTF-8 or hold escapes" {
    run -0 substrate -- printf '%s' $'a\377b\033[31m\nc'
    equal argument $'a\377b\033[31m\nc' "$output"
    run -0 substrate trace --last
    lacks "$output" $'\033' $'\377'
    run -0 substrate replay "$(last_span)" --verify
    run -0 substrate -c $'printf %s "a\377b\033[31m\nc"'
    equal line $'a\377b\033[31m\nc' "$output"
    run -0 substrate replay "$(last_span)" --verify
    run -0 substrate --env $'ODD=a\377\nb' -c 'printf %s "$ODD"'
    equal variable $'a\377\nb' "$output"
    # What an error of ours repeats of it is printable, in one line.
    local odd=$'no\033[31m\nsuch\377'
    refused 2 substrate trace "$odd"
    lacks "$stderr" $'\033' $'\377'
    refused 2 substrate --env "$odd" -c true
    lacks "$stderr" $'\033' $'\377'
    for line in "$odd" "--$odd" "--commit $odd" "world $odd"; do
        read -r -d '' -a words <<<"$line" || true
        run --separate-stderr -2 substrate "${words[@]}"
        lacks "$stderr" $'\033' $'\377'
    done
}
