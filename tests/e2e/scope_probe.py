#!/usr/bin/env python3
"""In a world: prints the command's scope token, after it was attacked: scope_probe.py. Each attack must fail, and
must succeed on a memory file that nobody has sealed."""
import errno
import fcntl
import mmap
import os
import sys

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def reopened(fd, flags):
    return os.open(f"/proc/self/fd/{fd}", flags)


def write(fd):
    own = reopened(fd, os.O_RDWR)
    try:
        os.pwrite(own, b"X", 0)
    finally:
        os.close(own)


def grow(fd):
    os.ftruncate(reopened(fd, os.O_RDWR), 1 << 16)


def shrink(fd):
    os.ftruncate(reopened(fd, os.O_RDWR), 1)


def empty(fd):
    os.close(reopened(fd, os.O_RDWR | os.O_TRUNC))


def append(fd):
    os.write(reopened(fd, os.O_WRONLY | os.O_APPEND), b"X")


def punch(fd):
    os.posix_fallocate(reopened(fd, os.O_RDWR), 0, 1 << 16)


def share(fd):
    with mmap.mmap(reopened(fd, os.O_RDWR), 1, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        memory[0:1] = b"X"


def unseal(fd):
    fcntl.fcntl(reopened(fd, os.O_RDWR), fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)


def attack(fd):
    """The names of the attacks that have succeeded."""
    done = []
    for how in (write, append, grow, share, punch, unseal, shrink, empty):
        try:
            how(fd)
            done.append(how.__name__)
        except OSError as error:
            assert error.errno in (errno.EPERM, errno.EACCES, errno.EBADF), (how, error)
    return done


fd = int(os.environ["SUBSTRATE_SCOPE_FD"])
assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == SEALS
assert fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
before = os.pread(fd, 1 << 20, 0)
assert attack(fd) == [], attack(fd)
assert os.pread(fd, 1 << 20, 0) == before
open_one = os.memfd_create("open", os.MFD_ALLOW_SEALING)
os.write(open_one, before)
control = attack(open_one)
assert control == ["write", "append", "grow", "share", "punch", "unseal", "shrink", "empty"], control
sys.stdout.buffer.write(before)
