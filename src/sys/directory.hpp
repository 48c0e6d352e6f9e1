#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::sys {

// Reads one directory by getdents64(2) through a 32 KiB buffer of its own.
// "." and ".." are left out. The descriptor stays the caller's.
class DirectoryReader {
  public:
    struct Entry {
        const char* name;    // NUL-terminated; valid until the next call
        unsigned char type;  // DT_* of dirent.h; DT_UNKNOWN where the file system does not say
        std::string_view view() const { return name; }
    };

    explicit DirectoryReader(int fd);
    // The next entry, or nullptr at the end.
    Result<const Entry*> next();

  private:
    static constexpr std::size_t kBufferSize = 32 * 1024;
    int fd_;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t used_ = 0;
    std::size_t at_ = 0;
    Entry entry_{};
};

}  // namespace substrate::sys
