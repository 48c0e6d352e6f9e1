# Worlds whose connections the kernel carries, and networks with a name, in a small internet that has one host
# behind a router. Needs root: the devices, rules and names are those of that internet, never the machine's.
bats_require_minimum_version 1.5.0
load common

more_setup() {
    N=$T/internet
    mkdir -p "$N" "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
}
need_root() { [[ $SUBSTRATE_TEST_WAY == root ]] || skip 'needs root'; }
policy() { printf 'id: default\nmode: enforce\nnet: {%s}\n' "$1" >"$SUBSTRATE_HOME/policies/default.yaml"; }
recorded() { jq -se "any($1)" "$SUBSTRATE_HOME/trace.jsonl" >/dev/null || { echo "no record: $1" && return 1; }; }

# 44.129.0.2 is another host, which knows no way back but to the router 44.129.0.1.
routed() {
    mount -t tmpfs none /run
    mkdir /run/netns
    echo 1 >/proc/sys/net/ipv4/ip_forward
    ip netns add far
    ip link add near0 type veth peer name far0 netns far
    ip address add 44.129.0.1/24 dev near0
    ip link set near0 up
    ip -n far address add 44.129.0.2/24 dev far0
    ip -n far link set far0 up
    # Says who asks: at ADDRESS and each PORT.
    cat >"$N/who.py" <<'S'
import http.server, socket, sys, threading
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = (self.client_address[0] + "\n").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
servers = [Server((sys.argv[1], int(port)), H) for port in sys.argv[2:]]
for server in servers[1:]: threading.Thread(target=server.serve_forever, daemon=True).start()
print("ready", flush=True)
servers[0].serve_forever()
S
    nsenter --net=/run/netns/far python3 "$N/who.py" 44.129.0.2 80 81 >"$N/far" &
    far=$!
    trap 'kill "$far"' EXIT
    until_true grep -q ready "$N/far"
}
# until_true COMMAND…: waits for it, ten seconds at most.
until_true() {
    for ((i = 0; i < 500; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.02
    done
    echo "not true: $*"
    return 1
}
names() { (cd /run/netns && echo substrate-*); }
# of_world COMMAND…: in the one network that has a name of ours.
of_world() { nsenter --net="/run/netns/$(names)" "$@"; }
# What is left of no world.
nothing_left() {
    [[ $(names) == 'substrate-*' ]] || { names && return 1; }
    [[ -z $(nft list tables) ]] || { nft list tables && return 1; }
    ! ip -o link | grep sub- || return 1
}
in_internet() {
    timeout 120 bash "$BATS_TEST_DIRNAME/small_internet.sh" "$N" bash -eu -o pipefail -c \
        "export N=$N; $(declare -f routed until_true names of_world nothing_left our_processes gone); cp $N/ca.pem .; $(cat)"
}

@test "names lead to their own addresses, which are open as long as the answer holds" {
    need_root
    policy 'mode: veth, allowed: [pypi.test, "far.test:80"]'
    in_internet <<'E'
routed
# As the host, whatever the world's address is.
[[ $(substrate -c 'curl -sS http://far.test/') == 44.129.0.1 ]]
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate -c 'getent ahostsv4 pypi.test') == '44.128.0.10 '* ]]
for to in far.test/81 44.128.0.66/80 44.128.0.1/53 44.129.0.1/22 10.0.0.5/80 169.254.169.254/80 169.254.1.1/80; do
    out=$(substrate -c "exec 3<>/dev/tcp/$to" 2>&1) && { echo "$to: $out"; exit 1; }
    grep -q 'Connection refused' <<<"$out" || { echo "$to: $out"; exit 1; }
done
! substrate -c 'printf x >/dev/udp/44.128.0.10/443' 2>/dev/null
out=$(substrate -c 'curl -sS http://evil.test/' 2>&1) && exit 1
grep -q 'evil.test. refused: net.allowed does not name it' <<<"$out"
# A command has no say in it.
! substrate -c 'nft flush ruleset' 2>/dev/null
! substrate -c 'ip link set eth0 down' 2>/dev/null
substrate world stop
nothing_left
E
    recorded '.event_type=="net_connect" and .host=="far.test" and .port==80 and .allowed'
    recorded '.event_type=="dns_query" and .name=="evil.test." and (.allowed|not)'
    [[ $(jq -r 'select(.cmd=="curl -sS http://far.test/") | .scopes_used[], .enforcement.netns' "$SUBSTRATE_HOME/trace.jsonl") == $'net:far.test:80\nveth' ]]
}

