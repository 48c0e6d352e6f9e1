#include "world/seccomp.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <xxhash.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "sys/file.hpp"

namespace substrate::world {
namespace {

using Context = std::unique_ptr<void, void (*)(scmp_filter_ctx)>;

// Kernel interfaces that no sandboxed command needs: mounts, namespaces, keys,
// other processes' memory, kernel code, clocks, raw hardware.
// clang-format off
constexpr std::array kDenied = {
    SCMP_SYS(mount),           SCMP_SYS(umount2),          SCMP_SYS(pivot_root),      SCMP_SYS(open_tree),
    SCMP_SYS(move_mount),      SCMP_SYS(fsopen),           SCMP_SYS(fsconfig),        SCMP_SYS(fsmount),
    SCMP_SYS(fspick),          SCMP_SYS(mount_setattr),    SCMP_SYS(setns),           SCMP_SYS(unshare),
    SCMP_SYS(chroot),          SCMP_SYS(keyctl),           SCMP_SYS(add_key),         SCMP_SYS(request_key),
    SCMP_SYS(bpf),             SCMP_SYS(perf_event_open),  SCMP_SYS(userfaultfd),     SCMP_SYS(open_by_handle_at),
    SCMP_SYS(kexec_load),      SCMP_SYS(kexec_file_load),  SCMP_SYS(init_module),     SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),   SCMP_SYS(reboot),           SCMP_SYS(swapon),          SCMP_SYS(swapoff),
    SCMP_SYS(settimeofday),    SCMP_SYS(clock_settime),    SCMP_SYS(clock_adjtime),   SCMP_SYS(adjtimex),
    SCMP_SYS(acct),            SCMP_SYS(quotactl),         SCMP_SYS(quotactl_fd),     SCMP_SYS(iopl),
    SCMP_SYS(ioperm),          SCMP_SYS(lookup_dcookie),   SCMP_SYS(nfsservctl),      SCMP_SYS(vhangup),
    SCMP_SYS(sethostname),     SCMP_SYS(setdomainname),    SCMP_SYS(syslog),          SCMP_SYS(fanotify_init),
    SCMP_SYS(io_uring_setup),  SCMP_SYS(io_uring_enter),   SCMP_SYS(io_uring_register), SCMP_SYS(move_pages),
    SCMP_SYS(migrate_pages),   SCMP_SYS(mbind),            SCMP_SYS(process_madvise)};
// clang-format on

constexpr std::array<std::uint64_t, 8> kNamespaceFlags = {CLONE_NEWUSER,   CLONE_NEWNS,  CLONE_NEWPID,
                                                          CLONE_NEWNET,    CLONE_NEWIPC, CLONE_NEWUTS,
                                                          CLONE_NEWCGROUP, 0x00000080};

constexpr std::array kDeniedFamilies = {AF_ALG, AF_VSOCK, AF_PACKET, AF_KEY, AF_BLUETOOTH,
                                        AF_CAN, AF_TIPC,  AF_RDS,    AF_XDP};

Result<> check(int result, const char* what) {
    if (result < 0) return fail(Error::from_os(-result, std::string("seccomp rule for ") + what));
    return {};
}

// The argument's bits under `mask` are `value`. Instead of SCMP_A0 and its like, which
// are compound literals: C, not C++.
constexpr scmp_arg_cmp masked_equal(unsigned argument, scmp_datum_t mask, scmp_datum_t value) {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

Result<> deny(scmp_filter_ctx filter, std::uint32_t action) {
    for (const int call : kDenied) {
        // __NR_SCMP_ERROR and pseudo numbers: this architecture has no such call.
        if (call < 0) continue;
        SUB_TRY(check(::seccomp_rule_add(filter, action, call, 0), "a system call"));
    }
    for (const std::uint64_t flag : kNamespaceFlags)
        SUB_TRY(check(::seccomp_rule_add(filter, action, SCMP_SYS(clone), 1, masked_equal(0, flag, flag)),
                      "clone"));
    for (const int family : kDeniedFamilies)
        SUB_TRY(check(::seccomp_rule_add(filter, action, SCMP_SYS(socket), 1,
                                         masked_equal(0, 0xffffffffu, static_cast<scmp_datum_t>(family))),
                      "socket"));
    // SOCK_RAW, and SOCK_PACKET, which the kernel turns into AF_PACKET; with any of
    // the flags that share the argument.
    for (const int type : {SOCK_RAW, SOCK_PACKET})
        SUB_TRY(check(::seccomp_rule_add(filter, action, SCMP_SYS(socket), 1,
                                         masked_equal(1, 0xf, static_cast<scmp_datum_t>(type))),
                      "raw sockets"));
    // The limits of world-init, which has the same user id.
    SUB_TRY(check(::seccomp_rule_add(filter, action, SCMP_SYS(prlimit64), 1, masked_equal(0, 0xffffffffu, 1)),
                  "prlimit64"));
    // TIOCSTI and TIOCLINUX put words into a terminal's mouth. The kernel reads
    // 32 bits of the request, so compare no more.
    for (const unsigned request : {0x5412u, 0x541cu})
        SUB_TRY(check(
            ::seccomp_rule_add(filter, action, SCMP_SYS(ioctl), 1, masked_equal(1, 0xffffffffu, request)),
            "ioctl"));
    return {};
}

Result<std::vector<sock_filter>> export_bpf(scmp_filter_ctx filter) {
    const sys::UniqueFd memfd(::memfd_create("substrate-seccomp", MFD_CLOEXEC));
    if (!memfd) return fail(Error::last_os("memfd_create"));
    SUB_TRY(check(::seccomp_export_bpf(filter, memfd.get()), "export"));
    if (::lseek(memfd.get(), 0, SEEK_SET) < 0) return fail(Error::last_os("lseek"));
    SUB_TRY_ASSIGN(const std::string bytes, sys::read_to_end(memfd.get(), 1 << 20));
    std::vector<sock_filter> instructions(bytes.size() / sizeof(sock_filter));
    std::memcpy(instructions.data(), bytes.data(), instructions.size() * sizeof(sock_filter));
    return instructions;
}

}  // namespace

Result<SeccompProgram> compile_seccomp(SeccompMode mode) {
    SeccompProgram program;
    if (mode == SeccompMode::off) return program;
    const Context filter(::seccomp_init(SCMP_ACT_ALLOW), ::seccomp_release);
    if (!filter) return fail({Errc::internal, "seccomp_init failed"});
    // A call of another architecture (int 0x80 on x86-64) would meet none of the rules.
    SUB_TRY(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS)),
                  "other architectures"));
    // A balanced tree over the call numbers instead of one comparison after another.
    SUB_TRY(check(::seccomp_attr_set(filter.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2), "optimisation"));
    const bool enforce = mode == SeccompMode::enforce;
    SUB_TRY(deny(filter.get(), enforce ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_LOG));
    if (enforce)
        SUB_TRY(
            check(::seccomp_rule_add(filter.get(), SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0), "clone3"));
    SUB_TRY_ASSIGN(program.instructions, export_bpf(filter.get()));
    const XXH128_hash_t hash =
        XXH3_128bits(program.instructions.data(), program.instructions.size() * sizeof(sock_filter));
    char text[40];
    std::snprintf(text, sizeof text, "xxh3:%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                  static_cast<unsigned long long>(hash.low64));
    program.hash = text;
    return program;
}

Result<const SeccompProgram*> SeccompPrograms::of(SeccompMode mode) const {
    const std::scoped_lock lock(mutex_);
    std::optional<SeccompProgram>& program = programs_[static_cast<std::size_t>(mode)];
    if (!program) {
        SUB_TRY_ASSIGN(program, compile_seccomp(mode));
    }
    return &*program;
}

}  // namespace substrate::world
