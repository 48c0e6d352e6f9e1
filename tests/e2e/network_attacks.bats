# Ways around the gateway, and against it, in the small internet. What is refused does not reach evil.test, and the gateway serves on.
bats_require_minimum_version 1.5.0
load common

more_setup() {
    N=$T/internet
    mkdir -p "$N" "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
    policy 'allowed: [pypi.test]'
    cp "$BATS_TEST_DIRNAME/attack_client.py" .
}
policy() { printf 'id: default\nmode: enforce\nnet: {%s}\n' "$1" >"$SUBSTRATE_HOME/policies/default.yaml"; }
gateway() {
    local pid
    for pid in $(our_processes); do
        [[ $(cat "/proc/$pid/comm") != substrate-gatew* ]] || echo "$pid"
    done
}
# refuses PATTERN ATTACK…: the client says that it was refused, and the agent says why.
refuses() {
    local pattern=$1 code=0
    shift
    timeout 60 substrate -c "python3 attack_client.py $*" >out 2>err || code=$?
    if ((code == 1)) && grep -q '^refused' out && grep -Eq -- "$pattern" err; then return; fi
    printf -- '-- %s: %s\n' "$*" "$code"
    cat out err
    exit 1
}
# passes PATTERN ATTACK…
passes() {
    local pattern=$1
    shift
    if timeout 60 substrate -c "python3 attack_client.py $*" >out 2>err && grep -Eq -- "$pattern" out; then return; fi
    printf -- '-- %s\n' "$*"
    cat out err
    exit 1
}
serves_on() { [[ $(timeout 60 substrate -c 'curl -sS http://pypi.test/x') == '44.128.0.10 pypi.test /x' ]] || { echo 'the gateway does not serve on' && exit 1; }; }
zone() { printf '%s\n' "$@" >"$N/zone.new" && mv "$N/zone.new" "$N/zone"; }
# server_of NAME: the address that answers for it.
server_of() { substrate -c "curl -sS --max-time 20 http://$1/" 2>/dev/null | cut -d' ' -f1; }
is() { [[ $(server_of "$1") == "$2" ]]; }
in_internet() { timeout 240 bash "$BATS_TEST_DIRNAME/small_internet.sh" "$N" bash -eu -c "export N=$N; $(declare -f gateway our_processes refuses passes serves_on policy wait_for gone zone server_of is); cp $N/ca.pem .; $(cat)"; }

@test "a TLS hello in single bytes is read; behind another record, hidden, or in an old form it is refused" {
    in_internet <<'E'
passes '^44.128.0.10 pypi.test /$' tls pypi.test 443 pypi.test bytes
refuses 'refused: its TLS is for evil.test' tls pypi.test 443 evil.test bytes
refuses 'refused: its TLS is for evil.test' tls pypi.test 443 evil.test whole
refuses 'does not begin with a ClientHello' tls pypi.test 443 evil.test alert
refuses 'does not begin with a ClientHello' tls pypi.test 443 pypi.test alert
refuses 'does not say for whom it is' tls pypi.test 443 - whole
refuses 'encrypted ClientHello' hello pypi.test 443 ech
refuses 'SSL 2' hello pypi.test 443 ssl2
refuses 'no single server name' hello pypi.test 443 two
serves_on
E
}

@test "requests that some servers take for one to another host are refused" {
    in_internet <<'E'
for form in empty-lines lower-case tabs version long-method bare-lf old-form absolute two-hosts folded; do
    refuses 'pypi.test:80 refused' http pypi.test 80 "$form"
done
refuses 'a request for evil.test' http pypi.test 80 keep-alive
refuses 'a change to HTTP/2' http pypi.test 80 h2c
out=$(timeout 60 substrate -c 'curl -sS --max-time 20 -x http://pypi.test:80 http://evil.test/' 2>&1) && exit 1
grep -q 'a request for evil.test' <<<"$out"
# The same server by another name of its own is another host.
refuses 'a request for registry.test' http pypi.test 80 sibling
serves_on
E
}

@test "names that two readers read two ways lead nowhere" {
    in_internet <<'E'
[[ $(substrate -c 'curl -sS http://PyPI.TEST/x') == '44.128.0.10 PyPI.TEST /x' ]]
[[ $(substrate -c 'curl -sS http://pypi.test./x') == '44.128.0.10 pypi.test. /x' ]]
for name in pypi.test.evil.test evil.testpypi.test xn--pypi-.test pypi.test%00.evil.test; do
    ! timeout 60 substrate -c "curl -sS --max-time 20 'http://$name/'" >out 2>&1 || { echo "$name"; cat out; exit 1; }
done
# Numbers of every form, IPv4 in IPv6: all of them are 44.128.0.66, 127.0.0.1 or 169.254.169.254 to somebody.
for host in 746586178 0x2c800042 054.0200.0.0102 44.8388674 44.128.66 '[::ffff:44.128.0.66]' '[::ffff:2c80:42]' '[64:ff9b::2c80:42]' \
    2852039166 0xa9fea9fe '[::ffff:169.254.169.254]' '[::ffff:127.0.0.1]'; do
    ! timeout 60 substrate -c "curl -sS -g --max-time 20 'http://$host/'" >out 2>/dev/null || { echo "$host"; cat out; exit 1; }
    [[ ! -s out ]] || { cat out; exit 1; }
done
passes '^5$' dns nul
passes '^5$' dns dot-in-label
passes '^5$' dns upper-case-evil
passes '^0 198.18' dns upper-case
serves_on
! grep -q evil "$N/dnsmasq.log"
E
}