@test "what stands in the way is what nft shows, in the world and on the host" {
    need_root
    policy 'mode: veth, allowed: ["far.test:80", "44.130.0.0/16", "44.131.0.1:22"], denied: [44.130.1.0/24]'
    in_internet <<'E'
routed
substrate -c 'curl -sS http://far.test/' >/dev/null
substrate -c 'exec 3<>/dev/tcp/44.128.0.66/80' 2>/dev/null || :
[[ $(names) == substrate-wld_* ]]
of_world nft list ruleset >"$N/inner"
grep -q '^table inet substrate_[0-9a-f]\{8\} {' "$N/inner"
[[ $(grep -c 'policy drop;' "$N/inner") == 2 ]]
grep -q 'limit rate 10/second log prefix "substrate-dropped-[0-9a-f]\{8\} "' "$N/inner"
grep -q 'meta l4proto tcp counter packets 1 bytes 60 reject with tcp reset' "$N/inner"
grep -q 'counter packets [0-9]* bytes [0-9]* reject with icmpx admin-prohibited' "$N/inner"
of_world nft list set inet "$(of_world nft list tables | cut -d' ' -f3)" networks4 | tr -d '\n\t' >"$N/networks"
grep -q '44.130.0.0/24 . 1-65535' "$N/networks" && grep -q '44.131.0.1 . 22' "$N/networks" || { cat "$N/networks"; exit 1; }
! grep -q '44.130.1' "$N/networks"
grep -q '44.129.0.2 . 80 timeout .* expires' "$N/inner"
[[ $(ip netns list) == *"$(names)"* ]]
# On the host: one table with one rule, and a device.
[[ $(nft list tables) == "table inet substrate_$(names | tail -c 9)" ]]
nft list ruleset >"$N/outer"
grep -Eq 'ip saddr 198\.19\.[0-9.]+ counter packets [1-9][0-9]* bytes [0-9]+ masquerade' "$N/outer"
[[ $(grep -c 'masquerade' "$N/outer") == 1 ]]
[[ $(ip -o link show "sub-$(names | tail -c 9)") == *UP* ]]
# Nothing comes in from there.
address=$(of_world ip -o -4 address show eth0 | grep -o '198\.19\.[0-9.]*' | head -1)
! timeout 2 bash -c "exec 3<>/dev/tcp/$address/80" 2>/dev/null
substrate world stop
nothing_left
E
}

@test "an edit of the policy cuts at once what it no longer allows, and nothing else" {
    need_root
    policy 'mode: veth, allowed: [pypi.test, evil.test]'
    in_internet <<'E'
routed
mkfifo "$N/go"
cat >held.sh <<'S'
exec 3<>/dev/tcp/pypi.test/7 4<>/dev/tcp/evil.test/7
head -1 <&3
head -1 <&4
read -r _
echo still >&4
head -1 <&4
echo more >&3
head -1 <&3
exec 5<>/dev/tcp/pypi.test/7 || echo closed
S
substrate -c 'bash held.sh' <"$N/go" >"$N/out" 2>"$N/err" &
job=$!
exec 9>"$N/go"
until_true eval '[[ $(grep -c hello "$N/out") == 2 ]]'
table=$(of_world nft list tables | cut -d' ' -f3)
[[ $(of_world nft list set inet "$table" allowed4) == *44.128.0.10* ]]
printf 'id: default\nmode: enforce\nnet: {mode: veth, allowed: [evil.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
# An nft that could not look has not seen it gone.
until_true eval 'of_world nft list set inet "$table" allowed4 >"$N/set" && ! grep -q 44.128.0.10 "$N/set"'
echo >&9
wait "$job" || :
[[ $(cat "$N/out") == $'hello\nhello\nstill\nclosed' ]] || { cat "$N/out" "$N/err"; exit 1; }
! substrate -c 'curl -sS http://pypi.test/' 2>/dev/null
[[ $(substrate -c 'curl -sS http://evil.test/x') == '44.128.0.66 evil.test /x' ]]
# Another way is another world's.
printf 'id: default\nmode: enforce\nnet: {allowed: [evil.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
[[ $(substrate -c 'curl -sS http://evil.test/x') == '44.128.0.66 evil.test /x' ]]
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == gateway ]]
E
}

@test "a host that does not forward packets is told so, and nothing begins" {
    need_root
    policy 'mode: veth, allowed: [pypi.test]'
    in_internet <<'E'
routed
echo 0 >/proc/sys/net/ipv4/ip_forward
out=$(substrate -c 'touch begun' 2>&1) && { echo "$out"; exit 1; }
grep -q 'the host does not forward packets' <<<"$out" && grep -q 'net.mode: gateway' <<<"$out" || { echo "$out"; exit 1; }
[[ ! -e begun && $(cat /proc/sys/net/ipv4/ip_forward) == 0 ]]
substrate world stop
nothing_left
E
}

