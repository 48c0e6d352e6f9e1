"""web_server.py DIRECTORY ADDRESS…: serves HTTP on port 80 and TLS on port 443 of each address, and opaque text on port 7.
Port 9 holds any number of connections and repeats what they say, port 11 takes its time, port 13 answers when its client has said all.

Makes a certificate authority (DIRECTORY/ca.pem) and a certificate for every name below .test, and says by DIRECTORY/ready
that it serves. Answers name the server's address, the request's Host, and what came in its body. What lies at
DIRECTORY/www/HOST/PATH is served as it is.
"""

import asyncio
import hashlib
import http.server
import pathlib
import socketserver
import ssl
import subprocess
import sys
import threading

NAMES = ["pypi.test", "registry.test", "evil.test", "alias.test", "rebind.test", "local.test", "private.test"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/big":
            self.send_response(200)
            self.send_header("Content-Length", str(64 << 20))
            self.end_headers()
            for _ in range(64):
                self.wfile.write(bytes(1 << 20))
            return
        host, path = self.headers.get("Host"), self.path.partition("?")[0]
        file = self.server.files / str(host) / path.lstrip("/")
        if host and ".." not in path and (file / "index.html").is_file():
            file /= "index.html"
        if host and ".." not in path and file.is_file():
            self.reply(file.read_bytes(), "text/html" if file.suffix == ".html" else "application/octet-stream")
            return
        self.reply(f"{self.server.server_address[0]} {self.headers.get('Host')} {self.path}\n".encode())

    def reply(self, body, kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        length = int(self.headers.get("Content-Length", 0))
        received = len(self.rfile.read(length))
        self.reply(f"received {received}\n".encode())

    def log_message(self, *_):
        pass


class Echo(socketserver.BaseRequestHandler):
    """Speaks first, as SSH and SMTP servers do."""

    def handle(self):
        self.request.sendall(b"hello\n")
        while data := self.request.recv(65536):
            self.request.sendall(data)


class Threaded(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024


class ThreadedEcho(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


async def repeat(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def slowly(reader, writer):
    await reader.readline()
    for byte in b"slowly\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
    writer.close()


async def when_all_is_said(reader, writer):
    said = await reader.read(-1)
    writer.write(f"{len(said)} {hashlib.sha256(said).hexdigest()}\n".encode())
    await writer.drain()
    writer.close()


async def serve_many(addresses, begun):
    for address in addresses:
        for port, handle in ((9, repeat), (11, slowly), (13, when_all_is_said)):
            await asyncio.start_server(handle, address, port, backlog=4096)
    begun.set()
    await asyncio.Event().wait()


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def certificates(directory):
    ca, key, request, extensions = (directory / n for n in ("ca.pem", "server.key", "server.csr", "server.ext"))
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=test authority", "-keyout", directory / "ca.key", "-out", ca)
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server", "-keyout", key,
            "-out", request)
    extensions.write_text("subjectAltName=" + ",".join("DNS:" + name for name in NAMES) + "\n")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", directory / "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", extensions, "-out", directory / "server.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem", key)
    return context


def main():
    directory = pathlib.Path(sys.argv[1])
    context = certificates(directory)
    for address in sys.argv[2:]:
        plain, secure = Threaded((address, 80), Handler), Threaded((address, 443), Handler)
        secure.socket = context.wrap_socket(secure.socket, server_side=True, do_handshake_on_connect=False)
        plain.files = secure.files = directory / "www"
        for server in (plain, secure, ThreadedEcho((address, 7), Echo)):
            threading.Thread(target=server.serve_forever, daemon=True).start()
    begun = threading.Event()
    threading.Thread(target=lambda: asyncio.run(serve_many(sys.argv[2:], begun)), daemon=True).start()
    begun.wait()
    (directory / "ready").touch()
    threading.Event().wait()


main()
