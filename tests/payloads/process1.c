// Reaching into the world's init, process 1, or another process: process1 VARIANT [NAME [PID]]. Nothing is
// changed there: attached processes are let go, memory is read or opened only.

#include <dirent.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "payload.h"

static void open_file(const char* name, int flags) {
    char path[96];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    const int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) refused(path);
    char byte;
    // Some are opened by anybody, and only show nothing.
    if (flags == O_RDONLY && read(fd, &byte, 1) <= 0) refused(path);
    succeeded(path);
}

// Some settings are opened by anybody and judged when they are written: the value there is now.
static void write_back(const char* name) {
    char path[96], value[4096];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) refused(path);
    const long size = read(fd, value, sizeof value);
    if (size <= 0) refused(path);
    judge(pwrite(fd, value, (size_t)size, 0), path);
}

// A directory that leads to what process 1 holds. To see the names is nothing, to follow them is.
static void enter(const char* name) {
    char path[96];
    snprintf(path, sizeof path, "/proc/1/%s", name);
    DIR* directory = opendir(path);
    if (directory == NULL) refused(path);
    for (const struct dirent* entry; (entry = readdir(directory)) != NULL;)
        if (entry->d_name[0] != '.' && openat(dirfd(directory), entry->d_name, O_PATH | O_CLOEXEC) >= 0)
            succeeded(entry->d_name);
    errno = EACCES;
    refused(path);
}

static pid_t target = 1;

static void read_memory(int write) {
    char bytes[16] = {0};
    struct iovec ours = {bytes, sizeof bytes};
    // Where a static program at a fixed address begins.
    struct iovec theirs = {(void*)0x400000, sizeof bytes};
    if (!write) judge(syscall(SYS_process_vm_readv, target, &ours, 1, &theirs, 1, 0), "process_vm_readv");
    // Where nothing can be: the right is judged first.
    theirs.iov_base = (void*)8;
    const long result = syscall(SYS_process_vm_writev, target, &ours, 1, &theirs, 1, 0);
    judge(result < 0 && errno == EFAULT ? 0 : result, "process_vm_writev");
}

static void trace(int request) {
    const long result = ptrace(request, target, NULL, NULL);
    if (result == 0) ptrace(PTRACE_DETACH, target, NULL, NULL);
    judge(result, "ptrace");
}

static void by_pidfd(const char* variant) {
    const int fd = (int)syscall(SYS_pidfd_open, target, 0);
    if (fd < 0) refused("pidfd");
    if (is(variant, "pidfd_getfd")) {
        for (int number = 0; number < 64; ++number)
            if (syscall(SYS_pidfd_getfd, fd, number, 0) >= 0) succeeded("a descriptor of process 1");
        refused("descriptors of process 1");
    }
    // Not that it is sent: whether process 1 is still there afterwards is what counts.
    if (is(variant, "pidfd_kill")) {
        syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        usleep(10000);
        judge(kill(1, 0) == 0 || errno == EPERM ? -1 : 0, "process 1 is gone");
    }
    struct iovec part = {(void*)0x400000, 4096};
    if (is(variant, "process_madvise"))
        judge(syscall(SYS_process_madvise, fd, &part, 1, 20 /* MADV_COLD */, 0), "process_madvise");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* variant = argv[1];
    const char* name = argc > 2 ? argv[2] : "mem";
    if (argc > 3) target = (pid_t)atoi(argv[3]);
    if (is(variant, "read")) open_file(name, O_RDONLY);
    if (is(variant, "write")) open_file(name, O_WRONLY);
    if (is(variant, "directory")) enter(name);
    if (is(variant, "write_back")) write_back(name);
    if (is(variant, "attach")) trace(PTRACE_ATTACH);
    if (is(variant, "seize")) trace(PTRACE_SEIZE);
    if (is(variant, "readv")) read_memory(0);
    if (is(variant, "writev")) read_memory(1);
    if (is(variant, "kcmp")) judge(syscall(SYS_kcmp, 1, getpid(), KCMP_FILE, 0, 0), "kcmp");
    if (is(variant, "prlimit")) {
        struct rlimit now;
        judge(syscall(SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &now), "read the limits of process 1");
    }
    if (is(variant, "move_pages")) {
        void* page = (void*)0x400000;
        int status = 0;
        judge(syscall(SYS_move_pages, 1, 1UL, &page, NULL, &status, 0), "ask for the pages of process 1");
    }
    by_pidfd(variant);
    broken("unknown variant");
}
