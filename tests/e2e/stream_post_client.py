#!/usr/bin/env python3
"""Terminals of POST /v1/stream, without a WebSocket, for the suite stream.bats: stream_post_client.py TEST runs one
test. Every frame is held against schemas/openapi.yaml."""
import base64
import json
import os
import sys

from api_client import UnixConnection, call, check, wait_until
from stream_client import sessions


class Posted:
    def __init__(self, **start):
        self.agent_id = start.setdefault("agent_id", "tester")
        self.connection = UnixConnection()
        self.connection.request("POST", "/v1/stream", json.dumps({"type": "start", **start}), {"Content-Type": "application/json"})
        self.response = self.connection.getresponse()
        assert self.response.status == 200, self.response.read()
        self.out, self.session = b"", None

    def next(self):
        """The next frame that is no output; None at the end."""
        while line := self.response.readline():
            got = json.loads(line)
            check(got, {"$ref": "#/components/schemas/StreamServerFrame"}, "a frame")
            if got["type"] != "stdout":
                self.session = got.get("session", self.session)
                return got
            self.out += base64.b64decode(got["chunk_b64"], validate=True)
        return None

    def expect(self, kind):
        got = self.next()
        assert got and got["type"] == kind, f"{got} instead of {kind}; output {self.out[-300:]}"
        return got

    def until(self, text):
        while text not in self.out:
            got = json.loads(self.response.readline())
            assert got["type"] == "stdout", got
            self.out += base64.b64decode(got["chunk_b64"])

    def send(self, want=200, **frame):
        answer = call("POST", "/v1/stream", {"agent_id": self.agent_id, "session": self.session, **frame})
        assert answer.status == want, answer.body
        return answer.json

    def type(self, data):
        self.send(type="stdin", data_b64=base64.b64encode(data).decode())

    def ends(self, code=1000):
        assert self.expect("close")["code"] == code
        assert self.next() is None
        self.connection.close()


def commands():
    terminal = Posted(cmd="tty; stty size; head -n 1 | tr t T; stty size; echo x >made; exit 5", cols=91, rows=17)
    ready = terminal.expect("ready")
    assert ready["session"].startswith("ses_"), ready
    terminal.until(b"17 91")
    terminal.send(type="resize", cols=80, rows=20)
    terminal.type(b"typed\n")
    done = terminal.expect("exit")
    assert done["exit"] == 5 and b"20 80" in terminal.out and b"Typed" in terminal.out, (done, terminal.out)
    assert call("GET", "/v1/trace/" + done["span_id"]).json["pty"] is True and os.path.exists("made")
    terminal.ends()
    # Byte for byte.
    data = os.urandom(1 << 16)
    with open("data", "wb") as file:
        file.write(data)
    terminal = Posted(cmd="stty raw -echo; cat data; rm data")
    terminal.expect("ready")
    assert terminal.expect("exit")["exit"] == 0 and terminal.out == data
    terminal.ends()
    terminal = Posted(cmd="trap 'exit 4' INT; echo here; while :; do read -r -t 99 x; done")
    terminal.expect("ready")
    terminal.until(b"here")
    terminal.send(type="signal", signal="INT")
    assert terminal.expect("exit")["exit"] == 4
    terminal.ends()


def lines():
    terminal = Posted(persistent=True)
    terminal.expect("ready")
    for seq, (cmd, exit_code) in enumerate((("export X=1", 0), ("printenv X; false", 1), ("touch no1", None)), 1):
        terminal.send(type="exec", seq=seq, cmd=cmd)
        got = terminal.expect("command_complete" if exit_code is not None else "error")
        assert got["seq"] == seq and got.get("exit") == exit_code, got
    assert got["error"] == "denied" and not os.path.exists("no1"), got
    assert b"1\r\n" in terminal.out, terminal.out
    # A dropped connection, and back.
    session = terminal.session
    terminal.response.close()
    terminal.connection.close()
    wait_until(lambda: [item for item in sessions() if item["session"] == session and not item["attached"]], "it waits")
    terminal = Posted(session=session)
    assert terminal.expect("ready")["session"] == session
    terminal.out = b""
    terminal.send(type="exec", seq=9, cmd="printenv X")
    assert terminal.expect("command_complete")["seq"] == 9 and b"1\r\n" in terminal.out, terminal.out
    terminal.send(type="close")
    assert terminal.expect("exit")
    terminal.ends()
    wait_until(lambda: not sessions(), "it has ended")


def refusals():
    def refused(want, error, pointer=None, **body):
        answer = call("POST", "/v1/stream", body)
        assert answer.status == want and answer.json["error"] == error, answer.body
        assert pointer is None or answer.json["pointer"] == pointer, answer.body

    refused(400, "agent_id_required", type="start", cmd="true")
    refused(400, "invalid", "/type", agent_id="t", type="begin")
    refused(400, "invalid", "/more", agent_id="t", type="start", cmd="true", more=1)
    refused(400, "invalid", agent_id="t", type="start")
    refused(400, "invalid", "/cols", agent_id="t", type="start", cmd="true", cols=0)
    refused(400, "invalid", "/session", agent_id="t", type="close")
    refused(404, "not_found", "/session", agent_id="t", type="close", session="ses_x")
    terminal = Posted(cmd="echo here; sleep 1000")
    terminal.expect("ready")
    terminal.until(b"here")
    # Only whose it is, only what a terminal knows.
    refused(404, "not_found", "/session", agent_id="other", type="stdin", data_b64="", session=terminal.session)
    refused(400, "invalid", "/data_b64", agent_id="tester", type="stdin", data_b64="?", session=terminal.session)
    refused(400, "invalid", "/cols", agent_id="tester", type="resize", cols=0, rows=1, session=terminal.session)
    # What is denied is told as on a WebSocket.
    denied = Posted(cmd="touch no1")
    assert denied.expect("error")["rule"] == "commands.denied[0]"
    denied.ends(1008)
    # A client that goes ends its command.
    terminal.response.close()
    terminal.connection.close()
    span = lambda: [json.loads(line) for line in open(os.path.join(os.environ["SUBSTRATE_HOME"], "trace.jsonl"))
                    if '"echo here; sleep 1000"' in line]
    assert wait_until(span, "it has ended")[-1]["outcome"] == "killed"
    refused(404, "not_found", "/session", agent_id="tester", type="close", session=terminal.session)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