@test "what a killed agent leaves is found and removed" {
    need_root
    policy 'mode: veth, allowed: [pypi.test]'
    in_internet <<'E'
routed
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
all=$(our_processes) || :
for pid in $all; do [[ $(cat "/proc/$pid/comm") != substrate-world* ]] || kill -KILL "$pid"; done
until_true gone "$all"
# Its table went with it.
until_true eval '[[ -z $(nft list tables) ]]'
[[ $(names) == substrate-wld_* ]]
substrate world gc
until_true nothing_left
substrate world stop
E
}

@test "a budget of bytes is counted by the gateway, and the command is told" {
    need_root
    policy 'mode: veth, allowed: [pypi.test], egress_budget: {total_bytes: 1Mi}'
    in_internet <<'E'
routed
out=$(substrate -c 'curl -sS http://pypi.test/x' 2>&1)
grep -q '44.128.0.10 pypi.test /x' <<<"$out"
grep -q 'net.mode veth is not available, the gateway is used: a budget of bytes' <<<"$out" || { echo "$out"; exit 1; }
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == gateway ]]
substrate world stop
nothing_left
E
}

@test "who cannot make devices gets the gateway, and is told" {
    [[ $SUBSTRATE_TEST_WAY == user ]] || skip 'root can, of a user namespace too where it owns the network'
    policy 'mode: veth, allowed: [pypi.test]'
    in_internet <<'E'
out=$(substrate -c 'curl -sS http://pypi.test/x' 2>&1)
grep -q '44.128.0.10 pypi.test /x' <<<"$out"
grep -q 'net.mode veth is not available, the gateway is used' <<<"$out" || { echo "$out"; exit 1; }
E
}

@test "mode none reaches nothing, whatever is allowed" {
    policy 'mode: none, allowed: ["*"]'
    in_internet <<'E'
! substrate -c 'curl -sS http://pypi.test/x' 2>/dev/null
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == loopback ]]
E
    run -126 substrate why host pypi.test:443
    grep -Fxq 'rule        net.mode "none"' <<<"$output"
}

@test "a replay's network has the span's name and rules, and the host has neither afterwards" {
    need_root
    policy 'allowed: []'
    in_internet <<'E'
mount -t tmpfs none /run
replayed() {
    substrate -c 'sleep 3' >/dev/null
    id=$(substrate trace --last --json | jq -r .span_id)
    substrate replay "$id" >"$N/replay" 2>&1 &
    job=$!
    until_true nsenter --net="/run/netns/substrate-$id" true
    nsenter --net="/run/netns/substrate-$id" nft list ruleset >"$N/rules"
    grep -q '^table inet substrate_[0-9a-f]\{8\} {' "$N/rules" && grep -q 'policy drop' "$N/rules" || { cat "$N/rules"; exit 1; }
    grep -q 'log prefix "substrate-dropped-' "$N/rules"
    [[ -z $(nft list tables) ]]
    wait "$job" || { cat "$N/replay"; exit 1; }
    until_true eval '[[ ! -e /run/netns/substrate-$id ]]'
}
replayed
printf 'id: default\nmode: enforce\nnet: {allowed: [pypi.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
replayed
grep -q redirected4 "$N/rules"
substrate world stop
E
}

# talk.py LINE PATTERN…: the interactive shell on a terminal, line by line; each shows its pattern at the beginning of a line.
talk() {
    cat >"$T/talk.py" <<'E'
import os, pty, re, select, sys, time
pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execvp("substrate", ["substrate"])
seen = ""
def shown(pattern):
    global seen
    end = time.monotonic() + 60
    while not re.search(pattern, seen, re.M):
        if time.monotonic() > end or not select.select([terminal], [], [], 60)[0]:
            sys.exit(f"not shown: {pattern}\n{seen}")
        seen += os.read(terminal, 65536).decode(errors="replace").replace("\r", "\n")
shown(r"[$#] $")
for line, pattern in zip(sys.argv[1::2], sys.argv[2::2]):
    seen = ""
    os.write(terminal, line.encode() + b"\n")
    shown("^" + pattern)
    shown(r"[$#] $")
os.write(terminal, b"exit\n")
os.waitpid(pid, 0)
E
}

@test "the interactive shell has the pair as long as it lives, and its policy is followed line by line" {
    need_root
    talk
    policy 'mode: veth, allowed: [pypi.test]'
    in_internet <<'E'
routed
python3 "$T/talk.py" 'curl -sS http://pypi.test/x' '44.128.0.10 pypi.test /x' 'curl -sS http://evil.test/' 'curl: .6. Could not resolve' \
    'curl -sS http://pypi.test/y' '44.128.0.10 pypi.test /y'
[[ $(jq -r 'select(.cmd=="curl -sS http://pypi.test/y") | .enforcement.netns, .scopes_used[]' "$SUBSTRATE_HOME/trace.jsonl") == $'veth\nnet:pypi.test:80' ]]
substrate world stop
nothing_left
E
}

