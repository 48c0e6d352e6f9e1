#!/usr/bin/env python3
"""Terminals whose commands a person is asked about, for the suite stream.bats: stream_approvals_client.py
TEST runs one test."""
import os
import pathlib
import sys

from api_client import call
from approvals_client import decide, waiting
from stream_client import Stream, command

TOKEN = pathlib.Path(os.environ["SUBSTRATE_HOME"], "approval-token").read_text().strip()


def asked(stream, cmd):
    got = stream.expect("approval")
    assert got["question"]["command"] == cmd and got["span_id"].startswith("spn_"), got
    [listed] = waiting(1)
    assert listed["approval_id"] == got["approval_id"] and listed["span_id"] == got["span_id"], (got, listed)
    assert listed["agent_id"] == "tester", listed
    return got


def denied(stream, why):
    got = stream.expect("error")
    assert got["error"] == "denied" and why in got["reason"], got
    return got


def commands():
    # What is typed while somebody decides is the command's.
    stream = Stream().start(cmd="touch ask1 && read -r x && echo got $x")
    question = asked(stream, "touch ask1 && read -r x && echo got $x")
    stream.type(b"this\n")
    stream.send(type="resize", cols=90, rows=30)
    assert call("POST", "/v1/approvals", {"approval_id": question["approval_id"], "decision": "once",
                                          "token": "x" * 64}).status == 403
    assert not os.path.exists("ask1")
    decide(question, "once", TOKEN)
    stream.expect("ready")
    done = stream.expect("exit")
    assert done["exit"] == 0 and done["span_id"] == question["span_id"], done
    assert done["policy_decision"]["action"] == "ask" and os.path.exists("ask1"), done
    assert b"got this" in stream.out, stream.out

    stream = Stream().start(cmd="touch ask2")
    decide(asked(stream, "touch ask2"), "deny", TOKEN)
    denied(stream, "the answer was no")
    assert stream.next() is None and stream.closed == (1008, "denied"), stream.closed

    # Who takes it back, or goes, asks no longer.
    for take_back in (lambda s, q: s.send(type="signal", signal="INT"),
                      lambda s, q: s.send(type="close"),
                      lambda s, q: call("POST", "/v1/execute/cancel", {"span_id": q["span_id"], "signal": "TERM"}),
                      lambda s, q: s.drop()):
        stream = Stream().start(cmd="touch ask3")
        take_back(stream, asked(stream, "touch ask3"))
        waiting(0)
        stream.drop()
    # One that was detached waits for its client, who sees the question again.
    stream = Stream().start(cmd="touch ask4; echo done", detach=True)
    question = asked(stream, "touch ask4; echo done")
    stream.drop()
    stream = Stream().start(session=question["session"])
    again = asked(stream, "touch ask4; echo done")
    assert again["approval_id"] == question["approval_id"], (question, again)
    decide(again, "once", TOKEN)
    stream.expect("ready")
    stream.expect("exit")
    assert b"done" in stream.out and os.path.exists("ask4") and not os.path.exists("ask3")
    # A call that was not allowed counts towards no budget.
    stream = Stream().start(cmd="touch ask5", budget={"max_execs": 5})
    decide(asked(stream, "touch ask5"), "deny", TOKEN)
    denied(stream, "the answer was no")
    stream, _ = command("true", budget={"max_execs": 5})
    assert stream.expect("exit")["exit"] == 0


def lines():
    session = Stream().start(persistent=True)
    session.expect("ready")
    session.send(type="exec", seq=50, cmd="touch ask1 && read -r x && echo got $x")
    question = asked(session, "touch ask1 && read -r x && echo got $x")
    assert question["seq"] == 50 and question["session"].startswith("ses_"), question
    session.send(type="exec", seq=51, cmd="true")
    busy = session.expect("error")
    assert busy["error"] == "busy" and busy["seq"] == 51, busy
    session.type(b"this\n")
    session.drop()
    session = Stream().start(session=question["session"])
    ready = session.expect("ready")
    assert ready["seq"] == 50 and ready["span_id"] == question["span_id"], ready
    again = asked(session, question["question"]["command"])
    assert again["approval_id"] == question["approval_id"], again
    decide(again, "session", TOKEN)
    done = session.expect("command_complete")
    assert done["seq"] == 50 and done["exit"] == 0 and os.path.exists("ask1"), done
    assert b"got this" in session.out, session.out

    # What was typed for a line that was not allowed no other line reads.
    session.send(type="exec", seq=52, cmd="touch ask2 && read -r x")
    question = asked(session, "touch ask2 && read -r x")
    session.type(b"stale\n")
    session.send(type="signal", signal="INT")
    assert denied(session, "nobody has decided")["seq"] == 52
    session.out.clear()
    session.send(type="exec", seq=53, cmd="echo here; head -n 1")
    session.until(b"here").type(b"fresh\n")
    session.expect("command_complete")
    assert b"fresh" in session.out and b"stale" not in session.out, session.out
    session.send(type="close")
    assert not os.path.exists("ask2")


def previews():
    stream = Stream().start(cmd="touch ask; echo made")
    stream.expect("ready")
    question = asked(stream, "touch ask; echo made")
    assert "writes 1 path" in " ".join(question["question"]["impact"]), question
    assert b"made" in stream.out and not os.path.exists("ask"), stream.out
    decide(question, "once", TOKEN)
    done = stream.expect("exit")
    assert done["commit"] == "applied" and os.path.exists("ask"), done
    stream = Stream().start(cmd="touch ask-no")
    stream.expect("ready")
    decide(asked(stream, "touch ask-no"), "deny", TOKEN)
    done = stream.expect("exit")
    assert done["outcome"] == "denied" and done["commit"] == "discarded" and not os.path.exists("ask-no"), done


{"commands": commands, "lines": lines, "previews": previews}[sys.argv[1]]()
