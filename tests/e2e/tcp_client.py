#!/usr/bin/env python3
"""Clients of the API over TCP for the suite tcp.bats: tcp_client.py TEST runs one test."""
import json
import os
import pathlib
import signal
import socket
import sys
import time

from api_client import LIMIT, read_all

HOME = pathlib.Path(os.environ["SUBSTRATE_HOME"])
ADDRESS = (HOME / "sock" / "agent.tcp").read_text().strip()
TOKEN = (HOME / "api-token").read_text().strip()
PORT = int(ADDRESS.rsplit(":", 1)[1])
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
OWN = f"Host: {ADDRESS}\r\n"


def connect():
    return socket.create_connection(("127.0.0.1", PORT), timeout=LIMIT)


def ask(text):
    with connect() as client:
        client.sendall(text.encode())
        return read_all(client)


def get(fields, target="/healthz", version="1.1"):
    return ask(f"GET {target} HTTP/{version}\r\n{fields}Connection: close\r\n\r\n")


def is_refused(answer, status, challenge=None):
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") and head.split(b" ")[1] == str(status).encode(), (status, answer)
    assert b"application/problem+json" in head and json.loads(body)["status"] == status, answer
    assert TOKEN.encode() not in answer, answer
    if challenge is not None:
        assert f"WWW-Authenticate: {challenge}\r\n".encode() in head + b"\r\n", answer


def refuses():
    assert get(OWN + BEARER).startswith(b"HTTP/1.1 200 ")
    assert get(f"Host: localhost:{PORT}\r\n" + BEARER.replace("Bearer", "bearer")).startswith(b"HTTP/1.1 200 ")
    assert get(OWN + BEARER, version="1.0").startswith(b"HTTP/1.0 200 ")
    assert get(OWN + BEARER, f"http://{ADDRESS}/healthz").startswith(b"HTTP/1.1 200 ")
    is_refused(get(OWN), 401, "Bearer")
    is_refused(get(OWN, "/no/such/path"), 401, "Bearer")
    wrong = ["", "Bearer", "Bearer ", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", f"Bearer {TOKEN.upper()}0", f"Basic {TOKEN}",
             TOKEN, f"Bearer {TOKEN}, Bearer {TOKEN}", "Bearer " + "0" * 64]
    for field in wrong:
        is_refused(get(OWN + f"Authorization: {field}\r\n"), 401, 'Bearer error="invalid_token"')
    is_refused(get(OWN + BEARER + BEARER), 400, 'Bearer error="invalid_request"')
    is_refused(get(OWN + BEARER + "Authorization: Bearer x\r\n"), 400)
    # In other places than the field it is none.
    is_refused(get(OWN, f"/healthz?access_token={TOKEN}"), 401)
    is_refused(get(OWN + f"Cookie: token={TOKEN}\r\nProxy-Authorization: Bearer {TOKEN}\r\n"), 401)
    for host in ("", "evil.test", f"evil.test:{PORT}", "127.0.0.1", "localhost", f"127.0.0.2:{PORT}", f"localhost:{PORT % 65535 + 1}"):
        is_refused(get(f"Host: {host}\r\n" + BEARER), 421)
    is_refused(get(OWN + BEARER, f"http://evil.test:{PORT}/healthz"), 421)
    is_refused(get(BEARER), 400)
    is_refused(get(BEARER, version="1.0"), 400)
    is_refused(get(OWN + OWN + BEARER), 400)
    is_refused(get(OWN + BEARER + f"Origin: http://{ADDRESS}\r\n"), 403)
    is_refused(get(OWN + BEARER + "Origin: null\r\n"), 403)
    # Each request shows it: one that has been served says nothing about the next, and what follows a refusal is not read.
    both = ask(f"GET /healthz HTTP/1.1\r\n{OWN}{BEARER}\r\nGET /healthz HTTP/1.1\r\n{OWN}\r\nGET /healthz HTTP/1.1\r\n{OWN}{BEARER}\r\n")
    assert [part[:3] for part in both.split(b"HTTP/1.1 ")[1:]] == [b"200", b"401"], both
    # Before its body is sent.
    body = ask(f"POST /v1/execute HTTP/1.1\r\n{OWN}Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
    is_refused(body, 401)
    # Nobody's directory is known here.
    body = '{"agent_id": "me", "cmd": "true"}'
    answer = ask(f"POST /v1/execute HTTP/1.1\r\n{OWN}{BEARER}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                 f"Connection: close\r\n\r\n{body}")
    is_refused(answer, 400)
    assert b"/cwd" in answer, answer


def upgrades():
    wanted = ("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
              "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
    is_refused(ask(f"GET /v1/stream HTTP/1.1\r\n{OWN}{wanted}"), 401, "Bearer")
    is_refused(ask(f"GET /v1/stream HTTP/1.1\r\n{OWN}{BEARER}Origin: http://{ADDRESS}\r\n{wanted}"), 403)
    with connect() as client:
        client.sendall(f"GET /v1/stream HTTP/1.1\r\n{OWN}{BEARER}{wanted}".encode())
        got = b""
        while b"\r\n\r\n" not in got:
            got += client.recv(4096)
        assert got.startswith(b"HTTP/1.1 101 "), got
        start = json.dumps({"type": "start", "agent_id": "me", "cmd": "echo hello", "cwd": os.getcwd()}).encode()
        start = start.ljust(126)  # a length of two bytes
        client.sendall(b"\x81\xfe" + len(start).to_bytes(2, "big") + bytes(4) + start)
        frames = read_all(client)
        assert b"hello" in frames and b'"exit":0' in frames, frames


def goes_away():
    marker = pathlib.Path("marker")
    body = json.dumps({"agent_id": "me", "cwd": os.getcwd(),
                       "cmd": "trap 'echo ended >marker; exit 0' TERM; echo begun; while :; do sleep 0.05; done"})
    with connect() as client:
        client.sendall(f"POST /v1/execute/stream HTTP/1.1\r\n{OWN}{BEARER}Content-Type: application/json\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        got = b""
        while b"YmVndW4K" not in got:  # "begun"
            got += client.recv(4096)
    deadline = time.monotonic() + LIMIT
    while not marker.exists():
        assert time.monotonic() < deadline, "the command goes on"
        time.sleep(0.02)


def crowds():
    """As many as may connect, without a word: the Unix socket serves, and they are sent away."""
    held = [connect() for _ in range(384)]
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(HOME / "sock" / "agent.sock"))
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert read_all(client).startswith(b"HTTP/1.1 200 ")
    for client in held:
        assert read_all(client) == b""
        client.close()
    assert get(OWN + BEARER).startswith(b"HTTP/1.1 200 ")


if __name__ == "__main__":
    signal.alarm(5 * LIMIT)
    globals()[sys.argv[1]](*sys.argv[2:])
