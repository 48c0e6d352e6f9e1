#!/usr/bin/env bats
# Tests are functions in subshells, with results in variables, and lines for other shells:
# shellcheck disable=SC2016,SC2030,SC2031,SC2154,SC2317
# What a policy says of files and limits, and the layers that hold it.
load common

more_setup() {
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME" "$SUBSTRATE_HOME/policies"
}
# policy TEXT: the default one, as an editor saves it.
policy() {
    printf 'id: default\n%s\n' "$1" >"$SUBSTRATE_HOME/policies/.new"
    mv "$SUBSTRATE_HOME/policies/.new" "$SUBSTRATE_HOME/policies/default.yaml"
}

@test "the span says which layers held the command" {
    # The shipped policy opens what the settings of this machine's tools name.
    policy 'net: {allowed: []}'
    run -0 substrate -c true
    equal layers '[true,true,true,"loopback","enforce",true,true]' \
        "$(last '.enforcement | [.mount_namespace, .pid_namespace, (.landlock_abi >= 2), .netns, .seccomp, .no_new_privs, .capabilities_dropped] | tojson')"
    run -0 substrate trace "$(last_span)"
    contains "$output" 'Landlock'
}

@test "a read-only project is one by every path, for this command and all that it starts" {
    echo text >file
    policy $'world_fs:\n  mode: read_only'
    run substrate -c 'echo x >file; echo x >"$PWD/file"; echo x >new; rm -f file; (cd / && echo x >"$OLDPWD/file"); echo x >/proc/self/cwd/file; cat file; echo fine >/tmp/t && cat /tmp/t'
    [[ $output == *$'text\nfine' ]]
    equal 'on the host' text "$(cat file)"
    [[ ! -e new ]]
    equal commit none "$(last .commit)"
}

@test "an edit of world_fs is in force for the next command" {
    policy $'world_fs:\n  mode: read_only'
    run ! substrate -c 'echo x >new'
    policy $'world_fs:\n  mode: writable'
    run -0 substrate -c 'echo x >new'
    [[ -e new ]]
}

@test "full isolation shows the system, the project and nothing else" {
    mkdir src build
    policy $'world_fs:\n  isolation: full\n  write_allowlist: [build, out/deep]'
    run -0 substrate -c 'cd /project && touch build/a out/deep/b && pwd && ls /project "$OLDPWD"'
    contains "$output" /project
    [[ -e build/a && -e out/deep/b ]]
    local outside
    for outside in "$HOME" "$SUBSTRATE_HOME" "$T/nothing" /root /home /var/log /srv; do
        run ! substrate -c "ls '$outside'"
    done
    run ! substrate -c 'touch src/no'
    run ! substrate -c 'touch no'
    equal secrets '' "$(substrate -c 'cat /etc/shadow /etc/sudoers' 2>/dev/null)"
    run ! substrate -c 'mv build src/'
    [[ -z $(ls src) ]]
    policy $'world_fs:\n  isolation: full'
    run ! substrate -c 'touch build/no'
}

@test "fs.write opens directories outside the project, fs.deny hides them" {
    mkdir -p "$HOME/.cache/tool" "$HOME/private" secrets
    echo hidden | tee secrets/key >"$HOME/private/key"
    policy $'fs:\n  write: [$PROJECT, $HOME/.cache/tool]\n  deny: [$HOME/private, secrets]'
    run -0 substrate -c 'touch ~/.cache/tool/made inside'
    [[ -e $HOME/.cache/tool/made && -e inside ]]
    run substrate -c 'touch ~/.cache/not'
    [[ ! -e $HOME/.cache/not ]]
    run ! substrate -c 'cat secrets/key'
    run ! substrate -c 'cat ~/private/key'
    run ! substrate -c 'ln -s ~/private/key link; cat link'
    run ! substrate -c 'ln secrets/key hard'
    run ! substrate -c 'mv secrets moved && cat moved/key'
    run ! substrate -c 'cat /proc/self/root/"$HOME"/private/key'
    run ! substrate -c 'echo x >secrets/new'
    equal 'the secret' hidden "$(cat secrets/key)"
}