@test "version 6 leaves by the pair where the host forwards it, and only to what is open" {
    need_root
    policy 'mode: veth, allowed: ["six.moving.test:80", "[2600:6::3]:80"]'
    in_internet <<'E'
[[ -e /proc/net/if_inet6 ]] || exit 0
routed
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
ip address add 2600:6::1/64 dev near0 nodad
ip -n far address add 2600:6::2/64 dev far0 nodad
ip -n far address add 2600:6::3/64 dev far0 nodad
ip -n far address add 2600:6::4/64 dev far0 nodad
nsenter --net=/run/netns/far python3 "$N/who.py" :: 80 >"$N/six" &
six=$!
trap 'kill "$far" "$six"' EXIT
until_true grep -q ready "$N/six"
printf 'six.moving.test AAAA 60 2600:6::2\n' >"$N/zone.new" && mv "$N/zone.new" "$N/zone"
[[ $(curl -sS 'http://[2600:6::2]/') == 2600:6::1 ]]
# As the router's, by the rule of the host; by name and by address.
[[ $(substrate -c 'curl -6 -sS http://six.moving.test/') == 2600:6::1 ]]
[[ $(substrate -c "curl -6 -sS 'http://[2600:6::3]/'") == 2600:6::1 ]]
for to in 2600:6::4/80 2600:6::3/81 2600:6::1/80 fe80::1/80 fd00::1/80; do
    out=$(substrate -c "exec 3<>/dev/tcp/$to" 2>&1) && { echo "$to: $out"; exit 1; }
    grep -Eq 'refused|unreachable|Invalid argument' <<<"$out" || { echo "$to: $out"; exit 1; }
done
of_world nft list ruleset | grep '2600:6::2 . 80 timeout' >/dev/null
substrate world stop
nothing_left
E
}

# A server in the background of a world, in the project.
serves() {
    echo 'of the world' >index.html
    cat >serve.sh <<'S'
python3 -m http.server 3000 --bind 127.0.0.1 >/dev/null 2>&1 &
for ((i = 0; i < 400; i++)); do (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null && exit 0; sleep 0.05; done
exit 1
S
}

@test "a published port leads into a world with a pair, and not out of it" {
    need_root
    policy 'mode: veth, allowed: [pypi.test]'
    serves
    in_internet <<'E'
routed
substrate -c 'bash serve.sh'
substrate world publish 3000 >/dev/null
[[ $(curl -sS http://127.0.0.1:3000/index.html) == 'of the world' ]]
address=$(of_world ip -o -4 address show eth0 | grep -o '198\.19\.[0-9.]*' | head -1)
! timeout 2 bash -c "exec 3<>/dev/tcp/$address/3000" 2>/dev/null || exit 1
# What the pair carries goes on beside it.
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
substrate world unpublish 3000 >/dev/null
! curl -sS --max-time 20 http://127.0.0.1:3000/index.html >/dev/null 2>&1 || exit 1
substrate world stop
nothing_left
E
}

@test "a project's own policy gets no pair until somebody trusts it" {
    need_root
    policy 'allowed: [pypi.test]'
    printf 'id: theirs\nmode: observe\nnet: {mode: veth, allowed: [pypi.test, evil.test]}\n' >.substrate-policy.yaml
    in_internet <<'E'
routed
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == gateway ]]
! substrate -c 'curl -sS http://evil.test/x' 2>/dev/null || exit 1
[[ $(names) == 'substrate-*' && -z $(nft list tables) ]]
out=$(substrate policy trust --yes)
grep -q 'net.mode: veth instead of gateway' <<<"$out" || { echo "$out"; exit 1; }
[[ $(substrate -c 'curl -sS http://evil.test/x') == '44.128.0.66 evil.test /x' ]]
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == veth ]]
substrate world stop
nothing_left
E
}

@test "a network without IPv6: the pair and the gateway do with version 4" {
    need_root
    policy 'mode: veth, allowed: [pypi.test]'
    serves
    in_internet <<'E'
[[ -e /proc/sys/net/ipv6/conf/all/disable_ipv6 ]] || exit 0
for each in all default lo; do echo 1 >/proc/sys/net/ipv6/conf/$each/disable_ipv6; done
routed
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == veth ]]
printf 'id: default\nmode: enforce\nnet: {allowed: [pypi.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate trace --last --json | jq -r .enforcement.netns) == gateway ]]
substrate -c 'bash serve.sh'
substrate world publish 3000 >/dev/null
[[ $(curl -sS http://127.0.0.1:3000/index.html) == 'of the world' ]]
substrate world stop
nothing_left
E
}
