# What a world reaches through the gateway, in a small internet of its own.
bats_require_minimum_version 1.5.0
load common

more_setup() {
    N=$T/internet
    mkdir "$N"
    mkdir -p "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
}

# policy MODE NET…: the account's default policy.
policy() {
    local mode=$1
    shift
    printf 'id: default\nmode: %s\nnet: {%s}\n' "$mode" "$*" >"$SUBSTRATE_HOME/policies/default.yaml"
}
# A script that reads its commands from standard input, in the small internet.
# The gateway of this test's agent.
gateway() {
    local pid
    for pid in $(our_processes); do
        [[ $(cat "/proc/$pid/comm") != substrate-gatew* ]] || echo "$pid"
    done
}
in_internet() { timeout 120 bash "$BATS_TEST_DIRNAME/small_internet.sh" "$N" bash -eu -c "export N=$N; $(declare -f gateway our_processes); cp $N/ca.pem .; $(cat)"; }
# recorded CONDITION: a record of the trace meets it.
recorded() { jq -se "any($1)" "$SUBSTRATE_HOME/trace.jsonl" >/dev/null || { echo "no record: $1" && return 1; }; }

@test "an allowed name works by HTTP and TLS, another does not, and both are recorded" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate -c "curl -sS --cacert ca.pem https://pypi.test/y") == '44.128.0.10 pypi.test /y' ]]
substrate -c 'getent ahostsv4 pypi.test' | grep -q '^198\.18\.'
out=$(substrate -c 'curl -sS --max-time 20 http://evil.test/' 2>&1) && exit 1
grep -q 'Could not resolve host: evil.test' <<<"$out"
grep -q 'substrate: network: evil.test. refused: net.allowed does not name it' <<<"$out"
! grep evil.test "$N/dnsmasq.log"
E
    grep -q '"net:pypi.test:80"' "$SUBSTRATE_HOME"/trace.jsonl
    recorded '.event_type=="net_connect" and .host=="pypi.test" and .port==443 and .allowed and .bytes_received>0'
    recorded '.event_type=="dns_query" and .name=="evil.test." and (.allowed|not)'
}

@test "a span names what it has reached, also where the connection outlives it" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
substrate -c 'exec 3<>/dev/tcp/pypi.test/7; head -1 <&3; sleep 5 >/dev/null 2>&1 &' >/dev/null
[[ $(substrate trace --last --json | jq -c .scopes_used) == '["net:pypi.test:7"]' ]]
E
}

@test "names are opened, not their addresses; what is not a name's is refused at once" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
for to in 44.128.0.10/80 10.0.0.5/80 169.254.169.254/80 44.128.0.1/53 198.18.7.7/80; do
    out=$(substrate -c "exec 3<>/dev/tcp/$to && head -c1 <&3" 2>&1) && { echo "$to: $out"; exit 1; }
    grep -Eq 'Connection (refused|reset)' <<<"$out" || { echo "$to: $out"; exit 1; }
done
! substrate -c 'printf x >/dev/udp/44.128.0.10/443' 2>/dev/null
! substrate -c 'exec 3<>/dev/tcp/127.0.0.54/1 && head -c1 <&3 | grep .' 2>/dev/null
E
}

@test "a name that leads to a special address is refused until its network is allowed" {
    policy enforce 'allowed: ["*"]'
    in_internet <<'E'
for name in rebind.test local.test private.test; do
    out=$(substrate -c "curl -sS --max-time 20 http://$name/" 2>&1) && exit 1
    grep -q "refused: it leads to" <<<"$out" || { echo "$name: $out"; exit 1; }
done
printf 'id: default\nmode: enforce\nnet: {allowed: ["*", "10.0.0.0/8:80"]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
[[ $(substrate -c 'curl -sS http://private.test/z') == '10.0.0.5 private.test /z' ]]
[[ $(substrate -c 'curl -sS http://10.0.0.5/z') == '10.0.0.5 10.0.0.5 /z' ]]
! substrate -c 'curl -sS --max-time 20 http://rebind.test/' 2>/dev/null
E
}

