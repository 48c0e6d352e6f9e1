#!/usr/bin/env bash
# session.bash EXTRA BASE GROUP…: runs the payloads of the groups ("where" in payloads.txt)
# by the shipped client, one after the other, and judges each: refused, the host
# unchanged, the world still usable, recorded. EXTRA holds this folder and the payloads'
# programs; everything is made below the empty directory BASE, which should be one that
# worlds show. Prints a line for each payload; exit 1 if one is not as expected.
set -uo pipefail

extra=$1 base=$2
shift 2
groups=" $* "
way=$SUBSTRATE_TEST_WAY
failed=0 counted=0 refusals=0 expected='' unrecorded=''

say() { printf '%s\n' "$*"; }
bad() {
    say "not ok: $*"
    failed=1
}

# What payloads look for, and must not find.
plant() {
    outside=$base/outside project=$base/work/project
    export HOME=$base/home SUBSTRATE_HOME=$base/state
    mkdir -p "$outside/open" "$project" "$HOME"/{.ssh,.aws,.gnupg,.config/gcloud,.kube,.mozilla} "$SUBSTRATE_HOME"
    chmod 0700 "$SUBSTRATE_HOME"
    local secret
    for secret in .ssh/id_ed25519 .aws/credentials .gnupg/key .config/gcloud/token .kube/config .mozilla/cookies; do
        echo secret >"$HOME/$secret"
    done
    echo before | tee "$outside/open/file" "$outside/open/victim" "$outside/stdin" "$HOME/.bashrc" >/dev/null
    mkfifo "$outside/fifo"
    mkdir "$outside/directory"
    [[ ! -d ${SUBSTRATE_TEST_OUTSIDE:-} ]] || ln -s "$SUBSTRATE_TEST_OUTSIDE/planted" "$outside/planted"
    # Scratch space of the host's own, which worlds have their own of.
    scratch=$(mktemp -d /tmp/substrate-security.XXXXXXXX)
    echo before >"$scratch/file"
    # Those in question: where captures are copies, they are copied for each payload.
    mkdir "$project/bin"
    local where program
    awk -F ' *[|] *' '!/^#/ && NF == 4 { print $2, $4 }' "$extra/security/payloads.txt" | while read -r where program _; do
        [[ $groups != *" $where "* || $program == sh: ]] || cp -u "$extra/payloads/$program" "$project/bin/"
    done
    abstract=substrate-security-$$
    local sockets=("$outside/socket")
    # What the guard has an empty place for.
    [[ ! ${SUBSTRATE_TEST_GUARDED:-} ]] || sockets+=(/run/{dbus/system_bus_socket,docker/sock,systemd/private,user/bus})
    /usr/bin/python3 -c '
import signal, socket, sys
names = sys.argv[2:] + ["\0" + sys.argv[1]]
kept = [socket.socket(socket.AF_UNIX) for name in names]
for s, name in zip(kept, names): s.bind(name); s.listen(64)
dgram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
dgram.bind(names[0].replace("/socket", "/dgram"))
print("ready", flush=True)
signal.pause()' "$abstract" "${sockets[@]}" </dev/null >"$base/ready" &
    witness=$!
    until [[ -s $base/ready ]]; do kill -0 "$witness" || return 1; done
    cd "$project" || return 1
}

# Everything that a payload could have changed, as text.
host_state() {
    find "$outside" "$HOME" "$scratch" -printf '%p %y %m %U:%G %s %T@ %l\n' | LC_ALL=C sort
    cat "$outside/open/file" "$outside/stdin" "$HOME/.bashrc" "$scratch/file"
    hostname
    head -n 1 /proc/sys/kernel/{core_pattern,panic} /proc/sys/vm/overcommit_memory /proc/sys/fs/binfmt_misc/status 2>/dev/null
    cut -d ' ' -f 3- /proc/self/mountinfo
    ls -d /{,etc,usr,usr/bin,var,var/lib,home,root,opt,tmp,run}/substrate-payload* 2>/dev/null
    [[ $(cat "/proc/$witness/stat" 2>/dev/null) == *' S '* ]] && echo 'the witness lives'
}

