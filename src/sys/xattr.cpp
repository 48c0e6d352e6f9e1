#include "sys/xattr.hpp"

#include <limits.h>
#include <stdio.h>
#include <sys/xattr.h>

namespace substrate::sys {
namespace {

// "/proc/self/fd/<dir>/<name>" without an allocation.
class FdPath {
  public:
    FdPath(int dir, const char* name) {
        const int n = ::snprintf(text_, sizeof text_, "/proc/self/fd/%d/%s", dir, name);
        // SAFETY: a single component fits; anything longer becomes a name no call accepts.
        if (n < 0 || static_cast<std::size_t>(n) >= sizeof text_) text_[0] = '\0';
    }
    const char* c_str() const { return text_; }

  private:
    char text_[NAME_MAX + 64];
};

bool means_absent(int error) { return error == ENODATA || error == EOPNOTSUPP || error == ENOSYS; }

}  // namespace

Result<std::optional<std::size_t>> get_xattr(int fd, const char* attribute, std::span<char> value) {
    const ssize_t n = ::fgetxattr(fd, attribute, value.data(), value.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    if (means_absent(errno)) return std::nullopt;
    return fail(Error::last_os("fgetxattr", attribute));
}

Result<std::optional<std::size_t>> get_xattr_at(int dir, const char* name, const char* attribute,
                                                std::span<char> value) {
    const ssize_t n = ::lgetxattr(FdPath(dir, name).c_str(), attribute, value.data(), value.size());
    if (n >= 0) return static_cast<std::size_t>(n);
    // EACCES: user.* of an object whose mode denies reading. EPERM: user.* of a link or a special file.
    if (means_absent(errno) || errno == EPERM || errno == EACCES) return std::nullopt;
    return fail(Error::last_os("lgetxattr", name));
}

Result<bool> has_xattrs(int fd) {
    const ssize_t n = ::flistxattr(fd, nullptr, 0);
    if (n >= 0) return n > 0;
    if (means_absent(errno)) return false;
    return fail(Error::last_os("flistxattr"));
}

Result<std::vector<std::string>> list_xattrs_at(int dir, const char* name) {
    std::vector<std::string> names;
    const FdPath path(dir, name);
    char small[1024];
    std::string large;
    char* buffer = small;
    ssize_t n = ::llistxattr(path.c_str(), small, sizeof small);
    if (n < 0 && errno == ERANGE) {
        large.resize(XATTR_LIST_MAX);
        buffer = large.data();
        n = ::llistxattr(path.c_str(), buffer, large.size());
    }
    if (n < 0 && means_absent(errno)) return names;
    if (n < 0) return fail(Error::last_os("llistxattr", name));
    for (const char* at = buffer; at < buffer + n; at += names.back().size() + 1) names.emplace_back(at);
    return names;
}

Result<std::string> read_xattr_at(int dir, const char* name, const std::string& attribute) {
    const FdPath path(dir, name);
    std::string value(256, '\0');
    ssize_t n = ::lgetxattr(path.c_str(), attribute.c_str(), value.data(), value.size());
    if (n < 0 && errno == ERANGE) {
        value.resize(XATTR_SIZE_MAX);
        n = ::lgetxattr(path.c_str(), attribute.c_str(), value.data(), value.size());
    }
    if (n < 0) return fail(Error::last_os("lgetxattr", attribute));
    value.resize(static_cast<std::size_t>(n));
    return value;
}

Result<> set_xattr(int fd, const char* attribute, std::string_view value) {
    if (::fsetxattr(fd, attribute, value.data(), value.size(), 0) != 0)
        return fail(Error::last_os("fsetxattr", attribute));
    return {};
}

Result<> set_xattr_at(int dir, const char* name, const char* attribute, std::string_view value) {
    if (::lsetxattr(FdPath(dir, name).c_str(), attribute, value.data(), value.size(), 0) != 0)
        return fail(Error::last_os("lsetxattr", attribute));
    return {};
}

Result<> remove_xattr_at(int dir, const char* name, const char* attribute) {
    if (::lremovexattr(FdPath(dir, name).c_str(), attribute) == 0 || means_absent(errno)) return {};
    return fail(Error::last_os("lremovexattr", attribute));
}

}  // namespace substrate::sys