@test "TLS and HTTP for another name than the one that was asked for are refused" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
ask() { substrate -c "$1" 2>&1 || :; }
out=$(ask "curl -sSk --max-time 20 --connect-to evil.test:443:pypi.test:443 https://evil.test/")
grep -q 'pypi.test:443 refused: its TLS is for evil.test' <<<"$out" || { echo "$out"; exit 1; }
address=$(substrate -c 'getent ahostsv4 pypi.test')
out=$(ask "curl -sSk --max-time 20 https://${address%% *}/")
grep -q 'refused: its TLS does not say for whom it is' <<<"$out" || { echo "$out"; exit 1; }
out=$(ask "curl -sS --max-time 20 -H 'Host: evil.test' http://pypi.test/")
grep -q 'pypi.test:80 refused: a request for evil.test' <<<"$out" || { echo "$out"; exit 1; }
out=$(ask "curl -sS --max-time 20 -p -x http://pypi.test:80 http://evil.test/")
grep -q 'CONNECT' <<<"$out" || { echo "$out"; exit 1; }
out=$(ask "curl -sS --max-time 20 --http2-prior-knowledge http://pypi.test/")
grep -q 'HTTP/2 without TLS' <<<"$out" || { echo "$out"; exit 1; }
# The second request of a connection is looked at as the first.
cat >two.sh <<'S'
exec 3<>/dev/tcp/pypi.test/80
printf 'GET /1 HTTP/1.1\r\nHost: pypi.test\r\n\r\nGET /2 HTTP/1.1\r\nHost: evil.test\r\n\r\n' >&3
timeout 20 cat <&3
S
out=$(ask 'bash two.sh')
grep -q 'a request for evil.test' <<<"$out" && ! grep -q '/2$' <<<"$out" || { echo "$out"; exit 1; }
E
}

@test "other protocols work, the server may speak first, and bytes arrive as they were sent" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
[[ $(substrate -c 'exec 3<>/dev/tcp/pypi.test/7; head -1 <&3; echo there >&3; head -1 <&3') == $'hello\nthere' ]]
[[ $(substrate -c 'curl -sS http://pypi.test/big | sha256sum') == $(head -c 67108864 /dev/zero | sha256sum) ]]
[[ $(substrate -c "curl -sS --cacert ca.pem https://pypi.test/big | sha256sum") == $(head -c 67108864 /dev/zero | sha256sum) ]]
substrate -c 'head -c 3000000 /dev/urandom >up; curl -sS -H "Transfer-Encoding: chunked" --data-binary @up http://pypi.test/; rm up' >/dev/null
[[ $(substrate -c 'head -c 3000000 /dev/zero | curl -sS -H "Expect:" --data-binary @- http://pypi.test/') == 'received 3000000' ]]
[[ $(substrate -c 'curl -sS http://pypi.test/a http://pypi.test/b') == $'44.128.0.10 pypi.test /a\n44.128.0.10 pypi.test /b' ]]
E
}

