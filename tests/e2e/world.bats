#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What a command in a world can see, reach and change, and what is said about worlds.
load common

# in_world LINE: its output, which must be without failure.
in_world() { substrate -c "$1"; }

@test "the project is writable, and what is written reaches the host" {
    run -0 substrate -c 'mkdir -p a/b && echo text >a/b/f && chmod 640 a/b/f'
    equal content text "$(cat a/b/f)"
    equal mode 640 "$(stat -c %a a/b/f)"
    equal commit applied "$(last .commit)"
    equal owner "$(id -u):$(id -g)" "$(stat -c %u:%g a/b/f)"
}

@test "writes outside the project fail and leave the host as it was" {
    mkdir "$T/outside"
    echo before >"$T/outside/file"
    local before place
    before=$(tree_of "$T/outside")
    # Places that no world may write to, whoever asks.
    for place in /usr /etc /bin/new /var /var/lib /root /home /opt /srv / /proc/sys/kernel/hostname /boot; do
        run substrate -c "echo bad 2>/dev/null >$place/substrate-e2e-probe || echo bad 2>/dev/null >$place"
        [[ $status != 0 ]] || { echo "written: $place" && return 1; }
        [[ ! -e $place/substrate-e2e-probe ]]
    done
    # Scratch directories are the world's own.
    run -0 substrate -c 'echo mine >/tmp/substrate-e2e-probe && cat /tmp/substrate-e2e-probe && ls -A /var/tmp'
    [[ ! -e /tmp/substrate-e2e-probe ]]
    run substrate -c "echo bad >$T/outside/file || mv $T/outside/file x || rm -rf $T/outside"
    equal 'the directory beside the project' "$before" "$(tree_of "$T/outside")"
    # By way of links and of the project's parent.
    ln -s "$T/outside" link
    run substrate -c 'echo bad >link/file; echo bad >../escaped; ln -s /etc/passwd p; echo bad >>p'
    equal 'through links' "$before" "$(tree_of "$T/outside")"
    [[ ! -e $T/escaped ]]
    lacks "$(cat /etc/passwd)" bad
}

@test "a hard link into the project is not a way out" {
    echo before >"$T/linked"
    ln "$T/linked" inside
    run -0 substrate -c 'echo after >inside'
    equal 'the name in the project' after "$(cat inside)"
    equal 'the name outside' before "$(cat "$T/linked")"
}

@test "secrets are masked" {
    # With a home outside the world's own scratch directories, where one can be had.
    if [[ $SUBSTRATE_TEST_WAY == root ]]; then
        HOME=$(mktemp -d /opt/substrate-e2e.XXXXXXXX)
        local made=$HOME
    fi
    export HOME
    mkdir -p "$HOME"/{.ssh,.aws,.gnupg,.config/gcloud,.kube}
    for file in .ssh/id_ed25519 .aws/credentials .gnupg/key .config/gcloud/token .kube/config; do echo SECRET-A >"$HOME/$file"; done
    echo visible >"$HOME/visible"
    run substrate -c "cat $HOME/.ssh/* $HOME/.aws/* $HOME/.gnupg/* $HOME/.config/gcloud/* $HOME/.kube/* $SUBSTRATE_HOME/trace.jsonl $SUBSTRATE_HOME/sock/* 2>/dev/null"
    local shown=$output project=$output
    # And where the home itself is the project.
    cd "$HOME"
    substrate world stop
    run -0 substrate -c 'cat visible; cat .ssh/* .aws/* .gnupg/* .config/gcloud/* .kube/* 2>/dev/null; true'
    project=$output
    [[ ! ${made:-} ]] || { cd / && rm -rf "$made"; }
    lacks "$shown" SECRET-A event_type
    contains "$project" visible
    lacks "$project" SECRET-A
}

@test "SUBSTRATE_HOME is out of reach" {
    run -0 substrate -c "ls -A '$SUBSTRATE_HOME' 2>/dev/null; echo x 2>/dev/null >'$SUBSTRATE_HOME/trace.jsonl'; true"
    equal 'what is seen' '' "$output"
    equal records 1 "$(grep -c '"command_complete"' "$SUBSTRATE_HOME/trace.jsonl")"
    # Also where it lies in the project.
    mkdir sub
    SUBSTRATE_HOME=$P/sub/state run -0 substrate -c 'ls -A sub/state; true'
    SUBSTRATE_HOME=$P/sub/state substrate world stop
    lacks "$output" trace.jsonl sock
}

