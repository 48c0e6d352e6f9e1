// Opening files for guarded processes.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "process/worker.hpp"
#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "world/path_guard_calls.hpp"

namespace substrate::world {
namespace {

constexpr std::uint64_t kPathOnly = O_PATH;
constexpr std::uint64_t kTemporary = O_TMPFILE & ~O_DIRECTORY;
// What openat2(2) knows; open(2) takes no notice of others.
constexpr std::uint64_t kKnownFlags = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND |
                                      O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT |
                                      0100000 /* O_LARGEFILE */ | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |
                                      O_CLOEXEC | kPathOnly | kTemporary;
// What F_SETFL of fcntl(2) changes.
constexpr std::uint64_t kChangeable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;

int open_again(int object, std::uint64_t flags, std::uint64_t mode) {
    constexpr std::uint64_t kDone = O_NOFOLLOW | O_CREAT | O_EXCL;
    const std::uint64_t left =
        (flags & kTemporary) != 0 ? flags & ~static_cast<std::uint64_t>(O_NOFOLLOW) : flags & ~kDone;
    int fd = -1;
    do
        fd = ::open(own_path(object).c_str(), static_cast<int>(left | O_CLOEXEC | O_NOCTTY),
                    static_cast<mode_t>(mode));
    while (fd < 0 && errno == EINTR);
    return fd;
}

bool is_directory(int fd) {
    struct ::stat st{};
    return ::fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

PathUse use_of(std::uint64_t flags, int object) {
    if ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_TRUNC | kTemporary)) != 0) return PathUse::write;
    return is_directory(object) ? PathUse::list : PathUse::read;
}

bool is_restricted(std::uint64_t resolve) { return resolve != 0; }

}  // namespace

CallAnswerer::Answer CallAnswerer::open_file(const Call& call, const OpenRequest& request) {
    Named named;
    if (const int error = read_named(call, request.directory, request.path, named); error != 0)
        return {error};
    // A restricted absolute path begins at the directory too, or not at all.
    if (is_restricted(request.resolve) && !named.base)
        if (const int error = call.walk.base(request.directory, /*any=*/false, named.base); error != 0)
            return {error};
    const bool create_only = (request.flags & O_CREAT) != 0 && (request.flags & O_EXCL) != 0;
    const bool follow = (request.flags & O_NOFOLLOW) == 0 && !create_only;
    Place place;
    const int error =
        is_restricted(request.resolve)
            ? PathWalk::find_restricted(named.base.get(), named.path, follow, request.resolve, place)
            : call.walk.find(named.base.get(), named.path, follow, place);
    if (error == 0) return open_found(call, request, place);
    if (error != ENOENT || (request.flags & O_CREAT) == 0) return {error};
    return create(call, request, named);
}

CallAnswerer::Answer CallAnswerer::open2(const Call& call) {
    const auto& arguments = call.notice.arguments;
    std::array<char, 4096> bytes{};
    const std::uint64_t size = arguments[3];
    if (size < sizeof(open_how)) return {EINVAL};
    if (size > bytes.size()) return {E2BIG};
    if (const int error = call.memory.read(arguments[2], std::span(bytes).first(size)); error != 0)
        return {error};
    if (std::any_of(bytes.begin() + sizeof(open_how), bytes.begin() + static_cast<std::ptrdiff_t>(size),
                    [](char byte) { return byte != 0; }))
        return {E2BIG};
    open_how how{};
    std::memcpy(&how, bytes.data(), sizeof how);
    constexpr std::uint64_t kKnown = RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |
                                     RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED;
    const bool makes = (how.flags & (O_CREAT | kTemporary)) != 0;
    if ((how.flags & ~kKnownFlags) != 0 || (how.resolve & ~kKnown) != 0 || (how.mode & ~07777u) != 0 ||
        (!makes && how.mode != 0))
        return {EINVAL};
    // Such a descriptor cannot be handed on, and the flags lie in memory, so the kernel cannot
    // be left to it: as a kernel without this call.
    if ((how.flags & kPathOnly) != 0) return {ENOSYS};
    if ((how.resolve & RESOLVE_CACHED) != 0) return {EAGAIN};
    return open_file(call, {.directory = static_cast<int>(arguments[0]),
                            .path = arguments[1],
                            .flags = how.flags,
                            .mode = how.mode,
                            .resolve = how.resolve});
}

CallAnswerer::Answer CallAnswerer::open_found(const Call& call, const OpenRequest& request,
                                              const Place& place) {
    if ((request.flags & O_CREAT) != 0 && (request.flags & O_EXCL) != 0) return {EEXIST};
    const PathUse use = use_of(request.flags, place.object.get());
    if (const int error = judge(call, place.name, use); error != 0) return {error};
    return reopen(call, request.flags, request.mode, place);
}

