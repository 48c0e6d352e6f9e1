#include "egress/confine.hpp"

#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <initializer_list>
#include <memory>
#include <span>

#include "sys/file.hpp"
#include "sys/landlock.hpp"

namespace substrate::egress {
namespace {

struct Release {
    void operator()(void* filter) const { ::seccomp_release(filter); }
};

Result<> check(int result, const char* what) {
    if (result == 0) return {};
    return fail(Error::from_os(-result, std::string("the gateway's filter: ") + what));
}

// What an event loop over sockets needs, the C library's memory, and its end.
constexpr int kPlain[] = {
    SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),     SCMP_SYS(epoll_wait),   SCMP_SYS(epoll_pwait),
    SCMP_SYS(accept4),       SCMP_SYS(connect),       SCMP_SYS(getsockopt),   SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),   SCMP_SYS(getpeername),   SCMP_SYS(sendto),       SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg),       SCMP_SYS(recvmsg),       SCMP_SYS(shutdown),     SCMP_SYS(splice),
    SCMP_SYS(pipe2),         SCMP_SYS(read),          SCMP_SYS(readv),        SCMP_SYS(write),
    SCMP_SYS(writev),        SCMP_SYS(pread64),       SCMP_SYS(lseek),        SCMP_SYS(close),
    SCMP_SYS(fstat),         SCMP_SYS(newfstatat),    SCMP_SYS(statx),        SCMP_SYS(poll),
    SCMP_SYS(ppoll),         SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(getrandom),     SCMP_SYS(brk),           SCMP_SYS(munmap),       SCMP_SYS(mremap),
    SCMP_SYS(madvise),       SCMP_SYS(futex),         SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction),  SCMP_SYS(getpid),        SCMP_SYS(gettid),       SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),          SCMP_SYS(exit_group),
};

// What sending descriptors takes, and an end.
constexpr int kMaker[] = {
    SCMP_SYS(recvmsg),      SCMP_SYS(sendmsg),      SCMP_SYS(read),
    SCMP_SYS(write),        SCMP_SYS(close),        SCMP_SYS(brk),
    SCMP_SYS(munmap),       SCMP_SYS(mremap),       SCMP_SYS(madvise),
    SCMP_SYS(futex),        SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigaction), SCMP_SYS(getpid),       SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),         SCMP_SYS(exit_group),
};

template <class... Conditions>
Result<> allow(void* filter, int call, Conditions... conditions) {
    return check(::seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, sizeof...(conditions), conditions...),
                 "a rule");
}

scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

// `calls` and sockets of these types; no memory that can be executed.
Result<std::unique_ptr<void, Release>> make_filter(std::span<const int> calls,
                                                   std::initializer_list<int> types) {
    std::unique_ptr<void, Release> owner(::seccomp_init(SCMP_ACT_ERRNO(EPERM)));
    void* filter = owner.get();
    if (filter == nullptr) return fail({Errc::internal, "seccomp_init failed"});
    SUB_TRY(check(::seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimisation"));
    for (const int call : calls) SUB_TRY(allow(filter, call));
    for (const int family : {AF_INET, AF_INET6})
        for (const int type : types)
            SUB_TRY(allow(filter, SCMP_SYS(socket), bits(0, 0xffffffff, static_cast<unsigned>(family)),
                          bits(1, 0xf, static_cast<unsigned>(type))));
    for (const int call : {SCMP_SYS(mmap), SCMP_SYS(mprotect)})
        SUB_TRY(allow(filter, call, bits(2, PROT_EXEC, 0)));
    return owner;
}

Result<> filter_calls(bool may_open) {
    SUB_TRY_ASSIGN(const auto owner, make_filter(kPlain, {SOCK_STREAM, SOCK_DGRAM}));
    void* filter = owner.get();
    // Flags, descriptor flags and what a memory file is sealed against, never an owner who gets signals.
    for (const int command : {F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GET_SEALS})
        SUB_TRY(allow(filter, SCMP_SYS(fcntl), bits(1, 0xffffffff, static_cast<unsigned>(command))));
    if (may_open)
        SUB_TRY(
            allow(filter, SCMP_SYS(openat), bits(2, O_ACCMODE | O_CREAT | O_TRUNC | __O_TMPFILE, O_RDONLY)));
    return check(::seccomp_load(filter), "loading it");
}

// True: only what lies below /etc can be read.
Result<bool> restrict_files() {
    const int abi = sys::landlock_abi();
    if (abi == 0) return false;
    constexpr std::uint64_t kEverything = (std::uint64_t{1} << 16) - 1;
    SUB_TRY_ASSIGN(auto rules, sys::LandlockRuleset::create(sys::known_fs_rights(kEverything, abi), 0));
    SUB_TRY_ASSIGN(const sys::UniqueFd etc, sys::open_path("/etc", O_PATH | O_DIRECTORY));
    SUB_TRY(rules.allow_beneath(etc.get(), static_cast<std::uint64_t>(sys::FsRight::read_file)));
    SUB_TRY(rules.restrict_self());
    return true;
}

}  // namespace

Result<> confine_gateway() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(Error::last_os("prctl"));
    SUB_TRY_ASSIGN(const bool may_open, restrict_files());
    return filter_calls(may_open);
}

Result<> confine_socket_maker() {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(Error::last_os("prctl"));
    SUB_TRY_ASSIGN(const auto filter, make_filter(kMaker, {SOCK_STREAM}));
    return check(::seccomp_load(filter.get()), "loading it");
}

}  // namespace substrate::egress
