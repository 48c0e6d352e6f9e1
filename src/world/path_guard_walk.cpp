#include "world/path_guard_walk.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <utility>

#include "base/paths.hpp"
#include "sys/file.hpp"

namespace substrate::world {
namespace {

constexpr int kMostLinks = 40;  // as the kernel has it: path_resolution(7)

int open_as_path(int dir, const char* name, int flags) {
    int fd = -1;
    do fd = ::openat(dir, name, O_PATH | O_CLOEXEC | flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

std::string own_process() { return "/proc/" + std::to_string(::getpid()); }

bool is_link(int fd) {
    struct ::stat st{};
    return ::fstat(fd, &st) == 0 && S_ISLNK(st.st_mode);
}

std::string below(const std::string& directory, std::string_view name) {
    return (directory == "/" ? "" : directory) + "/" + std::string(name);
}

// Sets what was found, unless it is of our own process, which a caller must not reach by us.
int take(int fd, Place& place) {
    place.object.reset(fd);
    place.name = name_of(fd);
    if (place.name.empty()) return ENAMETOOLONG;
    return is_within(place.name, own_process()) ? ENOENT : 0;
}

}  // namespace

std::string own_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

std::string name_of(int fd) {
    std::string text(PATH_MAX, '\0');
    const ssize_t size = ::readlink(own_path(fd).c_str(), text.data(), text.size());
    if (size <= 0 || static_cast<std::size_t>(size) == text.size()) return {};
    text.resize(static_cast<std::size_t>(size));
    return text;
}

pid_t process_of(pid_t thread) {
    const auto status = sys::read_file("/proc/" + std::to_string(thread) + "/status", 1 << 16);
    if (!status) return 0;
    const std::size_t at = status->find("\nTgid:");
    return at == std::string::npos ? 0
                                   : static_cast<pid_t>(std::strtol(status->c_str() + at + 6, nullptr, 10));
}

int PathWalk::base(int dirfd, bool any, sys::UniqueFd& fd) const {
    std::string path = "/proc/" + std::to_string(caller_);
    path += dirfd == AT_FDCWD ? "/cwd" : "/fd/" + std::to_string(dirfd);
    fd.reset(open_as_path(AT_FDCWD, path.c_str(), any ? 0 : O_DIRECTORY));
    if (fd) return is_within(name_of(fd.get()), own_process()) ? ENOENT : 0;
    return dirfd != AT_FDCWD && errno == ENOENT ? EBADF : errno;
}

int PathWalk::find(int base, const std::string& path, bool follow, Place& place) const {
    const std::uint64_t flags = O_PATH | (follow ? 0u : static_cast<unsigned>(O_NOFOLLOW));
    // Without links nothing on the way can mean anything else for the caller.
    int fd = sys::open_resolving(base, path.c_str(), flags, RESOLVE_NO_SYMLINKS);
    if (fd >= 0) return take(fd, place);
    if (fd != -ELOOP) return -fd;
    // With links, what was found is the caller's unless the way went through our /proc/self.
    fd = sys::open_resolving(base, path.c_str(), flags, RESOLVE_NO_MAGICLINKS);
    if (fd >= 0 && take(fd, place) == 0) return 0;
    const int error = walk(base, path, follow, place);
    return error == 0 && !place.object ? ENOENT : error;
}

int PathWalk::find_restricted(int base, const std::string& path, bool follow, std::uint64_t resolve,
                              Place& place) {
    const int fd =
        sys::open_resolving(base, path.c_str(), O_PATH | (follow ? 0u : static_cast<unsigned>(O_NOFOLLOW)),
                            (resolve & ~static_cast<std::uint64_t>(RESOLVE_CACHED)) | RESOLVE_NO_MAGICLINKS);
    return fd < 0 ? -fd : take(fd, place);
}

int PathWalk::locate(int base, const std::string& path, Place& place) const {
    if (path.empty()) return ENOENT;
    const std::size_t end = path.find_last_not_of('/');
    const std::string whole = end == std::string::npos ? "/." : path.substr(0, end + 1);
    const std::size_t slash = whole.find_last_of('/');
    const std::string directory = slash == std::string::npos ? "."
                                  : slash == 0               ? "/"
                                                             : whole.substr(0, slash);
    place.last = slash == std::string::npos ? whole : whole.substr(slash + 1);
    Place above;
    if (const int error = find(base, directory, /*follow=*/true, above); error != 0) return error;
    place.name = below(above.name, place.last);
    place.parent = std::move(above.object);
    if (end != std::string::npos && end + 1 < path.size()) place.last += '/';
    return 0;
}

// Where a walk is, and what is left of the path.
struct PathWalk::Step {
    int at;
    sys::UniqueFd held;  // what `at` is, unless it is the base
    std::string rest;
    int links = 0;

    void enter(int fd) {
        held.reset(fd);
        at = fd;
    }
    int go_to_root() {
        enter(open_as_path(AT_FDCWD, "/", O_DIRECTORY));
        return at < 0 ? errno : 0;
    }
    int copy() const { return ::fcntl(at, F_DUPFD_CLOEXEC, 0); }
};

std::string PathWalk::self_text(std::string_view component) const {
    const std::string process = std::to_string(process_of(caller_));
    return component == "self" ? process : process + "/task/" + std::to_string(caller_);
}

// Goes where the link leads: by its text, or for a link of a process in /proc at once (`magic`).
int PathWalk::follow_link(Step& step, const std::string& component, bool& magic) const {
    if (++step.links > kMostLinks) return ELOOP;
    const std::string here = name_of(step.at);
    magic = here.starts_with("/proc/");
    if (magic) {
        if (is_within(here, own_process())) return ENOENT;
        const int fd = open_as_path(step.at, component.c_str(), 0);
        if (fd < 0) return errno;
        step.enter(fd);
        return 0;
    }
    std::array<char, PATH_MAX> text{};
    const ssize_t size = ::readlinkat(step.at, component.c_str(), text.data(), text.size());
    if (size < 0) return errno;
    if (size == 0) return ENOENT;
    step.rest = std::string(text.data(), static_cast<std::size_t>(size)) + step.rest;
    return text.front() == '/' ? step.go_to_root() : 0;
}

int PathWalk::walk(int base, const std::string& path, bool follow, Place& place) const {
    place = {};
    if (path.empty()) return ENOENT;
    Step step{.at = base, .held = {}, .rest = path};
    if (path.front() == '/')
        if (const int error = step.go_to_root(); error != 0) return error;
    for (;;) {
        const std::size_t begin = std::min(step.rest.find_first_not_of('/'), step.rest.size());
        const std::size_t end = std::min(step.rest.find('/', begin), step.rest.size());
        const std::string component = step.rest.substr(begin, end - begin);
        step.rest.erase(0, end);
        if (component.empty()) return take(step.copy(), place);
        const bool last = step.rest.find_first_not_of('/') == std::string::npos;
        const bool slash = !step.rest.empty();
        if (component == "self" || component == "thread-self") {
            if ((!last || follow || slash) && name_of(step.at) == "/proc") {
                step.rest = self_text(component) + step.rest;
                continue;
            }
        }
        sys::UniqueFd next(open_as_path(step.at, component.c_str(), O_NOFOLLOW));
        const int error = next ? 0 : errno;
        if (!last && error != 0) return error;
        if (!last && component == ".") continue;
        if (next && is_link(next.get()) && (!last || follow || slash)) {
            bool magic = false;
            if (const int failed = follow_link(step, component, magic); failed != 0) return failed;
            if (magic && last) return take(step.copy(), place);
            continue;
        }
        if (!last) {
            step.enter(next.release());
            continue;
        }
        if (error != 0 && error != ENOENT) return error;
        place.last = component + (slash ? "/" : "");
        const std::string parent = name_of(step.at);
        if (parent.empty()) return ENAMETOOLONG;
        place.parent.reset(step.copy());
        place.name = below(parent, component);
        if (is_within(place.name, own_process())) return ENOENT;
        return next ? take(next.release(), place) : 0;
    }
}

}  // namespace substrate::world
