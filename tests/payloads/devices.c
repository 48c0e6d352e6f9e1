// Device nodes: devices VARIANT [PATH]. They are made and opened for reading at most.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "payload.h"

static void make(const char* directory, mode_t type, dev_t device) {
    char path[4096];
    snprintf(path, sizeof path, "%s/substrate-payload-%d", directory, (int)getpid());
    if (mknod(path, type | 0600, device) != 0) refused("mknod");
    const int fd = open(path, O_RDONLY | O_NONBLOCK);
    unlink(path);
    judge(fd, "open a new device node");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* place = argc > 2 ? argv[2] : ".";
    // The memory device, the null device, and the first virtual disk.
    if (is(argv[1], "mem")) make(place, S_IFCHR, makedev(1, 1));
    if (is(argv[1], "null")) make(place, S_IFCHR, makedev(1, 3));
    if (is(argv[1], "disk")) make(place, S_IFBLK, makedev(254, 0));
    if (is(argv[1], "whiteout")) make(place, S_IFCHR, makedev(0, 0));
    if (is(argv[1], "open")) judge(open(place, O_RDONLY | O_NONBLOCK), place);
    broken("unknown variant");
}