@test "questions that hide words, loop, or are no questions: refused, and never sent on" {
    policy 'allowed: [pypi.test, "*.wild.test"]'
    in_internet <<'E'
for type in TXT NULL ANY MX NS SOA SRV AXFR; do
    for way in udp tcp; do passes '^5$' dns "type-$type" "$way"; done
done
for form in loop forward-loop label-64 two-questions truncated; do
    for way in udp tcp; do passes '^1$' dns "$form" "$way"; done
done
for way in udp tcp; do
    passes '^5$' dns longest-evil "$way"
    passes '^4$' dns notify "$way"
    passes '^nothing$' dns response "$way"
    passes '^nothing$' dns empty "$way"
    passes '^3$' dns longest "$way"
    passes '^0 198.18' dns plain "$way"
done
passes '^0 198.18' dns trickle tcp
# Another name server, also over TLS, by name or address and where everything else is open.
policy 'allowed: ["*", "44.128.0.0/16"]'
refuses 'name server.s port' reach 44.128.0.1 53
refuses 'name server.s port' reach 44.128.0.10 853
refuses 'name server.s port' reach pypi.test 853
serves_on
! grep -Eq 'evil|c2VjcmV0' "$N/dnsmasq.log"
E
}

@test "root in a world cannot touch its rules, its routes or its devices" {
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/' >/dev/null
cat >root.sh <<'S'
PATH=$PATH:/usr/sbin:/sbin
id -u
for try in 'nft flush ruleset' 'nft add table inet mine' 'nft list table inet filter' 'ip link add d type dummy' 'ip link set lo down' \
    'ip route add default dev lo' 'ip address add 10.9.9.9/32 dev lo' 'ip netns add x' 'sysctl -w net.ipv4.ip_forward=1' 'unshare -n true' 'unshare -Urn true'; do
    ! $try >/dev/null 2>&1 || echo "done: $try"
done
S
out=$(substrate -c 'bash root.sh')
[[ $(head -1 <<<"$out") == "$(id -u)" ]]
! grep 'done:' <<<"$out" || exit 1
passes '^refused' netlink
serves_on
! timeout 60 substrate -c 'curl -sS --max-time 20 http://44.128.0.66/' >/dev/null 2>&1 || exit 1
E
}

