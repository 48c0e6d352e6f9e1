#include "world/path_guard_caller.hpp"

#include <sys/sysmacros.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>

#include "sys/file.hpp"

namespace substrate::world {
namespace {

constexpr std::uint64_t kPage = 4096;  // the smallest there is: reading never spans what may be missing

std::string proc_file(pid_t thread, const char* name) {
    return sys::read_file("/proc/" + std::to_string(thread) + "/" + name, 1 << 16).value_or("");
}

iovec remote_part(std::uint64_t address, std::size_t size) {
    // SAFETY: an address of another process, which only process_vm_readv(2) and its like use.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): it comes as a number.
    return {reinterpret_cast<void*>(static_cast<std::uintptr_t>(address)), size};
}

}  // namespace

int CallerMemory::read_text(std::uint64_t address, std::size_t limit, std::string& text) const {
    text.clear();
    std::array<char, kPage> part{};
    while (text.size() < limit) {
        const std::size_t size =
            std::min<std::uint64_t>(kPage - (address + text.size()) % kPage, limit - text.size());
        const iovec local{part.data(), size}, remote = remote_part(address + text.size(), size);
        const ssize_t n = ::process_vm_readv(caller_, &local, 1, &remote, 1, 0);
        if (n <= 0) return n == 0 ? EFAULT : errno;
        const std::size_t length = ::strnlen(part.data(), static_cast<std::size_t>(n));
        text.append(part.data(), length);
        if (length < static_cast<std::size_t>(n)) return 0;
    }
    return ENAMETOOLONG;
}

int CallerMemory::read_path(std::uint64_t address, std::string& path) const {
    return read_text(address, PATH_MAX, path);
}

int CallerMemory::read(std::uint64_t address, std::span<char> bytes) const {
    if (bytes.empty()) return 0;
    const iovec local{bytes.data(), bytes.size()}, remote = remote_part(address, bytes.size());
    const ssize_t n = ::process_vm_readv(caller_, &local, 1, &remote, 1, 0);
    if (n < 0) return errno;
    return static_cast<std::size_t>(n) == bytes.size() ? 0 : EFAULT;
}

int CallerMemory::write(std::uint64_t address, std::span<const char> bytes) const {
    if (bytes.empty()) return 0;
    const iovec local{const_cast<char*>(bytes.data()), bytes.size()},
        remote = remote_part(address, bytes.size());
    const ssize_t n = ::process_vm_writev(caller_, &local, 1, &remote, 1, 0);
    if (n < 0) return errno;
    return static_cast<std::size_t>(n) == bytes.size() ? 0 : EFAULT;
}

mode_t umask_of(pid_t thread) {
    const std::string status = proc_file(thread, "status");
    const std::size_t at = status.find("\nUmask:");
    return at == std::string::npos ? 077
                                   : static_cast<mode_t>(std::strtoul(status.c_str() + at + 7, nullptr, 8));
}

// "pid (name) state parent group session terminal …": proc(5).
std::string terminal_of(pid_t thread) {
    const std::string stat = proc_file(thread, "stat");
    std::size_t at = stat.rfind(')');
    for (int field = 0; field < 5 && at != std::string::npos; ++field) at = stat.find(' ', at + 1);
    if (at == std::string::npos) return {};
    const auto device = static_cast<dev_t>(std::strtoul(stat.c_str() + at, nullptr, 10));
    constexpr unsigned kFirstSlave = 136, kLastSlave = 143;  // UNIX98_PTY_SLAVE_MAJOR of linux/major.h
    if (major(device) < kFirstSlave || major(device) > kLastSlave) return {};
    return "/dev/pts/" + std::to_string((major(device) - kFirstSlave) * 256 + minor(device));
}

}  // namespace substrate::world
