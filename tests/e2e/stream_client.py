#!/usr/bin/env python3
"""Clients of /v1/stream for the suite stream.bats: stream_client.py TEST [ARGUMENTS] runs one test. The
WebSocket's frames are made here by hand, so that wrong ones can be made too. Every frame from the
server is held against schemas/openapi.yaml."""
import base64
import hashlib
import json
import os
import select
import signal
import socket
import struct
import sys
import time

from api_client import LIMIT, SOCKET, call, check

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def frame(opcode, payload, fin=True, masked=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    if not masked:
        return head + payload
    # A mask of zeros is one.
    return head + bytes(4) + payload


class Gone(Exception):
    pass


class Stream:
    def __init__(self, headers=""):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LIMIT)
        self.sock.connect(SOCKET)
        key = base64.b64encode(os.urandom(16)).decode()
        self.sock.sendall(
            f"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n".encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = int(head.split()[1])
        self.out = bytearray()
        self.closed = None

    def fill(self):
        try:
            piece = self.sock.recv(1 << 18)
        except ConnectionResetError:
            piece = b""
        if not piece:
            raise Gone
        self.buffer += piece

    def need(self, size):
        while len(self.buffer) < size:
            self.fill()

    def message(self):
        """The next message of the server: its opcode and payload."""
        self.need(2)
        assert self.buffer[0] & 0x70 == 0 and self.buffer[1] & 0x80 == 0, "a server's frame: no bits, no mask"
        size, at = self.buffer[1] & 0x7F, 2
        if size == 126:
            self.need(4)
            size, at = struct.unpack(">H", self.buffer[2:4])[0], 4
        elif size == 127:
            self.need(10)
            size, at = struct.unpack(">Q", self.buffer[2:10])[0], 10
        self.need(at + size)
        opcode, payload = self.buffer[0] & 15, self.buffer[at:at + size]
        self.buffer = self.buffer[at + size:]
        return opcode, payload

    def send(self, **control):
        self.sock.sendall(frame(TEXT, json.dumps(control).encode()))

    def type(self, data):
        self.sock.sendall(frame(BINARY, data))

    def start(self, **more):
        self.send(type="start", agent_id="tester", **more)
        return self

    def next(self):
        """The next control frame; output on the way is collected. None: closed."""
        while True:
            try:
                opcode, payload = self.message()
            except Gone:
                return None
            if opcode == BINARY:
                self.out += payload
            elif opcode == PING:
                self.sock.sendall(frame(PONG, payload))
            elif opcode == CLOSE:
                self.closed = (struct.unpack(">H", payload[:2])[0], payload[2:].decode()) if payload else (0, "")
                try:
                    self.sock.sendall(frame(CLOSE, payload))
                except OSError:
                    pass
                return None
            elif opcode == TEXT:
                got = json.loads(payload)
                check(got, {"$ref": "#/components/schemas/StreamServerFrame"}, "a frame")
                return got

    def expect(self, kind):
        got = self.next()
        assert got and got["type"] == kind, f"{got} instead of {kind}; closed: {self.closed}; output {bytes(self.out[-300:])}"
        return got

    def until(self, text):
        """Until the output holds this."""
        deadline = time.monotonic() + LIMIT
        while text not in self.out:
            assert time.monotonic() < deadline, f"no {text} in {bytes(self.out[-500:])}"
            opcode, payload = self.message()
            assert opcode in (BINARY, PING), (opcode, payload, bytes(self.out[-500:]))
            if opcode == BINARY:
                self.out += payload
        return self

    def line(self, cmd, seq=[0], **more):
        """One line of a session: its last frame and its output."""
        seq[0] += 1
        self.out.clear()
        self.send(type="exec", seq=seq[0], cmd=cmd, **more)
        got = self.next()
        assert got and got.get("seq") == seq[0], f"{cmd}: {got}"
        return got, bytes(self.out)

    def run(self, cmd, want=0):
        got, out = self.line(cmd)
        assert got["type"] == "command_complete" and got["exit"] == want, f"{cmd}: {got} {out}"
        return out.decode()

    def drop(self):
        self.sock.close()


def command(cmd, **more):
    stream = Stream().start(cmd=cmd, **more)
    ready = stream.expect("ready")
    return stream, ready


def whole(cmd, **more):
    stream, _ = command(cmd, **more)
    done = stream.expect("exit")
    assert stream.next() is None and stream.closed[0] == 1000, stream.closed
    return done, bytes(stream.out)


def wait_until(what, condition):
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def sessions():
    return call("GET", "/v1/worlds").json["sessions"]


def commands():
    done, out = whole("tty; stty size; [ -t 0 ] && echo yes; echo x >made; exit 5", cols=91, rows=17)
    assert out == b"/dev/pts/0\r\n17 91\r\nyes\r\n", out
    assert done["exit"] == 5 and done["outcome"] == "failed" and done["commit"] == "applied", done
    assert done["fs_diff"]["entries"][0]["path"] == "made", done
    span = call("GET", "/v1/trace/" + done["span_id"]).json
    assert span["pty"] is True and span["output"]["merged"], span
    assert span["output"]["stdout_bytes"] == len(out), span
    # By both ways of input.
    stream, _ = command("read -r a; read -r b; echo \"[$a$b]\"; stty size")
    stream.send(type="stdin", data_b64=base64.b64encode(b"one\n").decode())
    stream.type(b"two\n")
    stream.expect("exit")
    assert b"[onetwo]" in stream.out, stream.out
    done, out = whole("kill -9 $$")
    assert done["exit"] == 137 and done["outcome"] == "killed", done
    done, out = whole("sleep 1000", timeout_ms=200)
    assert done["outcome"] == "timeout", done


def start_members():
    """What a start frame has in common with a call."""
    parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    done, out = whole("printenv TRACEPARENT; touch strict1", traceparent=parent)
    span = call("GET", "/v1/trace/" + done["span_id"]).json
    assert span["traceparent"] == parent and done["exit"] == 0, (span, done)
    assert out.decode().strip() == f"{parent[:36]}{done['span_id'].replace('-', '')[-16:]}-01", out
    stream = Stream().start(cmd="touch strict2", profile="strict")
    got = stream.expect("error")
    assert got["error"] == "denied" and got["pattern"] == "touch strict*", got
    stream = Stream().start(cmd="true", profile="nothing")
    got = stream.expect("error")
    assert got["error"] == "not_found" and got["pointer"] == "/profile", got
    world = span["world_id"]
    done, _ = whole("true", world_id=world)
    assert call("GET", "/v1/trace/" + done["span_id"]).json["world_id"] == world
    stream = Stream().start(cmd="true", world_id="wld_00000000-0000-7000-8000-000000000000")
    got = stream.expect("error")
    assert got["error"] == "not_found" and got["pointer"] == "/world_id", got
    for wrong in ({"traceparent": "00"}, {"world_id": "wld_../x"}, {"profile": "../x"}):
        stream = Stream().start(cmd="true", **wrong)
        got = stream.expect("error")
        assert got["error"] == "invalid" and got["pointer"] == "/" + next(iter(wrong)), got
    # Of a session: what its lines run under.
    session = Stream().start(persistent=True, profile="strict", traceparent=parent)
    session.expect("ready")
    got, _ = session.line("touch strict3")
    assert got["type"] == "error" and got["error"] == "denied", got
    got, _ = session.line("true")
    assert call("GET", "/v1/trace/" + got["span_id"]).json["traceparent"] == parent
    session.drop()


def signals():
    stream, _ = command("trap 'echo got; exit 4' INT; stty raw -echo; echo here; while :; do read -r -t 99 x; done")
    stream.until(b"here").send(type="signal", signal="INT")
    assert stream.expect("exit")["exit"] == 4
    stream, ready = command("trap 'echo usr; exit 6' USR1; sleep 99 & echo here; wait")
    stream.until(b"here")
    answer = call("POST", "/v1/execute/cancel", {"span_id": ready["span_id"], "signal": "USR1"})
    assert answer.status == 200, answer.body
    assert stream.expect("exit")["exit"] == 6
    # By the key, as a terminal has it.
    stream, _ = command("echo here; sleep 1000")
    stream.until(b"here").type(b"\x03")
    assert stream.expect("exit")["exit"] == 130
    stream, _ = command("echo here; sleep 1000")
    stream.until(b"here").send(type="close")
    done = stream.next()
    assert done is None or done["outcome"] == "killed", done


def refusals():
    def told(data, code, error=None):
        stream = Stream()
        stream.sock.sendall(data)
        got = stream.next()
        if error:
            assert got["error"] == error, got
            got = stream.next()
        assert got is None and stream.closed and stream.closed[0] == code, (data[:40], got, stream.closed)

    start = json.dumps({"type": "start", "agent_id": "t", "cmd": "cat"}).encode()
    told(frame(TEXT, b"{"), 1008, "invalid")
    told(frame(TEXT, b"[]"), 1008, "invalid")
    told(frame(TEXT, b'{"type": "begin"}'), 1008, "invalid")
    told(frame(TEXT, b'{"type": "start", "cmd": "true"}'), 1008, "agent_id_required")
    told(frame(TEXT, b'{"type": "start", "agent_id": "t"}'), 1008, "invalid")
    told(frame(TEXT, start[:-1] + b', "persistent": true}'), 1008, "invalid")
    told(frame(TEXT, start[:-1] + b', "more": 1}'), 1008, "invalid")
    told(frame(TEXT, start[:-1] + b', "cols": 0}'), 1008, "invalid")
    told(frame(TEXT, b'{"type": "start", "agent_id": "t", "session": "ses_x"}'), 1008, "not_found")
    told(frame(TEXT, b'{"type": "resize", "cols": 1, "rows": 1}'), 1008, "invalid")
    told(frame(BINARY, b"ls\n"), 1003, "invalid")
    told(frame(TEXT, b"\xff\xfe"), 1007)
    told(frame(TEXT, start, masked=False), 1002)
    told(frame(TEXT, start, rsv=4), 1002)
    told(frame(3, start), 1002)
    told(frame(0, start), 1002)
    # By its head alone.
    told(frame(TEXT, bytes(2 << 20))[:14], 1009)
    # In pieces, and with a ping between them.
    stream = Stream()
    stream.sock.sendall(frame(TEXT, start[:9], fin=False) + frame(PING, b"hi") + frame(0, start[9:]))
    opcode, payload = stream.message()
    assert (opcode, payload) == (PONG, b"hi")
    stream.expect("ready")
    for byte in b"ab\n\x04":
        stream.sock.sendall(frame(BINARY, bytes([byte])))
    assert stream.expect("exit")["exit"] == 0
    # A frame that the API does not describe ends the command.
    stream, _ = command("echo here; sleep 1000")
    stream.until(b"here").send(type="resize", cols=0, rows=1)
    assert stream.expect("error")["pointer"] == "/cols"
    while stream.next():
        pass
    assert stream.closed and stream.closed[0] == 1008, stream.closed
    stream, _ = command("read -r x")
    stream.send(type="exec", seq=3, cmd="true")
    got = stream.expect("error")
    assert got["error"] == "conflict" and got["seq"] == 3
    stream.drop()
    assert Stream("Origin: http://localhost\r\n").status == 403
    assert call("GET", "/v1/stream").status == 426


def denials():
    stream = Stream().start(cmd="touch no1")
    got = stream.expect("error")
    assert got["error"] == "denied" and got["rule"] == "commands.denied[0]" and got["span_id"], got
    assert stream.next() is None and stream.closed == (1008, "denied"), stream.closed
    session = Stream().start(persistent=True)
    session.expect("ready")
    got, _ = session.line("cd /tmp && touch no2")
    assert got["type"] == "error" and got["error"] == "denied" and got["rule"] == "commands.denied[0]", got
    assert session.run("pwd").strip() == os.getcwd()
    got, _ = session.line("true alone")
    assert got["error"] == "other_world", got
    session.run("touch yes")
    assert os.path.exists("yes") and not os.path.exists("no1")


def random_bytes(size):
    size = int(size)
    data = os.urandom(1 << 20) * (size >> 20)
    want = hashlib.sha256(data).hexdigest()
    stream, _ = command(f"stty raw -echo; echo go; head -c {len(data)} | tee copy; sha256sum <copy >sum; rm copy")
    stream.until(b"go\n")
    stream.out.clear()
    stream.sock.setblocking(False)
    pending = b"".join(frame(BINARY, data[at:at + 100000]) for at in range(0, len(data), 100000))
    view, at = memoryview(pending), 0
    deadline = time.monotonic() + 4 * LIMIT
    digest, got = hashlib.sha256(), 0
    while got < len(data):
        assert time.monotonic() < deadline, (at, got)
        readable, writable, _ = select.select([stream.sock], [stream.sock] if at < len(view) else [], [], 5)
        if writable:
            try:
                at += stream.sock.send(view[at:at + (1 << 18)])
            except BlockingIOError:
                pass
        if readable:
            try:
                stream.fill()
            except BlockingIOError:
                continue
            stream.sock.setblocking(True)
            while len(stream.buffer) >= 10:
                size = stream.buffer[1] & 0x7F
                size = struct.unpack(">H", stream.buffer[2:4])[0] + 4 if size == 126 else (
                    struct.unpack(">Q", stream.buffer[2:10])[0] + 10 if size == 127 else size + 2)
                if len(stream.buffer) < size:
                    break
                opcode, payload = stream.message()
                assert opcode == BINARY, (opcode, payload)
                digest.update(payload)
                got += len(payload)
            stream.sock.setblocking(False)
    stream.sock.setblocking(True)
    assert stream.expect("exit")["exit"] == 0
    with open("sum") as file:
        there = file.read().split()[0]
    assert there == want, "what the command has read"
    assert digest.hexdigest() == want and got == len(data), "what came back"


def resizes():
    stream, _ = command("trap 'stty size' WINCH; echo here; read -r x; stty size; echo end")
    stream.until(b"here")
    for i in range(1000):
        stream.send(type="resize", cols=20 + i, rows=10 + i % 50)
    stream.type(b"\n")
    stream.expect("exit")
    assert stream.out.endswith(b"59 1019\r\nend\r\n"), bytes(stream.out[-200:])


def dies():
    """The client is gone in the middle: the command ends, and nothing is left."""
    for how in (lambda s: s.drop(), lambda s: s.sock.shutdown(socket.SHUT_WR)):
        stream, ready = command("echo here; trap '' HUP; sleep 1000")
        stream.until(b"here")
        how(stream)
        wait_until("the command goes on", lambda: call("GET", "/v1/trace/" + ready["span_id"]).status == 200)
        span = call("GET", "/v1/trace/" + ready["span_id"]).json
        assert span["outcome"] == "killed", span
    assert sessions() == []


def rss(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def slow(pid):
    stream, _ = command("yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c 300000000")
    before = rss(pid)
    most = 0
    # Nothing is read: everything stops, and stays where it is.
    for _ in range(50):
        time.sleep(0.02)
        most = max(most, rss(pid))
    assert most - before < 8 << 20, (before, most)
    stream.sock.settimeout(LIMIT)
    total = 0
    while total < 20_000_000:
        opcode, payload = stream.message()
        assert opcode == BINARY
        total += len(payload)
    assert rss(pid) - before < 8 << 20
    stream.drop()


def lines():
    session = Stream().start(persistent=True, env={"X": "1"})
    ready = session.expect("ready")
    here = os.getcwd()
    assert ready["cwd"] == here and ready["session"].startswith("ses_"), ready
    assert session.run("echo $X; export Y=2; f() { echo f$Y; }; mkdir -p d; cd d") == "1\r\n"
    got, out = session.line("f; pwd; tty; echo c >c; (exit 3)")
    assert out.decode() == f"f2\r\n{here}/d\r\n/dev/pts/0\r\n", out
    assert got["exit"] == 3 and got["cwd"] == here + "/d" and got["commit"] == "applied", got
    assert [e["path"] for e in got["fs_diff"]["entries"]] == ["d/c"], got["fs_diff"]
    with open("d/c") as file:
        assert file.read() == "c\n"
    got, _ = session.line("true")
    assert got["fs_diff"]["entries"] == [] and got["commit"] == "none", got
    span = call("GET", "/v1/trace/" + got["span_id"]).json
    assert span["session_id"] == ready["session"] and span["cwd"] == here + "/d" and span["pty"], span
    # Whatever a line is, the session goes on.
    for cmd, exit in (("if then", 2), ("echo 'open", 2), ("break; continue; false", 1), ("set -u; echo $nope", 1),
                      ("set +u; readonly R=1; R=2", 1), ("exec 0</dev/null; exec 5>&1; true", 0),
                      ("exec /nonexistent", 127), ("kill -INT $$; echo no", 130), ("return 3", 2)):
        got, out = session.line(cmd)
        assert got["type"] == "command_complete" and got["exit"] == exit, (cmd, got, out)
    # The output cannot say that a line has ended, and a line's programs cannot reach who can.
    session.run("printf '2 0 /tmp\\0'; builtin printf '%d %d %s\\0' 1 0 / >&2")
    assert session.run("ls /proc/self/fd | wc -l; sh -c 'ls /proc/self/fd | wc -l'").split() == ["5", "5"]
    # Input is the line's own, while it runs.
    session.out.clear()
    session.send(type="exec", seq=900, cmd="read -r x; echo \"[$x]\"")
    session.type(b"typed\n")
    assert session.expect("command_complete")["seq"] == 900
    assert b"[typed]" in session.out, session.out
    session.type(b"touch unjudged\n")
    assert session.expect("error")["error"] == "no_command"
    session.run("true")
    assert not os.path.exists("d/unjudged")
    # One at a time; an interrupt ends the line and not the session.
    session.send(type="exec", seq=901, cmd="sh -c 'echo on; exec sleep 1000'")
    session.until(b"on\r\n")
    session.send(type="exec", seq=902, cmd="true")
    got = session.expect("error")
    assert got["error"] == "busy" and got["seq"] == 902, got
    session.send(type="signal", signal="INT")
    got = session.expect("command_complete")
    assert got["seq"] == 901 and got["exit"] == 130, got
    got, _ = session.line("sleep 1000", timeout_ms=200)
    assert got["outcome"] == "timeout", got
    assert session.run("sleep 0.1 & wait; echo on").endswith("on\r\n")
    # Its last line, three ways.
    for cmd, exit in (("exit 7", 7), ("exec sh -c 'exit 8'", 8), ("set -e; false; echo no", 1)):
        last = Stream().start(persistent=True)
        last.expect("ready")
        got, _ = last.line(cmd)
        assert got["type"] == "command_complete" and got["exit"] == exit, got
        assert last.expect("exit")
        assert last.next() is None and last.closed[0] == 1000, last.closed
    session.send(type="close")
    assert session.expect("exit")
    wait_until("the session is still there", lambda: sessions() == [])


def reattaches():
    session = Stream().start(persistent=True)
    name = session.expect("ready")["session"]
    session.run("Z=5")
    session.send(type="exec", seq=1, cmd="echo begin; while [ ! -e /tmp/go ]; do sleep 0.05; done; seq 300000; echo end$Z")
    session.until(b"begin\r\n")
    session.drop()
    wait_until("it is still attached", lambda: [s["attached"] for s in sessions()] == [False])
    other = Stream()
    other.send(type="start", agent_id="somebody", session=name)
    assert other.expect("error")["error"] == "not_found"
    session = Stream().start(session=name)
    ready = session.expect("ready")
    assert ready["session"] == name and ready["seq"] == 1 and ready["lost_bytes"] == 0, ready
    session.drop()
    wait_until("it is still attached", lambda: [s["attached"] for s in sessions()] == [False])
    # From inside, in the same world.
    assert "span_id" in sessions()[0]
    call("POST", "/v1/execute/cancel", {"span_id": sessions()[0]["span_id"], "signal": "INT"})
    session = Stream().start(session=name)
    ready = session.expect("ready")
    if "seq" in ready:
        session.send(type="signal", signal="INT")
        assert session.expect("command_complete")["exit"] == 130
    session.run("true")
    # More than is kept: the oldest is dropped, and counted.
    total = session_total(session, "seq 300000; echo end$Z")
    session.send(type="exec", seq=2, cmd="read -r x; seq 300000; echo end$Z; touch over")
    session.type(b"\n")
    session.drop()
    wait_until("the line goes on", lambda: os.path.exists("over"))
    session = Stream().start(session=name)
    ready = session.expect("ready")
    session.until(b"end5\r\n")
    assert ready["lost_bytes"] + len(session.out) >= total, (ready, len(session.out), total)
    assert len(session.out) <= 1 << 20 and ready["lost_bytes"] > 0, (ready, len(session.out))
    # A second client takes over.
    second = Stream().start(session=name)
    second.expect("ready")
    while session.next():
        pass
    assert session.closed[0] == 4001, session.closed
    second.run("echo $Z")
    second.send(type="close")
    second.expect("exit")
    # A command alone, with detach.
    stream, ready = command("echo one; read -r x; echo two $x", detach=True)
    stream.until(b"one\r\n")
    had = len(stream.out)
    stream.drop()
    wait_until("it is still attached", lambda: [s["attached"] for s in sessions()] == [False])
    stream = Stream().start(session=ready["session"], received=had - 5)
    again = stream.expect("ready")
    assert again["offset"] == had - 5 and again["lost_bytes"] == 0, again
    stream.type(b"x\n")
    stream.expect("exit")
    assert stream.out.startswith(b"one\r\n") and stream.out.endswith(b"two x\r\n"), stream.out
    wait_until("a session is left", lambda: sessions() == [])


def session_total(session, cmd):
    return len(session.run(cmd))


def ends():
    """With nobody there, and with nothing to do, a session ends."""
    session = Stream().start(persistent=True)
    session.expect("ready")
    session.run("true")
    session.drop()
    wait_until("a session without a client goes on", lambda: sessions() == [])
    session = Stream().start(persistent=True)
    session.expect("ready")
    assert session.expect("exit")
    assert session.next() is None


def stops():
    session = Stream().start(persistent=True)
    session.expect("ready")
    session.run("echo x >kept")
    stream, _ = command("trap '' HUP TERM; echo here; sleep 1000")
    stream.until(b"here")
    open("ready", "w").close()
    while session.next():
        pass
    while stream.next():
        pass


def bare_vim():
    """The same keys to vim on a terminal of this machine: what stty says afterwards."""
    import pty
    pid, master = pty.fork()
    if pid == 0:
        os.chdir(os.environ["HOME"])
        os.environ["TERM"] = "xterm"
        os.execvp("sh", ["sh", "-c", "vim -u NONE -N -i NONE f.txt; stty -a"])
    out = b""
    steps = [(b"f.txt", b"ihello from vim\x1b"), (b"hello from vim", b":wq\r")]
    while True:
        try:
            piece = os.read(master, 4096)
        except OSError:
            break
        out += piece
        if steps and steps[0][0] in out:
            os.write(master, steps.pop(0)[1])
    os.waitpid(pid, 0)
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    {name: thing for name, thing in globals().items() if callable(thing)}[sys.argv[1]](*sys.argv[2:])
