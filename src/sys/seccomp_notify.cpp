#include "sys/seccomp_notify.hpp"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/fs.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>

namespace substrate::sys {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "seccomp_notify knows x86_64 and aarch64"
#endif

// The newest call that was looked at for this list: mseal(2). Both architectures count alike here.
constexpr std::uint32_t kNewestKnown = 462;
constexpr std::uint32_t kFchmodat2 = 452;  // which the header of Debian 12 does not know

struct Number {
    std::uint32_t number;
    PathCall call;
};

// What is called most comes first.
constexpr std::array kPathCalls = {
    Number{SYS_openat, PathCall::openat},
    Number{SYS_readlinkat, PathCall::readlinkat},
    Number{SYS_execve, PathCall::execve},
    Number{SYS_unlinkat, PathCall::unlinkat},
    Number{SYS_renameat2, PathCall::renameat2},
    Number{SYS_mkdirat, PathCall::mkdirat},
    Number{SYS_getxattr, PathCall::getxattr},
    Number{SYS_lgetxattr, PathCall::lgetxattr},
    Number{SYS_listxattr, PathCall::listxattr},
    Number{SYS_llistxattr, PathCall::llistxattr},
    Number{SYS_openat2, PathCall::openat2},
    Number{SYS_truncate, PathCall::truncate},
    Number{SYS_linkat, PathCall::linkat},
    Number{SYS_symlinkat, PathCall::symlinkat},
    Number{SYS_renameat, PathCall::renameat},
    Number{SYS_mknodat, PathCall::mknodat},
    Number{SYS_fchmodat, PathCall::fchmodat},
    Number{kFchmodat2, PathCall::fchmodat2},
    Number{SYS_fchownat, PathCall::fchownat},
    Number{SYS_utimensat, PathCall::utimensat},
    Number{SYS_setxattr, PathCall::setxattr},
    Number{SYS_lsetxattr, PathCall::lsetxattr},
    Number{SYS_removexattr, PathCall::removexattr},
    Number{SYS_lremovexattr, PathCall::lremovexattr},
    Number{SYS_execveat, PathCall::execveat},
    Number{SYS_bind, PathCall::bind},
#if defined(__x86_64__)
    Number{SYS_open, PathCall::open},
    Number{SYS_readlink, PathCall::readlink},
    Number{SYS_unlink, PathCall::unlink},
    Number{SYS_rename, PathCall::rename},
    Number{SYS_mkdir, PathCall::mkdir},
    Number{SYS_rmdir, PathCall::rmdir},
    Number{SYS_creat, PathCall::creat},
    Number{SYS_link, PathCall::link},
    Number{SYS_symlink, PathCall::symlink},
    Number{SYS_mknod, PathCall::mknod},
    Number{SYS_chmod, PathCall::chmod},
    Number{SYS_chown, PathCall::chown},
    Number{SYS_lchown, PathCall::lchown},
    Number{SYS_utime, PathCall::utime},
    Number{SYS_utimes, PathCall::utimes},
    Number{SYS_futimesat, PathCall::futimesat},
#endif
};

constexpr std::array kDescriptorCalls = {
    Number{SYS_fchmod, PathCall::fchmod},
    Number{SYS_fchown, PathCall::fchown},
    Number{SYS_fsetxattr, PathCall::fsetxattr},
    Number{SYS_fremovexattr, PathCall::fremovexattr},
};

// The letters of ioctl(2) requests that file systems answer: attributes, subvolumes, verity. See the
// kernel's Documentation/userspace-api/ioctl/ioctl-number.rst.
constexpr std::array<std::uint32_t, 5> kFileSystemRequests = {'f', 'X', 'v', 'r', 0x94};
constexpr std::array<std::uint32_t, 3> kSharingRequests = {FICLONE, FICLONERANGE, FIDEDUPERANGE};

constexpr std::array<std::uint32_t, 18> kNotPermitted = {SYS_io_uring_setup,
                                                         SYS_io_uring_enter,
                                                         SYS_io_uring_register,
                                                         SYS_open_by_handle_at,
                                                         SYS_mount,
                                                         SYS_umount2,
                                                         SYS_pivot_root,
                                                         SYS_chroot,
                                                         SYS_unshare,
                                                         SYS_setns,
                                                         SYS_open_tree,
                                                         SYS_move_mount,
                                                         SYS_fsopen,
                                                         SYS_fsconfig,
                                                         SYS_fsmount,
                                                         SYS_fspick,
                                                         SYS_mount_setattr,
                                                         SYS_acct};
constexpr std::array kNotHere = {
    std::uint32_t{SYS_clone3},
    std::uint32_t{SYS_landlock_create_ruleset},
#if defined(__x86_64__)
    std::uint32_t{SYS_uselib},
#endif
};
constexpr std::uint32_t kNamespaceFlags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                          CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP |
                                          0x80;  // CLONE_NEWTIME

constexpr std::uint32_t refusal(int error) {
    return SECCOMP_RET_ERRNO | (static_cast<std::uint32_t>(error) & SECCOMP_RET_DATA);
}

class Filter {
  public:
    void load(std::size_t offset) { add(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset)); }
    void finish(std::uint32_t action) { add(BPF_RET | BPF_K, action); }
    // `action` where the loaded word compares so with `with`: BPF_JEQ, BPF_JGT, BPF_JSET.
    void when(std::uint16_t comparison, std::uint32_t with, std::uint32_t action) {
        add(BPF_JMP | BPF_K | comparison, with, 0, 1);
        finish(action);
    }
    void unless(std::uint32_t equal, std::uint32_t action) {
        add(BPF_JMP | BPF_K | BPF_JEQ, equal, 1, 0);
        finish(action);
    }
    // For one call: by bits of its argument. The lower half of it, on little-endian machines.
    void by_argument(std::uint32_t call, unsigned argument, std::uint32_t bits, std::uint32_t with_any,
                     std::uint32_t otherwise) {
        add(BPF_JMP | BPF_K | BPF_JEQ, call, 0, 4);
        load(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t));
        when(BPF_JSET, bits, with_any);
        finish(otherwise);
    }
    // For one call: by the letter of its second argument, a request of ioctl(2).
    void by_request(std::uint32_t call, std::span<const std::uint32_t> allowed,
                    std::span<const std::uint32_t> letters, std::uint32_t action) {
        add(BPF_JMP | BPF_K | BPF_JEQ, call, 0,
            static_cast<std::uint8_t>(3 + 2 * (allowed.size() + letters.size())));
        load(offsetof(seccomp_data, args) + sizeof(std::uint64_t));
        for (const std::uint32_t request : allowed) when(BPF_JEQ, request, SECCOMP_RET_ALLOW);
        add(BPF_ALU | BPF_AND | BPF_K, 0xff00);
        for (const std::uint32_t letter : letters) when(BPF_JEQ, letter << 8, action);
        finish(SECCOMP_RET_ALLOW);
    }
    std::vector<sock_filter> take() { return std::move(code_); }

  private:
    void add(unsigned code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) {
        code_.push_back({static_cast<std::uint16_t>(code), yes, no, k});
    }
    std::vector<sock_filter> code_;
};

}  // namespace

