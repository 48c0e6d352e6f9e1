"""Stands in for a service manager: makes the sockets of an agent, keeps them, and starts the agent with
them (sd_listen_fds(3)) whenever a line comes by standard input. Prints what the agent says to
NOTIFY_SOCKET, and "ended STATUS". Arguments: the program, then paths to listen on."""
import os
import socket
import sys
import threading

program, *paths = sys.argv[1:]
listeners = []
for path in paths:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o600)
    listener.listen(16)
    listeners.append(listener)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(os.environ["NOTIFY_SOCKET"])


def hear():
    while True:
        print(notify.recv(4096).decode(), flush=True)


threading.Thread(target=hear, daemon=True).start()
print("listening", flush=True)
for _ in sys.stdin:
    child = os.fork()
    if child == 0:
        # Out of the way first: a target may be a source.
        spare = [os.dup2(listener.fileno(), 100 + i) for i, listener in enumerate(listeners)]
        for i, fd in enumerate(spare):
            os.dup2(fd, 3 + i, inheritable=True)
        os.closerange(3 + len(spare), 256)
        os.environ.update(LISTEN_FDS=str(len(spare)), LISTEN_PID=str(os.getpid()))
        os.execv(program, [program])
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
