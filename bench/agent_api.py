"""Figures of the agent API: clients of agent.sock that do no more than they must."""
import base64
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

from figures import Broken, Figure, percentile

TRUE = "/bin/true"
MIB = 1 << 20
STREAM_BYTES = 1 << 30
PTY_BYTES = 128 * MIB
SESSIONS = 1000
EDGE = 50  # of the first and the last worlds
# The targets in milliseconds and per second are of a machine where posix_spawn(3) of /bin/true takes this (chapter 12 of the
# specification). Of what it takes here they are these parts.
FLOOR_MS, CORES = 0.61, 2
P50_MS, PER_SECOND = 1.5, 1000.0


class Client:
    """One kept connection."""

    def __init__(self, path):
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(120)
        self.connection.connect(str(path))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    @staticmethod
    def request(path, body):
        body = json.dumps(body).encode()
        return b"POST %s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(body), body)

    def more(self):
        piece = self.connection.recv(1 << 16)
        if not piece:
            raise Broken("the API has closed the connection")
        return piece

    def ask(self, data):
        """The body of the answer, which must be a good one."""
        self.connection.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.more()
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        while len(body) < length:
            body += self.more()
        if b" 20" not in head.splitlines()[0]:
            raise Broken(f"the API answers {answer[:300]!r}")
        return body

    def get(self, path):
        return self.ask(b"GET %s HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode())

    def run(self, data):
        if json.loads(self.ask(data))["exit"] != 0:
            raise Broken("the command has failed")


def memory_of(pid, *keys):
    """KiB."""
    found = 0
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        key, _, value = line.partition(":")
        if key in keys:
            found += int(value.split()[0])
    return found


def available_memory():
    return next(int(line.split()[1]) for line in pathlib.Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable"))


class ApiBench:
    """A part of Bench."""

    def api_socket(self):
        return pathlib.Path(self.env["SUBSTRATE_HOME"]) / "sock" / "agent.sock"

    def start_agent(self):
        os.chdir(self.project)
        subprocess.run([self.substrate, "world", "warm"], env=self.env, stdin=self.null, capture_output=True, check=True)

    def call_of(self, path, cmd, **more):
        return Client.request(path, {"agent_id": "bench", "cmd": cmd, "cwd": str(self.project), **more})

    def api(self):
        """Over one kept connection, and over several at once."""
        self.start_agent()
        path = self.api_socket()
        run_true = self.call_of("/v1/execute", TRUE)
        kept = Client(path)

        def milliseconds():
            start = time.perf_counter_ns()
            kept.run(run_true)
            return (time.perf_counter_ns() - start) / 1e6

        ours, cli, bare = self.in_turn([milliseconds, lambda: self.timed([self.substrate, "-c", TRUE]), lambda: self.timed([TRUE])], self.n)
        yield Figure("API, kept connection / CLI", ("execute /bin/true", ours), ("substrate -c", cli), "ms")
        yield Figure("API, kept connection / bare", ("execute /bin/true", ours), ("/bin/true", bare), "ms", round(P50_MS / FLOOR_MS, 2))
        # One after the other, as an agent does: with what is done between two commands.
        alone = [milliseconds() for _ in range(10 * self.n)]
        for percent, limit in ((50, P50_MS), (99, 5.0)):
            yield Figure(f"API, p{percent} of {len(alone)}", ("execute /bin/true", [percentile(alone, percent)]), ("", [limit]), "ms", 1.0)

        def rate(one):
            counts = [0] * 4
            end = time.monotonic() + 2

            def work(which):
                with Client(path) as client:
                    while time.monotonic() < end:
                        one(client)
                        counts[which] += 1

            threads = [threading.Thread(target=work, args=(which,)) for which in range(len(counts))]
            start = time.perf_counter()
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return sum(counts) / (time.perf_counter() - start)

        rates, bare = self.in_turn([lambda: rate(lambda client: client.run(run_true)), lambda: rate(lambda _: self.timed([TRUE]))], max(3, self.few // 2))
        yield Figure("API, 4 connections / 4 threads", ("executes per second", rates), ("/bin/true", bare), "1/s", round(PER_SECOND * FLOOR_MS / 1000 / CORES, 2), at_least=True)
        yield Figure("API, 4 connections", ("executes per second", rates), ("", [PER_SECOND] * len(rates)), "1/s", 1.0, at_least=True)
        yield self.reuse(kept)
        for name, stream in (("received, not decoded", self.received), ("decoded", self.decoded)):
            streams = [stream(path) for _ in range(self.few)]
            yield Figure("API, stream of 1 GiB", (f"head, {name}", streams), ("", [500.0] * len(streams)), "MB/s", 1.0, at_least=True)

    @staticmethod
    def reuse(client):
        """What the agent itself reports of the commands before."""
        metrics = dict(line.rsplit(" ", 1) for line in client.get("/metrics").decode().splitlines() if not line.startswith("#"))
        share = float(metrics["substrate_session_reuse_ratio"])
        return Figure(f"session reuse, {metrics['substrate_commands_total']} commands", ("/metrics", [share]), ("", [0.9]), "", 1.0, at_least=True)

    def received(self, path):
        buffer = bytearray(MIB)
        with Client(path) as client:
            start = time.perf_counter_ns()
            client.connection.sendall(self.call_of("/v1/execute/stream", f"head -c {STREAM_BYTES} /dev/zero"))
            total, tail = 0, b""
            while b'"type":"exit"' not in tail:
                size = client.connection.recv_into(buffer)
                if size == 0:
                    raise Broken("the API has closed the connection")
                total += size
                tail = tail[-64:] + bytes(buffer[max(0, size - 64 * 1024) : size])
            elapsed = time.perf_counter_ns() - start
        if total < STREAM_BYTES * 4 // 3:
            raise Broken(f"{total} bytes are too few for a stream of {STREAM_BYTES}")
        return STREAM_BYTES / elapsed * 1e3

    def decoded(self, path):
        """Chunks, lines, JSON and base64, by the client."""
        with Client(path) as client:
            start = time.perf_counter_ns()
            client.connection.sendall(self.call_of("/v1/execute/stream", f"head -c {STREAM_BYTES} /dev/zero"))
            stream = client.connection.makefile("rb", MIB)
            while stream.readline().strip():
                pass
            total, rest = 0, b""
            while size := int(stream.readline(), 16):
                piece = stream.read(size)
                stream.readline()
                lines = (rest + piece if rest else piece).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    frame = json.loads(line)
                    if frame["type"] == "stdout":
                        total += len(base64.b64decode(frame["chunk_b64"]))
            elapsed = time.perf_counter_ns() - start
        if total != STREAM_BYTES:
            raise Broken(f"{total} bytes instead of {STREAM_BYTES} from a stream")
        return STREAM_BYTES / elapsed * 1e3

    def sessions(self):
        """So many session worlds that wait: how long each takes to make, and what it holds."""
        agent = 0
        before = self.env
        self.env = {**before, "SUBSTRATE_HOME": str(self.scratch / "home-sessions"), "SUBSTRATE_WORLD_IDLE_SECS": "3600"}
        try:
            self.start_agent()
            make = Client.request("/v1/worlds", {"agent_id": "bench", "cwd": str(self.project)})
            with Client(self.api_socket()) as client:

                def made():
                    start = time.perf_counter_ns()
                    client.ask(make)
                    return (time.perf_counter_ns() - start) / 1e6

                for _ in range(3):
                    made()
                agent = json.loads(self.status())["agent_pid"]
                time.sleep(1)
                own = ("Private_Clean", "Private_Dirty")
                agent_before, machine_before = memory_of(agent, *own), available_memory()
                times = [made() for _ in range(SESSIONS)]
                time.sleep(1)  # after half a second an idle init gives back the pages of its program
                agent_after, machine_after = memory_of(agent, *own), available_memory()
                inits = [world["init_pid"] for project in json.loads(self.status())["projects"] for world in project["worlds"]]
                if len(inits) < SESSIONS:
                    raise Broken(f"{len(inits)} worlds instead of {SESSIONS}")
                of_agent = (agent_after - agent_before) / SESSIONS
                unshared = [memory_of(pid, *own) + of_agent for pid in inits]
                yield Figure(f"the last of {SESSIONS} session worlds", (f"last {EDGE} made", times[-EDGE:]), (f"first {EDGE}", times[:EDGE]), "ms", 1.2)
                yield Figure("an idle session world, unshared", ("init and its part of the agent", unshared), ("", [1.5 * 1024] * len(unshared)), "KiB", 1.0)
                yield Figure("  the kernel's part included", ("available memory less", [(machine_before - machine_after) / SESSIONS]), ("", [1.5 * 1024]), "KiB")
                for world in json.loads(client.get("/v1/worlds"))["worlds"][-EDGE:]:
                    client.run(self.call_of("/v1/execute", TRUE, world_id=world["world_id"]))
        finally:
            self.stop_agent()
            end = time.monotonic() + 120
            while agent and pathlib.Path(f"/proc/{agent}").exists() and time.monotonic() < end:
                time.sleep(0.1)  # it ends its worlds
            self.env = before

    def status(self):
        done = subprocess.run([self.substrate, "world", "status", "--json"], env=self.env, stdin=self.null, capture_output=True, check=True)
        return done.stdout

    def pty(self):
        self.start_agent()
        line = f"stty raw -echo; head -c {PTY_BYTES} /dev/zero"
        buffer = bytearray(MIB)

        def rate(total, start):
            if total != PTY_BYTES:
                raise Broken(f"{total} bytes instead of {PTY_BYTES} through a terminal")
            return total / (time.perf_counter_ns() - start) * 1e3

        def bare():
            master, slave = os.openpty()
            start = time.perf_counter_ns()
            child = subprocess.Popen(["sh", "-c", line], stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=self.env)
            os.close(slave)
            total = 0
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                while size := os.readv(master, [buffer]):
                    total += size
            os.close(master)
            child.wait()
            return rate(total, start)

        def ours():
            with Client(self.api_socket()) as client:
                client.connection.sendall(b"GET /v1/stream HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                          b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n")
                stream = client.connection.makefile("rb", MIB)
                while stream.readline().strip():
                    pass
                frame = json.dumps({"type": "start", "agent_id": "bench", "cmd": line, "cwd": str(self.project)}).encode()
                client.connection.sendall(bytes([0x81, 0x80 | 126]) + len(frame).to_bytes(2, "big") + bytes(4) + frame)
                start, total = time.perf_counter_ns(), 0
                while head := stream.read(2):
                    size = int.from_bytes(stream.read(2 if head[1] == 126 else 8), "big") if head[1] >= 126 else head[1]
                    payload = stream.read(size)
                    if head[0] & 15 == 2:
                        total += len(payload)
                    elif head[0] & 15 == 1 and json.loads(payload)["type"] == "exit":
                        break
                return rate(total, start)

        api, alone = self.in_turn([ours, bare], self.few)
        yield Figure("128 MiB through a raw terminal", ("API", api), ("bare", alone), "MB/s", 0.8, at_least=True)