std::vector<sock_filter> path_call_filter(bool descriptors) {
    Filter filter;
    filter.load(offsetof(seccomp_data, arch));
    filter.unless(kArchitecture, refusal(ENOSYS));
    filter.load(offsetof(seccomp_data, nr));
    // With it the calls of x32, whose numbers have a high bit.
    filter.when(BPF_JGT, kNewestKnown, refusal(ENOSYS));
    filter.by_argument(SYS_openat, 2, O_PATH, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF);
#if defined(__x86_64__)
    filter.by_argument(SYS_open, 1, O_PATH, SECCOMP_RET_ALLOW, SECCOMP_RET_USER_NOTIF);
#endif
    for (const Number& each : kPathCalls) filter.when(BPF_JEQ, each.number, SECCOMP_RET_USER_NOTIF);
    if (descriptors) {
        for (const Number& each : kDescriptorCalls) filter.when(BPF_JEQ, each.number, SECCOMP_RET_USER_NOTIF);
        filter.by_request(SYS_ioctl, kSharingRequests, kFileSystemRequests, refusal(ENOTTY));
    }
    filter.by_argument(SYS_clone, 0, kNamespaceFlags, refusal(EPERM), SECCOMP_RET_ALLOW);
    for (const std::uint32_t call : kNotPermitted) filter.when(BPF_JEQ, call, refusal(EPERM));
    for (const std::uint32_t call : kNotHere) filter.when(BPF_JEQ, call, refusal(ENOSYS));
    filter.finish(SECCOMP_RET_ALLOW);
    return filter.take();
}

