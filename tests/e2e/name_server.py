"""name_server.py DIRECTORY ADDRESS: answers for names below moving.test and others that a test makes up.

What it says stands in DIRECTORY/zone, which is read for each question: lines of NAME TYPE TTL VALUE, with the types A, AAAA,
CNAME and RAW (any number of bytes in hexadecimal, behind the number of the type), or NAME fails, or NAME silent. A name without a line
does not exist; one with lines of other types has no data. Each question is a line in DIRECTORY/zone.log.
"""

import ipaddress
import pathlib
import socket
import struct
import sys

TYPES = {"A": 1, "CNAME": 5, "AAAA": 28}
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def wire_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name, kind, ttl, value):
    if kind in ("A", "AAAA"):
        number, data = TYPES[kind], ipaddress.ip_address(value).packed
    elif kind == "CNAME":
        number, data = TYPES[kind], wire_name(value)
    else:
        number, data = int(kind.removeprefix("RAW")), bytes.fromhex(value)
    return wire_name(name) + struct.pack(">HHIH", number, 1, int(ttl), len(data)) + data


def answer(query, zone, log):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    asked, name = struct.unpack(">H", query[at + 1:at + 3])[0], ".".join(labels)
    log.write(f"{asked} {name}\n")
    log.flush()
    code, answers = NXDOMAIN, []
    for _ in range(16):
        lines = [line for line in zone if line[0] == name]
        if not lines:
            break
        code = NOERROR
        if lines[0][1] == "silent":
            return None
        if lines[0][1] == "fails":
            code = SERVFAIL
            break
        for line in lines:
            number = TYPES.get(line[1]) or int(line[1].removeprefix("RAW"))
            if number in (asked, TYPES["CNAME"]):
                answers.append(record(*line))
        alias = [line[3] for line in lines if line[1] == "CNAME"]
        if not alias or asked == TYPES["CNAME"]:
            break
        name = alias[0]
    if code != NOERROR:
        answers = []
    head = query[:2] + struct.pack(">HHHHH", 0x8580 | code, 1, len(answers), 0, 0)
    return head + query[12:at + 5] + b"".join(answers)


def main():
    directory = pathlib.Path(sys.argv[1])
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((sys.argv[2], 53))
    with open(directory / "zone.log", "a", encoding="latin-1") as log:
        while True:
            query, client = server.recvfrom(4096)
            zone = directory / "zone"
            text = zone.read_text() if zone.exists() else ""
            lines = [line.split() for line in text.splitlines() if line.strip()]
            reply = answer(query, lines, log)
            if reply is not None:
                server.sendto(reply, client)


main()
