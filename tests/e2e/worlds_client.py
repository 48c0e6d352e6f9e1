#!/usr/bin/env python3
"""Worlds as resources: made, forked, kept as snapshots; for the suite worlds.bats. worlds_client.py TEST
[ARGUMENTS] runs one test in the current directory, a project."""
import os
import sys
import time

from api_client import call, execute, text

PROJECT = os.getcwd()


def make(want=201, **more):
    answer = call("POST", "/v1/worlds", {"agent_id": "tester", "cwd": PROJECT, **more})
    assert answer.status == want, answer.body
    assert want != 201 or answer.headers["Location"] == "/v1/worlds/" + answer.json["world_id"]
    return answer.json


def branch(what, world, want=201, **more):
    answer = call("POST", f"/v1/worlds/{world['world_id']}/{what}", {"agent_id": "tester", **more})
    assert answer.status == want, answer.body
    return answer.json


def run(world, cmd, want=200, **more):
    return execute(cmd, want=want, cwd=PROJECT, world_id=world["world_id"], **more)


def out(world, cmd):
    result = run(world, cmd)
    assert result["exit"] == 0, result
    return text(result)


def get(world, want=200):
    answer = call("GET", "/v1/worlds/" + world["world_id"])
    assert answer.status == want, answer.body
    return answer.json


def decide(what, world, want=200, **more):
    answer = call("POST", f"/v1/worlds/{world['world_id']}/{what}", more)
    assert answer.status == want, answer.body
    return answer.json


def diff(world):
    changes = call("GET", f"/v1/worlds/{world['world_id']}/diff").json["changes"]
    return [sorted(entry["path"] for entry in change["fs_diff"]["entries"]) for change in changes]


def delete(world, want=200):
    answer = call("DELETE", "/v1/worlds/" + world["world_id"])
    assert answer.status == want, answer.body
    return answer.json