Result<> check_path_calls() {
    std::uint32_t action = SECCOMP_RET_USER_NOTIF;
    if (::syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) != 0)
        return fail({Errc::unsupported, "the kernel hands no calls over (SECCOMP_RET_USER_NOTIF)"});
    // No program: EFAULT where the kernel knows the flags, EINVAL where it does not.
    constexpr unsigned kFlags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kFlags, nullptr) != 0 && errno != EFAULT)
        return fail({Errc::unsupported, "the kernel lets signals break off calls that it has handed over"});
    return {};
}

CallListener::CallListener(UniqueFd fd) : fd_(std::move(fd)) {
    // KERNEL(6.6): who answers runs on the caller's processor at once. Before that it is slower.
    constexpr std::uint64_t kSyncWakeUp = 1;
    (void)::ioctl(fd_.get(), _IOW('!', 4, std::uint64_t), kSyncWakeUp);
}

Result<std::optional<CallNotice>> CallListener::receive() const {
    // SAFETY: the kernel writes no more than its own structure, whose size has not changed; the
    // room behind it is for one that has grown. It takes only zeros.
    union {
        seccomp_notif notice;
        char room[256];
    } buffer{.room = {}};
    if (::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_RECV, &buffer.notice) != 0) {
        if (errno == ENOENT || errno == EINTR) return std::nullopt;
        return fail(Error::last_os("receiving a call"));
    }
    const seccomp_notif& notice = buffer.notice;
    CallNotice call{.id = notice.id, .caller = static_cast<pid_t>(notice.pid)};
    std::copy_n(notice.data.args, call.arguments.size(), call.arguments.begin());
    const auto number = static_cast<std::uint32_t>(notice.data.nr);
    for (const std::span<const Number> known :
         {std::span<const Number>(kPathCalls), std::span<const Number>(kDescriptorCalls)})
        if (const auto found = std::ranges::find(known, number, &Number::number); found != known.end()) {
            call.call = found->call;
            return call;
        }
    answer(call.id, 0, ENOSYS);
    return std::nullopt;
}

bool CallListener::waits(std::uint64_t id) const {
    return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0;
}

void CallListener::answer(std::uint64_t id, std::int64_t value, int error) const {
    seccomp_notif_resp response{.id = id, .val = error == 0 ? value : 0, .error = -error, .flags = 0};
    // It fails where the caller has gone, who needs no answer then.
    (void)::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

void CallListener::let_pass(std::uint64_t id) const {
    seccomp_notif_resp response{.id = id, .val = 0, .error = 0, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    (void)::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
}

int CallListener::give(std::uint64_t id, int fd, bool close_on_exec) const {
    seccomp_notif_addfd given{.id = id,
                              .flags = SECCOMP_ADDFD_FLAG_SEND,
                              .srcfd = static_cast<std::uint32_t>(fd),
                              .newfd = 0,
                              .newfd_flags = close_on_exec ? static_cast<std::uint32_t>(O_CLOEXEC) : 0};
    return ::ioctl(fd_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &given) < 0 ? errno : 0;
}

}  // namespace substrate::sys
