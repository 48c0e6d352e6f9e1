#include "process/child_main.hpp"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "sys/raw_call.hpp"

#if defined(__clang__) && __has_attribute(disable_sanitizer_instrumentation)
#define SUB_CHILD_SIDE __attribute__((noinline, disable_sanitizer_instrumentation, no_stack_protector))
#else
#define SUB_CHILD_SIDE \
    __attribute__((noinline, no_sanitize("address", "undefined", "thread"), no_stack_protector))
#endif

namespace substrate::process {
namespace {

// Sanitizer runtimes intercept the libc functions, and their _exit flushes buffers that
// belong to the parent.
using sys::as_long;
using sys::raw_call;

constexpr long kHighestDescriptor = 0xffff'ffff;  // for close_range(2)

constexpr long kUnshareFirst = 1U << 1;  // CLOSE_RANGE_UNSHARE, which older headers lack

[[noreturn]] SUB_CHILD_SIDE void leave(int status) noexcept {
    for (;;) raw_call(SYS_exit_group, status);
}

[[noreturn]] SUB_CHILD_SIDE void die(int fd, ChildStep step, long result, const char* detail,
                                     unsigned index = 0) noexcept {
    ChildReport report;
    report.step = step;
    report.index = static_cast<std::uint16_t>(index);
    report.os_errno = static_cast<std::int32_t>(-result);
    for (unsigned i = 0; detail != nullptr && detail[i] != '\0' && i + 1 < sizeof report.detail; ++i)
        report.detail[i] = detail[i];
    raw_call(SYS_write, fd, as_long(&report), sizeof report);
    leave(127);
}

// Nothing may be opened or closed before: it would be the parent's.
SUB_CHILD_SIDE void leave_parents_table(const ChildPlan& plan) noexcept {
    long result = raw_call(SYS_close_range, plan.own_table_below, kHighestDescriptor, kUnshareFirst);
    if (result >= 0 && plan.id_maps_ready_fd >= 0) {
        result = raw_call(SYS_write, plan.id_maps_ready_fd, as_long("t"), 1);
        if (result == 0) result = -EPIPE;
    }
    if (result < 0) die(plan.report_fd, ChildStep::close_descriptors, result, "own table");
}

// Keeps the one descriptor, at another number: whatever the parent holds must not
// live on in a child that waits.
SUB_CHILD_SIDE int keep_only(int fd, int report_fd) noexcept {
    const int kept = static_cast<int>(raw_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 16));
    if (kept < 0) die(report_fd, ChildStep::wait_for_release, kept, "descriptor");
    long result = raw_call(SYS_close_range, 0, kept - 1, 0);
    if (result >= 0) result = raw_call(SYS_close_range, kept + 1, kHighestDescriptor, 0);
    if (result < 0) die(kept, ChildStep::close_descriptors, result, nullptr);
    return kept;
}

SUB_CHILD_SIDE void detach_old_root(int report_fd) noexcept {
    char byte = 0;
    long result = 0;
    do result = raw_call(SYS_read, report_fd, as_long(&byte), 1);
    while (result == -EINTR);
    if (result == 0) leave(0);  // nobody needs this child any more
    if (result < 0) die(report_fd, ChildStep::detach_old_root, result, "wait");
    // SAFETY: pivot_root(2) has moved our root and working directory to the new root;
    // "." goes up from there to what is stacked on it, which is the old root.
    result = raw_call(SYS_umount2, as_long("."), MNT_DETACH);
    if (result < 0) die(report_fd, ChildStep::detach_old_root, result, nullptr);
}

// Waits for one byte from the parent. Returns how many descriptors came with it, in `fds`.
SUB_CHILD_SIDE unsigned receive_descriptors(int socket, int (&fds)[kMaxPlacements + 1],
                                            ChildStep step) noexcept {
    char byte = 0;
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    long result = 0;
    do result = raw_call(SYS_recvmsg, socket, as_long(&message), MSG_CMSG_CLOEXEC);
    while (result == -EINTR);
    if (result == 0) leave(0);  // nobody needs this child any more
    if (result < 0) die(socket, step, result, nullptr);
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return 0;
    const int* received = reinterpret_cast<const int*>(CMSG_DATA(header));
    const unsigned count = static_cast<unsigned>((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    for (unsigned i = 0; i < count; ++i) fds[i] = received[i];
    return count;
}

SUB_CHILD_SIDE void join_network(int report_fd) noexcept {
    int fds[kMaxPlacements + 1] = {};
    if (receive_descriptors(report_fd, fds, ChildStep::join_network) != 1)
        die(report_fd, ChildStep::join_network, -EBADMSG, "descriptors");
    const long result = raw_call(SYS_setns, fds[0], CLONE_NEWNET);
    if (result < 0) die(report_fd, ChildStep::join_network, result, "setns");
    raw_call(SYS_close, fds[0]);
}

// Returns when the parent has sent the sources of the placements, and the ruleset where there is one.
SUB_CHILD_SIDE int await_release(int fd, const ChildPlan& plan, FdPlacement* placements) noexcept {
    int sources[kMaxPlacements + 1] = {};
    const unsigned received = receive_descriptors(fd, sources, ChildStep::wait_for_release);
    // How many there are to be is known since the release only.
    if (received != plan.placement_count + (plan.landlock ? 1 : 0))
        die(fd, ChildStep::wait_for_release, -EBADMSG, "descriptors");
    for (unsigned i = 0; i < plan.placement_count; ++i) placements[i].source = sources[i];
    return plan.landlock ? sources[plan.placement_count] : -1;
}

SUB_CHILD_SIDE void place_descriptors(const ChildPlan& plan, const FdPlacement* placements,
                                      int& report_fd) noexcept {
    const int first_free = static_cast<int>(plan.placement_count);
    // First above the range of the targets, so that no dup3 hits a source still needed.
    const int lifted_report = static_cast<int>(raw_call(SYS_fcntl, report_fd, F_DUPFD_CLOEXEC, 16));
    if (lifted_report < 0) die(report_fd, ChildStep::place_descriptors, lifted_report, "report");
    report_fd = lifted_report;
    int lifted[kMaxPlacements] = {};
    for (unsigned i = 0; i < plan.placement_count; ++i) {
        const long fd = raw_call(SYS_fcntl, placements[i].source, F_DUPFD_CLOEXEC, 16);
        if (fd < 0) die(report_fd, ChildStep::place_descriptors, fd, nullptr, i);
        lifted[i] = static_cast<int>(fd);
    }
    for (unsigned i = 0; i < plan.placement_count; ++i) {
        const long result = raw_call(SYS_dup3, lifted[i], placements[i].target, 0);
        if (result < 0) die(report_fd, ChildStep::place_descriptors, result, nullptr, i);
    }
    long result = raw_call(SYS_close_range, first_free, report_fd - 1, 0);
    if (result >= 0) result = raw_call(SYS_close_range, report_fd + 1, kHighestDescriptor, 0);
    if (result < 0) die(report_fd, ChildStep::close_descriptors, result, nullptr);
}

// capabilities(7), "Effect of user ID changes" and "Ambient": an exec by a
// non-zero uid keeps capabilities only through the ambient set.
SUB_CHILD_SIDE void raise_ambient(int report_fd) noexcept {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    long result = raw_call(SYS_capget, as_long(&header), as_long(data));
    if (result < 0) die(report_fd, ChildStep::ambient_capabilities, result, "capget");
    data[0].inheritable = data[0].permitted;
    data[1].inheritable = data[1].permitted;
    result = raw_call(SYS_capset, as_long(&header), as_long(data));
    if (result < 0) die(report_fd, ChildStep::ambient_capabilities, result, "capset");
    for (unsigned capability = 0; capability < 64; ++capability) {
        if ((data[capability / 32].permitted & (1U << (capability % 32))) == 0) continue;
        result = raw_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0);
        if (result < 0) die(report_fd, ChildStep::ambient_capabilities, result, "prctl", capability);
    }
}

SUB_CHILD_SIDE void drop_capabilities(int report_fd) noexcept {
    for (unsigned capability = 0; capability < 64; ++capability) {
        const long result = raw_call(SYS_prctl, PR_CAPBSET_DROP, capability, 0, 0, 0);
        if (result == -EINVAL) break;  // past the last capability of this kernel
        if (result < 0) die(report_fd, ChildStep::bounding_set, result, nullptr, capability);
    }
    long result = raw_call(SYS_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (result < 0) die(report_fd, ChildStep::drop_capabilities, result, "ambient");
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[2] = {};
    result = raw_call(SYS_capset, as_long(&header), as_long(none));
    if (result < 0) die(report_fd, ChildStep::drop_capabilities, result, "capset");
}

// Never more than what holds already.
SUB_CHILD_SIDE void limit_processes(unsigned long most, int report_fd) noexcept {
    rlimit64 limit{};
    long result = raw_call(SYS_prlimit64, 0, RLIMIT_NPROC, 0, as_long(&limit));
    if (result < 0) die(report_fd, ChildStep::process_limit, result, "reading");
    if (limit.rlim_max <= most) return;
    limit.rlim_max = most;
    limit.rlim_cur = limit.rlim_cur > most ? most : limit.rlim_cur;
    result = raw_call(SYS_prlimit64, 0, RLIMIT_NPROC, as_long(&limit), 0);
    if (result < 0) die(report_fd, ChildStep::process_limit, result, nullptr);
}

SUB_CHILD_SIDE void limit_files(unsigned long soft, int report_fd) noexcept {
    rlimit64 limit{};
    long result = raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, as_long(&limit));
    if (result < 0) die(report_fd, ChildStep::file_limit, result, "reading");
    limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
    result = raw_call(SYS_prlimit64, 0, RLIMIT_NOFILE, as_long(&limit), 0);
    if (result < 0) die(report_fd, ChildStep::file_limit, result, nullptr);
}

SUB_CHILD_SIDE void confine(const ChildPlan& plan, int report_fd) noexcept {
    if (plan.process_limit != 0) limit_processes(plan.process_limit, report_fd);
    if (plan.drop_capabilities) drop_capabilities(report_fd);
    if (plan.no_new_privs) {
        const long result = raw_call(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (result < 0) die(report_fd, ChildStep::no_new_privs, result, nullptr);
    }
    if (plan.seccomp != nullptr) {
        // SAFETY: the kernel reads the filter only; its field is not const.
        const sock_fprog program{plan.seccomp_length, const_cast<sock_filter*>(plan.seccomp)};
        const long result = raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, as_long(&program));
        if (result < 0) die(report_fd, ChildStep::seccomp, result, nullptr);
    }
}

SUB_CHILD_SIDE void send_descriptor(int socket, int fd, int report_fd) noexcept {
    char byte = 'l';
    iovec data{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    *reinterpret_cast<int*>(CMSG_DATA(header)) = fd;
    const long result = raw_call(SYS_sendmsg, socket, as_long(&message), MSG_NOSIGNAL);
    if (result != 1) die(report_fd, ChildStep::guard, result < 0 ? result : -EIO, "sending the listener");
}

// Every signal is blocked, also in the guard.
SUB_CHILD_SIDE void start_guard(const ChildPlan& plan, int report_fd) noexcept {
    const ChildGuard& guard = *plan.guard;
    int pair[2] = {-1, -1};
    long result = raw_call(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, as_long(pair));
    if (result < 0) die(report_fd, ChildStep::guard, result, "socketpair");
    // SAFETY: it gets a copy of the memory and goes on here, on its copy of this stack. The other
    // process that shares the memory waits in the kernel for our answer, so the copy is whole.
    const long pid = raw_call(SYS_clone, CLONE_PARENT | SIGCHLD);
    if (pid < 0) die(report_fd, ChildStep::guard, pid, "clone");
    if (pid == 0) {
        const int socket = pair[1];
        if (raw_call(SYS_close_range, 0, socket - 1, 0) >= 0 &&
            raw_call(SYS_close_range, socket + 1, kHighestDescriptor, 0) >= 0)
            guard.main(guard, plan, socket);
        leave(0);
    }
    raw_call(SYS_close, pair[1]);
    // SAFETY: as in confine().
    const sock_fprog program{guard.filter_length, const_cast<sock_filter*>(guard.filter)};
    const long listener = raw_call(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                                   SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
                                   as_long(&program));
    if (listener < 0) die(report_fd, ChildStep::guard, listener, "filter");
    send_descriptor(pair[0], static_cast<int>(listener), report_fd);
    raw_call(SYS_close, listener);
    char byte = 0;
    do result = raw_call(SYS_read, pair[0], as_long(&byte), 1);
    while (result == -EINTR);
    if (result != 1) die(report_fd, ChildStep::guard, result < 0 ? result : -EPIPE, "waiting for it");
    raw_call(SYS_close, pair[0]);
    const int number = static_cast<int>(pid);
    result = raw_call(SYS_write, report_fd, as_long(&number), sizeof number);
    if (result != sizeof number) die(report_fd, ChildStep::guard, result < 0 ? result : -EIO, "telling");
}

}  // namespace

[[noreturn]] SUB_CHILD_SIDE void child_main(const ChildPlan& plan) noexcept {
    int report_fd = plan.report_fd;
    if (plan.own_table_below != 0) leave_parents_table(plan);
    if (plan.id_maps_ready_fd >= 0) {
        char byte = 0;
        long result = 0;
        do result = raw_call(SYS_read, plan.id_maps_ready_fd, as_long(&byte), 1);
        while (result == -EINTR);
        if (result != 1) die(report_fd, ChildStep::wait_for_id_maps, result < 0 ? result : -EPIPE, nullptr);
    }
    if (plan.death_signal != 0) {
        const long result = raw_call(SYS_prctl, PR_SET_PDEATHSIG, plan.death_signal, 0, 0, 0);
        if (result < 0) die(report_fd, ChildStep::death_signal, result, nullptr);
    }
    if (plan.new_session) {
        const long result = raw_call(SYS_setsid);
        if (result < 0) die(report_fd, ChildStep::new_session, result, nullptr);
    }
    FdPlacement placements[kMaxPlacements];
    for (unsigned i = 0; i < kMaxPlacements; ++i) placements[i] = plan.placements[i];
    const bool parked = plan.release_fd >= 0;
    if (parked) {
        // Our own root's, wherever the parent happens to be.
        const long entered = raw_call(SYS_chdir, as_long("/"));
        if (entered < 0) die(report_fd, ChildStep::change_directory, entered, "/");
        report_fd = keep_only(plan.release_fd, report_fd);
        if (plan.detach_old_root) detach_old_root(report_fd);
        if (plan.join_network) join_network(report_fd);
        confine(plan, report_fd);
        if (plan.join_network || plan.detach_old_root) {
            const long told = raw_call(SYS_write, report_fd, as_long("c"), 1);
            if (told != 1) die(report_fd, ChildStep::wait_for_release, told, "telling");
        }
        const int ruleset = await_release(report_fd, plan, placements);
        if (plan.landlock) {
            const long restricted = raw_call(SYS_landlock_restrict_self, ruleset, plan.landlock_flags);
            if (restricted < 0) die(report_fd, ChildStep::landlock, restricted, nullptr);
        }
    }
    place_descriptors(plan, placements, report_fd);
    if (plan.controlling_terminal >= 0) {
        const long result = raw_call(SYS_ioctl, plan.controlling_terminal, TIOCSCTTY, 0);
        if (result < 0) die(report_fd, ChildStep::controlling_terminal, result, nullptr);
    }
    if (plan.umask >= 0) raw_call(SYS_umask, plan.umask);
    if (plan.file_limit != 0) limit_files(plan.file_limit, report_fd);
    // Before the working directory: the command must be able to enter it with
    // its own rights, not with ours.
    if (plan.raise_ambient_capabilities) raise_ambient(report_fd);
    if (!parked) confine(plan, report_fd);
    if (plan.cwd != nullptr) {
        const long result = raw_call(SYS_chdir, as_long(plan.cwd));
        if (result < 0) die(report_fd, ChildStep::change_directory, result, plan.cwd);
    }
    if (parked && plan.guard != nullptr) start_guard(plan, report_fd);
    // The parent blocked every signal around the clone.
    const std::uint64_t no_signals = 0;
    raw_call(SYS_rt_sigprocmask, SIG_SETMASK, as_long(&no_signals), 0, sizeof no_signals);
    long result = raw_call(SYS_execve, as_long(plan.program), as_long(plan.argv), as_long(plan.envp));
    if (plan.fallback_program != nullptr)
        result = raw_call(SYS_execve, as_long(plan.fallback_program), as_long(plan.fallback_argv),
                          as_long(plan.envp));
    die(report_fd, ChildStep::exec, result,
        plan.fallback_program != nullptr ? plan.fallback_program : plan.program);
}

}  // namespace substrate::process
