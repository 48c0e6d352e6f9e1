#include "trace/layout.hpp"

#include <algorithm>
#include <optional>

#include "sys/file.hpp"
#include "sys/file_lock.hpp"

namespace substrate::trace {
namespace {

Result<std::optional<TraceFile>> open_one(int dir, unsigned number) {
    const std::string name = rotated_name(number);
    SUB_TRY_ASSIGN(const auto found, sys::stat_at(dir, name.c_str()));
    if (!found || (found->stx_mode & S_IFMT) != S_IFREG) return std::nullopt;
    SUB_TRY_ASSIGN(sys::UniqueFd fd, sys::open_at(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    SUB_TRY_ASSIGN(const FileIdentity identity, identity_of(fd.get()));
    return TraceFile{name, std::move(fd), identity};
}

}  // namespace

std::string rotated_name(unsigned number) {
    std::string name(kTraceName);
    if (number > 0) name += "." + std::to_string(number);
    return name;
}

Result<FileIdentity> identity_of(int fd) {
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(fd));
    return FileIdentity{sys::device_of(st), st.stx_ino};
}

Result<std::vector<TraceFile>> open_set(int dir) {
    std::vector<TraceFile> files;
    // A copy of a trace has no lock file and nobody who rotates it.
    const auto lock_fd = sys::open_at(dir, std::string(kLockName), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    std::optional<sys::FileLock> lock;
    if (lock_fd) {
        SUB_TRY_ASSIGN(lock, sys::FileLock::shared(lock_fd->get()));
    }
    unsigned missing = 0;
    // A crash during a rotation leaves one gap in the numbers.
    for (unsigned number = 0; number <= kMostKept && missing < 3; ++number) {
        SUB_TRY_ASSIGN(auto file, open_one(dir, number));
        missing = file ? 0 : missing + 1;
        if (file) files.push_back(*std::move(file));
    }
    std::ranges::reverse(files);
    return files;
}

}  // namespace substrate::trace
