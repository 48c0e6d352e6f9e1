// Getting rights: privileges VARIANT.

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "payload.h"

static void raise_capabilities(void) {
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{~0U, ~0U, ~0U}, {0x1ff, 0x1ff, 0x1ff}};
    judge(syscall(SYS_capset, &header, all), "capset");
}

// Any capability at all, in any set of this process.
static void look_at_capabilities(void) {
    char line[256];
    FILE* status = fopen("/proc/self/status", "re");
    if (status == NULL) broken("/proc/self/status");
    while (fgets(line, sizeof line, status) != NULL)
        if (strncmp(line, "Cap", 3) == 0 && strspn(line + 7, "\t 0") != strlen(line + 7) - 1) succeeded(line);
    errno = EPERM;
    refused("capabilities");
}

// A copy of this program, set-user-id: where `owner` is not us, it must not become the owner.
static void run_set_user_id(const char* self, uid_t owner) {
    unlink("set-user-id");
    char command[16384];
    const int from = open("/proc/self/exe", O_RDONLY), to = open("set-user-id", O_WRONLY | O_CREAT, 0755);
    if (from < 0 || to < 0) broken("copy");
    for (long size; (size = read(from, command, sizeof command)) > 0;)
        if (write(to, command, (size_t)size) != size) broken("write");
    close(to);
    if (owner != getuid() && chown("set-user-id", owner, (gid_t)-1) != 0) refused("give the file away");
    if (chmod("set-user-id", 06755) != 0) refused("set-user-id bits");
    const pid_t child = fork();
    if (child == 0) {
        execl("./set-user-id", self, "report", NULL);
        _exit(kBroken);
    }
    int status = 0;
    waitpid(child, &status, 0);
    unlink("set-user-id");
    if (WIFEXITED(status) && WEXITSTATUS(status) == kSucceeded) succeeded("a set-user-id program");
    errno = EPERM;
    refused("a set-user-id program gives nothing");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    const char* variant = argv[1];
    if (is(variant, "report"))
        _exit(getauxval(AT_SECURE) != 0 || geteuid() != getuid() || getegid() != getgid() ? kSucceeded : 0);
    if (is(variant, "setuid_copy")) run_set_user_id(argv[0], getuid());
    if (is(variant, "setuid_other")) run_set_user_id(argv[0], getuid() + 1);
    if (is(variant, "capset")) raise_capabilities();
    if (is(variant, "capabilities")) look_at_capabilities();
    if (is(variant, "ambient"))
        judge(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0), "ambient");
    if (is(variant, "bounding"))
        judge(prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1 ? 0 : -1, "the bounding set");
    if (is(variant, "no_new_privs"))
        judge(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) : 0,
              "take no_new_privs back");
    if (is(variant, "securebits")) judge(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT), "securebits");
    // Another id than one's own: 0 for a user, anything for root.
    if (is(variant, "setuid")) judge(setuid(getuid() == 0 ? 1 : 0), "setuid");
    if (is(variant, "setresuid")) judge(setresuid((uid_t)-1, getuid() == 0 ? 1 : 0, (uid_t)-1), "setresuid");
    if (is(variant, "setgid")) judge(setgid(getgid() + 1), "setgid");
    if (is(variant, "setgroups")) {
        const gid_t group = getgid() + 1;
        judge(setgroups(1, &group), "setgroups");
    }
    if (is(variant, "setfsuid")) {
        syscall(SYS_setfsuid, getuid() + 1);
        judge((uid_t)syscall(SYS_setfsuid, -1) == getuid() + 1 ? 0 : -1, "setfsuid");
    }
    if (is(variant, "nice")) judge(setpriority(PRIO_PROCESS, 0, -5), "a higher priority");
    if (is(variant, "realtime")) {
        const int priority = 1;
        judge(syscall(SYS_sched_setscheduler, 0, 1 /* SCHED_FIFO */, &priority), "real-time scheduling");
    }
    if (is(variant, "raise_limit")) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_max += 1;
        judge(setrlimit(RLIMIT_NOFILE, &limit), "raise a hard limit");
    }
    if (is(variant, "oom_score")) {
        const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
        judge(fd < 0 ? -1 : write(fd, "-1", 2), "a lower oom_score_adj");
    }
    if (is(variant, "dumpable")) {
        // Root's mappings are made by others only; one's own were made by the init.
        const int fd = open("/proc/self/uid_map", O_WRONLY);
        judge(fd < 0 ? -1 : write(fd, "0 0 1", 5), "a new id mapping");
    }
    broken("unknown variant");
}
