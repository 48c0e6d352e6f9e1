"""What the worlds' network costs, in a small internet of its own (tests/e2e/small_internet.sh): no interface of it leads
anywhere. As a program it is what runs in there, and prints its measurements as JSON.
"""
import itertools
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

from figures import Broken, Figure

ROOT = pathlib.Path(__file__).resolve().parents[1]
MIB = 1 << 20
BULK_BYTES = 512 * MIB
NAME, ADDRESS, NAME_SERVER, PORT = "pypi.test", "44.128.0.10", "44.128.0.1", 4000
MANY_NAMES, FEW_NAMES = 10_000, 10
CONNECTIONS = 100  # of one sample, which is their median

# What is run in the world and beside it: prints one number.
CLIENT = '''
import socket, statistics, struct, sys, time
what, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
samples = []
if what == "bulk":
    buffer, got = bytearray(1 << 20), 0
    with socket.create_connection((host, port)) as s:
        s.sendall(struct.pack("!Q", count))
        s.recv(1)
        start = time.perf_counter_ns()
        while got < count - 1:
            n = s.recv_into(buffer)
            if n == 0: sys.exit("the server has gone")
            got += n
        print(count / (time.perf_counter_ns() - start) * 1e3)
    sys.exit()
if what == "connect":
    address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    for _ in range(count):
        start = time.perf_counter_ns()
        with socket.create_connection(address) as s:
            s.sendall(struct.pack("!Q", 1))
            s.recv(1)
            samples.append(time.perf_counter_ns() - start)
if what == "names":
    labels = b"".join(bytes([len(part)]) + part for part in b"pypi.test".split(b"."))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect((host, port))
        for i in range(count):
            start = time.perf_counter_ns()
            s.send(struct.pack("!6H", i, 0x0100, 1, 0, 0, 0) + labels + bytes([0, 0, 1, 0, 1]))
            s.recv(2048)
            samples.append(time.perf_counter_ns() - start)
print(statistics.median(samples) / 1e6)
'''


def serve(listener):
    """Answers 8 bytes, a number, with as many bytes."""
    block = bytes(MIB)

    def answer(connection):
        with connection:
            try:
                left = struct.unpack("!Q", connection.recv(8, socket.MSG_WAITALL))[0]
                while left > 0:
                    left -= connection.send(block[:min(left, MIB)])
            except (OSError, struct.error):
                pass

    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


