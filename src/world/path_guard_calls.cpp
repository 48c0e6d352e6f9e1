// Which call is answered how; names that are made, moved and removed.
#include "world/path_guard_calls.hpp"

#include <fcntl.h>
#include <linux/fs.h>
// SAFETY: the header of glibc 2.36 has no extern "C" of its own.
extern "C" {
#include <sys/pidfd.h>
}
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/paths.hpp"
#include "sys/file.hpp"

namespace substrate::world {
namespace {

int as_fd(std::uint64_t argument) { return static_cast<int>(static_cast<std::uint32_t>(argument)); }
int as_flags(std::uint64_t argument) { return as_fd(argument); }
mode_t as_mode(std::uint64_t argument) { return static_cast<mode_t>(argument & 0177777); }

int result_of(int result) { return result == 0 ? 0 : errno; }

bool is_directory(int parent, const std::string& name) {
    struct ::stat st{};
    return ::fstatat(parent, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

}  // namespace

CallAnswerer::CallAnswerer(const PathGuard& guard, const sys::CallListener& listener,
                           std::array<const char*, 2> first_programs)
    : guard_(guard),
      listener_(listener),
      first_programs_(first_programs),
      first_directory_(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)) {}

void CallAnswerer::answer(const sys::CallNotice& notice) {
    const Call call{.notice = notice, .memory = CallerMemory(notice.caller), .walk = PathWalk(notice.caller)};
    // The first program runs: its memory can be read from now on.
    if (notice.call != sys::PathCall::execve) first_directory_.reset();
    const Answer answer = perform(call);
    switch (answer.how) {
        case Answer::How::value: listener_.answer(notice.id, answer.value, answer.error); break;
        case Answer::How::pass: listener_.let_pass(notice.id); break;
        case Answer::How::by_itself: break;
    }
}

int CallAnswerer::read_named(const Call& call, int directory, std::uint64_t address, Named& named) const {
    if (const int error = call.memory.read_path(address, named.path); error != 0) return error;
    if (named.path.starts_with('/')) return 0;
    return call.walk.base(directory, /*any=*/named.path.empty(), named.base);
}

// EACCES for what is denied. SAFETY: only now, with all read, is it sure whose they were.
int CallAnswerer::judge(const Call& call, const std::string& name, PathUse use) const {
    if (!listener_.waits(call.notice.id)) return EINTR;
    return is_denied(name, use) ? EACCES : 0;
}

int CallAnswerer::judged_object(const Call& call, int directory, std::uint64_t address, int flags,
                                PathUse use, Place& place) const {
    Named named;
    if (const int error = read_named(call, directory, address, named); error != 0) return error;
    if (named.path.empty()) {
        if ((flags & AT_EMPTY_PATH) == 0) return ENOENT;
        place.object = std::move(named.base);
        place.name = name_of(place.object.get());
    } else {
        const bool follow = (flags & AT_SYMLINK_NOFOLLOW) == 0;
        if (const int error = call.walk.find(named.base.get(), named.path, follow, place); error != 0)
            return error;
    }
    return judge(call, place.name, use);
}

int CallAnswerer::judged_entry(const Call& call, int directory, std::uint64_t address, PathUse use,
                               Place& place) const {
    Named named;
    if (const int error = read_named(call, directory, address, named); error != 0) return error;
    if (named.path.empty()) return ENOENT;
    if (const int error = call.walk.locate(named.base.get(), named.path, place); error != 0) return error;
    return judge(call, place.name, use);
}

CallAnswerer::Answer CallAnswerer::perform(const Call& call) {
    using enum sys::PathCall;
    const auto& a = call.notice.arguments;
    switch (call.notice.call) {
        case open:
            return open_file(call,
                             {.directory = AT_FDCWD, .path = a[0], .flags = a[1] & 0xffffffff, .mode = a[2]});
        case openat:
            return open_file(
                call, {.directory = as_fd(a[0]), .path = a[1], .flags = a[2] & 0xffffffff, .mode = a[3]});
        case openat2: return open2(call);
        case creat:
            return open_file(
                call,
                {.directory = AT_FDCWD, .path = a[0], .flags = O_CREAT | O_WRONLY | O_TRUNC, .mode = a[1]});
        case mkdir: return make_entry(call, AT_FDCWD, a[0], S_IFDIR | as_mode(a[1]), 0);
        case mkdirat: return make_entry(call, as_fd(a[0]), a[1], S_IFDIR | as_mode(a[2]), 0);
        case mknod: return make_entry(call, AT_FDCWD, a[0], as_mode(a[1]), a[2]);
        case mknodat: return make_entry(call, as_fd(a[0]), a[1], as_mode(a[2]), a[3]);
        case symlink: return make_link(call, a[0], AT_FDCWD, a[1]);
        case symlinkat: return make_link(call, a[0], as_fd(a[1]), a[2]);
        case link: return link_entry(call, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
        case linkat: return link_entry(call, as_fd(a[0]), a[1], as_fd(a[2]), a[3], as_flags(a[4]));
        case rename: return rename_entry(call, AT_FDCWD, a[0], AT_FDCWD, a[1], 0);
        case renameat: return rename_entry(call, as_fd(a[0]), a[1], as_fd(a[2]), a[3], 0);
        case renameat2:
            return rename_entry(call, as_fd(a[0]), a[1], as_fd(a[2]), a[3], static_cast<unsigned>(a[4]));
        case unlink: return remove_entry(call, AT_FDCWD, a[0], 0);
        case rmdir: return remove_entry(call, AT_FDCWD, a[0], AT_REMOVEDIR);
        case unlinkat: return remove_entry(call, as_fd(a[0]), a[1], as_flags(a[2]));
        case readlink: return read_link(call, AT_FDCWD, a[0], a[1], a[2]);
        case readlinkat: return read_link(call, as_fd(a[0]), a[1], a[2], a[3]);
        case execve: return execute(call, AT_FDCWD, a[0], 0);
        case execveat: return execute(call, as_fd(a[0]), a[1], as_flags(a[4]));
        case bind: return bind_socket(call);
        default: return perform_more(call);
    }
}

CallAnswerer::Answer CallAnswerer::perform_more(const Call& call) {
    using enum sys::PathCall;
    const auto& a = call.notice.arguments;
    switch (call.notice.call) {
        case truncate: return cut(call);
        case chmod: return change_mode(call, AT_FDCWD, a[0], as_mode(a[1]), 0);
        case fchmodat: return change_mode(call, as_fd(a[0]), a[1], as_mode(a[2]), 0);
        case fchmodat2: return change_mode(call, as_fd(a[0]), a[1], as_mode(a[2]), as_flags(a[3]));
        case chown: return change_owner(call, AT_FDCWD, a[0], a[1], a[2], 0);
        case lchown: return change_owner(call, AT_FDCWD, a[0], a[1], a[2], AT_SYMLINK_NOFOLLOW);
        case fchownat: return change_owner(call, as_fd(a[0]), a[1], a[2], a[3], as_flags(a[4]));
        case utime: return change_times(call, AT_FDCWD, a[0], a[1], TimeFormat::seconds, 0);
        case utimes: return change_times(call, AT_FDCWD, a[0], a[1], TimeFormat::micros, 0);
        case futimesat: return change_times(call, as_fd(a[0]), a[1], a[2], TimeFormat::micros, 0);
        case utimensat: return change_times(call, as_fd(a[0]), a[1], a[2], TimeFormat::nanos, as_flags(a[3]));
        case setxattr: return set_attribute(call, /*follow=*/true);
        case lsetxattr: return set_attribute(call, /*follow=*/false);
        case removexattr: return remove_attribute(call, /*follow=*/true);
        case lremovexattr: return remove_attribute(call, /*follow=*/false);
        case getxattr: return get_attribute(call, /*follow=*/true);
        case lgetxattr: return get_attribute(call, /*follow=*/false);
        case listxattr: return list_attributes(call, /*follow=*/true);
        case llistxattr: return list_attributes(call, /*follow=*/false);
        case fchmod:
        case fchown:
        case fsetxattr:
        case fremovexattr: return change_descriptor(call);
        default: return {ENOSYS};
    }
}

CallAnswerer::Answer CallAnswerer::make_entry(const Call& call, int directory, std::uint64_t path,
                                              mode_t mode, dev_t device) const {
    Place place;
    const PathUse use = S_ISDIR(mode) ? PathUse::make_directory : PathUse::write;
    if (const int error = judged_entry(call, directory, path, use, place); error != 0) return {error};
    ::umask(umask_of(call.notice.caller));
    return {result_of(S_ISDIR(mode) ? ::mkdirat(place.parent.get(), place.last.c_str(), mode & 07777)
                                    : ::mknodat(place.parent.get(), place.last.c_str(), mode, device))};
}

CallAnswerer::Answer CallAnswerer::make_link(const Call& call, std::uint64_t target, int directory,
                                             std::uint64_t path) const {
    std::string text;
    Place place;
    if (const int error = call.memory.read_path(target, text); error != 0) return {error};
    if (const int error = judged_entry(call, directory, path, PathUse::write, place); error != 0)
        return {error};
    return {result_of(::symlinkat(text.c_str(), place.parent.get(), place.last.c_str()))};
}

CallAnswerer::Answer CallAnswerer::remove_entry(const Call& call, int directory, std::uint64_t path,
                                                int flags) const {
    Place place;
    const PathUse use = (flags & AT_REMOVEDIR) != 0 ? PathUse::make_directory : PathUse::write;
    if (const int error = judged_entry(call, directory, path, use, place); error != 0) return {error};
    return {result_of(::unlinkat(place.parent.get(), place.last.c_str(), flags))};
}

CallAnswerer::Answer CallAnswerer::rename_entry(const Call& call, int from_directory, std::uint64_t from,
                                                int to_directory, std::uint64_t to, unsigned flags) const {
    Place old, made;
    // What is named is so with all below it.
    if (const int error = judged_entry(call, from_directory, from, PathUse::write, old); error != 0)
        return {error};
    if (const int error = judged_entry(call, to_directory, to, PathUse::write, made); error != 0)
        return {error};
    // A directory takes along what is below it: nothing of that may get out of a pattern's sight.
    if (is_directory(old.parent.get(), old.last) && !guard_.may_move(old.name, made.name)) return {EACCES};
    if ((flags & RENAME_EXCHANGE) != 0 && is_directory(made.parent.get(), made.last) &&
        !guard_.may_move(made.name, old.name))
        return {EACCES};
    return {result_of(
        ::renameat2(old.parent.get(), old.last.c_str(), made.parent.get(), made.last.c_str(), flags))};
}

CallAnswerer::Answer CallAnswerer::link_entry(const Call& call, int from_directory, std::uint64_t from,
                                              int to_directory, std::uint64_t to, int flags) const {
    if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return {EINVAL};
    Place old, made;
    const int how = (flags & AT_EMPTY_PATH) | ((flags & AT_SYMLINK_FOLLOW) != 0 ? 0 : AT_SYMLINK_NOFOLLOW);
    // By another name of it, too, a file would be written: so the old one must be writable.
    if (const int error = judged_object(call, from_directory, from, how, PathUse::write, old); error != 0)
        return {error};
    if (const int error = judged_entry(call, to_directory, to, PathUse::write, made); error != 0)
        return {error};
    struct ::stat st{};
    if (::fstat(old.object.get(), &st) != 0) return {errno};
    if (!S_ISLNK(st.st_mode))
        return {result_of(::linkat(AT_FDCWD, own_path(old.object.get()).c_str(), made.parent.get(),
                                   made.last.c_str(), AT_SYMLINK_FOLLOW))};
    // Of a symbolic link itself only the name will do.
    Place entry;
    if (const int error = judged_entry(call, from_directory, from, PathUse::write, entry); error != 0)
        return {error};
    return {
        result_of(::linkat(entry.parent.get(), entry.last.c_str(), made.parent.get(), made.last.c_str(), 0))};
}

CallAnswerer::Answer CallAnswerer::read_link(const Call& call, int directory, std::uint64_t path,
                                             std::uint64_t buffer, std::uint64_t size) const {
    if (static_cast<std::int32_t>(size) <= 0) return {EINVAL};
    Named named;
    if (const int error = read_named(call, directory, path, named); error != 0) return {error};
    Place place;
    std::string text(PATH_MAX, '\0');
    ssize_t length = -1;
    if (named.path.empty()) {
        const std::string name = name_of(named.base.get());
        if (const int error = judge(call, name, PathUse::list); error != 0) return {error};
        length = ::readlinkat(named.base.get(), "", text.data(), text.size());
    } else {
        if (const int error = call.walk.locate(named.base.get(), named.path, place); error != 0)
            return {error};
        if (const int error = judge(call, place.name, PathUse::list); error != 0) return {error};
        if (place.name == "/proc/self" || place.name == "/proc/thread-self") {
            text = call.walk.self_text(place.last);
            length = static_cast<ssize_t>(text.size());
        } else {
            length = ::readlinkat(place.parent.get(), place.last.c_str(), text.data(), text.size());
        }
    }
    if (length < 0) return {errno};
    const std::size_t used = std::min<std::size_t>(static_cast<std::size_t>(length), size & 0x7fffffff);
    const int error = call.memory.write(buffer, std::span(text).first(used));
    return {error, static_cast<std::int64_t>(used)};
}

// Nobody can execute for another. So the kernel does, with the path that it finds then: what a second
// thread may put there instead is executed without having been read.
CallAnswerer::Answer CallAnswerer::execute(const Call& call, int directory, std::uint64_t path, int flags) {
    const Answer pass{.how = Answer::How::pass};
    std::string readable;
    if (first_directory_ && call.memory.read_path(path, readable) == EPERM) {
        for (const char*& program : first_programs_) {
            // SAFETY: the address is where our copy of the text lies; the caller's is the same until it
            // executes, and cannot be read. Once for each text: no later program may use the address.
            if (program == nullptr || path != reinterpret_cast<std::uintptr_t>(program)) continue;
            const std::string text = std::exchange(program, nullptr);
            Place place;
            if (call.walk.find(first_directory_.get(), text, /*follow=*/true, place) != 0) return pass;
            const int error = judge(call, place.name, PathUse::read);
            return error != 0 ? Answer{error} : pass;
        }
    }
    first_directory_.reset();
    Place place;
    const int error = judged_object(call, directory, path, flags, PathUse::read, place);
    return error == EACCES && is_denied(place.name, PathUse::read) ? Answer{EACCES} : pass;
}

CallAnswerer::Answer CallAnswerer::bind_socket(const Call& call) const {
    const auto& a = call.notice.arguments;
    sockaddr_storage address{};
    const auto size = static_cast<std::uint32_t>(a[2]);
    if (size > sizeof address) return {EINVAL};
    if (const int error = call.memory.read(a[1], std::span(reinterpret_cast<char*>(&address), size));
        error != 0)
        return {error};
    const pid_t process = process_of(call.notice.caller);
    const sys::UniqueFd of(::pidfd_open(process, 0));
    if (!of) return {EACCES};
    const sys::UniqueFd socket(::pidfd_getfd(of.get(), as_fd(a[0]), 0));
    if (!socket) return {errno};
    std::string path;
    constexpr std::size_t kPathAt = offsetof(sockaddr_un, sun_path);
    if (address.ss_family == AF_UNIX && size > kPathAt) {
        const auto* text = reinterpret_cast<const char*>(&address) + kPathAt;
        path.assign(text, ::strnlen(text, size - kPathAt));
    }
    if (path.empty()) {
        if (const int error = judge(call, "/", PathUse::list); error != 0 && error != EACCES) return {error};
        return {result_of(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size))};
    }
    sys::UniqueFd base;
    if (!path.starts_with('/'))
        if (const int error = call.walk.base(AT_FDCWD, /*any=*/false, base); error != 0) return {error};
    Place place;
    if (const int error = call.walk.locate(base.get(), path, place); error != 0) return {error};
    if (const int error = judge(call, place.name, PathUse::write); error != 0) return {error};
    ::umask(umask_of(call.notice.caller));
    // The kernel keeps the name as it is given, for whoever asks: so it must be the caller's. Where a
    // directory is swapped for a link meanwhile, an empty socket is made elsewhere.
    if (base && ::fchdir(base.get()) != 0) return {errno};
    const int error = result_of(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), size));
    return {::chdir("/") != 0 && error == 0 ? errno : error};
}

}  // namespace substrate::world
