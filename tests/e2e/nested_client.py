#!/usr/bin/env python3
"""nested_client.py WHAT…: what a hostile command does at its world's door.

judge JSON       asks with exactly these members; prints the answer as JSON
ended JSON END   asks, and says END of it when it may run
raw HEX          sends these bytes; prints how the door takes it
hold COUNT       opens connections and says nothing, until standard input ends
flood COUNT      opens so many, one after the other, and leaves at once
connect PATH     exit 0 when it can be connected to
"""
import json, socket, struct, sys

DOOR = "/.substrate.sock"


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for code, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if n < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | code]) + struct.pack(form, n)
    raise ValueError(n)


def encode(value):
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(encode, value))
    return head(5, len(value)) + b"".join(encode(k) + encode(value[k]) for k in sorted(value))


def decode(data, at=0):
    major, n = data[at] >> 5, data[at] & 31
    at += 1
    if n >= 24:
        size = 1 << n - 24
        n, at = int.from_bytes(data[at:at + size], "big"), at + size
    if major == 0:
        return n, at
    if major == 1:
        return -1 - n, at
    if major in (2, 3):
        return data[at:at + n].decode(errors="replace"), at + n
    if major == 7:
        return {20: False, 21: True}.get(n), at
    made = [] if major == 4 else {}
    for _ in range(n):
        item, at = decode(data, at)
        if major == 4:
            made.append(item)
        else:
            made[item], at = decode(data, at)
    return made, at


def connect(path=DOOR):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    return s


def send(s, value):
    payload = encode(value)
    s.sendall(struct.pack("<I", len(payload)) + payload)


def receive(s):
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack("<I", data[:4])[0]:
        more = s.recv(65536)
        if not more:
            return None
        data += more
    return decode(data[4:])[0]


def request(members, version):
    asked = {"type": "judge", "version": version, "cmd": "true", "cwd": "/", "shell": "/bin/bash", "commit": "auto"}
    asked.update(members)
    return asked


def main(what, *args):
    version = "1/" + VERSION
    if what in ("judge", "ended"):
        s = connect()
        send(s, request(json.loads(args[0]), version))
        answer = receive(s)
        print(json.dumps(answer))
        if what == "ended":
            send(s, json.loads(args[1]))
            print(json.dumps(receive(s)))
    elif what == "raw":
        s = connect()
        s.sendall(bytes.fromhex(args[0]))
        try:
            answer = receive(s)
        except ConnectionResetError:
            answer = None
        print("closed" if answer is None else answer["type"])
    elif what == "hold":
        held = []
        for _ in range(int(args[0])):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(DOOR)
            except BlockingIOError:
                break
            held.append(s)
        print("held", flush=True)
        sys.stdin.read()
    elif what == "flood":
        for _ in range(int(args[0])):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(DOOR)
            except BlockingIOError:
                pass
            s.close()
    elif what == "connect":
        connect(args[0])


VERSION = sys.argv[1]
main(*sys.argv[2:])