@test "what worlds do not enforce of a policy is said with each command, and recorded" {
    policy $'fs:\n  deny: ["**/.en[v"]'
    run --separate-stderr -0 substrate -c true
    contains "$stderr" 'degraded: fs: fs.deny "**/.en[v" is not enforced by worlds' 'a bracket that does not end'
    equal degraded fs "$(last '.degradations[0].component')"
    policy $'world:\n  seccomp: false'
    run --separate-stderr -0 substrate -c 'grep Seccomp: /proc/self/status'
    contains "$output" $'Seccomp:\t0'
    contains "$stderr" 'degraded: seccomp'
    equal seccomp 'off null' "$(last '.enforcement | "\(.seccomp) \(.seccomp_hash)"')"
    policy $'world:\n  seccomp: log'
    run --separate-stderr -0 substrate -c 'grep Seccomp: /proc/self/status; unshare -U echo let through'
    contains "$output" $'Seccomp:\t2' 'let through'
    contains "$stderr" "degraded: seccomp: mode 'log' was asked for"
    equal seccomp log "$(last .enforcement.seccomp)"
    policy $'world:\n  seccomp: true'
    run ! substrate -c 'unshare -U echo let through'
}

@test "without a policy shares of the machine are the limits, and a policy sets others" {
    run --separate-stderr -0 substrate -c 'ulimit -u; stat -f -c "%b %S %c" /tmp /var/tmp /dev/shm; cat /proc/self/oom_score_adj'
    [[ $stderr != *degraded* ]]
    local total lines record
    total=$(awk '/^MemTotal:/ { print $2 }' /proc/meminfo)
    mapfile -t lines <<<"$output"
    record=$(last .enforcement.limits)
    # Those of a group that we live in may be lower.
    jq -e --argjson most $((total * 1024 / 4)) '.tmp_bytes > 0 and .tmp_bytes <= $most and .pids >= 1024 and .pids_is_default' <<<"$record"
    read -r blocks size files <<<"${lines[1]}"
    equal '/tmp' "$(jq .tmp_bytes <<<"$record") $(($(jq .tmp_bytes <<<"$record") / 8192))" "$((blocks * size)) $files"
    equal 'ended first' 500 "${lines[4]}"
    [[ $SUBSTRATE_TEST_WAY == root ]] || equal 'by user namespace' "$(jq .pids <<<"$record")" "${lines[0]}"
    # What does not hold is in the record, and no warning: nobody has asked for it.
    jq -e '.memory_bytes > 0 and .memory_is_default' <<<"$record" ||
        [[ $(last '.degradations | map(.component) | tojson') == *cgroup* ]]
    policy $'world:\n  limits: {memory: 96Mi, pids: 64}'
    run --separate-stderr -0 substrate -c 'stat -f -c "%b %S" /tmp'
    read -r blocks size <<<"$output"
    equal 'a third of the limit' $((32 << 20)) $((blocks * size))
    equal 'policy' '64 null' "$(last '.enforcement.limits | "\(.pids) \(.pids_is_default)"')"
}

@test "a command that takes too much memory is ended, and the world goes on" {
    need_program python3
    policy $'world:\n  limits: {memory: 96Mi}'
    run --separate-stderr -0 substrate -c true
    [[ $stderr != *'degraded: cgroup'* ]] || need cgroup false
    # Another limit beside it: where the group held nothing, nothing would end this.
    run --separate-stderr bash -c "ulimit -v 3000000; substrate -c 'python3 -c \"x = bytearray(400 << 20)\"'"
    contains "$stderr" 'out of memory: the policy'
    equal outcome '["killed","memory",137]' "$(last '[.outcome, .outcome_reason, .exit] | tojson')"
    [[ -n $(last .enforcement.cgroup) ]]
    run -0 substrate -c 'echo works'
}

@test "a command cannot start more processes than the policy allows" {
    policy $'world:\n  limits: {pids: 24}'
    run --separate-stderr -0 substrate -c true
    [[ $stderr != *'degraded: cgroup'* ]] || need cgroup false
    # dash gives up at the first process that it cannot start; bash tries for many seconds.
    cat >many <<'END'
trap 'kill $started' EXIT
i=0
while [ $i -lt 40 ]; do sleep 60 & started="$started $!"; i=$((i + 1)); done
END
    run --separate-stderr substrate -c 'dash many'
    contains "$stderr" 'Cannot fork'
    # Only a group counts what it has refused.
    if [[ $(last .enforcement.cgroup) == *pids* ]]; then
        contains "$stderr" "no more processes: the policy's limit is 24"
        equal reason pids "$(last .outcome_reason)"
    fi
    equal limit 24 "$(last .enforcement.limits.pids)"
    run -0 substrate -c 'echo works | cat'
}

