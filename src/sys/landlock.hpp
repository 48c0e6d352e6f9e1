#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// Landlock: rules that a process lays down for itself and all its children. See landlock(7) and the
// kernel's Documentation/userspace-api/landlock.rst. The header of Debian 12 knows ABI 2 only.
namespace substrate::sys {

// The Landlock ABI of this kernel, 0 when it has none or it is switched off.
int landlock_abi();
// The newest ABI whose rights are named here.
inline constexpr int kLandlockKnownAbi = 7;

enum class FsRight : std::uint64_t {
    execute = 1 << 0,
    write_file = 1 << 1,
    read_file = 1 << 2,
    read_dir = 1 << 3,
    remove_dir = 1 << 4,
    remove_file = 1 << 5,
    make_char = 1 << 6,
    make_dir = 1 << 7,
    make_reg = 1 << 8,
    make_sock = 1 << 9,
    make_fifo = 1 << 10,
    make_block = 1 << 11,
    make_sym = 1 << 12,
    refer = 1 << 13,      // KERNEL(5.19), ABI 2: links and renames between directories
    truncate = 1 << 14,   // KERNEL(6.2), ABI 3
    ioctl_dev = 1 << 15,  // KERNEL(6.10), ABI 5
};
// KERNEL(6.12), ABI 6: no reach to those outside the domain.
enum class LandlockScope : std::uint64_t { abstract_unix_socket = 1 << 0, signal = 1 << 1 };

// KERNEL(6.7), ABI 4.
enum class NetRight : std::uint64_t { bind_tcp = 1 << 0, connect_tcp = 1 << 1 };
// KERNEL(6.15), ABI 7: what of the refusals stands in the kernel's audit log.
enum class LandlockLog : std::uint32_t {
    same_exec_off = 1 << 0,
    new_exec_on = 1 << 1,
    subdomains_off = 1 << 2,
};

// Those of `rights` that the ABI knows.
std::uint64_t known_fs_rights(std::uint64_t rights, int abi);

class LandlockRuleset {
  public:
    // `handled` is denied wherever no rule allows it; `scoped` likewise. Of what the
    // kernel's ABI does not know, nothing may be asked.
    static Result<LandlockRuleset> create(std::uint64_t handled, std::uint64_t scoped,
                                          std::uint64_t handled_net = 0);
    // At and below what `fd` is open on (O_PATH is enough). Of a file, only what files know is
    // allowed. False: the kernel takes no rule for it, and needs none (a pipe, a socket).
    Result<bool> allow_beneath(int fd, std::uint64_t rights);
    // For one port, whatever the address.
    Result<> allow_port(std::uint16_t port, std::uint64_t rights);
    int fd() const { return fd_.get(); }
    // For the calling thread and its children, for good. Needs no_new_privs.
    Result<> restrict_self() const;

  private:
    LandlockRuleset(UniqueFd fd, std::uint64_t handled) : fd_(std::move(fd)), handled_(handled) {}

    UniqueFd fd_;
    std::uint64_t handled_;
};

}  // namespace substrate::sys