CallAnswerer::Answer CallAnswerer::create(const Call& call, const OpenRequest& request, const Named& named) {
    ::umask(umask_of(call.notice.caller));
    const bool only_new = (request.flags & O_EXCL) != 0;
    const bool follow = (request.flags & O_NOFOLLOW) == 0 && !only_new;
    constexpr int kTries = 8;  // somebody may make and remove things there meanwhile
    for (int i = 0; i < kTries; ++i) {
        Place place;
        int error = 0;
        if (is_restricted(request.resolve)) {
            const std::size_t slash = named.path.find_last_of('/');
            const std::string directory = slash == std::string::npos ? "." : named.path.substr(0, slash + 1);
            Place above;
            error = PathWalk::find_restricted(named.base.get(), directory, /*follow=*/true, request.resolve,
                                              above);
            place.last = slash == std::string::npos ? named.path : named.path.substr(slash + 1);
            if (place.last.empty()) return {EISDIR};
            place.name = (above.name == "/" ? "" : above.name) + "/" + place.last;
            place.parent = std::move(above.object);
        } else if (i == 0) {
            error = call.walk.locate(named.base.get(), named.path, place);
        } else {
            error = call.walk.walk(named.base.get(), named.path, follow, place);
        }
        if (error != 0) return {error};
        if (place.object) return open_found(call, request, place);
        if (error = judge(call, place.name, PathUse::write); error != 0) return {error};
        // O_NONBLOCK for what is no new file after all.
        const std::uint64_t used = request.flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
        sys::UniqueFd fd(::openat(place.parent.get(), place.last.c_str(), static_cast<int>(used),
                                  static_cast<mode_t>(request.mode & 07777)));
        if (fd) return give(call, request.flags, used, place.name, std::move(fd));
        const bool other = errno == ELOOP || errno == EEXIST || errno == ENXIO || errno == EWOULDBLOCK;
        if (!other || only_new) return {errno};
    }
    return {ELOOP};
}

CallAnswerer::Answer CallAnswerer::reopen(const Call& call, std::uint64_t flags, std::uint64_t mode,
                                          const Place& place) {
    struct ::stat st{};
    if (::fstat(place.object.get(), &st) != 0) return {errno};
    const bool may_wait = (flags & O_NONBLOCK) == 0;
    if (S_ISLNK(st.st_mode)) return {(flags & O_DIRECTORY) != 0 ? ENOTDIR : ELOOP};
    if ((flags & kTemporary) != 0) ::umask(umask_of(call.notice.caller));
    else if (S_ISDIR(st.st_mode) && (flags & O_CREAT) != 0) return {EISDIR};
    if (S_ISFIFO(st.st_mode) && may_wait && (flags & O_ACCMODE) != O_RDWR)
        return open_beside(call, flags, place);
    if (S_ISCHR(st.st_mode)) {
        constexpr unsigned kMemory = 1, kTerminals = 5;  // Documentation/admin-guide/devices.txt
        if (st.st_rdev == makedev(kTerminals, 0)) {
            const std::string terminal = terminal_of(call.notice.caller);
            if (terminal.empty()) return {ENXIO};
            sys::UniqueFd fd(::open(terminal.c_str(), static_cast<int>(flags | O_NOCTTY | O_CLOEXEC)));
            return fd ? give(call, flags, flags, place.name, std::move(fd)) : Answer{errno};
        }
        if (may_wait && major(st.st_rdev) != kMemory && major(st.st_rdev) != kTerminals)
            return open_beside(call, flags, place);
    }
    // A lease on a regular file makes the opener wait for its holder: see fcntl(2).
    const std::uint64_t used = S_ISREG(st.st_mode) ? flags | O_NONBLOCK : flags;
    sys::UniqueFd fd(open_again(place.object.get(), used, mode & 07777));
    if (fd) return give(call, flags, used, place.name, std::move(fd));
    if (errno == EWOULDBLOCK && may_wait) return open_beside(call, flags, place);
    return {errno};
}

// By a process that can wait for as long as it takes.
CallAnswerer::Answer CallAnswerer::open_beside(const Call& call, std::uint64_t flags, const Place& place) {
    const auto worker = process::fork_worker([&] {
        sys::UniqueFd fd(open_again(place.object.get(), flags, 0));
        const Answer answer = fd ? give(call, flags, flags, place.name, std::move(fd)) : Answer{errno};
        if (answer.how == Answer::How::value) listener_.answer(call.notice.id, 0, answer.error);
    });
    if (!worker) return {worker.error().os_errno()};
    workers_.push_back({*worker, call.notice.id});
    return {.how = Answer::How::by_itself};
}

CallAnswerer::Answer CallAnswerer::give(const Call& call, std::uint64_t asked, std::uint64_t used,
                                        const std::string& judged, sys::UniqueFd fd) const {
    // It may have got another name since it was judged.
    if (const std::string name = name_of(fd.get());
        name != judged && is_denied(name, use_of(asked, fd.get())))
        return {EACCES};
    if (asked != used && ::fcntl(fd.get(), F_SETFL, static_cast<int>(asked & kChangeable)) != 0)
        return {errno};
    if (const int error = listener_.give(call.notice.id, fd.get(), (asked & O_CLOEXEC) != 0); error != 0)
        return {error};
    return {.how = Answer::How::by_itself};
}

void CallAnswerer::look_after_workers() {
    while (const auto ended = sys::reap_any())
        std::erase_if(workers_, [&](const Worker& worker) { return worker.pid == ended->pid; });
    std::erase_if(workers_, [&](const Worker& worker) {
        if (listener_.waits(worker.id)) return false;
        sys::end_child(worker.pid);
        return true;
    });
}

}  // namespace substrate::world