@test "what the kernel refuses in a world is counted there, in a table that the host does not have" {
    [[ $SUBSTRATE_TEST_WAY != user ]] || skip 'nsenter keeps no capability for who is not root'
    in_internet <<'E'
substrate -c 'exec 3<>/dev/tcp/44.128.0.66/80' 2>/dev/null && exit 1
substrate -c 'printf x >/dev/udp/44.128.0.10/443; printf x >/dev/udp/44.128.0.10/443' 2>/dev/null || :
init=$(substrate world status --json | jq -r ".projects[0].worlds[] | select(.commands > 0) | .init_pid")
rules=$(nsenter -t "$init" --user --net --preserve-credentials nft list ruleset)
for line in '^table inet substrate_' 'log prefix "substrate-dropped-' 'counter packets [1-9][0-9]* bytes [1-9][0-9]* reject with tcp reset' \
    'counter packets [1-9][0-9]* bytes [1-9][0-9]* reject with icmpx'; do
    grep -Eq "$line" <<<"$rules" || { echo "$rules"; exit 1; }
done
! nft list ruleset 2>/dev/null | grep substrate || exit 1
dropped() { curl -sS --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" http://localhost/metrics | sed -n 's/^substrate_net_dropped_packets_total //p'; }
before=$(dropped)
((before >= 2)) || { echo "$before"; exit 1; }
substrate -c 'printf x >/dev/udp/44.128.0.10/443' 2>/dev/null || :
(($(dropped) > before)) || { echo "$before $(dropped)"; exit 1; }
E
}

@test "a gateway that is stopped opens nothing, hangs nobody for ever, and is replaced" {
    in_internet <<'E'
substrate -c 'curl -sS http://pypi.test/' >/dev/null
stopped=$(gateway)
kill -STOP "$stopped"
# No limit of the client's own: the agent ends a gateway that does not answer.
! timeout 100 substrate -c 'curl -sS --resolve pypi.test:80:198.18.0.1 http://pypi.test/' >out 2>&1 || exit 1
grep -q 'curl: .*reset' out || { cat out; exit 1; }
wait_for 15 gone "$stopped"
serves_on
[[ $(gateway) != "$stopped" ]]
E
}

@test "five thousand connections at a time: as many as there is room for, the others refused, and nothing falls over" {
    in_internet <<'E'
serves_on
before=$(gateway)
printf 'ulimit -n "$(ulimit -Hn)"; exec python3 attack_client.py many pypi.test 9 5000\n' >many.sh
timeout 200 substrate -c 'bash many.sh' >out 2>err || { cat out err; exit 1; }
read -r held refused <out
((held >= 100 && held + refused == 5000)) || { cat out err; exit 1; }
((refused == 0)) || grep -q 'too many connections at a time' err
serves_on
[[ $(gateway) == "$before" ]]
E
}

@test "a slow server slows nobody else; half a stream may end before the other" {
    in_internet <<'E'
passes '^slowly and curl$' slow pypi.test 11
head -c 1000000 /dev/urandom >said
passes "^1000000 $(sha256sum <said | cut -d' ' -f1)$" half pypi.test 13 said
passes '^hello$' reach pypi.test 7
serves_on
E
}

@test "names with short times to live, aliases and moving addresses" {
    policy 'allowed: [pypi.test, a.moving.test, chain.moving.test, six.moving.test, bad.moving.test, mixed.moving.test, fails.moving.test, empty.moving.test, svcb.moving.test]'
    in_internet <<'E'
zone 'a.moving.test A 0 44.128.0.10' 'chain.moving.test CNAME 1 b.moving.test' 'b.moving.test CNAME 1 c.moving.test' 'c.moving.test A 1 44.128.0.10' \
    'six.moving.test AAAA 60 fd00::7' 'bad.moving.test CNAME 60 inner.moving.test' 'inner.moving.test A 60 169.254.169.254' \
    'mixed.moving.test A 60 44.128.0.10' 'mixed.moving.test A 60 127.0.0.1' 'fails.moving.test fails' 'empty.moving.test RAW16 60 0178' \
    'svcb.moving.test A 60 44.128.0.10' 'svcb.moving.test RAW65 60 00010464616e67076578616d706c6500'
[[ $(server_of a.moving.test) == 44.128.0.10 ]]
# A connection stays where it is when its name moves.
mkfifo "$N/go"
substrate -c 'exec 3<>/dev/tcp/a.moving.test/9; echo one >&3; head -1 <&3; read -r _; echo two >&3; head -1 <&3' <"$N/go" >stays &
exec 5>"$N/go"
wait_for 30 grep -q one stays
zone 'a.moving.test A 0 44.128.0.66' "$(grep -v '^a\.' "$N/zone")"
wait_for 30 is a.moving.test 44.128.0.66
echo go >&5
wait $!
[[ $(cat stays) == $'one\ntwo' ]]
[[ $(server_of chain.moving.test) == 44.128.0.10 ]]
for name in bad mixed six; do
    out=$(substrate -c "curl -sS --max-time 20 http://$name.moving.test/" 2>&1) && exit 1
    grep -q 'refused: it leads to' <<<"$out" || { echo "$name: $out"; exit 1; }
done
status() { timeout 60 substrate -c "dig +tries=1 $1" 2>/dev/null | grep -Eo 'status: [A-Z]+|ANSWER: [0-9]+' | paste -sd' '; }
told() { [[ $(status "$1") == "status: $2 ANSWER: 0" ]] || { echo "$1: $(status "$1")" && exit 1; }; }
told fails.moving.test SERVFAIL
told empty.moving.test NOERROR
zone "$(grep -v '^fails\.' "$N/zone")"
told fails.moving.test NXDOMAIN
# Records of services name other hosts, ports and keys: there are none, and nobody is asked for them.
told 'svcb.moving.test TYPE65' NOERROR
told '_443._https.svcb.moving.test TYPE64' NOERROR
told '_443._https.evil.test TYPE64' REFUSED
! grep -Eq '^6[45] ' "$N/zone.log" || exit 1
E
}

@test "pinned names hold while the policy says, through failures of the name server" {
    policy 'allowed: [pypi.test, a.moving.test, b.moving.test], dns: {pinned: true, refresh_secs: 2}'
    in_internet <<'E'
zone 'a.moving.test A 0 44.128.0.10' 'b.moving.test A 0 44.128.0.10'
is a.moving.test 44.128.0.10
is b.moving.test 44.128.0.10
zone 'a.moving.test fails' 'b.moving.test A 0 44.128.0.66'
wait_for 30 is b.moving.test 44.128.0.66
# It was asked for at least as early, and in vain when it was asked for again.
is a.moving.test 44.128.0.10
zone
gone() { ! substrate -c 'curl -sS --max-time 20 http://a.moving.test/' >/dev/null 2>&1; }
wait_for 30 gone
policy 'allowed: [pypi.test, c.moving.test], dns: {pinned: true, refresh_secs: 3600}'
zone 'c.moving.test A 0 44.128.0.10'
is c.moving.test 44.128.0.10
zone 'c.moving.test A 0 44.128.0.66'
for ((i = 0; i < 5; i++)); do is c.moving.test 44.128.0.10; done
[[ $(grep -c '^1 c.moving.test$' "$N/zone.log") == 1 ]]
E
}