@test "what the kernel counts for the person is not all taken by a world" {
    need_program python3
    cat >hold <<'END'
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
kept = []
while len(kept) < 100000 and (fd := libc.inotify_init1(0)) >= 0: kept.append(fd)
terminals = []
try:
    while len(terminals) < 5000: terminals.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
except OSError: pass
print(len(kept), len(terminals), file=open("held", "w"), flush=True)
open("ready", "w").close()
signal.pause()
END
    # Files for both, and the world's own share of what there is.
    run --separate-stderr -0 substrate -c 'ulimit -n "$(ulimit -Hn)"; python3 hold >/dev/null 2>&1 & until [ -e ready ]; do sleep 0.05; done; cat held'
    local instances terminals
    read -r instances terminals <<<"$output"
    ((instances > 0 && instances <= $(cat /proc/sys/fs/inotify/max_user_instances) / 2)) || { echo "$output" && false; }
    ((terminals > 0 && terminals <= 1024))
    python3 -c 'import ctypes; libc = ctypes.CDLL(None); exit(any(libc.inotify_init1(0) < 0 for _ in range(8)))'
    run -0 substrate world stop
}

@test "a command that runs too long is ended" {
    policy $'world:\n  limits: {runtime: 300ms}'
    run --separate-stderr -143 substrate -c 'read -r _ <> <(:)'
    equal outcome '["timeout","runtime"]' "$(last '[.outcome, .outcome_reason] | tojson')"
}

@test "what a policy says of reading and writing is in the group, or named" {
    policy $'world:\n  limits: {io: {read_bps: 1Mi, write_iops: 50}}'
    run --separate-stderr -0 substrate -c 'cat /proc/self/cgroup'
    if [[ $(last '.enforcement.limits.io // {} | tojson') == '{"read_bps":1048576,"write_iops":50}' ]]; then
        [[ $(last .enforcement.cgroup) == *blkio*substrate/wld_* ]] && contains "$stderr" 'limits on writing hold only for what is written at once' ||
            [[ $(last .enforcement.cgroup) == */substrate/wld_* ]]
    else
        contains "$stderr" 'degraded: cgroup: no limit on reading and writing: '
        equal none null "$(last .enforcement.limits.io)"
    fi
    run -0 substrate policy show --json
    contains "$output" '1Mi'
    policy $'world:\n  limits: {io: {read_bps: fast}}'
    run ! substrate policy validate
    contains "$output" '/world/limits/io/read_bps'
}

@test "limits that cannot be had are named" {
    policy $'world:\n  limits: {memory: 1Gi, cpu: "2"}'
    run --separate-stderr -0 substrate -c true
    if [[ -z $(last .enforcement.cgroup) ]]; then
        contains "$stderr" 'degraded: cgroup'
        contains "$(last '.degradations | map(.component) | tojson')" cgroup
    fi
    run -0 substrate world stop
    run -0 substrate world gc
    [[ $output != *'cgroup wld_'* ]]
}

@test "verify tries on this machine what worlds promise, and leaves nothing" {
    run --separate-stderr substrate world verify
    equal "exit, $output" 0 "$status"
    contains "$output" 'pass  read_only_relative_write' 'pass  workspace_outside_write' 'pass  full_isolation_host_paths' \
        'pass  pid_isolation' 'pass  network_default_deny' 'pass  seccomp' 'pass  dns_pinned' ' 0 failed, '
    run --separate-stderr substrate world verify --json --root .
    equal "exit, $output" 0 "$status"
    equal checks '["world_backend","read_only_relative_write","read_only_absolute_write","workspace_outside_write","full_isolation_host_paths","full_isolation_write_allowlist","pid_isolation","network_default_deny","dns_pinned","seccomp","landlock","cgroup_limits"]' \
        "$(jq -c '[.checks[].id]' <<<"$output")"
    equal failed 0 "$(jq .failed <<<"$output")"
    equal left '' "$(ls)"
    refused 1 substrate world verify --root /no/such/directory
}