class Inside:
    def __init__(self, substrate, scratch, n, few):
        self.substrate, self.scratch, self.n, self.few = substrate, pathlib.Path(scratch), n, few
        self.project = self.scratch / "project"
        self.project.mkdir()
        os.chdir(self.project)
        (self.project / "client.py").write_text(CLIENT)
        self.homes = []

    def home(self, name, allowed, **variables):
        """The environment of an agent of its own, whose worlds reach what `allowed` names."""
        home = self.scratch / name
        (home / "policies").mkdir(mode=0o700, parents=True)
        home.chmod(0o700)
        (home / "policies" / "default.yaml").write_text("id: default\nnet:\n  allowed: " + json.dumps(allowed) + "\n")
        environment = {**os.environ, "SUBSTRATE_HOME": str(home), **variables}
        self.homes.append(environment)
        return environment

    def stop(self):
        for environment in self.homes:
            subprocess.run([self.substrate, "world", "stop"], env=environment, capture_output=True, check=False)

    @staticmethod
    def run(argv, environment):
        done = subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Broken(f"exit {done.returncode} of: {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def measured(self, what, count, world=None):
        """What the client prints, in a world of that environment or, None, beside it."""
        host, port = (NAME if world else ADDRESS), PORT
        if what == "names":
            host, port = ("127.0.0.53" if world else NAME_SERVER), 53
        argv = ["python3", "client.py", what, host, str(port), str(count)]
        if not world:
            return float(self.run(argv, os.environ))
        return float(self.run([self.substrate, "-c", " ".join(argv)], world))

    def started(self, environment, *flags):
        argv = [self.substrate, *flags, "-c", "true"]
        start = time.perf_counter_ns()
        self.run(argv, environment)
        return (time.perf_counter_ns() - start) / 1e6

    @staticmethod
    def in_turn(works, n):
        results = [[] for _ in works]
        orders = list(itertools.permutations(range(len(works))))
        for i in range(-1, n):
            for which in orders[i % len(orders)]:
                result = works[which]()
                if i >= 0:
                    results[which].append(result)
        return results

    def measure(self):
        few = self.home("few", [NAME] + [f"name{i}.example" for i in range(FEW_NAMES - 1)])
        many = self.home("many", [NAME] + [f"name{i}.example" for i in range(MANY_NAMES - 1)])
        none = self.home("none", [])
        result = {"bulk": self.in_turn([lambda: self.measured("bulk", BULK_BYTES, few), lambda: self.measured("bulk", BULK_BYTES)], self.few)}
        for what in ("connect", "names"):
            result[what] = self.in_turn([lambda: self.measured(what, CONNECTIONS, few), lambda: self.measured(what, CONNECTIONS)], self.few)
            result[f"{what} of many"] = self.in_turn(
                [lambda: self.measured(what, CONNECTIONS, many), lambda: self.measured(what, CONNECTIONS, few)], self.few)
        result["command of many"] = self.in_turn([lambda: self.started(many), lambda: self.started(few)], self.n)
        result["start"] = self.in_turn([lambda: self.started(few, "--ephemeral"), lambda: self.started(none, "--ephemeral")], self.n)
        few, none = (self.home(f"{name} alone", allowed, SUBSTRATE_STANDBY="0") for name, allowed in (("few", [NAME]), ("none", [])))
        result["start alone"] = self.in_turn([lambda: self.started(few, "--ephemeral"), lambda: self.started(none, "--ephemeral")], self.n)
        return result


def added(name, label, pair, limit):
    """One figure of what the first of each pair takes longer than the second."""
    more = [a - b for a, b in zip(*pair)]
    return Figure(name, (label, more), ("", [limit] * len(more)), "ms", 1.0)


def figures(bench):
    scratch = bench.scratch / "internet"
    scratch.mkdir()
    argv = ["bash", str(ROOT / "tests/e2e/small_internet.sh"), str(scratch), sys.executable, str(pathlib.Path(__file__).resolve()),
            bench.substrate, str(scratch), str(bench.n), str(bench.few)]
    done = subprocess.run(argv, env=bench.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Broken(f"in the small internet: {done.stderr.strip()[-500:]}")
    pairs = json.loads(done.stdout)

    def ratio(name, what, labels, unit, limit, at_least=False):
        return Figure(name, *zip(labels, pairs[what]), unit, limit, at_least)

    yield ratio("512 MiB by the gateway / loopback TCP", "bulk", ("gateway", "loopback"), "MB/s", 0.5, at_least=True)
    yield added("connect by the gateway, added", "median of 100", pairs["connect"], 0.3)
    yield added("name known to the gateway, added", "median of 100", pairs["names"], 0.1)
    yield added("start with a network, added", "--ephemeral", pairs["start"], 1.0)
    yield added("the same, nothing made ahead", "--ephemeral", pairs["start alone"], 1.0)
    for what in ("connect", "names", "command"):
        yield ratio(f"10,000 allowed names / 10, {what}", f"{what} of many", ("10,000", "10"), "ms", 1.1)


def main():
    substrate, scratch, n, few = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with socket.create_server((ADDRESS, PORT), backlog=512) as listener:
        server = os.fork()
        if server == 0:
            serve(listener)
    inside = Inside(substrate, scratch, n, few)
    try:
        print(json.dumps(inside.measure()))
    finally:
        inside.stop()
        os.kill(server, 9)


if __name__ == "__main__":
    main()
