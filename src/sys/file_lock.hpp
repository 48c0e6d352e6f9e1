#pragma once

#include <utility>

#include "base/result.hpp"

namespace substrate::sys {

// Holds a flock(2) lock; released on destruction, and by the kernel when the
// last copy of the open file description goes. Locks of two open file
// descriptions exclude each other also within one process. The descriptor stays
// the caller's and must outlive the lock.
class FileLock final {
  public:
    // Both wait for as long as it takes.
    static Result<FileLock> exclusive(int fd);
    static Result<FileLock> shared(int fd);

    FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    FileLock& operator=(FileLock&& other) noexcept;
    ~FileLock() { release(); }
    void release();

  private:
    explicit FileLock(int fd) : fd_(fd) {}
    int fd_ = -1;
};

// flock(LOCK_EX | LOCK_NB), held until every copy of the descriptor is closed.
// False when another holds it.
Result<bool> try_lock(int fd);

}  // namespace substrate::sys
