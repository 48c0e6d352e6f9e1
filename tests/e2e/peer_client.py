#!/usr/bin/env python3
"""peer_client.py CONTROL_SOCKET AGENT_SOCKET: asks something of both, as whoever runs it, for the suite
sockets.bats. Prints for each "connected" and "answered" or "closed", so that a door that cannot be reached
is told from one that says nothing. A question on the first is a frame of the control protocol: {"type":
"status"} without a version, which any client that is listened to has an answer to."""
import socket
import sys

STATUS = b"\xa1\x64type\x66status"
QUESTIONS = {
    "control": len(STATUS).to_bytes(4, "little") + STATUS,
    "agent": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
}

for (name, question), path in zip(QUESTIONS.items(), sys.argv[1:], strict=True):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)  # for hangs only
        client.connect(path)
        answer = b""
        try:
            client.sendall(question)
            answer = client.recv(1 << 16)
        except (BrokenPipeError, ConnectionResetError):
            pass  # closed before all was said
        print(name, "connected", "answered" if answer else "closed")
