#pragma once

#include <linux/filter.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// System calls that another process answers: seccomp_unotify(2). Here, those that name files.
namespace substrate::sys {

// The calls that path_call_filter() hands over. Those that take a directory's descriptor end in `at`.
enum class PathCall : std::uint8_t {
    open,
    openat,
    openat2,
    creat,
    truncate,
    link,
    linkat,
    symlink,
    symlinkat,
    rename,
    renameat,
    renameat2,
    unlink,
    unlinkat,
    rmdir,
    mkdir,
    mkdirat,
    mknod,
    mknodat,
    chmod,
    fchmodat,
    fchmodat2,
    chown,
    lchown,
    fchownat,
    utime,
    utimes,
    futimesat,
    utimensat,
    setxattr,
    lsetxattr,
    removexattr,
    lremovexattr,
    getxattr,
    lgetxattr,
    listxattr,
    llistxattr,
    readlink,
    readlinkat,
    execve,
    execveat,
    bind,
    // By a descriptor, which may have been opened for reading.
    fchmod,
    fchown,
    fsetxattr,
    fremovexattr,
};

// The filter for a process whose path calls are to be answered by whoever has its listener. Opening
// with O_PATH, which reads nothing, is allowed. Refused is what would go around the answers: io_uring,
// mounts, other roots and namespaces, file handles (EPERM); other architectures, calls newer
// than this list, clone3(2), whose flags cannot be seen, and a Landlock domain of the process's own,
// in which it would be answered by a process outside of it (ENOSYS). With `descriptors`, what changes a
// file through one that was opened for reading is handed over too, and requests of file systems are
// unknown (ENOTTY) but for those that share content between two files.
std::vector<sock_filter> path_call_filter(bool descriptors = false);

// Errc::unsupported with the reason where this kernel cannot hand calls over.
Result<> check_path_calls();

struct CallNotice {
    std::uint64_t id = 0;
    pid_t caller = 0;  // the thread
    PathCall call{};
    std::array<std::uint64_t, 6> arguments{};
};

// The answering end. KERNEL(5.19), for SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV.
class CallListener {
  public:
    explicit CallListener(UniqueFd fd);

    int fd() const { return fd_.get(); }
    // The next call that waits; nullopt when its caller has gone meanwhile.
    Result<std::optional<CallNotice>> receive() const;
    // Whether the caller waits still: only then is its process number its own.
    bool waits(std::uint64_t id) const;
    // The call returns `value`, or fails with `error` where that is not 0.
    void answer(std::uint64_t id, std::int64_t value, int error) const;
    // The kernel makes the call after all, with whatever its arguments point to by now.
    void let_pass(std::uint64_t id) const;
    // The call returns a descriptor of its process for what `fd` is open on: 0, or why not (errno).
    int give(std::uint64_t id, int fd, bool close_on_exec) const;

  private:
    UniqueFd fd_;
};

}  // namespace substrate::sys
