#!/usr/bin/env python3
"""Requests that are no good HTTP, for the suite api.bats: http_attacks_client.py TEST runs one test."""
import base64
import re
import signal
import sys

from api_client import LIMIT, execute, raw, status_of, text


def smuggles():
    """What two readers could understand differently is not served, and ends the connection."""
    inner = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

    def refused(request, want):
        answer = raw(request + inner)
        assert status_of(answer) in want, f"{request}: {answer}"
        assert len(re.findall(rb"HTTP/1\.[01] \d\d\d ", answer)) == 1, f"{request}: {answer}"
        assert b"application/problem+json" in answer, answer

    post = b"POST /v1/gc HTTP/1.1\r\nHost: x\r\n"
    refused(post + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", [400])
    refused(post + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", [400])
    refused(post + b"Content-Length: 2, 2\r\n\r\n{}", [400])
    refused(post + b"Content-Length: +2\r\n\r\n{}", [400])
    refused(post + b"Content-Length: -1\r\n\r\n{}", [400])
    refused(post + b"Content-Length: 99999999999999999999\r\n\r\n{}", [400, 413])
    refused(post + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400])
    refused(post + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", [400])
    refused(post + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [400, 501])
    refused(post + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", [400, 501])
    refused(post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", [400])
    refused(post + b"Bad Field: x\r\n\r\n", [400])
    refused(post + b"A: b\r\n c: d\r\nNUL: \x00\r\n\r\n", [400])
    chunks = post + b"Transfer-Encoding: chunked\r\n"
    refused(chunks + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400])
    refused(post + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", [501])
    refused(post + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [400])
    refused(post + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", [400])
    refused(post + b"Content-Length : 2\r\n\r\n{}", [400])
    refused(post + b"Content-Length: 0x2\r\n\r\n{}", [400])
    refused(b"POST /v1/gc HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", [400])
    for size in (b"0x2", b" 2", b"2 ", b"+2", b"-2", b"ffffffffffffffff2", b"2;a\rb"):
        refused(chunks + b"\r\n" + size + b"\r\n{}\r\n0\r\n\r\n", [400])
    for body in (b"2\n{}\n0\n\n", b"2;a\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"2\r\n{}\r\n0\r\nContent-Length: 50\r\n\r\n"):
        refused(chunks + b"\r\n" + body, [400])
    refused(b"GET /healthz HTTP/1.1\nHost: x\n\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", [400])
    refused(b"GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n", [400])
    refused(b"GET /healthz x HTTP/1.1\r\nHost: x\r\n\r\n", [400])
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400])
    refused(b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\n\r\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n", [400])
    refused(b"GET /healthz HTTP/1.1\r\nHost: x\r\nOrigin: http://localhost\r\n\r\n", [403])
    refused(b"GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n", [400])
    refused(b"GET http://a@b/healthz HTTP/1.1\r\nHost: x\r\n\r\n", [400])
    refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", [400])
    for host in (b"localhost", b"", b"[::1]:80", b"any.thing:1"):
        assert status_of(raw(b"GET /healthz HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n" % host)) == 200, host
    assert status_of(raw(b"GET http://h/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 200
    assert status_of(raw(b"GET /healthz HTTP/1.0\r\n\r\n")) == 200
    good = post + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"dry_run\": true\r\n1\r\n}\r\n0\r\n\r\n"
    assert status_of(raw(good)) == 200
    head = raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status_of(head) == 405 and head.endswith(b"\r\n\r\n"), head


def shakes_hands():
    """What begins no WebSocket is told why."""
    def answer(fields, more=b""):
        got = raw(b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + fields + b"\r\n" + more)
        return status_of(got), b'"bad_handshake"' in got, got

    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    version = b"Sec-WebSocket-Version: 13\r\n"
    for fields, more, want in ((version, b"", 400), (version + key + key, b"", 400), (version + b"Sec-WebSocket-Key: c2hvcnQ=\r\n", b"", 400),
                               (version + key, b"\x81\x00", 400), (key + version + version, b"", 426),
                               (key + b"Sec-WebSocket-Version: 14\r\n", b"", 426)):
        status, told, got = answer(fields, more)
        assert (status, told) == (want, True), got
        assert want != 426 or b"Sec-WebSocket-Version: 13\r\n" in got, got


def bounds():
    def status(request):
        return status_of(raw(request))

    get = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert status(get + b"A: " + b"x" * 10000 + b"\r\n\r\n") == 200
    assert status(get + b"A: " + b"x" * 20000 + b"\r\n\r\n") == 431
    assert status(get + b"A: b\r\n" * 5000 + b"\r\n") == 431
    assert status(b"GET /" + b"x" * 20000) == 431
    post = b"POST /v1/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
    assert status(post + b"Content-Length: 10485761\r\n\r\n" + b" " * 100000) == 413
    chunk = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    assert status(post + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 11) == 413
    assert status(post + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 1_000_000) == 431
    assert status(post + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 1000 + b"\r\n") == 431
    assert status(post + b"Transfer-Encoding: chunked\r\n\r\n" + b"1;xxxxxxxxxxxxxxxxxxxxxx\r\n{\r\n" * 1_000_000) == 413
    assert status(post + b"Content-Length: 10485760\r\n\r\n" + b" " * 10485760) == 400
    result = execute("wc -c", stdin_b64=base64.b64encode(bytes(7_000_000)).decode())
    assert text(result) == "7000000\n"
    assert execute("true", want=400, env={f"A{i}": "b" for i in range(1025)})["pointer"] == "/env"


signal.alarm(5 * LIMIT)
{"smuggles": smuggles, "shakes_hands": shakes_hands, "bounds": bounds}[sys.argv[1]]()
