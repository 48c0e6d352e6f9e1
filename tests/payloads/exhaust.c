// Taking more than one's share: exhaust VARIANT AMOUNT. Always bounded: success is to
// get that much, never to get everything there is.

#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/wait.h>

#include "payload.h"

static void processes(long amount) {
    pid_t children[4096];
    long made = 0;
    for (; made < amount && made < 4096; ++made) {
        children[made] = fork();
        if (children[made] == 0) {
            pause();
            _exit(0);
        }
        if (children[made] < 0) break;
    }
    const int why = errno;
    for (long i = 0; i < made; ++i) kill(children[i], SIGKILL);
    for (long i = 0; i < made; ++i) waitpid(children[i], NULL, 0);
    errno = why;
    judge(made == amount ? 0 : -1, "that many processes");
}

static void memory(long mib) {
    // In a child: who takes too much is ended.
    const pid_t child = fork();
    if (child < 0) broken("fork");
    if (child == 0) {
        char* start =
            mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (start == MAP_FAILED) _exit(1);
        for (long i = 0; i < mib << 20; i += 4096) start[i] = 1;
        _exit(0);
    }
    int status = -1;
    if (waitpid(child, &status, 0) != child) broken("waitpid");
    errno = ENOMEM;
    judge(WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1, "that much memory");
}

static void disk(const char* path, long mib) {
    static char block[1 << 20];
    memset(block, 1, sizeof block);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) refused(path);
    unlink(path);
    signal(SIGXFSZ, SIG_IGN);
    for (long i = 0; i < mib; ++i)
        if (write(fd, block, sizeof block) != (long)sizeof block) refused("that much on a disk");
    // A file system with a write-back cache says so only now.
    judge(fsync(fd), "that much on a disk");
}

static void inodes(const char* directory, long amount) {
    char name[4096];
    long made = 0;
    for (; made < amount; ++made) {
        snprintf(name, sizeof name, "%s/substrate-payload-%ld", directory, made);
        const int fd = open(name, O_WRONLY | O_CREAT, 0600);
        if (fd < 0) break;
        close(fd);
    }
    const int why = errno;
    for (long i = 0; i < made; ++i) {
        snprintf(name, sizeof name, "%s/substrate-payload-%ld", directory, i);
        unlink(name);
    }
    errno = why;
    judge(made == amount ? 0 : -1, "that many files");
}

int main(int argc, char** argv) {
    if (argc < 3) broken("exhaust VARIANT AMOUNT");
    const char* variant = argv[1];
    const long amount = atol(argv[2]);
    if (is(variant, "processes")) processes(amount);
    if (is(variant, "memory")) memory(amount);
    if (is(variant, "disk")) disk(argc > 3 ? argv[3] : "fill", amount);
    if (is(variant, "inodes")) inodes(argc > 3 ? argv[3] : ".", amount);
    for (long i = 0; i < amount; ++i) {
        if (is(variant, "descriptors") && dup(1) < 0) refused("that many descriptors");
        if (is(variant, "inotify") && inotify_init() < 0) refused("that many inotify instances");
        if (is(variant, "terminals") && posix_openpt(O_RDWR | O_NOCTTY) < 0) refused("that many terminals");
        if (is(variant, "queues") && msgget(IPC_PRIVATE, 0600) < 0) refused("that many message queues");
        if (is(variant, "semaphores") && semget(IPC_PRIVATE, 1, 0600) < 0) refused("that many semaphores");
        // Of the world's own IPC namespace, which ends with it.
        if (is(variant, "shm") && shmget(IPC_PRIVATE, 4096, 0600) < 0) refused("that much shared memory");
    }
    succeeded(variant);
}
