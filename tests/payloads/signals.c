// Signals out of the world: signals VARIANT [PID]. The harness has witnesses.

#include <signal.h>
#include <sys/wait.h>

#include "payload.h"

// What serves the project's files, where that is FUSE, may be among the killed: no page of this program must
// be missing afterwards.
extern const char __executable_start[], _end[];
static void load_whole(void) {
    for (const volatile char* at = __executable_start; at < _end; at += 4096) (void)*at;
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* variant = argv[1];
    // Everything that can be named, but for this process; witnesses outside say more.
    if (is(variant, "all") || is(variant, "all_kill")) {
        signal(SIGTERM, SIG_IGN);
        load_whole();
        kill(-1, is(variant, "all") ? SIGTERM : SIGKILL);
        errno = EPERM;
        refused("the witnesses decide");
    }
    if (is(variant, "group")) {
        signal(SIGTERM, SIG_IGN);
        kill(0, SIGTERM);
        errno = EPERM;
        refused("the witnesses decide");
    }
    if (is(variant, "init") || is(variant, "init_stop")) {
        kill(1, is(variant, "init") ? SIGKILL : SIGSTOP);
        usleep(10000);
        judge(kill(1, 0) == 0 || errno == EPERM ? -1 : 0, "process 1 is gone");
    }
    // A process of the host: no signal is sent, only the right to is asked for.
    if (is(variant, "host") && argc > 2) {
        const pid_t pid = atoi(argv[2]);
        if (pid <= 1 || pid == getpid() || pid == getppid()) refused("it is one of the world's");
        if (kill(pid, 0) == 0 || errno == EPERM) succeeded("a process of the host can be named");
        refused("a process of the host");
    }
    if (is(variant, "host_queue") && argc > 2) {
        const pid_t pid = atoi(argv[2]);
        if (pid <= 1 || pid == getpid() || pid == getppid()) refused("it is one of the world's");
        judge(syscall(SYS_pidfd_open, pid, 0), "a pidfd of a process of the host");
    }
    broken("unknown variant");
}
