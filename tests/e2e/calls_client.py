#!/usr/bin/env python3
"""Clients of agent.sock for the suite calls.bats: calls_client.py TEST [ARGUMENTS] runs one test.
Every answer is held against schemas/openapi.yaml."""
import base64
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import jsonschema
from api_client import HERE, LIMIT, UnixConnection, agent_pid, call, execute, frames_of, spans, text, wait_until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def refused(error, status, pointer=None, cmd="touch no", **more):
    answer = execute(cmd, want=status, **more)
    assert answer["error"] == error, answer
    assert pointer is None or answer["pointer"] == pointer, answer
    assert not pathlib.Path("no").exists()
    return answer


def started(cmd, **more):
    """A command that has written its first line, and goes on until end() is called. Its output, and end."""
    connection = UnixConnection()
    body = {"agent_id": "tester", "cmd": cmd + "; exec sleep 600", **more}
    connection.request("POST", "/v1/execute/stream", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    frames = iter(lambda: json.loads(response.readline()), None)
    span_id = next(frames)["span_id"]
    output = base64.b64decode(next(frame for frame in frames if frame["type"] == "stdout")["chunk_b64"]).decode()

    def end():
        assert call("POST", "/v1/execute/cancel", {"span_id": span_id, "signal": "TERM"}).status == 200
        assert next(frame for frame in frames if frame["type"] == "exit")["exit"] == 143
        connection.close()

    return output, end


def traces():
    parent = f"00-{TRACE}-00f067aa0ba902b7-01"
    show = 'echo "${TRACEPARENT-none}"'

    def check_span(span_id, passed_on):
        span = [span for span in spans() if span.get("span_id") == span_id][-1]
        assert span["traceparent"] == parent, span
        assert passed_on == f"00-{TRACE}-{span_id.replace('-', '')[-16:]}-01\n", passed_on

    result = execute(show, traceparent=parent)
    check_span(result["span_id"], text(result))
    # The request's own member comes before a variable.
    result = execute(show, traceparent=parent, env={"TRACEPARENT": "x"})
    check_span(result["span_id"], text(result))
    answer = frames_of(execute("true", path="/v1/execute/stream", traceparent=parent))
    check_span(answer[0]["span_id"], f"00-{TRACE}-{answer[0]['span_id'].replace('-', '')[-16:]}-01\n")
    # What a later version says in the form of 00.
    result = execute(show, traceparent=f"01-{TRACE}-00f067aa0ba902b7-09-more")
    check_span(result["span_id"], text(result))
    assert text(execute(show)) == "none\n" and "traceparent" not in spans()[-1]
    for wrong in ("", "00", f"00-{'0' * 32}-00f067aa0ba902b7-01", parent.upper(), parent + "-more", "x" * 512):
        refused("invalid", 400, "/traceparent", traceparent=wrong)
    refused("invalid", 400, "/traceparent", traceparent=1)


def profiles():
    result = execute("echo x >kept; ls /sys/class/net", profile="strict")
    # Its own values hold, too: what is changed waits.
    assert result["commit"] == "pending" and not os.path.exists("kept"), result
    assert result["policy_decision"]["policy_id"] == "default+strict", result
    assert spans()[-1]["policy_id"] == "default+strict"
    call("POST", f"/v1/worlds/{call('GET', '/v1/trace/' + result['span_id']).json['world_id']}/discard")
    answer = refused("denied", 403, cmd="touch strict", profile="strict")
    assert answer["pattern"] == "touch strict*", answer
    assert execute("touch strict")["outcome"] == "ok"
    # What denies without it denies with it, whatever it says itself.
    refused("denied", 403, profile="strict")
    refused("denied", 403, profile="loose")
    assert "nobody has decided" in refused("denied", 403, cmd="touch ask", profile="loose")["reason"]
    result = execute("grep -c : /proc/net/dev", profile="loose")
    assert text(result) == "1\n", result  # the loopback
    # Neither does one that is named twice, nor a nested call get away from it.
    assert execute("true", profile="default")["policy_decision"]["policy_id"] == "default"
    shutil.copy(shutil.which("substrate"), "nested")
    result = execute("./nested -c 'touch strict2'", profile="strict")
    assert result["exit"] == 126 and "touch strict*" in text(result, "stderr"), result
    refused("not_found", 404, "/profile", profile="nothing")
    refused("invalid", 400, "/profile", profile="../default")
    refused("invalid", 400, "/profile", profile=1)
    assert "broken.yaml" in refused("denied", 403, cmd="true", profile="broken")["reason"]


def named_world(other):
    def world_of(result):
        return [span for span in spans() if span.get("span_id") == result["span_id"]][-1]["world_id"]

    world = world_of(execute("echo x >/tmp/mark"))
    assert text(execute("cat /tmp/mark", world_id=world)) == "x\n"
    assert world_of(execute("true", world_id=world)) == world
    # At work.
    _, end = started("echo", world_id=world)
    assert "runs a command" in refused("conflict", 409, world_id=world)["detail"]
    answer = execute("true", path="/v1/execute/stream", world_id=world, want=409)
    assert answer["error"] == "conflict", answer
    assert execute("true", cwd=other)["outcome"] == "ok"
    end()
    assert world_of(execute("true", world_id=world)) == world
    refused("conflict", 409, "/world_id", world_id=world, cwd=other)
    refused("not_found", 404, "/world_id", world_id="wld_00000000-0000-7000-8000-000000000000")
    refused("invalid", 400, "/world_id", world_id="wld_../x")
    refused("invalid", 400, "/world_id", world_id=world, isolate=True)
    # Made for other rules than the policy has now; and a command that is to have a world of its own.
    policies = pathlib.Path(os.environ["SUBSTRATE_HOME"], "policies")
    (policies / "default.yaml").write_text("id: default\nmode: enforce\ncommands:\n  isolated: [touch no*]\n")
    assert "of its own" in refused("conflict", 409, world_id=world)["detail"]
    (policies / "default.yaml").write_text("id: default\nworld_fs:\n  mode: read_only\n")
    assert "other rules" in refused("conflict", 409, world_id=world)["detail"]
    # A refusal is no command that was started.
    for _ in range(2):
        refused("conflict", 409, world_id=world, agent_id="other", budget={"max_execs": 1})
    assert execute("true", agent_id="other", budget={"max_execs": 1})["outcome"] == "ok"


def terminals():
    result = execute("tty; test -t 0 && test -t 1 && test -t 2 && stty size; echo err >&2; echo x >made; exit 3", pty=True)
    lines = text(result).splitlines()
    assert lines[0].startswith("/dev/pts/") and lines[1:] == ["24 80", "err"], lines
    assert result["exit"] == 3 and result["stderr_b64"] == "" and pathlib.Path("made").read_text() == "x\n"
    span = spans()[-1]
    assert span["pty"] and span["output"]["merged"], span
    assert span["output"]["stdout_bytes"] == len(base64.b64decode(result["stdout_b64"])), span
    assert "pty" not in [execute("true"), spans()[-1]][1]
    # What is typed is read, and then the end; with a line that has none as well.
    for typed in ("", "a\n", "a\nb"):
        encoded = base64.b64encode(typed.encode()).decode()
        read = text(execute("stty -echo; cat >got; wc -c <got", pty=True, stdin_b64=encoded))
        assert read.endswith(f"{len(typed)}\r\n"), (typed, read)
    lines = "".join(f"{i} {'x' * 90}\n" for i in range(2000))
    execute("stty -echo; cat >got", pty=True, stdin_b64=base64.b64encode(lines.encode()).decode())
    assert pathlib.Path("got").read_text() == lines
    # All of it, and in order, in one piece or in many.
    result = execute("stty -opost; seq 1 100000", pty=True)
    assert text(result) == "".join(f"{i}\n" for i in range(1, 100001))
    answer = frames_of(execute("stty -opost; seq 1 100000; echo err >&2", pty=True, path="/v1/execute/stream"))
    assert {frame["type"] for frame in answer} == {"start", "stdout", "exit"}
    out = b"".join(base64.b64decode(frame["chunk_b64"]) for frame in answer if frame["type"] == "stdout")
    assert out.decode() == "".join(f"{i}\n" for i in range(1, 100001)) + "err\n"
    assert execute("sleep 600", pty=True, timeout_ms=50)["outcome"] == "timeout"


def tokens(elsewhere):
    schema = json.loads((HERE.parent / "schemas" / "scope_token.schema.json").read_text())
    result = execute("python3 scope_probe.py", agent_id="bot", timeout_ms=60000)
    assert result["exit"] == 0, text(result, "stderr")
    token = json.loads(text(result))
    jsonschema.Draft7Validator(schema).validate(token)
    span = [span for span in spans() if span.get("span_id") == result["span_id"]][-1]
    assert (token["span_id"], token["agent_id"], token["session"]) == (span["span_id"], "bot", span["session_id"]), token
    scopes = [("fs.write:" + os.getcwd(), "policy default"), ("net:packages.example:443", "policy default"),
              ("net:*.example", "policy default")]
    assert [(item["scope"], item["source"]) for item in token["scopes"]] == scopes, token
    # Only what all policies say.
    strict = json.loads(text(execute("cat <&3", profile="strict")))
    assert [item["scope"] for item in strict["scopes"]] == [f"fs.write:{os.getcwd()}/out", "net:packages.example:443"]
    # Never as text in the environment, and a number from elsewhere is not taken for it.
    shown = text(execute("env", env={"SUBSTRATE_SCOPE_FD": "9"}))
    assert "SUBSTRATE_SCOPE_FD=3\n" in shown and "SUBSTRATE_SCOPE_FD=9" not in shown and '"mac"' not in shown, shown
    terminal = text(execute("stty -opost; cat <&3", pty=True))
    assert json.loads(terminal)["agent_id"] == "tester", terminal
    # The agent keeps no descriptor of it.
    old, end = started("cat <&3")
    held = [os.readlink(entry) for entry in pathlib.Path(f"/proc/{agent_pid()}/fd").iterdir() if entry.is_symlink()]
    assert held and not [name for name in held if "substrate-scope" in name], held
    end()

    def nested(prepare):
        return execute(prepare + " ./substrate -c 'echo in; env'")

    # A nested call presents it.
    shown = text(nested(""))
    assert shown.startswith("in\n") and "SUBSTRATE_SPAN_ID" in shown and "SUBSTRATE_SCOPE_FD" not in shown, shown
    assert [span for span in spans() if span.get("nested")][-1]["exit"] == 0
    # That of a command that has ended, of another one that runs, a changed one, none.
    forge = "import json, os; t = json.load(os.fdopen(3)); t['agent_id'] = 'root'; print(json.dumps(t))"
    pathlib.Path("forge.py").write_text(forge)
    pathlib.Path("old").write_text(old)
    pathlib.Path("junk").write_text("{}")
    for name, why in (("old", "it is of another command"), ("junk", "is missing"), ("forged", "this agent has not made it")):
        result = nested(f"python3 forge.py >forged; exec 3<{name};")
        assert result["exit"] == 126 and why in text(result, "stderr") and text(result) == "", result
        assert spans()[-1]["span_id"] == result["span_id"], spans()[-1]
        assert why in [span for span in spans() if span["event_type"] == "warning"][-1]["message"]
    theirs, end = started("cat <&3", agent_id="other", cwd=elsewhere)
    pathlib.Path("theirs").write_text(theirs)
    assert json.loads(theirs)["agent_id"] == "other"
    result = nested("exec 3<theirs;")
    assert result["exit"] == 126 and "it is of another command" in text(result, "stderr"), result
    end()
    # Without one it is as before, and with one whose command has ended.
    assert text(nested("exec 3<&-;")).startswith("in\n")
    execute("(sleep 0.3; ./substrate -c 'echo later') >/dev/null 2>&1 &")
    wait_until(lambda: [span for span in spans() if span.get("cmd") == "echo later" and span["exit"] == 0], "it may ask")


def request(*scopes, want=200, agent_id="tester", **more):
    answer = call("POST", "/v1/request_scopes", {"agent_id": agent_id, "scopes": list(scopes), **more})
    assert answer.status == want, answer.body
    return answer.json["results"] if want == 200 else answer.json


def decide(approval_id, decision, want=200):
    token = pathlib.Path(os.environ["SUBSTRATE_HOME"], "approval-token").read_text().strip()
    body = {"approval_id": approval_id, "decision": decision, "token": token}
    assert call("POST", "/v1/approvals", body).status == want


def grant(scope, **more):
    waiting = request(scope, reason="to get on", **more)[0]
    assert waiting["status"] == "pending", waiting
    assert request(scope, **more)[0]["approval_id"] == waiting["approval_id"], "it is asked about once"
    shown = call("GET", "/v1/approvals").json["approvals"]
    assert [(item["command"], item["decisions"]) for item in shown] == [
        ("request_scopes " + waiting["scope"], ["once", "deny"])], shown
    assert "to get on" in shown[0]["reason"] and "tester" in shown[0]["impact"][0], shown
    decide(waiting["approval_id"], "always", 400)
    decide(waiting["approval_id"], "once")
    return request(scope, **more)[0]


def asks_for_more(other):
    here = os.getcwd()
    # What is there already, and what no person can give.
    results = request("net:Packages.example:443", f"fs.write:{here}/out/x", "cmd:make all", "cmd:touch no",
                      "cmd:git push --force x", "net:a.denied.example:443", "fs.write:secret/x")
    assert [item["status"] for item in results] == ["granted"] * 3 + ["denied"] * 4, results
    assert results[0]["scope"] == "net:packages.example:443" and results[1]["scope"] == f"fs.write:{here}/out/x"
    assert [item.get("rule") for item in results[3:]] == ["commands.denied[1]", "commands.denied[0]", "net.denied[0]", "fs.deny"]
    assert call("GET", "/v1/approvals").json == {"approvals": []}
    # A command.
    refused("denied", 403, cmd="touch ask1")
    result = grant("cmd:touch ask*")
    assert result["status"] == "granted" and result["grant_id"].startswith("grt_") and result["expires"], result
    assert execute("touch out/x; :", agent_id="tester")["exit"] == 0
    assert execute("touch ask1")["exit"] == 1, "only out may be written"
    refused("denied", 403, cmd="touch ask1", agent_id="other")
    refused("denied", 403, cmd="touch ask1", cwd=other)
    refused("denied", 403, cmd="touch ask1; git x")
    refused("denied", 403, cmd="touch ask1 | touch ask2")
    refused("denied", 403)
    event = [event for event in spans() if event["event_type"] == "approval" and "scope" in event][-1]
    assert (event["answer"], event["scope"], event["agent_id"]) == ("once", "cmd:touch ask*", "tester"), event
    # A place.
    assert execute("touch more/x")["exit"] == 1
    assert grant("fs.write:$PROJECT/more")["status"] == "granted"
    assert execute("touch more/x out/y")["exit"] == 0 and os.path.exists("more/x")
    assert execute("touch more/y", agent_id="other")["exit"] == 1
    assert execute("touch here")["exit"] == 1
    # A host: what is in force is in the token; that it is reached is tested in network.bats.
    assert grant("net:files.example:8443")["status"] == "granted"
    token = json.loads(text(execute("cat <&3")))
    sources = {item["scope"]: item["source"] for item in token["scopes"]}
    assert sources["net:packages.example:443"] == "policy default" and sources["net:files.example:8443"].startswith("grant grt_")
    assert sources[f"fs.write:{here}/more"].startswith("grant grt_") and sources["cmd:touch ask*"].startswith("grant grt_")
    token = json.loads(text(execute("cat <&3", agent_id="other")))
    assert not [item for item in token["scopes"] if "grant" in item["source"]], token
    # Inside of its world as well; a profile is another set of policies, under which nothing is granted.
    shutil.copy(shutil.which("substrate"), "out/nested")
    assert execute("out/nested -c 'touch ask1'")["exit"] == 1
    refused("denied", 403, cmd="touch ask1", profile="also")
    # No.
    waiting = request("cmd:git pull")[0]
    decide(waiting["approval_id"], "deny")
    assert request("cmd:git pull")[0]["status"] == "denied", "a person has said no"
    # What could not take effect or says too much.
    assert request("fs.write:not-there", want=400)["pointer"] == "/scopes/0"
    os.symlink("/etc", "link")
    assert request("fs.write:link", want=400)["pointer"] == "/scopes/0"
    for scope in ("net:*", "net:*.example:1", "fs.write:/etc", "fs.write:../x", "cmd:*", "cmd:sh *|*", "fs.read:x", "x"):
        assert request("cmd:make", scope, want=400)["pointer"] == "/scopes/1", scope
    assert request(want=400)["pointer"] == "/scopes"
    assert request("cmd:make", want=400, agent_id="")["error"] == "agent_id_required"
    assert request("cmd:make", want=400, ttl_ms=86400001)["pointer"] == "/ttl_ms"
    assert request("cmd:make", want=400, cwd="/nowhere")["pointer"] == "/cwd"
    wait_until(lambda: not call("GET", "/v1/approvals").json["approvals"], "nothing waits for ever")


def grants_end():
    assert grant("cmd:touch ask*", ttl_ms=1500)["status"] == "granted"
    assert execute("touch ask1")["exit"] == 0
    wait_until(lambda: request("cmd:touch ask*")[0]["status"] == "pending", "it has expired")
    refused("denied", 403, cmd="touch ask1")
    wait_until(lambda: not call("GET", "/v1/approvals").json["approvals"], "nobody has decided")
    assert grant("cmd:touch ask*")["status"] == "granted"
    assert execute("touch ask2")["exit"] == 0
    policies = pathlib.Path(os.environ["SUBSTRATE_HOME"], "policies")
    (policies / "new").write_text("id: default\nmode: enforce\napproval:\n  require: [touch ask*, make]\n  timeout: 300ms\n")
    os.rename(policies / "new", policies / "default.yaml")
    refused("denied", 403, cmd="touch ask2")


def granted():
    return call("GET", "/v1/request_scopes").json["grants"]


def grants_are_revoked(by):
    assert granted() == []
    first, second = grant("cmd:touch ask*")["grant_id"], grant("fs.write:$PROJECT/more")["grant_id"]
    assert [(item["grant_id"], item["scope"]) for item in granted()] == [
        (first, "cmd:touch ask*"), (second, f"fs.write:{os.getcwd()}/more")], granted()
    assert granted()[0]["agent_id"] == "tester" and granted()[0]["project"] == os.getcwd()
    assert execute("touch ask1")["exit"] == 1, "it ran, where only out and more may be written"
    if by == "api":
        gone = call("DELETE", "/v1/request_scopes/" + first)
        assert (gone.status, gone.json) == (200, {"deleted": first}), gone.body
    else:
        listed = json.loads(subprocess.run(["substrate", "policy", "approvals", "--json"], check=True, capture_output=True).stdout)
        assert [(item["state"], item["grant_id"]) for item in listed] == [("granted", first), ("granted", second)], listed
        shown = subprocess.run(["substrate", "policy", "approvals"], check=True, capture_output=True, text=True).stdout
        assert first in shown and "touch ask*" in shown, shown
        subprocess.run(["substrate", "policy", "approvals", "--revoke", first], check=True)
        again = subprocess.run(["substrate", "policy", "approvals", "--revoke", first], check=False, capture_output=True, text=True)
        assert again.returncode != 0 and "there is no grant" in again.stderr, again
    event = [event for event in spans() if event["event_type"] == "approval"][-1]
    assert (event["answer"], event["grant_id"], event["scope"]) == ("revoked", first, "cmd:touch ask*"), event
    assert [item["grant_id"] for item in granted()] == [second], granted()
    refused("denied", 403, cmd="touch ask2")
    assert execute("touch more/x")["exit"] == 0
    if by == "api":
        assert call("DELETE", "/v1/request_scopes/" + first).status == 404
        assert call("DELETE", "/v1/request_scopes/grt_x").status == 400
        assert call("DELETE", "/v1/request_scopes/" + second).status == 200
    else:
        subprocess.run(["substrate", "policy", "approvals", "--revoke-all"], check=True)
    assert granted() == [] and execute("touch more/y")["exit"] == 1


def events():
    def of(answer):
        return [frame["event"] for frame in frames_of(answer) if frame["type"] == "event"]

    # What a person has answered, before the command runs.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(execute, "touch ask1", path="/v1/execute/stream")
        [waiting] = wait_until(lambda: call("GET", "/v1/approvals").json["approvals"], "it asks")
        decide(waiting["approval_id"], "once")
        answer = running.result()
    types = [frame["type"] for frame in frames_of(answer)]
    assert types[:2] == ["start", "approval"] and types[-1] == "exit" and "event" in types, types
    [event] = of(answer)
    assert (event["event_type"], event["answer"]) == ("approval", "once"), event
    assert event["span_id"] == frames_of(answer)[0]["span_id"] and event in spans(), event
    # What a command is refused while it runs.
    shutil.copy(shutil.which("substrate"), "nested")
    answer = execute("./nested -c true; ./nested -c true; :", path="/v1/execute/stream", budget={"max_execs": 2}, agent_id="bot")
    limits = [event for event in spans() if event["event_type"] == "rate_limit"]
    assert len(limits) == 1 and limits[0]["limit"] == "max_execs", limits
    if limits[0]["span_id"] == frames_of(answer)[0]["span_id"]:
        assert limits[0] in of(answer), frames_of(answer)
    # A name that no policy lets be asked for, where there is a gateway.
    answer = execute("getent hosts nowhere.example; :", path="/v1/execute/stream")
    told = of(answer)
    recorded = [event for event in spans() if event.get("span_id") == frames_of(answer)[0]["span_id"] and "cmd" not in event]
    assert told == recorded, (told, recorded)
    # Nothing of another's command; and a denial is an answer of its own.
    assert of(execute("true", path="/v1/execute/stream")) == []
    assert execute("touch ask2", path="/v1/execute/stream", agent_id="quick", budget={"max_execs": 0}, want=429)["error"] == "budget_exhausted"


if __name__ == "__main__":
    signal.alarm(5 * LIMIT)
    globals()[sys.argv[1]](*sys.argv[2:])
