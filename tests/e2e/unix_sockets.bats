#!/usr/bin/env bats
# shellcheck disable=SC2154
# Unix sockets of the host that a policy names, and all the others.
load common

more_setup() {
    need_program python3
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
    S=$T/s
    mkdir "$S"
    cat >"$T/serve.py" <<'E'
import socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen(50)
while True:
    client, _ = server.accept()
    client.sendall(b"the host says " + sys.argv[2].encode() + b"\n")
    client.close()
E
    cat >ask.py <<'E'
import errno, socket, sys
for path in sys.argv[1:]:
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(path)
        print(client.makefile().read().strip())
    except OSError as error:
        print(errno.errorcode[error.errno])
E
}
eval "common_$(declare -f teardown)"
teardown() {
    [[ -z ${outside:-} ]] || rm -rf "$outside"
    common_teardown
}
# serve PATH WORD: somebody of the host listens there.
serve() {
    python3 "$T/serve.py" "$1" "$2" >/dev/null 2>&1 3>&- &
    server=$!
    wait_for 20 test -S "$1"
}
policy() { printf '%s\n' 'id: default' 'mode: enforce' "$@" >"$SUBSTRATE_HOME/policies/default.yaml"; }
silent() { [[ $output != *"$1"* ]] || { echo "$output" && return 1; }; }
ask() { substrate -c "python3 ask.py $*"; }
# refused PATTERN PATH…: nothing answers there, and the command says why in one line.
refused() {
    local pattern=$1 out
    shift
    out=$(ask "$@" 2>"$T/err")
    [[ $out != *'the host says'* ]] || { echo "$out" && return 1; }
    grep -Eq -- "$pattern" "$T/err" || { cat "$T/err" && return 1; }
    [[ $(grep -c 'net.unix' "$T/err") == 1 ]] || { cat "$T/err" && return 1; }
}

@test "a socket that is named is reached, its neighbour is not, and the span names it" {
    serve "$S/one" one
    serve "$S/two" two
    policy
    run -0 ask "$S/one" "$S/two"
    silent 'the host says'
    policy "net: {unix: [$S/one]}"
    run -0 --separate-stderr ask "$S/one" "$S/two"
    equal 'what answers' 'the host says one' "$(head -1 <<<"$output")"
    silent two
    equal stderr '' "$stderr"
    equal 'the span' "[\"$S/one\"]" "$(substrate trace --last --json | jq -c .enforcement.unix_sockets)"
    policy "net: {unix: [$S/one, $S/two]}"
    run -0 ask "$S/one" "$S/two"
    equal 'both answer' $'the host says one\nthe host says two' "$output"
    policy 'net: {unix: []}'
    run -0 ask "$S/one"
    silent 'the host says'
    equal 'the span' null "$(substrate trace --last --json | jq -c .enforcement.unix_sockets)"
}

@test "what is named in the world's own /tmp is shown there, and nothing else of the host's" {
    outside=$(mktemp -d /tmp/sock.XXXXXX)
    serve "$outside/one" one
    serve "$outside/two" two
    policy "net: {unix: [$outside/one]}"
    run -0 ask "$outside/one" "$outside/two"
    equal 'the named one' $'the host says one\nENOENT' "$output"
    run -0 substrate -c "ls -A $outside"
    equal 'beside it' one "$output"
    # Also where little of the host is shown at all.
    policy "net: {unix: [$outside/one]}" 'world_fs: {isolation: full, write_allowlist: [.]}'
    run -0 --separate-stderr ask "$outside/one" "$outside/two"
    equal 'with full isolation' $'the host says one\nENOENT' "$output"
}

@test "a command can neither replace the socket nor change what it is" {
    serve "$S/one" one
    policy "net: {unix: [$S/one]}" "fs: {write: [\$PROJECT, $S]}"
    cp "$T/serve.py" .
    before=$(stat -c '%i %a %u' "$S/one")
    substrate -c "chmod 000 $S/one; chown 1 $S/one; rm -f $S/one; mv $S/one $S/other; ln -sf /dev/null $S/one; touch $S/one" >/dev/null 2>&1 || :
    equal 'the socket' "$before" "$(stat -c '%i %a %u' "$S/one")"
    run -0 ask "$S/one"
    equal 'it still answers' 'the host says one' "$output"
}

@test "what is no socket of one's own is not shown, and one line says why" {
    policy "net: {unix: [$S/one]}"
    refused 'net.unix "[^"]*/one" opens nothing: it does not exist' "$S/one"
    touch "$S/one"
    refused 'opens nothing: it is no socket' "$S/one"
    rm "$S/one"
    mkdir "$S/one"
    refused 'opens nothing: it is no socket' "$S/one"
    rmdir "$S/one"
    serve "$S/real" real
    ln -s real "$S/one"
    refused "opens nothing: a symbolic link is on the way to it; name $S/real" "$S/one"
    rm "$S/one"
    mkdir "$S/dir"
    ln -s "$S" "$S/dir/up"
    policy "net: {unix: [$S/dir/up/real]}"
    refused 'a symbolic link is on the way' "$S/dir/up/real"
    # Now it is there: another world shows it.
    policy "net: {unix: [$S/one]}"
    serve "$S/one" late
    run -0 --separate-stderr ask "$S/one"
    equal 'it answers' 'the host says late' "$output"
    equal stderr '' "$stderr"
    for entry in one ./one "$S/*" "$S/../x"; do
        policy "net: {unix: ['$entry']}"
        refused 'opens nothing: it is not the full path of one socket' "$S/one"
    done
}

