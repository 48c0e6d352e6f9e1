#!/usr/bin/env python3
"""Clients of agent.sock for the suite api.bats: api_client.py TEST [ARGUMENTS] runs one test.
Every answer is held against schemas/openapi.yaml."""
import base64
import http.client
import json
import os
import pathlib
import signal
import socket
import sys
import threading
import time

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = yaml.safe_load((HERE.parent / "schemas" / "openapi.yaml").read_text())
SOCKET = os.path.join(os.environ["SUBSTRATE_HOME"], "sock", "agent.sock")
LIMIT = 60  # seconds, for hangs only


def check(value, schema, where):
    resolver = jsonschema.RefResolver("", DOCUMENT)
    errors = list(jsonschema.Draft202012Validator(schema, resolver=resolver).iter_errors(value))
    assert not errors, f"{where}: {errors[0].message} at {list(errors[0].absolute_path)} of {value}"


def check_answer(method, path, status, content_type, body):
    """The answer is one that the document describes for this operation."""
    where = f"{method} {path} -> {status}"
    known = path.split("?")[0]
    for listed, parameter in (("/v1/trace/", "{span_id}"), ("/v1/request_scopes/", "{grant_id}")):
        known = listed + parameter if known.startswith(listed) else known
    if known.startswith("/v1/worlds/"):
        known = "/".join(["/v1/worlds", "{world_id}", *known.split("/")[4:]])
    operation = DOCUMENT["paths"].get(known, {}).get(method.lower())
    content_type = content_type.split(";")[0]
    if operation is None:
        assert content_type == "application/problem+json", f"{where}: {content_type}"
        check(json.loads(body), {"$ref": "#/components/schemas/Problem"}, where)
        return
    response = operation["responses"].get(str(status), operation["responses"]["default"])
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    assert content_type in response["content"], f"{where}: {content_type} is not described"
    schema = response["content"][content_type]["schema"]
    if content_type == "application/x-ndjson":
        for line in body.splitlines():
            check(json.loads(line), schema, where)
    elif content_type.endswith("json"):
        check(json.loads(body), schema, where)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self):
        super().__init__("localhost", timeout=LIMIT)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(SOCKET)


class Answer:
    def __init__(self, response, body):
        self.status, self.headers, self.body = response.status, response.headers, body

    @property
    def json(self):
        return json.loads(self.body)


def call(method, path, body=None, headers=None, connection=None):
    own = connection or UnixConnection()
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})}
    own.request(method, path, body, headers or {})
    response = own.getresponse()
    answer = Answer(response, response.read())
    check_answer(method, path, answer.status, answer.headers["Content-Type"], answer.body)
    if connection is None:
        own.close()
    return answer


def execute(cmd, connection=None, want=200, path="/v1/execute", **more):
    answer = call("POST", path, {"agent_id": "tester", "cmd": cmd, **more}, connection=connection)
    assert answer.status == want, f"{answer.status}, not {want}: {answer.body}"
    return answer.json if path == "/v1/execute" or want != 200 else answer


def text(result, stream="stdout"):
    return base64.b64decode(result[stream + "_b64"], validate=True).decode()


