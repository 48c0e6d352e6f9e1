#pragma once

#include <cstddef>
#include <utility>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// Memory that two processes write (memfd_create(2), mmap(2)), of a size that neither can change. What the
// other side writes may be anything, at any time.
class SharedMemory final {
  public:
    // Zeroes; the descriptor is for the other side.
    static Result<std::pair<SharedMemory, UniqueFd>> make(const char* name, std::size_t size);
    // Errc::invalid for what is smaller, or could become so.
    static Result<SharedMemory> open(int fd, std::size_t size);
    ~SharedMemory();
    SharedMemory(SharedMemory&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), size_(other.size_) {}
    SharedMemory& operator=(SharedMemory&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(size_, other.size_);
        return *this;
    }
    SharedMemory(const SharedMemory&) = delete;
    SharedMemory& operator=(const SharedMemory&) = delete;

    void* at() const { return at_; }

  private:
    SharedMemory(void* at, std::size_t size) : at_(at), size_(size) {}
    void* at_;
    std::size_t size_;
};

}  // namespace substrate::sys
