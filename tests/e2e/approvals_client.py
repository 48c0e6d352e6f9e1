#!/usr/bin/env python3
"""What waits for a person's decision, as its clients see it: for the suite api.bats."""
import json
import os
import pathlib
import socket
import threading
import time

from api_client import LIMIT, SOCKET, call, execute, text


def waiting(count):
    """The questions that wait, once there are so many."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        found = call("GET", "/v1/approvals").json["approvals"]
        if len(found) == count:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not {count} questions: {found}")


def decide(question, decision, token, want=200):
    body = {"approval_id": question["approval_id"], "decision": decision, "token": token}
    answer = call("POST", "/v1/approvals", body)
    assert answer.status == want, answer.body
    return answer.json


def background(function, *arguments, **more):
    results = []
    thread = threading.Thread(target=lambda: results.append(function(*arguments, **more)))
    thread.start()

    def result():
        thread.join(LIMIT)
        assert results, "no answer"
        return results[0]

    return result


def approves():
    path = pathlib.Path(os.environ["SUBSTRATE_HOME"], "approval-token")
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600 and len(token) == 64

    # Once: by who has the token, and for this call only.
    result = background(execute, "touch ask1")
    [question] = waiting(1)
    assert question["agent_id"] == "tester" and question["command"] == "touch ask1", question
    assert question["scope"]["pattern"] == "touch ask1" and question["decisions"][-1] == "deny", question
    for wrong in ("", "x" * 64, token[:-1]):
        assert decide(question, "once", wrong, want=403)["error"] == "denied"
    assert call("POST", "/v1/approvals", {"approval_id": "x", "decision": "once"}).status == 400
    assert call("POST", "/v1/approvals", {"approval_id": "x", "decision": "yes", "token": token}).status == 400
    decide({"approval_id": "ask_nothing"}, "once", token, want=404)
    assert not os.path.exists("ask1")
    decide(question, "once", token)
    done = result()
    assert done["exit"] == 0 and done["policy_decision"]["action"] == "ask" and os.path.exists("ask1"), done
    decide(question, "once", token, want=404)

    # No, and for the session.
    result = background(execute, "touch ask1", want=403)
    decide(waiting(1)[0], "deny", token)
    assert "the answer was no" in result()["reason"]
    result = background(execute, "touch ask2")
    decide(waiting(1)[0], "session", token)
    result()
    assert execute("touch ask2")["exit"] == 0, "asked again"

    # On a stream the question is a frame.
    result = background(execute, "touch ask3", path="/v1/execute/stream")
    decide(waiting(1)[0], "always", token)
    frames = [json.loads(line) for line in result().body.splitlines()]
    assert [frame["type"] for frame in frames] == ["start", "approval", "event", "exit"], frames
    assert frames[1]["question"]["command"] == "touch ask3", frames
    assert execute("touch ask3")["exit"] == 0, "asked again"

    # Who goes away asks no longer.
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(SOCKET)
        body = json.dumps({"agent_id": "a", "cmd": "touch ask4"}).encode()
        client.sendall(b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                       + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        waiting(1)
    waiting(0)

    # So many wait; the next is not asked about.
    results = [background(execute, f"touch ask5 {n}", want=403) for n in range(16)]
    waiting(16)
    execute("touch ask6", want=403)
    for question in waiting(16):
        decide(question, "deny", token)
    for result in results:
        result()

    # Nobody in a world has the token, and so nobody there can decide.
    seen = execute(f"ls -A {path.parent}; cat {path}; echo end")
    assert text(seen) == "end\n", text(seen)
    answers = [event for event in trace_events("approval")]
    assert [event["answer"] for event in answers[:4]] == ["once", "deny", "session", "always"], answers
    assert all(event["agent_id"] == "tester" for event in answers[:4]), answers


def trace_events(kind):
    lines = pathlib.Path(os.environ["SUBSTRATE_HOME"], "trace.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event_type"] == kind]


if __name__ == "__main__":
    approves()