@test "no process of the host is visible" {
    # sh is process 1's child; nothing but the world's own is listed.
    run -0 substrate -c 'ls -d /proc/[0-9]* | wc -l'
    ((output <= 5))
    run -0 substrate -c 'ps -e -o comm='
    lacks "$output" bats systemd substrate-world-agent
    run substrate -c "kill -0 $$"
    [[ $status != 0 ]]
    run -0 substrate -c 'echo $$'
    ((output < 100))
}

@test "no network but the loopback" {
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
    printf 'id: default\nmode: observe\n' >"$SUBSTRATE_HOME/policies/default.yaml"
    run -0 substrate -c 'ls /sys/class/net 2>/dev/null; cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "'
    equal interfaces lo "$output"
    run -0 substrate -c 'cat /proc/net/route | tail -n +2 | wc -l'
    equal routes 0 "$output"
    run substrate -c 'exec 3<>/dev/tcp/192.0.2.1/80'
    [[ $status != 0 ]]
    contains "$output" 'Network is unreachable'
    # The loopback works, inside.
    run -0 substrate -c 'python3 -c "
import socket
s = socket.create_server((\"127.0.0.1\", 0))
c = socket.create_connection(s.getsockname())
print(\"connected\")" || echo connected'
    equal loopback connected "$output"
    equal recorded loopback "$(last .enforcement.netns)"
}

@test "a port of the host cannot be reached, an abstract socket neither" {
    need_program python3
    /usr/bin/python3 -c '
import socket, sys
s = socket.create_server(("127.0.0.1", 0)); a = socket.socket(socket.AF_UNIX); a.bind("\0substrate-e2e-%d" % s.getsockname()[1]); a.listen()
print(s.getsockname()[1], flush=True); sys.stdin.read()' >"$T/port" < <(exec sleep 60) 3>&- &
    wait_for 10 test -s "$T/port"
    local port
    port=$(cat "$T/port")
    run substrate -c "exec 3<>/dev/tcp/127.0.0.1/$port"
    [[ $status != 0 ]]
    run substrate -c "/usr/bin/python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"\\0substrate-e2e-$port\")'"
    [[ $status != 0 ]]
}

@test "--share-network is recorded" {
    run --separate-stderr -0 substrate --share-network -c 'readlink /proc/self/ns/net'
    equal 'the host namespace' "$(readlink /proc/self/ns/net)" "$output"
    contains "$stderr" 'would be denied by policy' 'world.isolate_network'
    equal recorded host "$(last .enforcement.netns)"
    run -0 substrate -c 'readlink /proc/self/ns/net'
    [[ $output != "$(readlink /proc/self/ns/net)" ]]
}

@test "no capabilities, no_new_privs, a seccomp filter" {
    run -0 substrate -c 'grep -E "^(Cap...|NoNewPrivs|Seccomp):" /proc/self/status'
    equal 'process state' "CapInh:	0000000000000000
CapPrm:	0000000000000000
CapEff:	0000000000000000
CapBnd:	0000000000000000
CapAmb:	0000000000000000
NoNewPrivs:	1
Seccomp:	2" "$output"
    equal recorded 'true true enforce' "$(last '.enforcement | "\(.capabilities_dropped) \(.no_new_privs) \(.seccomp)"')"
}

@test "only the standard descriptors, also when the caller has others" {
    exec 17<"$T" 18>"$T/open"
    run -0 substrate -c 'ls /proc/self/fd | tr "\n" " "'
    # ls itself opens the directory.
    equal descriptors '0 1 2 3 ' "$output"
    run -0 substrate -- ls /proc/self/fd
    equal descriptors $'0\n1\n2\n3' "$output"
    exec 17<&- 18>&-
}

@test "the environment is built from an allowlist" {
    export MY_TOKEN=hidden AWS_SECRET_ACCESS_KEY=hidden SSH_AUTH_SOCK=hidden LD_PRELOAD='' http_proxy=http://hidden LC_TIME=C TZ=UTC
    run -0 substrate -c env
    lacks "$output" hidden SUBSTRATE_HOME SUBSTRATE_BIN BATS
    contains "$output" "HOME=$HOME" 'SUBSTRATE=1' 'SUBSTRATE_WORLD_ID=wld_' 'SUBSTRATE_SPAN_ID=spn_' 'LC_TIME=C' 'TZ=UTC'
    lacks "$(cat "$SUBSTRATE_HOME/trace.jsonl")" hidden
    run -0 substrate --env MY_TOKEN --env 'OTHER=a b=c' -c 'echo "$MY_TOKEN $OTHER"'
    equal passed 'hidden a b=c' "$output"
    lacks "$(cat "$SUBSTRATE_HOME/trace.jsonl")" hidden
}

@test "host name, devices and /proc" {
    equal 'host name' substrate "$(in_world 'cat /proc/sys/kernel/hostname')"
    local device
    for device in $(in_world 'ls /dev'); do
        case $device in
            fd | full | null | ptmx | pts | random | shm | stderr | stdin | stdout | tty | urandom | zero) ;;
            *) echo "unexpected: /dev/$device" && return 1 ;;
        esac
    done
    run -0 substrate -c 'echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x >/dev/shm/f && cat /dev/shm/f'
    equal devices $'4\n4\nx' "$output"
    run substrate -c 'mknod dev c 1 3'
    [[ $status != 0 ]]
    run substrate -c 'echo other >/proc/sys/kernel/hostname'
    contains "$output" 'Read-only file system'
    run substrate -c 'echo 1 >/proc/sys/vm/drop_caches; echo b >/proc/sysrq-trigger; cat /proc/kcore | head -c 1; cat /proc/keys'
    lacks "$output" keyring
    run substrate -c 'head -c 1 /etc/shadow | wc -c'
    contains "$output" 0
}

@test "the caller's identity" {
    equal identity "$(id -u) $(id -g) $(id -un)" "$(in_world 'echo $(id -u) $(id -g) $(id -un)')"
}

@test "what worlds are made of is denied inside" {
    local line
    for line in 'mount -t tmpfs none .' 'mount --bind . sub' 'umount /proc' 'unshare -U true' 'unshare -m true' 'unshare -r true' \
        'chroot / true' 'nsenter -t 1 -m true' 'mount -o remount,rw /usr' 'hostname other'; do
        mkdir -p sub
        run substrate -c "$line"
        [[ $status != 0 ]] || { echo "allowed: $line" && return 1; }
    done
}

@test "setuid programs give nothing" {
    run substrate -c 'cp /bin/id ./id2 && chmod 4755 id2 && ./id2 -u'
    equal 'user' "$(id -u)" "${lines[-1]}"
    # And none reach the host.
    [[ ! -u id2 ]]
}

@test "--explain shows the plan and makes nothing" {
    run -0 substrate --explain -c 'rm -rf important; touch made'
    contains "$output" 'rm -rf important' namespaces overlay seccomp "$P"
    [[ ! -e made && ! -e $SUBSTRATE_HOME/trace.jsonl ]]
    equal 'running processes' '' "$(our_processes)"
    [[ -z $(find "$SUBSTRATE_HOME" -path '*/worlds/*' 2>/dev/null) ]]
    contains "$output" 'decision   allow (no rule is against it; policy default)'
    run -0 substrate --explain -c 'sudo ls'
    contains "$output" 'decision   deny (denied by the pattern "sudo *"' 'observed: it would run'
    run -0 substrate --explain --capture copy-diff --share-network -- ls
    contains "$output" copy-diff host
}

@test "doctor, for people and as JSON" {
    run substrate world doctor
    [[ $status == 0 || $status == 4 ]]
    contains "$output" kernel 'user namespaces' overlay fuse landlock cgroups 'capture root' "$SUBSTRATE_HOME/overlay"
    [[ $(grep -cE '^(PASS|WARN|FAIL|INFO) ' <<<"$output") -ge 12 ]]
    local json code
    json=$(substrate world doctor --json) && code=0 || code=$?
    equal 'exit code' "$(jq 'if .overlay_mount_ok or .fuse.works then 0 else 4 end' <<<"$json")" "$code"
    equal 'missing fields' '[]' "$(jq -c '["kernel","cgroup_v2","overlay_mount_ok","fuse","userns","nft","landlock","dmesg_restrict","selinux","capabilities","overlay_root","copydiff_root","backends"] - keys' <<<"$json")"
    equal kernel "$(uname -r)" "$(jq -r .kernel <<<"$json")"
    equal 'of fuse' true "$(jq '.fuse | has("dev") and has("bin") and has("version")' <<<"$json")"
    equal 'of landlock' true "$(jq '.landlock | has("supported") and has("abi")' <<<"$json")"
    equal 'of nft' true "$(jq '.nft | has("present") and has("version")' <<<"$json")"
    equal 'of capabilities' array "$(jq -r '.capabilities | type' <<<"$json")"
    # A row that is no pass says what to do.
    equal 'without a fix' '[]' "$(jq -c '[.findings[] | select(.verdict == "FAIL" or .verdict == "WARN") | select(has("fix") | not)]' <<<"$json")"
}

@test "stopping waits for what runs, whoever started its world" {
    local i jobs=()
    for i in 1 2 3 4; do substrate world warm >/dev/null; done
    for i in 1 2 3; do
        substrate -c 'echo begun; sleep 2; echo over' >"$T/out.$i" &
        jobs+=($!)
    done
    for i in 1 2 3; do wait_for 20 grep -qs begun "$T/out.$i"; done
    run -0 substrate world stop
    for i in 1 2 3; do wait "${jobs[i - 1]}" && equal output $'begun\nover' "$(cat "$T/out.$i")"; done
}

@test "status, warm, restart, stop" {
    equal 'before' null "$(substrate world status --json | jq .agent)"
    run -0 substrate world status
    run -0 substrate world warm
    contains "$output" wld_
    local world
    world=$(substrate world status --json | jq -r '.projects[0].worlds[0].world_id')
    contains "$output" "$world"
    equal 'the world used' "$world" "$(in_world 'echo $SUBSTRATE_WORLD_ID')"
    in_world true
    equal 'said to be warm' true "$(last .warm)"
    equal commands 2 "$(substrate world status --json | jq '.projects[0].worlds[0].commands')"
    run -0 substrate world status
    contains "$output" "$P" "$world"
    run -0 substrate world restart --json
    [[ $(jq -r .world_id <<<"$output") != "$world" ]]
    run -0 substrate world stop
    equal 'after' null "$(substrate world status --json | jq .agent)"
    run -0 substrate world stop
}

@test "the agent of another build takes over, whoever is still connected" {
    in_world true
    python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("connected", flush=True)
s.recv(1)' "$SUBSTRATE_HOME/sock/control.sock" >"$T/connected" 3>&- &
    wait_for 20 grep -q connected "$T/connected"
    cp -R "$SUBSTRATE_BIN" "$T/other"
    run -0 timeout 60 "$T/other/substrate" -c 'echo from the other build'
    equal output 'from the other build' "$output"
    run -0 timeout 60 substrate -c 'echo and back'
    equal output 'and back' "$output"
    wait
}

@test "--ephemeral makes a world of its own" {
    in_world 'echo kept >/tmp/file; cat /tmp/file'
    equal 'the warm world' kept "$(in_world 'cat /tmp/file')"
    run substrate --ephemeral -c 'cat /tmp/file'
    equal 'the fresh one' 1 "$status"
    equal worlds 1 "$(substrate world status --json | jq '[.projects[0].worlds[] | select(.standby | not)] | length')"
    run -0 substrate --ephemeral -c 'echo x >made'
    equal 'its change' x "$(cat made)"
}

@test "the next fresh world is made ahead, and nothing has run in it" {
    run -0 substrate --ephemeral -c 'echo left >/tmp/file; echo 1 >a'
    local first ahead
    first=$(last .world_id)
    wait_for 10 standby
    ahead=$(standby)
    [[ $ahead != "$first" ]]
    # It shows the project as it is when it is used.
    echo 2 >a
    echo new >b
    run -0 substrate --ephemeral -c 'cat a b; ls /tmp/file 2>/dev/null; echo $SUBSTRATE_WORLD_ID'
    equal 'in the one made ahead' $'2\nnew\n'"$ahead" "$output"
    equal 'not reused' false "$(last .warm)"
    # Ended by hand, it is no reason to fail; a session world is another one.
    wait_for 10 standby
    run -0 substrate -c 'echo $SUBSTRATE_WORLD_ID'
    [[ $output != "$(standby)" ]]
    kill -KILL "$(substrate world status --json | jq '.projects[0].worlds[] | select(.standby) | .init_pid')"
    run -0 substrate --ephemeral -c 'cat b'
    equal 'in a new one' new "$output"
}
standby() { substrate world status --json | jq -er '.projects[0].worlds[] | select(.standby) | .world_id'; }

@test "gc beside a live world takes nothing of it" {
    in_world true
    run -0 substrate world gc --json
    # Groups belong to no home: those of other tests become leftovers meanwhile.
    equal report '[] []' "$(jq -r '"\(.removed | map(select(startswith("cgroup ") | not))) \(.errors)"' <<<"$output")"
    equal kept 'its agent lives' "$(jq -r '.kept[0].reason' <<<"$output")"
    in_world true
    equal warm true "$(last .warm)"
    run -0 substrate world gc
    run -0 substrate world gc --dry-run
}

@test "wrong words to the world commands" {
    run -2 substrate world
    run -2 substrate world nosuchcommand
    run -2 substrate world gc --nosuchoption
    refused 2 env SUBSTRATE_HOME=relative substrate -c true
    echo text >"$T/afile"
    run substrate -c true
    SUBSTRATE_HOME=$T/afile run --separate-stderr substrate -c true
    [[ $status != 0 ]]
    equal lines 1 "${#stderr_lines[@]}"
}
