# Ports of worlds that the host's loopback leads to. "The host" is a network namespace of the test's own.
bats_require_minimum_version 1.5.0
load common

more_setup() {
    N=$T/internet
    mkdir -p "$N" "$SUBSTRATE_HOME/policies"
    chmod 0700 "$SUBSTRATE_HOME"
    echo 'of the world' >index.html
    cat >serve.sh <<'S'
# serve.sh ADDRESS PORT: a server in the background, and its world stays.
python3 -m http.server "$2" --bind "$1" >/dev/null 2>&1 &
for ((i = 0; i < 400; i++)); do (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null && exit 0; sleep 0.05; done
exit 1
S
}
policy() { printf '%s\n' "$@" >"$SUBSTRATE_HOME/policies/default.yaml"; }
gateway() {
    local pid
    for pid in $(our_processes); do
        [[ $(cat "/proc/$pid/comm") != substrate-gatew* ]] || echo "$pid"
    done
}
serves() { [[ $(curl -sS --max-time 20 "$1" 2>/dev/null) == 'of the world' ]]; }
closed() { ! curl -sS --max-time 20 "$1" >/dev/null 2>&1; }
# busy PORT: somebody else has it, until that process is ended.
busy() {
    python3 -m http.server "$1" --bind 127.0.0.1 >/dev/null 2>&1 3>&- &
    others=$!
    trap 'kill "$others"' EXIT
    wait_for 20 listens "$1"
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
in_internet() { timeout 200 bash "$BATS_TEST_DIRNAME/small_internet.sh" "$N" bash -eu -c "export N=$N P=$P; $(declare -f busy listens serves closed wait_for policy gateway our_processes); $(cat)"; }

@test "a published port leads to the world's server, from loopback only, until it is closed or the world ends" {
    in_internet <<'E'
substrate -c 'bash serve.sh 127.0.0.1 3000'
closed http://127.0.0.1:3000/index.html
out=$(substrate world publish 3000)
grep -Eq '^http://localhost:3000/ leads to wld_' <<<"$out"
serves http://127.0.0.1:3000/index.html
serves 'http://[::1]:3000/index.html'
closed http://44.128.0.10:3000/index.html
grep -q '^http://localhost:3000/ ' <<<"$(substrate world status)"
[[ $(substrate world status --json | jq -c '[.published[] | .port]') == '[3000]' ]]
# Again is no error, another's port is one.
substrate world publish 3000 >/dev/null
busy 3999
out=$(substrate world publish 3999 2>&1) && exit 1
grep -q '^substrate: port 3999 is in use on this machine' <<<"$out" || { echo "$out"; exit 1; }
[[ $(wc -l <<<"$out") == 1 ]]
substrate world unpublish 3000 >/dev/null
closed http://127.0.0.1:3000/index.html
out=$(substrate world unpublish 3000 2>&1) && exit 1
grep -q 'is not published' <<<"$out"
substrate world publish 3000 >/dev/null
serves http://127.0.0.1:3000/index.html
substrate world stop
closed http://127.0.0.1:3000/index.html
out=$(substrate world publish 3000 2>&1) && exit 1
grep -q 'no world is running' <<<"$out"
E
}

@test "a server that listens on IPv6 only, one that is not there, and one of another world" {
    mkdir "$T/other"
    in_internet <<'E'
substrate -c 'bash serve.sh ::1 3000'
substrate world publish --json 3000 >ids.json
serves http://127.0.0.1:3000/index.html
substrate world publish 3001 >/dev/null
closed http://127.0.0.1:3001/
cd ../other
substrate -c true
out=$(substrate world publish 3000 2>&1) && exit 1
grep -q "port 3000 is published for $(jq -r .world_id "$P/ids.json")" <<<"$out" || { echo "$out"; exit 1; }
substrate world unpublish 3000 --world "$(jq -r .world_id "$P/ids.json")" >/dev/null
for wrong in 0 65536 x; do substrate world publish "$wrong" 2>/dev/null && exit 1; done
out=$(substrate world publish 3000 --world wld_nonsense 2>&1) && exit 1
grep -q 'is no world id' <<<"$out"
E
}

@test "much, slowly, at once and half closed: what is passed on arrives" {
    cat >talk.py <<'S'
import hashlib, socket, sys, threading
def serve():
    s = socket.create_server(("127.0.0.1", 3000), backlog=200)
    while True:
        threading.Thread(target=answer, args=(s.accept()[0],), daemon=True).start()
def answer(c):
    said = b""
    while data := c.recv(65536): said += data
    c.sendall(hashlib.sha256(said).hexdigest().encode()); c.close()
def ask(i, wrong):
    said = bytes([i % 251]) * (4_000_000 if i == 0 else 5000 + i)
    c = socket.create_connection(("127.0.0.1", 3000), timeout=60)
    c.sendall(said); c.shutdown(socket.SHUT_WR)
    got = b""
    while data := c.recv(65536): got += data
    if got.decode() != hashlib.sha256(said).hexdigest(): wrong.append(i)
if sys.argv[1] == "serve": serve()
wrong = []
threads = [threading.Thread(target=ask, args=(i, wrong)) for i in range(100)]
for t in threads: t.start()
for t in threads: t.join()
print("wrong:", wrong)
S
    in_internet <<'E'
substrate -c 'python3 talk.py serve >/dev/null 2>&1 & for ((i = 0; i < 400; i++)); do (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null && exit 0; sleep 0.05; done; exit 1'
substrate world publish 3000 >/dev/null
[[ $(python3 talk.py ask) == 'wrong: []' ]]
out=$(curl -sS --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" http://localhost/metrics)
grep -Eq '^substrate_net_ports_published 1$' <<<"$out"
grep -Eq '^substrate_net_published_connections_total [1-9]' <<<"$out"
E
}

@test "the account's policy publishes by itself, a project's own does not until it is trusted" {
    printf 'id: mine\nmode: observe\nworld: {publish: [3000]}\n' >.substrate-policy.yaml
    policy 'id: default' 'mode: observe'
    in_internet <<'E'
substrate -c 'bash serve.sh 127.0.0.1 3000'
closed http://127.0.0.1:3000/index.html
[[ $(substrate world status --json | jq -c .published) == '[]' ]]
substrate world stop
rm .substrate-policy.yaml
policy 'id: default' 'mode: observe'
substrate -c 'bash serve.sh 127.0.0.1 3000'
policy 'id: default' 'mode: observe' 'world: {publish: [3000]}'
substrate -c true
serves http://127.0.0.1:3000/index.html
# Without its gateway the port is closed, and open again with the next command.
kill -KILL "$(gateway | head -1)"
wait_for 30 closed http://127.0.0.1:3000/index.html
# The agent may not have noticed its end yet when the first comes.
again() { substrate -c true && serves http://127.0.0.1:3000/index.html; }
wait_for 30 again
policy 'id: default' 'mode: observe'
substrate -c true
closed http://127.0.0.1:3000/index.html
# In use: the command runs, and says so.
busy 3999
policy 'id: default' 'mode: observe' 'world: {publish: [3999]}'
out=$(substrate -c 'echo ran' 2>&1)
grep -q '^ran$' <<<"$out" && grep -q 'world.publish: port 3999 is in use' <<<"$out" || { echo "$out"; exit 1; }
E
}

@test "a port that only root may have: one line says from which on, and what to do" {
    [[ $SUBSTRATE_TEST_WAY == user ]] || skip 'root may have them all'
    in_internet <<'E'
substrate -c 'bash serve.sh 127.0.0.1 3000'
out=$(substrate world publish 80 2>&1) && { echo "$out"; exit 1; }
grep -q "^substrate: port 80 of this machine is root's: an account has those from 1024 on" <<<"$out" || { echo "$out"; exit 1; }
grep -q 'ip_unprivileged_port_start=80' <<<"$out" || { echo "$out"; exit 1; }
E
}

@test "the API publishes and closes; a command in a world cannot" {
    in_internet <<'E'
substrate -c 'bash serve.sh 127.0.0.1 3000'
world=$(substrate world status --json | jq -r '.projects[0].worlds[] | select(.standby | not) | .world_id')
ask() { curl -sS --max-time 60 --unix-socket "$SUBSTRATE_HOME/sock/agent.sock" -H 'Content-Type: application/json' -d "$2" "http://localhost/v1/worlds/$1"; }
[[ $(ask "$world/publish" '{"port": 3000}' | jq -c '[.port, .published]') == '[3000,true]' ]]
serves http://127.0.0.1:3000/index.html
[[ $(ask "$world/unpublish" '{"port": 3000}' | jq -c '[.port, .published]') == '[3000,false]' ]]
closed http://127.0.0.1:3000/index.html
for body in '{"port": 0}' '{"port": 70000}' '{}'; do [[ $(ask "$world/publish" "$body" | jq -r .status) == 400 ]]; done
busy 3999
[[ $(ask "$world/publish" '{"port": 3999}' | jq -r .status) == 409 ]]
[[ $(ask wld_00000000-0000-7000-8000-000000000000/publish '{"port": 3000}' | jq -r .status) == 404 ]]
! substrate -c 'substrate world publish 3000' >out 2>&1 || { cat out; exit 1; }
closed http://127.0.0.1:3000/index.html
E
}
