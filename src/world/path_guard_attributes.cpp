// What a file is besides its content: mode, owner, times, length, extended attributes.
#include <fcntl.h>
#include <linux/limits.h>
// SAFETY: the header of glibc 2.36 has no extern "C" of its own.
extern "C" {
#include <sys/pidfd.h>
}
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "world/path_guard_calls.hpp"

namespace substrate::world {
namespace {

int result_of(int result) { return result == 0 ? 0 : errno; }

template <class T>
std::span<char> bytes_of(T& value) {
    return {reinterpret_cast<char*>(&value), sizeof value};
}

bool is_link(int object) {
    struct ::stat st{};
    return ::fstat(object, &st) == 0 && S_ISLNK(st.st_mode);
}

}  // namespace

CallAnswerer::Answer CallAnswerer::change_mode(const Call& call, int directory, std::uint64_t path,
                                               mode_t mode, int flags) const {
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return {EINVAL};
    Place place;
    if (const int error = judged_object(call, directory, path, flags, PathUse::write, place); error != 0)
        return {error};
    if (is_link(place.object.get())) return {EOPNOTSUPP};
    return {result_of(::chmod(own_path(place.object.get()).c_str(), mode & 07777))};
}

CallAnswerer::Answer CallAnswerer::change_owner(const Call& call, int directory, std::uint64_t path,
                                                std::uint64_t uid, std::uint64_t gid, int flags) const {
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return {EINVAL};
    Place place;
    if (const int error = judged_object(call, directory, path, flags, PathUse::write, place); error != 0)
        return {error};
    return {result_of(
        ::fchownat(place.object.get(), "", static_cast<uid_t>(uid), static_cast<gid_t>(gid), AT_EMPTY_PATH))};
}

CallAnswerer::Answer CallAnswerer::change_times(const Call& call, int directory, std::uint64_t path,
                                                std::uint64_t times, TimeFormat format, int flags) const {
    if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return {EINVAL};
    std::array<timespec, 2> set{};
    int error = 0;
    if (times != 0 && format == TimeFormat::nanos) {
        error = call.memory.read(times, bytes_of(set));
    } else if (times != 0 && format == TimeFormat::micros) {
        std::array<timeval, 2> micros{};
        error = call.memory.read(times, bytes_of(micros));
        for (std::size_t i = 0; i < set.size(); ++i) {
            if (micros[i].tv_usec < 0 || micros[i].tv_usec >= 1'000'000) return {EINVAL};
            set[i] = {micros[i].tv_sec, micros[i].tv_usec * 1000};
        }
    } else if (times != 0) {
        utimbuf seconds{};
        error = call.memory.read(times, bytes_of(seconds));
        set = {timespec{seconds.actime, 0}, timespec{seconds.modtime, 0}};
    }
    if (error != 0) return {error};
    Place place;
    if (path == 0) {
        // What the descriptor is open on: futimens(3).
        if (directory == AT_FDCWD) return {EFAULT};
        if (error = call.walk.base(directory, /*any=*/true, place.object); error != 0) return {error};
        if (error = judge(call, name_of(place.object.get()), PathUse::write); error != 0) return {error};
    } else if (error = judged_object(call, directory, path, flags, PathUse::write, place); error != 0) {
        return {error};
    }
    return {result_of(::utimensat(place.object.get(), "", times == 0 ? nullptr : set.data(), AT_EMPTY_PATH))};
}

CallAnswerer::Answer CallAnswerer::cut(const Call& call) const {
    const auto& a = call.notice.arguments;
    Place place;
    if (const int error = judged_object(call, AT_FDCWD, a[0], 0, PathUse::write, place); error != 0)
        return {error};
    return {result_of(::truncate(own_path(place.object.get()).c_str(), static_cast<off_t>(a[1])))};
}

int CallAnswerer::attribute_object(const Call& call, bool follow, PathUse use, Place& place,
                                   bool& link) const {
    const int flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
    if (const int error = judged_object(call, AT_FDCWD, call.notice.arguments[0], flags, use, place);
        error != 0)
        return error;
    link = is_link(place.object.get());
    return 0;
}

// Of symbolic links: only privileged processes can give them attributes, and there are none here.
CallAnswerer::Answer CallAnswerer::set_attribute(const Call& call, bool follow) const {
    const auto& a = call.notice.arguments;
    if (a[3] > XATTR_SIZE_MAX) return {E2BIG};
    std::string name, value(a[3], '\0');
    if (const int error = call.memory.read_text(a[1], XATTR_NAME_MAX + 1, name); error != 0)
        return {error == ENAMETOOLONG ? ERANGE : error};
    if (const int error = call.memory.read(a[2], value); error != 0) return {error};
    Place place;
    bool link = false;
    if (const int error = attribute_object(call, follow, PathUse::write, place, link); error != 0)
        return {error};
    if (link) return {EPERM};
    return {result_of(::setxattr(own_path(place.object.get()).c_str(), name.c_str(), value.data(),
                                 value.size(), static_cast<int>(a[4])))};
}

CallAnswerer::Answer CallAnswerer::remove_attribute(const Call& call, bool follow) const {
    std::string name;
    if (const int error = call.memory.read_text(call.notice.arguments[1], XATTR_NAME_MAX + 1, name);
        error != 0)
        return {error == ENAMETOOLONG ? ERANGE : error};
    Place place;
    bool link = false;
    if (const int error = attribute_object(call, follow, PathUse::write, place, link); error != 0)
        return {error};
    if (link) return {EPERM};
    return {result_of(::removexattr(own_path(place.object.get()).c_str(), name.c_str()))};
}

// What is denied has none to read: an error would only disturb who lists a directory.
CallAnswerer::Answer CallAnswerer::get_attribute(const Call& call, bool follow) const {
    const auto& a = call.notice.arguments;
    std::string name;
    if (const int error = call.memory.read_text(a[1], XATTR_NAME_MAX + 1, name); error != 0)
        return {error == ENAMETOOLONG ? ERANGE : error};
    Place place;
    bool link = false;
    const int error = attribute_object(call, follow, PathUse::list, place, link);
    if (link || (error == EACCES && is_denied(place.name, PathUse::list))) return {ENODATA};
    if (error != 0) return {error};
    std::string value(std::min<std::uint64_t>(a[3], XATTR_SIZE_MAX), '\0');
    const ssize_t size =
        ::getxattr(own_path(place.object.get()).c_str(), name.c_str(), value.data(), value.size());
    if (size < 0) return {errno};
    if (value.empty()) return {0, size};
    return {call.memory.write(a[2], std::span(value).first(static_cast<std::size_t>(size))), size};
}

CallAnswerer::Answer CallAnswerer::list_attributes(const Call& call, bool follow) const {
    const auto& a = call.notice.arguments;
    Place place;
    bool link = false;
    const int error = attribute_object(call, follow, PathUse::list, place, link);
    if (link || (error == EACCES && is_denied(place.name, PathUse::list))) return {0, 0};
    if (error != 0) return {error};
    std::string names(std::min<std::uint64_t>(a[2], XATTR_LIST_MAX), '\0');
    const ssize_t size = ::listxattr(own_path(place.object.get()).c_str(), names.data(), names.size());
    if (size < 0) return {errno};
    if (names.empty()) return {0, size};
    return {call.memory.write(a[1], std::span(names).first(static_cast<std::size_t>(size))), size};
}

// What a descriptor is open on can be changed so whatever it was opened for.
CallAnswerer::Answer CallAnswerer::change_descriptor(const Call& call) const {
    using enum sys::PathCall;
    const auto& a = call.notice.arguments;
    const sys::UniqueFd of(::pidfd_open(process_of(call.notice.caller), 0));
    if (!of) return {EACCES};
    const sys::UniqueFd file(::pidfd_getfd(of.get(), static_cast<int>(a[0] & 0xffffffff), 0));
    if (!file) return {errno};
    if (const int error = judge(call, name_of(file.get()), PathUse::write); error != 0) return {error};
    if (call.notice.call == fchmod) return {result_of(::fchmod(file.get(), a[1] & 07777))};
    if (call.notice.call == fchown)
        return {result_of(::fchown(file.get(), static_cast<uid_t>(a[1]), static_cast<gid_t>(a[2])))};
    std::string name;
    if (const int error = call.memory.read_text(a[1], XATTR_NAME_MAX + 1, name); error != 0)
        return {error == ENAMETOOLONG ? ERANGE : error};
    if (call.notice.call == fremovexattr) return {result_of(::fremovexattr(file.get(), name.c_str()))};
    if (a[3] > XATTR_SIZE_MAX) return {E2BIG};
    std::string value(a[3], '\0');
    if (const int error = call.memory.read(a[2], value); error != 0) return {error};
    return {
        result_of(::fsetxattr(file.get(), name.c_str(), value.data(), value.size(), static_cast<int>(a[4])))};
}

}  // namespace substrate::world