# run_payload WHERE LINE: by the client, with the standard input that it wants.
run_payload() {
    local input=/dev/null
    case $1 in
        pty) set -- "$1" "$(printf 'substrate -c %q' "$2")" && script -qec "$2" /dev/null </dev/null && return 0 || return ;;
        stdin-file) input=$outside/stdin ;;
        stdin-dir) input=$outside/directory ;;
        fresh) substrate --ephemeral --timeout 20 -c "$2" <"$input" && return 0 || return ;;
    esac
    substrate --timeout 20 -c "$2" <"$input"
}

# is_open ID: says why, where a hole is known.
is_open() {
    awk -F ' *[|] *' -v id="$1" -v way="$way" '$1 == id && index(" " $2 " ", " " way " ") { print $3; found = 1 } END { exit !found }' \
        "$extra/security/open.txt"
}

judge() {
    local id=$1 where=$2 line=$3 output code=0 why reopened=0 after refused=0
    output=$(run_payload "$where" "$line" 2>&1) || code=$?
    why=$(is_open "$id") && reopened=1
    if [[ $where == stdin-dir && $output == *'would lead out of the world' ]]; then
        # Such a stream is given to no command: there is none to record.
        refusals=$((refusals + 1)) counted=$((counted + 1))
        return
    fi
    # Ended by the world's supervisor before it had all of it.
    [[ $code != 143 || $output != *'the disk is nearly full'* ]] || refused=143
    case $((code == refused ? 0 : code))-$reopened in
        0-0) refusals=$((refusals + 1)) ;;
        66-1) say "open: $id: $why" ;;
        0-1) bad "$id is refused by now: take it out of open.txt" ;;
        66-0) bad "$id: the attack succeeded: $output" ;;
        77-0) say "skipped: $id: $output" ;;
        *) bad "$id: unexpected exit code $code: $output" ;;
    esac
    after=$(host_state)
    if [[ $after != "$state" ]]; then
        ((reopened)) || bad "$id changed the host: $(diff <(echo "$state") <(echo "$after"))"
        state=$after
    fi
    output=$(substrate --timeout 20 -c true 2>&1) || bad "$id: no world is usable afterwards: $output"
    counted=$((counted + 1))
    if why=$(is_open "span-$id"); then say "open: span-$id: $why" && unrecorded+="$code $line"$'\n'; else expected+="$code $line"$'\n'; fi
}

# Every payload is a span of its own, with the exit code that it had.
check_spans() {
    local spans
    spans=$(substrate trace --json -n 10000 | jq -r 'select(.cmd != "true") | "\(.exit) \(.cmd)"' | LC_ALL=C sort)
    # What may leave no span leaves one where the disk has a little room again.
    [[ -z $unrecorded ]] || spans=$(grep -vxF -- "${unrecorded%$'\n'}" <<<"$spans")
    [[ $spans == "$(printf %s "$expected" | LC_ALL=C sort)" ]] ||
        bad "not recorded as it was: $(diff <(echo "$spans") <(printf %s "$expected" | LC_ALL=C sort))"
}

plant || exit 99
state=$(host_state)
while IFS='|' read -r id where _ line; do
    id=${id// /} where=${where// /}
    [[ $id && $id != \#* && $groups == *" $where "* ]] || continue
    line=${line# }
    [[ $line == sh:* ]] && line=${line#sh: } || line=$project/bin/$line
    line=${line//@OUTSIDE@/$outside} line=${line//@HOME@/$HOME} line=${line//@STATE@/$SUBSTRATE_HOME}
    line=${line//@PROJECT@/$project} line=${line//@PARENT@/${project%/*}} line=${line//@PID@/$witness}
    line=${line//@ABSTRACT@/$abstract} line=${line//@TMP@/$scratch}
    judge "$id" "$where" "$line"
done <"$extra/security/payloads.txt"
check_spans
kill "$witness"
substrate world stop || bad 'world stop failed'
rm -rf "$scratch"
say "$counted payloads, $refusals refused"
exit "$failed"