@test "a program that insists on IPv6 works by name, and reaches no other address" {
    policy enforce 'allowed: [pypi.test, "[2001:db8::]:80"]'
    in_internet <<'E'
[[ -e /proc/net/if_inet6 ]] || exit 0
[[ $(substrate -c 'curl -6 -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate -c 'curl -6 -sS --cacert ca.pem https://pypi.test/y') == '44.128.0.10 pypi.test /y' ]]
address=$(substrate -c 'getent ahostsv6 pypi.test')
[[ $address == fd73:7562:7374:2::* ]]
[[ $(substrate -c "exec 3<>/dev/tcp/${address%% *}/7; head -1 <&3") == hello ]]
! substrate -c 'getent ahostsv6 evil.test' 2>/dev/null
for to in 2001:db8::1/80 fd73:7562:7374:2::99/80 fd73:7562:7374:1::54/1 ::ffff:44.128.0.10/80 fe80::1/80; do
    out=$(substrate -c "exec 3<>/dev/tcp/$to && head -c1 <&3 | grep ." 2>&1) && { echo "$to: $out"; exit 1; }
done
out=$(substrate -c 'curl -6 -sSk --connect-to evil.test:443:pypi.test:443 https://evil.test/' 2>&1) && exit 1
grep -q 'pypi.test:443 refused: its TLS is for evil.test' <<<"$out" || { echo "$out"; exit 1; }
E
}

@test "a changed policy holds for the next command of the same world" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/' >/dev/null
printf 'id: default\nmode: enforce\nnet: {allowed: [registry.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
[[ $(substrate -c 'curl -sS http://registry.test/x') == '44.128.0.10 registry.test /x' ]]
! substrate -c 'curl -sS http://pypi.test/' 2>/dev/null
printf 'id: default\nmode: enforce\nnet: {allowed: []}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
! substrate -c 'curl -sS http://registry.test/' 2>/dev/null
E
}

@test "an edit of the policy cuts at once what it no longer allows, and nothing else" {
    policy enforce 'allowed: [pypi.test, registry.test]'
    in_internet <<'E'
substrate -c 'exec 3<>/dev/tcp/pypi.test/7 4<>/dev/tcp/registry.test/7; head -1 <&3; head -1 <&4; head -c1 <&3; echo cut; echo still >&4; head -1 <&4; exec 5<>/dev/tcp/pypi.test/7 || echo closed' >"$N/out" 2>"$N/err" &
for ((i = 0; i < 1000; i++)); do [[ $(grep -c hello "$N/out") == 2 ]] && break; sleep 0.02; done
printf 'id: default\nmode: enforce\nnet: {allowed: [registry.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
wait $! || :
[[ $(cat "$N/out") == $'hello\nhello\ncut\nstill\nclosed' ]] || { cat "$N/out" "$N/err"; exit 1; }
grep -q 'pypi.test:7 refused: the policy has changed' "$N/err"
# Back again: what the gateway has is not taken for what it had.
printf 'id: default\nmode: enforce\nnet: {allowed: [pypi.test, registry.test]}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
E
}

@test "without the gateway nothing is reached, and the next command has a new one" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/' >/dev/null
gateway=$(gateway)
substrate -c "sleep 1; kill -0 1; for i in 1 2 3 4 5 6 7 8 9; do curl -sS --max-time 5 http://pypi.test/ || break; sleep 0.3; done; echo end" >"$N/out" 2>&1 &
sleep 0.3
kill -KILL "$gateway"
wait $!
grep -q '^end$' "$N/out" && grep -q 'curl: ' "$N/out" || { cat "$N/out"; exit 1; }
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
E
}

@test "a budget of bytes ends what goes beyond it" {
    policy enforce 'allowed: [pypi.test], egress_budget: {total_bytes: 1Mi}'
    in_internet <<'E'
out=$(substrate -c 'curl -sS http://pypi.test/big | wc -c' 2>"$N/err") || :
((out <= 1048576)) || { echo "$out"; exit 1; }
grep -q 'the budget of bytes is used up' "$N/err"
! substrate -c 'curl -sS http://pypi.test/' 2>/dev/null
E
    recorded '.event_type=="rate_limit"'
}

@test "a rate holds back, a budget for each command ends it, and the next command has its own" {
    policy enforce 'allowed: [pypi.test], egress_budget: {bytes_per_sec: 2Mi, max_egress_bytes: 3Mi}'
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/big | wc -c' >"$N/out" 2>"$N/err" || :
read -r size <"$N/out"
((size > 1048576 && size <= 3145728)) || { cat "$N/out" "$N/err"; exit 1; }
grep -q 'the budget of bytes is used up' "$N/err"
[[ $(substrate trace --last --json | jq -r .outcome) == budget ]]
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
[[ $(substrate trace --last --json | jq -r .outcome) == ok ]]
E
    recorded '.event_type=="rate_limit" and .limit=="max_egress_bytes" and .bytes==3145728'
}

@test "fifty connections at a time move no more than the budget" {
    policy enforce 'allowed: [pypi.test], egress_budget: {total_bytes: 4Mi}'
    cat >race.py <<'E'
import socket, threading
got = []
def fetch():
    size = 0
    try:
        s = socket.create_connection(("pypi.test", 80))
        s.sendall(b"GET /big HTTP/1.1\r\nHost: pypi.test\r\n\r\n")
        while data := s.recv(1 << 16):
            size += len(data)
    except OSError:
        pass
    got.append(size)
threads = [threading.Thread(target=fetch) for _ in range(50)]
for t in threads: t.start()
for t in threads: t.join()
print(len(got), sum(got))
E
    in_internet <<'E'
substrate -c 'python3 race.py' >"$N/out" 2>/dev/null
read -r count size <"$N/out"
((count == 50 && size <= 4194304)) || { echo "$count $size"; exit 1; }
[[ $(jq -s '[.[] | select(.event_type=="rate_limit")] | length' "$SUBSTRATE_HOME/trace.jsonl") == 1 ]]
[[ $(jq -s '[.[] | select(.event_type=="net_connect") | .bytes_sent + .bytes_received] | add <= 4194304' "$SUBSTRATE_HOME/trace.jsonl") == true ]]
E
}

@test "what an agent's commands move together ends at its budget, whatever world they are in" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
substrate -c true
ask() { curl -sS --max-time 60 --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" -H 'Content-Type: application/json' -d "{\"agent_id\": \"$1\", \"cwd\": \"$PWD\", \"cmd\": \"$2\", \"isolate\": $3, \"budget\": {\"max_egress_bytes\": 1000000}}" http://localhost/v1/execute; }
first=$(ask one 'curl -sS http://pypi.test/big | wc -c' false)
size=$(jq -r .stdout_b64 <<<"$first" | base64 -d)
((size <= 1000000)) || { echo "$first"; exit 1; }
[[ $(substrate trace --last --json | jq -r .outcome) == budget ]]
# In a world of its own: the account is the agent's.
second=$(ask one 'curl -sS http://pypi.test/' true)
[[ $(jq -r .exit <<<"$second") != 0 ]] || { echo "$second"; exit 1; }
[[ $(ask two 'curl -sS http://pypi.test/' false | jq -r .exit) == 0 ]]
E
    recorded '.event_type=="rate_limit" and .limit=="agent_max_egress_bytes" and .bytes==1000000'
}

@test "more connections than there are descriptors for are refused, told, and harm nobody" {
    policy enforce 'allowed: [pypi.test]'
    cat >many.py <<'E'
import socket, sys
held, refused = [], 0
for i in range(150):
    try:
        s = socket.create_connection(("pypi.test", 7))
        if s.recv(6) != b"hello\n": raise OSError("end")
        held.append(s)
    except OSError:
        refused += 1
held[0].sendall(b"still\n")
print(len(held), refused, held[0].recv(6).decode().strip())
E
    ulimit -n 600
    in_internet <<'E'
substrate -c 'python3 many.py' >"$N/out" 2>"$N/err" || { cat "$N/err"; exit 1; }
read -r held refused word <"$N/out"
((held >= 10 && held <= 50 && held + refused == 150)) && [[ $word == still ]] || { echo "$held $refused $word"; cat "$N/err"; exit 1; }
grep -q 'refused: too many connections at a time' "$N/err" || { cat "$N/err"; exit 1; }
[[ $(substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
E
    recorded '.event_type=="net_connect" and (.allowed|not) and .reason=="too many connections at a time"'
}

@test "who takes the gateway over can start nothing and open nothing" {
    policy enforce 'allowed: [pypi.test]'
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/' >/dev/null
grep -q '^Seccomp:.2$' "/proc/$(gateway)/status"
grep -q '^NoNewPrivs:.1$' "/proc/$(gateway)/status"
E
}

@test "a network that nobody opened stays closed" {
    policy observe 'allowed: []'
    in_internet <<'E'
substrate -c 'exec 3<>/dev/tcp/44.128.0.10/80' 2>&1 | grep -q 'Network is unreachable'
[[ -z $(gateway) ]]
E
}

@test "the metrics count what passed, what was refused, and questions for names" {
    policy enforce 'allowed: [pypi.test], egress_budget: {max_egress_bytes: 2Mi}'
    in_internet <<'E'
metric() { curl -sS --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" http://localhost/metrics | sed -n "s/^substrate_net_$1 //p"; }
substrate -c true
for name in connections_total connections_refused_total connections_failed_total sent_bytes_total received_bytes_total dns_queries_total dns_cache_hits_total \
    dns_refused_total dns_failed_total dropped_packets_total dropped_bytes_total budgets_exhausted_total published_connections_total; do
    [[ $(metric $name) == 0 ]] || { echo "$name: $(metric $name)"; exit 1; }
done
substrate -c 'curl -sS http://pypi.test/x; curl -sS http://pypi.test/x' >/dev/null
(($(metric connections_total) == 2 && $(metric received_bytes_total) > 0 && $(metric sent_bytes_total) > 0))
(($(metric dns_queries_total) >= 2 && $(metric dns_cache_hits_total) >= 1 && $(metric dns_refused_total) == 0))
substrate -c 'curl -sS http://evil.test/' 2>/dev/null || :
(($(metric dns_refused_total) >= 1))
substrate -c 'curl -sS -H "Host: evil.test" http://pypi.test/' 2>/dev/null || :
(($(metric connections_refused_total) == 1))
substrate -c 'curl -sS http://pypi.test/big' >/dev/null 2>&1 || :
(($(metric budgets_exhausted_total) == 1))
substrate -c 'exec 3<>/dev/tcp/44.128.0.66/80' 2>/dev/null || :
dropped=$(metric dropped_packets_total)
((dropped >= 1 && $(metric dropped_bytes_total) >= 40))
# What a world has counted outlives it.
printf 'id: default\nmode: enforce\nnet: {allowed: []}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
substrate world gc >/dev/null
(($(metric dropped_packets_total) >= dropped))
E
}

@test "names are asked over HTTPS nowhere, unless the service is named" {
    policy enforce 'allowed: ["*"]'
    in_internet <<'E'
out=$(substrate -c 'curl -sS https://mozilla.cloudflare-dns.com/dns-query' 2>&1) && exit 1
grep -q 'mozilla.cloudflare-dns.com. refused: it answers questions for names over HTTPS' <<<"$out" || { echo "$out"; exit 1; }
! grep -q cloudflare "$N/dnsmasq.log"
E
    policy enforce 'allowed: ["*", "dns.google:443"]'
    run -0 substrate why host dns.google:443
    run -126 substrate why host cloudflare-dns.com:443
}

@test "substrate why host names the rule" {
    policy enforce 'allowed: ["*.pypi.test:443", 10.0.0.0/8], denied: [ads.pypi.test]'
    run -0 substrate why host files.PyPI.test.:443
    grep -Fxq 'rule        net.allowed[0] "*.pypi.test:443"' <<<"$output"
    run -126 substrate why host ads.pypi.test:443
    grep -Fxq 'rule        net.denied[0] "ads.pypi.test"' <<<"$output"
    run -126 substrate why host files.pypi.test:80
    grep -Fxq 'because     net.allowed does not name it' <<<"$output"
    run -0 substrate why host --json 10.1.2.3:22
    [[ $(jq -c '[.allowed, .rule]' <<<"$output") == '[true,"net.allowed[1]"]' ]]
    run -2 substrate why host 127.1:80
    grep -q 'names no host' <<<"$output"
    run -2 substrate why host pypi.test
}

@test "a preset opens what the account's own settings name, and never what a project's do" {
    policy enforce 'allowed: ["preset:npm"]'
    printf 'registry=https://registry.test/\n//registry.test/:_authToken=secret\n' >"$HOME/.npmrc"
    printf 'registry=https://evil.test/\n' >.npmrc
    in_internet <<'E'
[[ $(substrate -c 'curl -sS --cacert ca.pem https://registry.test/x') == '44.128.0.10 registry.test /x' ]]
! substrate -c 'curl -sS http://registry.test/x' 2>/dev/null
! substrate -c 'curl -sSk https://evil.test/x' 2>/dev/null
substrate -c 'echo registry=https://evil.test/ >"$HOME/.npmrc"' 2>/dev/null || :
! substrate -c 'curl -sSk https://evil.test/x' 2>/dev/null
# Another registry holds for the next command.
printf 'registry=https://pypi.test/\n' >"$HOME/.npmrc"
[[ $(substrate -c 'curl -sS --cacert ca.pem https://pypi.test/x') == '44.128.0.10 pypi.test /x' ]]
! substrate -c 'curl -sSk https://registry.test/x' 2>/dev/null
E
    run -0 substrate why host pypi.test:443
    grep -Fxq 'rule        net.allowed[0] "preset:npm"' <<<"$output"
    grep -Fxq "named by    $HOME/.npmrc" <<<"$output"
    run -126 substrate why host evil.test:443
    # Where a command or another account can write them, settings open nothing.
    chmod 0666 "$HOME/.npmrc"
    run -126 substrate why host pypi.test:443
    grep -Fq 'can be written by other accounts' <<<"$output"
    chmod 0600 "$HOME/.npmrc"
    cd "$HOME"
    run -126 substrate why host pypi.test:443
    grep -Fq 'can be written by commands here' <<<"$output"
}

@test "a command that runs for the preview of a question reaches nothing" {
    need_program tmux
    printf '%s\n' 'id: default' 'mode: enforce' 'net: {allowed: [pypi.test]}' 'world: {commit: ask}' \
        'approval: {require: [touch ask*]}' >"$SUBSTRATE_HOME/policies/default.yaml"
    substrate -c true
    [[ $(last .enforcement.netns) == gateway ]]
    in_terminal 'bash --norc --noprofile -i'
    typed "substrate -c 'touch ask1'; echo code-\$?"
    shown '\[o\]nce'
    typed o
    shown '^code-0'
    [[ -e ask1 && $(last .enforcement.netns) == loopback ]]
}

@test "what an agent was granted it reaches, and nobody else does" {
    policy enforce 'allowed: [pypi.test], denied: ["*.evil.test"]'
    in_internet <<'E'
ask() { api --json "{\"agent_id\": \"$1\", \"cwd\": \"$PWD\", \"cmd\": \"$2\"}" http://localhost/v1/execute; }
api() { curl -sS --max-time 60 --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" "$@"; }
reach() { ask "$1" "${2:-curl -sS --max-time 20 http://registry.test/x}" | jq -r '.stdout_b64 | @base64d'; }
more() { api --json "{\"agent_id\": \"me\", \"cwd\": \"$PWD\", \"scopes\": [\"$1\"], \"ttl_ms\": ${2:-600000}}" http://localhost/v1/request_scopes; }
allow() {
    jq -n --arg id "$(more "$@" | jq -r '.results[0].approval_id')" --rawfile token "$SUBSTRATE_HOME/approval-token" \
        '{approval_id: $id, decision: "once", token: ($token | rtrimstr("\n"))}' | api -f --json @- http://localhost/v1/approvals >/dev/null
}
world() { substrate trace --last --json | jq -r .world_id; }
substrate world warm >/dev/null
[[ -z $(reach me) ]]
[[ $(more net:a.evil.test:80 | jq -r '.results[0].status') == denied ]]
# What another has left in the background is not in the world of who was granted something.
ask other 'sleep 600 >/dev/null 2>&1 &' >/dev/null
theirs=$(world)
allow net:registry.test:80
[[ $(reach me) == *' registry.test /x' ]]
[[ $(world) != "$theirs" ]]
[[ $(substrate trace --last --json | jq -c .scopes_used) == '["net:registry.test:80"]' ]]
[[ -z $(reach other) && $(world) == "$theirs" ]]
[[ $(reach me 'curl -sS http://pypi.test/y') == *' pypi.test /y' ]]
# What lives on when the time is over reaches nothing any more.
allow net:evil.test:80 1500
ask me 'while curl -sS --max-time 5 http://evil.test/x; do sleep 0.1; done >/dev/null 2>&1; echo ended' |
    jq -r '.stdout_b64 | @base64d' | grep -q ended
[[ $(more net:evil.test:80 | jq -r '.results[0].status') == pending ]]
E
}

@test "on the host's network the ports of net.allowed are held, and it is said that names are not" {
    printf 'id: default\nmode: enforce\nnet: {allowed: ["pypi.test:443"]}\nworld: {isolate_network: false}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
    in_internet <<'E'
substrate -c true 2>err
ports=$(substrate trace --last --json | jq -c .enforcement.landlock_tcp_ports)
grep -q "degraded: network: on the host's network" err
[[ $ports != null ]] || { grep -q 'nothing of net.allowed is held' err; exit 0; }
[[ $ports == '[443]' ]]
substrate trace --last | grep -q 'TCP to ports 443'
[[ $(substrate -c "curl -sS --cacert ca.pem https://pypi.test/y" 2>/dev/null) == '44.128.0.10 pypi.test /y' ]]
for to in 44.128.0.10/80 44.128.0.66/80 127.0.0.1/80; do
    (exec 3<>"/dev/tcp/$to")
    out=$(substrate -c "exec 3<>/dev/tcp/$to" 2>&1) && { echo "$to: $out"; exit 1; }
    grep -q 'Permission denied' <<<"$out" || { echo "$to: $out"; exit 1; }
done
# Listening is nobody's concern, and a policy that names every port for an entry holds none.
substrate -c 'python3 -c "import socket; s = socket.create_server((\"127.0.0.1\", 0)); print(s.getsockname()[1] > 0)"' 2>/dev/null | grep -q True
printf 'id: default\nmode: enforce\nnet: {allowed: [pypi.test]}\nworld: {isolate_network: false}\n' >"$SUBSTRATE_HOME/policies/default.yaml"
substrate -c 'exec 3<>/dev/tcp/44.128.0.66/80' 2>err
[[ ! -s err && $(substrate trace --last --json | jq -c .enforcement.landlock_tcp_ports) == null ]]
E
}
