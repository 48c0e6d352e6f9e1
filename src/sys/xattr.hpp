#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

// Extended attributes (xattr(7)) of an object named relative to a directory
// descriptor, links not followed. The `_at` forms go through /proc/self/fd, which
// also serves objects that may not be opened (links, fifos, unreadable files).
namespace substrate::sys {

// Bytes of the value, which must fit `value`; nullopt when the attribute or
// the support for it is missing.
Result<std::optional<std::size_t>> get_xattr(int fd, const char* attribute, std::span<char> value);
Result<std::optional<std::size_t>> get_xattr_at(int dir, const char* name, const char* attribute,
                                                std::span<char> value);
// False when the object has no attribute at all or the file system knows none.
Result<bool> has_xattrs(int fd);
// All names; empty where the file system knows no attributes.
Result<std::vector<std::string>> list_xattrs_at(int dir, const char* name);
Result<std::string> read_xattr_at(int dir, const char* name, const std::string& attribute);
Result<> set_xattr(int fd, const char* attribute, std::string_view value);
Result<> set_xattr_at(int dir, const char* name, const char* attribute, std::string_view value);
// A missing attribute is success.
Result<> remove_xattr_at(int dir, const char* name, const char* attribute);

}  // namespace substrate::sys
