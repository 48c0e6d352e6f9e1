#include "sys/directory.hpp"

#include <dirent.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace substrate::sys {

DirectoryReader::DirectoryReader(int fd)
    : fd_(fd), buffer_(std::make_unique_for_overwrite<std::byte[]>(kBufferSize)) {}

Result<const DirectoryReader::Entry*> DirectoryReader::next() {
    for (;;) {
        if (at_ == used_) {
            const long n = ::syscall(SYS_getdents64, fd_, buffer_.get(), kBufferSize);
            if (n < 0) return fail(Error::last_os("getdents64"));
            if (n == 0) return nullptr;
            used_ = static_cast<std::size_t>(n);
            at_ = 0;
        }
        // SAFETY: the kernel aligns records to 8 bytes and terminates names.
        const auto* record = reinterpret_cast<const dirent64*>(buffer_.get() + at_);
        at_ += record->d_reclen;
        const std::string_view name(record->d_name);
        if (name == "." || name == "..") continue;
        entry_ = {record->d_name, record->d_type};
        return &entry_;
    }
}

}  // namespace substrate::sys