def host(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def makes():
    """A world of one's own, which follows the project."""
    first, second = make(name="one"), make()
    assert first["idle"] and first["name"] == "one" and first["agent_id"] == "tester", first
    assert first["world_id"] != second["world_id"] and not first["forked"] and not first["snapshot"]
    # /tmp is the world's: it tells whose command it was.
    out(first, "echo x >/tmp/mark; echo y >made")
    assert host("made") == "y\n"
    assert out(first, "cat /tmp/mark") == "x\n" and out(second, "[ -e /tmp/mark ] || echo none") == "none\n"
    # Nobody gets it who has not named it.
    assert text(execute("[ -e /tmp/mark ] || echo none", cwd=PROJECT)) == "none\n"
    assert get(first)["commands"] == 2
    # It ends, and is not there any more.
    assert delete(first) == {"deleted": first["world_id"]}
    get(first, want=404)
    assert run(first, "true", want=404)["error"] == "not_found"
    delete(first, want=404)
    for body in ({}, {"agent_id": "t", "name": ""}, {"agent_id": "t", "name": "a\u001b[2J"}, {"agent_id": "t", "cwd": "x"},
                 {"agent_id": "t", "cwd": PROJECT + "/nowhere"}, {"agent_id": "t", "more": 1}):
        assert call("POST", "/v1/worlds", body).status == 400, body
    assert call("POST", "/v1/worlds", {}).json["error"] == "agent_id_required"
    nothing = {"world_id": "wld_00000000-0000-7000-8000-000000000000"}
    for what in ("fork", "snapshot"):
        assert branch(what, nothing, want=404)["error"] == "not_found"
        assert branch(what, {"world_id": "x"}, want=400)["error"] == "invalid"


def forks():
    """Two worlds that go two ways, with what was undecided before in both."""
    parent = make()
    with open("f", "w", encoding="utf-8") as file:
        file.write("host\n")
    fork = branch("fork", parent, name="try")
    assert fork["from"] == parent["world_id"] and fork["forked"] and fork["idle"], fork
    # What one does the other does not see, and the host sees the parent's only.
    out(parent, "echo parent >f; echo p >from-parent; mkdir d; echo p >d/p")
    result = run(fork, "cat f; ls")
    assert text(result) == "host\nf\n", text(result)
    result = run(fork, "echo fork >g; rm f; mkdir d; echo k >d/k")
    assert result["commit"] == "pending" and any("kept in" in notice for notice in result["notices"]), result
    assert out(fork, "ls d g") == "g\n\nd:\nk\n"
    assert out(parent, "cat f; ls") == "parent\nd\nf\nfrom-parent\n"
    assert host("f") == "parent\n" and not os.path.exists("g")
    assert diff(fork) == [["d", "d/k", "f", "g"]], diff(fork)
    # A fork of the fork, and what it changes besides.
    second = branch("fork", fork)
    out(second, "echo second >>g; echo s >s")
    assert out(second, "cat g; ls") == "fork\nsecond\nd\ng\ns\n"
    assert out(fork, "cat g; ls") == "fork\nd\ng\n"
    assert [len(kept) for kept in (get(parent)["kept"], get(fork)["kept"], get(second)["kept"])] == [0, 1, 2]
    # Both sides have changed f and d: only by force, or not at all.
    done = decide("apply", fork)
    assert done["applied"][0]["state"] == "conflict" and host("f") == "parent\n", done
    delete(fork, want=409)
    decide("discard", fork)
    assert out(fork, "cat f") == "host\n", "as it was when it was forked"
    delete(fork)
    assert out(second, "cat g") == "fork\nsecond\n", "a copy"
    decide("discard", second)
    # What nobody else has touched is applied, and then it sees the host as it is.
    out(second, "echo t >t")
    out(second, "echo u >>t; echo u >u")
    done = decide("apply", second)
    assert [one["state"] for one in done["applied"]] == ["applied", "applied"], done
    assert host("t") == "t\nu\n" and host("u") == "u\n"
    assert out(second, "cat f t; ls") == "parent\nt\nu\nd\nf\nfrom-parent\nt\nu\n", out(second, "cat f t; ls")
    assert get(second)["kept"] == []
    delete(second)
    delete(parent)


def snapshots():
    """A state that is kept, whatever becomes of the world."""
    world = branch("fork", make())
    out(world, "echo one >f")
    kept = branch("snapshot", world, name="before")
    assert kept["snapshot"] and not kept["idle"] and kept["name"] == "before", kept
    assert kept["world_id"].startswith("snp_") and len(kept["kept"]) == 1, kept
    out(world, "echo two >f; echo x >g")
    assert diff(kept) == [["f"]] and run(kept, "true", want=400)["pointer"] == "/world_id"
    again = branch("fork", kept)
    assert out(again, "cat f; ls") == "one\nf\n"
    out(again, "echo three >>f")
    assert diff(kept) == [["f"]] and out(world, "cat f") == "two\n"
    assert [one["world_id"] for one in call("GET", "/v1/worlds").json["worlds"] if one.get("snapshot")] == [kept["world_id"]]
    delete(kept, want=409)
    done = decide("apply", kept)
    assert done["applied"][0]["state"] == "applied" and host("f") == "one\n", done
    get(kept, want=404)
    # The others changed the same file since.
    assert decide("apply", world)["applied"][0]["state"] == "conflict"
    assert out(again, "cat f") == "one\nthree\n"
    done = decide("apply", again, force=True)
    assert [one["state"] for one in done["applied"]] == ["applied", "applied"] and host("f") == "one\nthree\n", (done, host("f"))
    # One of nothing undecided is one all the same.
    empty = branch("snapshot", make())
    out(make(), "rm f; echo later >later")
    assert out(branch("fork", empty), "ls") == "f\n"
    delete(empty)


def pending():
    """Where commands wait for a decision, all of them are part of the state."""
    execute("echo a >a", cwd=PROJECT)
    execute("echo b >b", cwd=PROJECT)
    assert not os.path.exists("a")
    world = make()
    assert out(world, "ls") == "a\nb\n"
    fork = branch("fork", world)
    out(fork, "echo c >c; rm a")
    assert out(fork, "ls") == "b\nc\n" and out(world, "ls") == "a\nb\n"
    for change in call("GET", "/v1/worlds").json["worlds"]:
        if not change.get("forked") and change["kept"]:
            decide("discard", change)
    assert out(world, "ls") == "" and out(fork, "ls") == "b\nc\n"
    decide("apply", fork)
    assert sorted(os.listdir(".")) == ["b", "c"], os.listdir(".")


def refusals():
    world = make()
    # While something runs in it.
    out(world, "sleep 1000 >/dev/null 2>&1 &")
    got = branch("fork", world, want=409)
    assert "background processes" in got["detail"], got
    assert "background processes" in branch("snapshot", world, want=409)["detail"]
    delete(world, want=409)
    execute("pkill sleep", cwd=PROJECT, world_id=world["world_id"])
    fork = branch("fork", make())
    # Changes that a background process makes are the fork's as well.
    out(fork, "(sleep 0.1; echo later >later) >/dev/null 2>&1 &")
    for _ in range(200):
        if get(fork).get("background") is False and get(fork)["kept"]:
            break
        time.sleep(0.05)
    assert diff(fork) == [["later"]] and not os.path.exists("later"), diff(fork)
    for _ in range(64):
        last = branch("snapshot", fork)
    assert "64 snapshots" in branch("snapshot", fork, want=409)["detail"]
    decide("discard", last)
    branch("snapshot", fork)


def direct():
    """What was changed without a capture nobody can show without."""
    fork = branch("fork", make())
    assert out(fork, "ls") == ""
    os.system("substrate --direct -c 'echo x >x'")
    got = run(fork, "ls", want=409)
    assert "changed the project directly" in got["detail"] and got["advice"], got


def survives(step):
    """Another agent finds what the first has left."""
    if step == "before":
        fork = branch("fork", make(), name="kept")
        out(fork, "echo x >x")
        branch("snapshot", fork, name="frozen")
        return
    execute("true", cwd=PROJECT)
    by_name = {world.get("name"): world for world in call("GET", "/v1/worlds").json["worlds"]}
    fork, frozen = by_name["kept"], by_name["frozen"]
    assert not fork["idle"] and out(fork, "cat x") == "x\n" and get(fork)["idle"], fork
    assert out(branch("fork", frozen), "cat x") == "x\n"
    assert not os.path.exists("x")
    decide("apply", fork)
    assert host("x") == "x\n"


if __name__ == "__main__":
    {name: thing for name, thing in globals().items() if callable(thing)}[sys.argv[1]](*sys.argv[2:])
