// Interfaces to the kernel itself: kernel VARIANT. Each call carries an argument that
// makes it fail even for those who may: the answer shows whether the right was judged
// first. No module, kernel, clock or machine is ever touched.

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <linux/quota.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <sys/fanotify.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>

#include "payload.h"

// `wrong` is what those get who may, for the wrong argument.
static void rights_only(long result, int wrong, const char* what) {
    judge(result < 0 && errno == wrong ? 0 : result, what);
}

static void open_handle(void) {
    // As the container escape of 2014 does: the handle of an ext4 root directory.
    struct {
        struct file_handle handle;
        unsigned char bytes[8];
    } root = {.handle = {.handle_bytes = 8, .handle_type = 1}, .bytes = {2, 0, 0, 0, 0, 0, 0, 0}};
    const int mount = open("/usr", O_RDONLY | O_DIRECTORY);
    if (mount < 0) broken("/usr");
    const long result = open_by_handle_at(mount, &root.handle, O_RDONLY);
    rights_only(result, ESTALE, "open_by_handle_at");
}

static void events(const char* variant) {
    if (is(variant, "bpf_map")) {
        union bpf_attr attr = {
            .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};
        judge(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr), "make a BPF map");
    }
    if (is(variant, "bpf_load")) {
        union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = 0};
        rights_only(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr), E2BIG, "load a BPF program");
    }
    if (is(variant, "perf")) {
        struct perf_event_attr attr = {
            .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_TASK_CLOCK};
        attr.exclude_kernel = 1;
        judge(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0UL), "perf_event_open");
    }
    if (is(variant, "userfaultfd")) judge(syscall(SYS_userfaultfd, O_CLOEXEC), "userfaultfd");
    if (is(variant, "userfaultfd_user"))
        judge(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY), "userfaultfd for user mode");
    if (is(variant, "io_uring")) {
        unsigned char params[120] = {0};
        judge(syscall(SYS_io_uring_setup, 1, params), "io_uring_setup");
    }
    if (is(variant, "io_uring_register"))
        rights_only(syscall(SYS_io_uring_register, 9999, 0, NULL, 0), EBADF, "io_uring_register");
    if (is(variant, "fanotify")) judge(fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY), "fanotify");
    if (is(variant, "klog")) judge(klogctl(3, (char[64]){0}, 64), "read the kernel's log");
    if (is(variant, "klog_size")) judge(klogctl(10, NULL, 0), "the size of the kernel's log");
    if (is(variant, "iopl")) judge(syscall(SYS_iopl, 3), "iopl");
    if (is(variant, "ioperm")) judge(syscall(SYS_ioperm, 0x80, 1, 1), "ioperm");
    if (is(variant, "handle")) open_handle();
}

// Rows of this are for the guard: the argument makes them harmless, the guard twice so.
static void machine(const char* variant) {
    if (is(variant, "reboot")) rights_only(syscall(SYS_reboot, 1, 2, 3, NULL), EINVAL, "reboot, wrong magic");
    if (is(variant, "kexec"))
        rights_only(syscall(SYS_kexec_load, 0, 0, NULL, 0xffffUL), EINVAL, "kexec_load");
    if (is(variant, "kexec_file"))
        rights_only(syscall(SYS_kexec_file_load, -1, -1, 0UL, NULL, 0xffffUL), EINVAL, "kexec_file_load");
    if (is(variant, "init_module"))
        rights_only(syscall(SYS_init_module, NULL, 0UL, ""), ENOEXEC, "init_module");
    if (is(variant, "finit_module")) rights_only(syscall(SYS_finit_module, -1, "", 0), EBADF, "finit_module");
    if (is(variant, "delete_module"))
        rights_only(syscall(SYS_delete_module, "substrate_no_such_module", O_NONBLOCK), ENOENT,
                    "delete_module");
    if (is(variant, "swapon")) rights_only(syscall(SYS_swapon, "/no/such/file", 0), ENOENT, "swapon");
    if (is(variant, "swapoff")) rights_only(syscall(SYS_swapoff, "/no/such/file"), ENOENT, "swapoff");
    if (is(variant, "acct")) rights_only(syscall(SYS_acct, "/no/such/file"), ENOENT, "acct");
    if (is(variant, "quotactl"))
        rights_only(syscall(SYS_quotactl, QCMD(Q_SYNC, 0), "/no/such/file", 0, NULL), ENOENT, "quotactl");
    if (is(variant, "vhangup")) judge(vhangup(), "vhangup");
    if (is(variant, "clock_settime")) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        judge(clock_settime(CLOCK_REALTIME, &now), "set the clock");
    }
    if (is(variant, "settimeofday")) judge(syscall(SYS_settimeofday, NULL, NULL), "settimeofday of nothing");
    if (is(variant, "adjtimex")) {
        // A mode with no value to set, which asks for the right to set.
        struct timex none = {.modes = ADJ_MAXERROR};
        adjtimex(&(struct timex){.modes = 0});
        judge(adjtimex(&none), "adjust the clock");
    }
    char name[65] = "substrate";
    if (is(variant, "hostname")) {
        gethostname(name, sizeof name);
        judge(sethostname(name, strlen(name)), "set the host name");
    }
    if (is(variant, "domainname")) judge(setdomainname("", 0), "set the domain name");
}

int main(int argc, char** argv) {
    if (argc < 2) broken("no variant");
    events(argv[1]);
    machine(argv[1]);
    broken("unknown variant");
}