def raw(data, half_close=False):
    """All that comes back until the server closes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(SOCKET)
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return read_all(client)


def read_all(client):
    out = b""
    while True:
        try:
            piece = client.recv(1 << 16)
        except ConnectionResetError:
            return out
        if not piece:
            return out
        out += piece


def status_of(answer):
    assert answer.startswith(b"HTTP/1."), answer
    return int(answer.split(b" ", 2)[1])


def wait_until(condition, what):
    deadline = time.monotonic() + LIMIT
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in time: {what}"
        time.sleep(0.02)
    return found


def spans():
    lines = pathlib.Path(os.environ["SUBSTRATE_HOME"], "trace.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def agent_pid():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(SOCKET)
        return int.from_bytes(client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


def agent_rss_kb():
    status = pathlib.Path(f"/proc/{agent_pid()}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# What the tests run.


def answers():
    assert call("GET", "/healthz").json["status"] == "ok"
    assert call("GET", "/v1/openapi.json").json == json.loads(json.dumps(DOCUMENT))
    assert call("GET", "/v1/capabilities").json["backend"] == "local"
    assert call("GET", "/v1/approvals").json == {"approvals": []}
    assert call("GET", "/v1/doctor/world").json["ok"]
    assert call("POST", "/v1/gc").json["errors"] == []
    assert call("POST", "/v1/gc", {"dry_run": True}).json["errors"] == []
    metrics = call("GET", "/metrics").body.decode()
    assert "\nsubstrate_commands_total " in metrics, metrics
    result = execute("echo hello")
    span = call("GET", "/v1/trace/" + result["span_id"])
    assert span.json["cmd"] == "echo hello" and span.json["agent_id"] == "tester", span.json
    assert call("GET", "/v1/trace/spn_00000000-0000-7000-8000-000000000000").status == 404
    assert call("GET", "/v1/trace/nothing").status == 400
    assert call("GET", "/v1/nothing").status == 404
    assert call("GET", "/").status == 404
    wrong = call("PUT", "/v1/execute", {})
    assert (wrong.status, wrong.headers["Allow"]) == (405, "POST"), wrong.body
    assert call("GET", "/healthz?x=1").status == 400
    assert call("GET", "/healthz", b"x").status == 400


def executes():
    result = execute("echo out; echo err >&2; echo new >made; exit 3")
    assert (result["exit"], text(result), text(result, "stderr")) == (3, "out\n", "err\n"), result
    assert result["outcome"] == "failed" and result["commit"] == "applied", result
    assert [entry["path"] for entry in result["fs_diff"]["entries"]] == ["made"], result
    assert pathlib.Path("made").read_text() == "new\n"
    span = spans()[-1]
    assert span["span_id"] == result["span_id"] and span["agent_id"] == "tester", span
    assert span["policy_decision"]["action"] == "allow" and span["policy_id"] == result["policy_decision"]["policy_id"]
    assert span["output"]["stdout_bytes"] == 4 and span["output"]["stderr_bytes"] == 4, span["output"]
    blob = bytes(range(256)) * 1000
    result = execute("cat", stdin_b64=base64.b64encode(blob).decode())
    assert base64.b64decode(result["stdout_b64"]) == blob
    assert text(execute("cat; echo end")) == "end\n"
    assert text(execute('echo "$A:$HOME"', env={"A": "b c"})) == f"b c:{os.environ['HOME']}\n"
    os.mkdir("below")
    assert text(execute("pwd", cwd=os.getcwd() + "/below")) == os.getcwd() + "/below\n"
    assert text(execute("pwd")) == os.getcwd() + "\n"
    result = execute("sleep 600", timeout_ms=50)
    assert result["outcome"] == "timeout" and result["exit"] == 143, result
    result = execute("head -c 5000000 /dev/zero")
    assert result["stdout_truncated"] and len(base64.b64decode(result["stdout_b64"])) == 4 << 20
    assert spans()[-1]["output"]["stdout_bytes"] == 5000000
    result = execute("echo kept >isolated", isolate=True)
    assert result["commit"] == "pending" and not os.path.exists("isolated"), result
    assert execute("true", cwd="/nowhere", want=400)["error"] == "invalid"


def denies():
    result = execute("touch no", want=403)
    assert result["error"] == "denied" and result["rule"].startswith("commands.denied"), result
    assert result["pattern"] == "touch no*" and result["reason"], result
    assert spans()[-1]["span_id"] == result["span_id"] and spans()[-1]["outcome"] == "denied"
    result = execute("touch no", want=403, path="/v1/execute/stream")
    assert result["error"] == "denied", result
    result = execute("touch ask", want=403)
    assert "nobody has decided in time" in result["reason"], result
    result = execute("true", env={"BASH_ENV": "/tmp/x"}, want=403)
    assert result["rule"] == "environment", result
    assert not os.path.exists("no") and not os.path.exists("ask")


def refuses():
    def refused(body, error, pointer=None, status=400, headers=None):
        answer = call("POST", "/v1/execute", body, headers)
        assert (answer.status, answer.json["error"]) == (status, error), f"{body}: {answer.body}"
        assert pointer is None or answer.json["pointer"] == pointer, f"{body}: {answer.body}"

    typed = {"Content-Type": "application/json"}
    good = {"agent_id": "a", "cmd": "touch no"}
    refused({"cmd": "touch no"}, "agent_id_required", "/agent_id")
    refused({**good, "agent_id": ""}, "agent_id_required", "/agent_id")
    refused({**good, "agent_id": None}, "agent_id_required", "/agent_id")
    refused({**good, "agent_id": "a" * 129}, "invalid", "/agent_id")
    refused({**good, "agent_id": 1}, "invalid", "/agent_id")
    refused({**good, "agent_id": "a\x07"}, "agent_id_invalid", "/agent_id")
    refused({**good, "agent_id": "a\x00"}, "agent_id_invalid", "/agent_id")
    refused({"agent_id": "a"}, "invalid", "/cmd")
    refused({**good, "cmd": ""}, "invalid", "/cmd")
    refused({**good, "cmd": ["touch", "no"]}, "invalid", "/cmd")
    refused({**good, "cmd": "touch no\x00"}, "invalid", "/cmd")
    refused({**good, "unknown/~": 1}, "invalid", "/unknown~1~0")
    refused({**good, "env": {"A": 1}}, "invalid", "/env/A")
    refused({**good, "env": {"A=B": "1"}}, "invalid", "/env")
    refused({**good, "timeout_ms": -1}, "invalid", "/timeout_ms")
    refused({**good, "timeout_ms": 1.5}, "invalid", "/timeout_ms")
    refused({**good, "cwd": "."}, "invalid", "/cwd")
    refused({**good, "stdin_b64": "?"}, "invalid", "/stdin_b64")
    refused({**good, "budget": {"max": 1}}, "invalid", "/budget/max")
    refused([], "invalid", "")
    refused(b"", "invalid", None, headers=typed)
    refused(b"{", "invalid", "", headers=typed)
    refused(b'{"agent_id":"a","cmd":"touch \xff no"}', "invalid", "", headers=typed)
    refused(b"[" * 100000, "invalid", "", headers=typed)
    refused(b"agent_id=a&cmd=true", "media_type", None, 415, {"Content-Type": "application/x-www-form-urlencoded"})
    assert not os.path.exists("no")
    assert not [span for span in spans() if span.get("cmd", "").startswith("touch")]


def frames_of(answer):
    return [json.loads(line) for line in answer.body.splitlines()]


def streams():
    answer = execute("echo one; echo two >&2; head -c 3000000 /dev/zero; exit 4", path="/v1/execute/stream")
    frames = frames_of(answer)
    assert frames[0]["type"] == "start" and frames[-1]["type"] == "exit", [frame["type"] for frame in frames]
    assert frames[-1]["exit"] == 4 and frames[-1]["span_id"] == frames[0]["span_id"]
    out = b"".join(base64.b64decode(frame["chunk_b64"]) for frame in frames if frame["type"] == "stdout")
    err = b"".join(base64.b64decode(frame["chunk_b64"]) for frame in frames if frame["type"] == "stderr")
    assert out == b"one\n" + bytes(3000000) and err == b"two\n"
    frames = frames_of(execute("true", path="/v1/execute/stream"))
    assert [frame["type"] for frame in frames] == ["start", "exit"]
    # What HTTP/1.0 gets ends with the connection.
    body = json.dumps({"agent_id": "old", "cmd": "echo x", "cwd": os.getcwd()}).encode()
    answer = raw(b"POST /v1/execute/stream HTTP/1.0\r\nContent-Type: application/json\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower() and json.loads(rest.splitlines()[-1])["type"] == "exit", answer


def start_stream(cmd, **more):
    """A connection whose command has started, and the rest of its answer to read."""
    connection = UnixConnection()
    body = json.dumps({"agent_id": "tester", "cmd": cmd, **more})
    connection.request("POST", "/v1/execute/stream", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    start = json.loads(response.readline())
    assert start["type"] == "start", start
    return connection, response, start["span_id"]


def cancels():
    connection, response, span_id = start_stream("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done")
    assert base64.b64decode(json.loads(response.readline())["chunk_b64"]) == b"ready\n"
    answer = call("POST", "/v1/execute/cancel", {"span_id": span_id, "signal": "USR1"})
    assert answer.status == 200, answer.body
    frames = [json.loads(line) for line in response.read().splitlines()]
    said = [base64.b64decode(frame["chunk_b64"]) for frame in frames if frame["type"] == "stdout"]
    assert said == [b"got\n"] and frames[-1]["exit"] == 5, frames
    assert call("POST", "/v1/execute/cancel", {"span_id": span_id, "signal": "USR1"}).status == 404
    assert call("POST", "/v1/execute/cancel", {"span_id": span_id, "signal": "STOP"}).status == 400
    connection.close()
    connection, response, span_id = start_stream("sleep 600")
    call("POST", "/v1/execute/cancel", {"span_id": span_id, "signal": "KILL"})
    last = json.loads(response.read().splitlines()[-1])
    assert (last["exit"], last["outcome"]) == (137, "killed"), last
    connection.close()


def goes_away():
    """A client that closes ends its command, one that only stops sending does not."""
    connection, response, span_id = start_stream("sleep 600")
    response.close()
    connection.close()
    span = wait_until(lambda: next((s for s in spans() if s.get("span_id") == span_id and "exit" in s), None), "span")
    assert span["outcome"] == "killed", span
    body = json.dumps({"agent_id": "whole", "cmd": "sleep 601", "cwd": os.getcwd()}).encode()
    request = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(SOCKET)
        client.sendall(request)
    # It may have gone before its command was started; then there is nothing to end.
    wait_until(lambda: "substrate_api_commands_running 0\n" in call("GET", "/metrics").body.decode(), "its end")
    assert all(span["outcome"] == "killed" for span in spans() if span.get("agent_id") == "whole")
    body = json.dumps({"agent_id": "half", "cmd": "echo answered", "cwd": os.getcwd()}).encode()
    request = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    answer = raw(request, half_close=True)
    assert status_of(answer) == 200, answer
    assert base64.b64decode(json.loads(answer.split(b"\r\n\r\n", 1)[1])["stdout_b64"]) == b"answered\n"


def flood():
    """However much a command writes, what nobody reads stays in its pipe."""
    word = f"flood-{os.getpid()}"
    execute("true")
    before = agent_rss_kb()
    connection, response, _ = start_stream(f"exec yes {word}")

    def writer():
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and (entry / "cmdline").read_bytes() == f"yes\0{word}\0".encode():
                    return entry
            except OSError:
                pass
        return None

    process = wait_until(writer, "yes runs")

    def stuck():
        fields = lambda: (process / "stat").read_text().rsplit(")", 1)[1].split()
        first = fields()
        time.sleep(0.05)
        second = fields()
        return second[0] == "S" and first[11:13] == second[11:13]

    wait_until(stuck, "yes waits for its reader")
    read = 0
    while read < 50_000_000:
        frame = json.loads(response.readline())
        assert frame["type"] == "stdout", frame
        data = base64.b64decode(frame["chunk_b64"])
        read += len(data)
    wait_until(stuck, "yes waits again")
    grown = agent_rss_kb() - before
    # AddressSanitizer keeps what was freed.
    sanitized = "libasan" in pathlib.Path(f"/proc/{agent_pid()}/maps").read_text()
    assert sanitized or grown < 24 * 1024, f"the agent has grown by {grown} KiB"
    response.close()
    connection.close()
    wait_until(lambda: not process.exists(), "yes is ended")


def parallel():
    results, problems = [None] * 200, []

    def one(i):
        try:
            results[i] = text(execute(f"echo {i}"))
        except BaseException as problem:  # pylint: disable=broad-except
            problems.append(f"{i}: {problem!r}")

    threads = [threading.Thread(target=one, args=(i,)) for i in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    assert results == [f"{i}\n" for i in range(200)], results


def keeps_alive():
    connection = UnixConnection()
    connection.connect()
    first = connection.sock
    for i in range(20):
        assert text(execute(f"echo {i}", connection)) == f"{i}\n"
        assert call("GET", "/nope", connection=connection).status == 404
        assert call("POST", "/v1/execute", {"cmd": "x"}, connection=connection).status == 400
    assert connection.sock is first
    connection.close()
    body = json.dumps({"agent_id": "pipe", "cmd": "echo x", "cwd": os.getcwd()}).encode()
    one = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = raw(one * 3 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 4 and answer.count(b'"stdout_b64":"eAo="') == 3, answer


def slow():
    """With a deadline of some hundred milliseconds: whoever is slower is not waited for."""
    for data in (b"G", b"GET /healthz HTTP/1.1\r\nHost: x\r\n",
                 b"POST /v1/gc HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{"):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(SOCKET)
            client.sendall(data)
            assert read_all(client) == b"", data
    # A byte now and then does not help.
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.02)
        client.connect(SOCKET)
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                client.sendall(b"A: b\r\n")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            raise AssertionError("it goes on for ever")
    # Others are served meanwhile, and a command may take its time.
    assert text(execute("sleep 1; echo done")) == "done\n"


def budgets():
    refused, problems = [], []

    def one():
        try:
            answer = call("POST", "/v1/execute", {"agent_id": "frugal", "cmd": "true", "budget": {"max_execs": 19}})
            if answer.status != 200:
                refused.append(answer)
        except BaseException as problem:  # pylint: disable=broad-except
            problems.append(repr(problem))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert [answer.status for answer in refused] == [429], refused
    assert 0 < int(refused[0].headers["Retry-After"]) <= 3600
    record = [span for span in spans() if span["event_type"] == "rate_limit"]
    assert len(record) == 1 and record[0]["agent_id"] == "frugal" and record[0]["limit"] == "max_execs", record
    assert record[0]["span_id"] == refused[0].json["span_id"]
    assert execute("true", agent_id="other", budget={"max_execs": 1})["exit"] == 0
    # What policy refuses has not run.
    assert execute("touch no", agent_id="denied", budget={"max_execs": 1}, want=403)["error"] == "denied"
    assert execute("true", agent_id="denied", budget={"max_execs": 1})["exit"] == 0
    result = execute("sleep 600", agent_id="long", budget={"max_runtime_ms": 200})
    assert result["outcome"] == "budget", result
    assert execute("true", agent_id="long", budget={"max_runtime_ms": 200}, want=429)["limit"] == "max_runtime_ms"
    assert execute("true", agent_id="long")["exit"] == 0
    assert execute("true", want=429, budget={"max_execs": 0})["error"] == "budget_exhausted"


def worlds():
    unknown = "/v1/worlds/wld_00000000-0000-7000-8000-000000000000"
    for path in (unknown, unknown + "/diff"):
        assert call("GET", path).status == 404
    assert call("POST", unknown + "/apply").status == 404
    assert call("GET", "/v1/worlds/nothing").status == 400
    execute("echo applied >one")
    (idle,) = call("GET", "/v1/worlds").json["worlds"]
    assert idle["idle"] and idle["kept"] == [] and idle["project"] == os.getcwd(), idle
    assert call("GET", "/v1/worlds/" + idle["world_id"]).json["commands"] >= 1
    assert call("GET", f"/v1/worlds/{idle['world_id']}/diff").status == 404

    def isolated(name):
        span_id = execute(f"echo {name} >{name}", isolate=True)["span_id"]
        (world,) = [w for w in call("GET", "/v1/worlds").json["worlds"] if {"span_id": span_id, "state": "pending"} in w["kept"]]
        return span_id, "/v1/worlds/" + world["world_id"]

    span_id, world = isolated("two")
    (change,) = call("GET", world + "/diff").json["changes"]
    assert change["span_id"] == span_id and change["fs_diff"]["writes"] == ["two"], change
    assert not os.path.exists("two")
    assert call("POST", world + "/apply", {"unknown": 1}).status == 400
    assert call("POST", world + "/apply").json["applied"] == [{"span_id": span_id, "state": "applied"}]
    assert pathlib.Path("two").read_text() == "two\n"
    assert call("POST", world + "/apply").status == 404
    span_id, world = isolated("three")
    assert call("POST", world + "/discard", {}).json["discarded"] == [span_id]
    assert call("GET", world).status == 404 and not os.path.exists("three")
    # What has changed on the host meanwhile is not written over.
    span_id, world = isolated("four")
    pathlib.Path("four").write_text("mine\n")
    assert call("POST", world + "/apply").json["applied"] == [{"span_id": span_id, "state": "conflict"}]
    assert pathlib.Path("four").read_text() == "mine\n"
    assert call("POST", world + "/apply", {"force": True}).json["applied"] == [{"span_id": span_id, "state": "applied"}]
    assert pathlib.Path("four").read_text() == "four\n"


def reaches():
    """From within a world, as nobody could."""
    probe = (f"python3 -c 'import socket; socket.socket(socket.AF_UNIX).connect(\"{SOCKET}\")' && echo reached; "
             f"ls -A {os.path.dirname(SOCKET)} 2>/dev/null")
    result = execute(probe)
    assert text(result) == "" and "Error" in text(result, "stderr"), result
    control = probe.replace("agent.sock", "control.sock")
    assert text(execute(control)) == ""


def stops():
    """What runs gets its answer; who waits without a request is sent away."""
    idle = UnixConnection()
    assert call("GET", "/healthz", connection=idle).status == 200
    connection, response, _ = start_stream("echo begun; sleep 2; echo over")
    assert base64.b64decode(json.loads(response.readline())["chunk_b64"]) == b"begun\n"
    half = socket.socket(socket.AF_UNIX)
    half.connect(SOCKET)
    half.sendall(b"GET /healthz HT")
    stop = os.posix_spawnp("substrate", ["substrate", "world", "stop"], os.environ)
    assert idle.sock.recv(1) == b"" and half.recv(1) == b""
    wait_until(lambda: not os.path.exists(SOCKET), "the socket is gone")
    frames = [json.loads(line) for line in response.read().splitlines()]
    assert base64.b64decode(frames[0]["chunk_b64"]) == b"over\n" and frames[-1]["exit"] == 0, frames
    os.waitpid(stop, 0)
    connection.close()


if __name__ == "__main__":
    signal.alarm(5 * LIMIT)
    globals()[sys.argv[1]](*sys.argv[2:])
