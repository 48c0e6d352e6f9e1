#pragma once

#include <utility>

#include "base/result.hpp"

namespace substrate::sys {

// A read lease (fcntl(2), F_SETLEASE): while it is held no process has the file open for
// writing, and who opens it so waits until it is released. For the moment of a reading
// only. The descriptor, opened O_RDONLY, stays the caller's and must outlive it.
class FileLease final {
  public:
    // Errc::conflict while somebody has the file open for writing. A lease that is not
    // held where the kernel gives none: another account's file, a file system without them.
    static Result<FileLease> for_reading(int fd);

    FileLease(FileLease&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileLease& operator=(FileLease&&) = delete;
    ~FileLease();
    bool held() const { return fd_ >= 0; }

  private:
    explicit FileLease(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace substrate::sys
