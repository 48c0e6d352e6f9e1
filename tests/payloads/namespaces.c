// New namespaces, and other processes' ones: namespaces VARIANT.

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

#include "payload.h"

static const struct {
    const char* name;
    unsigned long flag;
} kKinds[] = {{"user", CLONE_NEWUSER},     {"mnt", CLONE_NEWNS},  {"pid", CLONE_NEWPID},
              {"net", CLONE_NEWNET},       {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS},
              {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};

static void end_child(long pid) {
    if (pid == 0) _exit(0);
    if (pid > 0) waitpid((pid_t)pid, NULL, 0);
}

static void by_clone(unsigned long flag) {
    const long pid = syscall(SYS_clone, flag | SIGCHLD, NULL, NULL, NULL, 0);
    end_child(pid);
    judge(pid, "clone with a new namespace");
}

static void by_clone3(unsigned long flag) {
    struct clone_args args = {.flags = flag, .exit_signal = SIGCHLD};
    const long pid = syscall(SYS_clone3, &args, sizeof args);
    end_child(pid);
    judge(pid, "clone3 with a new namespace");
}

// Every namespace of process 1, which is the world's init.
static void join(const char* kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/1/ns/%s", kind);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refused("open the namespace of process 1");
    judge(setns(fd, 0), "join a namespace of process 1");
}

// One's own, which is a way back once there is another.
static void join_own(const char* kind) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) refused("open the own namespace");
    judge(setns(fd, 0), "join the own namespace");
}

int main(int argc, char** argv) {
    if (argc < 3) broken("namespaces HOW KIND");
    for (size_t i = 0; i < sizeof kKinds / sizeof kKinds[0]; ++i) {
        if (!is(argv[2], kKinds[i].name)) continue;
        if (is(argv[1], "unshare")) judge(unshare((int)kKinds[i].flag), "unshare");
        if (is(argv[1], "clone")) by_clone(kKinds[i].flag);
        if (is(argv[1], "clone3")) by_clone3(kKinds[i].flag);
        if (is(argv[1], "setns")) join(argv[2]);
        if (is(argv[1], "setns_self")) join_own(argv[2]);
        if (is(argv[1], "setns_pidfd")) {
            const int fd = (int)syscall(SYS_pidfd_open, 1, 0);
            if (fd < 0) refused("pidfd of process 1");
            judge(setns(fd, (int)kKinds[i].flag), "join process 1 by its pidfd");
        }
    }
    broken("unknown variant");
}
