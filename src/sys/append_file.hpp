#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

// What an append-only log of several processes needs beyond sys/file.hpp.
namespace substrate::sys {

// Opens `name` below `dir` for reading and appending, created 0600 when missing
// and narrowed to 0600 when wider. A link, what is not a regular file and what
// belongs to another user are Errc::safety.
Result<UniqueFd> open_append_at(int dir, const std::string& name);

// One write(2) of all of `bytes` to a descriptor with O_APPEND. When it fails
// or is cut short (ENOSPC, EDQUOT, EFBIG), what was written is truncated away
// again, or ended by a newline where others have appended since.
Result<> append_once(int fd, std::string_view bytes);

// A file that holds nothing but `bytes` of space on the disk (fallocate(2)): whole, or empty and an
// error.
Result<> reserve_space_at(int dir, const std::string& name, std::uint64_t bytes);

// fdatasync(2).
Result<> sync_data(int fd);
// pread(2): up to buffer.size() bytes; less only at the end of the file.
Result<std::size_t> read_at(int fd, std::span<char> buffer, std::uint64_t offset);
// Sets the modification time to now.
Result<> touch_at(int dir, const std::string& name);

}  // namespace substrate::sys