@test "a server that is started anew is reached by the next command" {
    serve "$S/one" old
    policy "net: {unix: [$S/one]}"
    run -0 ask "$S/one"
    equal 'the old one' 'the host says old' "$output"
    kill "$server"
    wait "$server" || :
    rm "$S/one"
    serve "$S/one" new
    run -0 ask "$S/one"
    equal 'the new one' 'the host says new' "$output"
}

@test "another account's socket is shown where nobody else can make one" {
    [[ $EUID == 0 && $SUBSTRATE_TEST_WAY == root ]] || skip 'needs root, to be a second account'
    serve "$S/one" one
    chown nobody "$S/one"
    chmod 777 "$S/one"
    policy "net: {unix: [$S/one]}"
    run -0 ask "$S/one"
    equal 'a service of its own' 'the host says one' "$output"
    chmod 1777 "$S"
    refused 'it belongs to another account \(uid [0-9]+\), in a directory where everybody may make one' "$S/one"
}

@test "what worlds hide stays hidden, whatever net.unix names" {
    mkdir -p "$HOME/.gnupg"
    mine=$HOME/.gnupg/s
    ((${#mine} < 100)) || skip 'the name is too long for a socket'
    serve "$mine" agent
    serve "$S/one" one
    policy "net: {unix: ['~/.gnupg/s']}"
    refused 'it lies in .*/.gnupg, which is hidden' "$mine"
    policy "net: {unix: [$S/one]}" "fs: {deny: [$S]}"
    refused 'which is hidden' "$S/one"
    policy "net: {unix: [$S/one]}" "fs: {deny: ['$S/o*']}"
    refused 'fs.deny refuses it' "$S/one"
    # Who speaks to the agent of this very world could do as it likes.
    policy "net: {unix: ['$SUBSTRATE_HOME/sock/control.sock']}"
    refused 'which is hidden' "$SUBSTRATE_HOME/sock/control.sock"
    policy 'net: {unix: [/.substrate.sock]}'
    refused 'opens nothing' /.substrate.sock
}

@test "a project's own policy opens no socket until somebody trusts it" {
    serve "$S/one" one
    serve "$S/two" two
    # A link of the project's leads nowhere either.
    ln -s "$S/two" link
    policy "net: {unix: ['$P/link']}"
    refused 'a symbolic link is on the way' "$P/link"
    policy
    printf 'id: theirs\nmode: observe\nnet: {unix: [%s]}\n' "$S/one" >.substrate-policy.yaml
    run -0 ask "$S/one"
    silent 'the host says'
    run -0 substrate policy trust --yes
    contains "$output" "net.unix also has: $S/one"
    run -0 ask "$S/one"
    equal 'once it is trusted' 'the host says one' "$output"
    # A policy that the caller asks for besides can only take it away.
    run -126 substrate why socket "$S/two"
    contains "$output" 'net.unix does not name it'
}

@test "substrate why socket and --explain say which entry opens it, and what does not" {
    serve "$S/one" one
    policy "net: {unix: [$S/one, $S/gone]}"
    run -0 substrate why socket "$S/one"
    grep -Fxq "rule        net.unix[0] \"$S/one\"" <<<"$output"
    grep -Fxq 'decision    allowed' <<<"$output"
    run -126 --separate-stderr substrate why socket --json "$S/gone"
    [[ $(jq -c '[.allowed, .rule, .reason]' <<<"$output") == '[false,"net.unix[1]","it does not exist"]' ]]
    run -126 substrate why socket /run/docker.sock
    contains "$output" 'net.unix does not name it'
    run -2 substrate why socket relative
    run -0 substrate --explain -c true
    grep -Eq "^mount +socket +$S/one \(of the host\)" <<<"$output" || { echo "$output" && return 1; }
    run -0 substrate policy show
    contains "$output" "$S/one"
}

@test "D-Bus, docker.sock, X11 and keyrings are not there unless they are named" {
    policy 'net: {allowed: ["*"]}' 'fs: {write: [.]}'
    cat >look.sh <<'E'
for each in /run/docker.sock /var/run/docker.sock /run/dbus/system_bus_socket /run/user/* /tmp/.X11-unix/* /run/user/*/bus \
    /run/user/*/wayland-* /run/user/*/keyring/* "$HOME"/.gnupg/S.* /run/podman/podman.sock /run/containerd/containerd.sock; do
    [[ ! -e $each ]] || echo "there: $each"
done
env | grep -E '^(DBUS_SESSION_BUS_ADDRESS|SSH_AUTH_SOCK|DISPLAY|WAYLAND_DISPLAY)=' || :
E
    DBUS_SESSION_BUS_ADDRESS=unix:path=/x SSH_AUTH_SOCK=/y DISPLAY=:0 WAYLAND_DISPLAY=w run -0 substrate -c 'bash look.sh'
    equal 'what is there' '' "$output"
}
