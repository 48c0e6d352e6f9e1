#include "sys/dir_watch.hpp"

#include <poll.h>
#include <sys/inotify.h>

namespace substrate::sys {

Result<DirWatch> DirWatch::open(const std::vector<std::string>& paths) {
    constexpr std::uint32_t kChanges =
        IN_MODIFY | IN_ATTRIB | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;
    UniqueFd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!fd) return fail(Error::last_os("inotify_init1"));
    bool any = false;
    for (const std::string& path : paths) {
        if (::inotify_add_watch(fd.get(), path.c_str(), kChanges | IN_ONLYDIR) >= 0) any = true;
        else if (errno != ENOENT || (!any && &path == &paths.back()))
            return fail(Error::last_os("inotify_add_watch", path));
    }
    return DirWatch(std::move(fd));
}

Result<DirWatch::Wake> DirWatch::wait(int stop_fd) {
    pollfd fds[2] = {{fd_.get(), POLLIN, 0}, {stop_fd, POLLIN, 0}};  // poll(2) skips a descriptor of -1
    int ready = -1;
    do ready = ::poll(fds, 2, -1);
    while (ready < 0 && errno == EINTR);
    if (ready < 0) return fail(Error::last_os("poll"));
    if (fds[1].revents != 0) return Wake::stopped;
    alignas(inotify_event) char events[4096];
    while (::read(fd_.get(), events, sizeof events) > 0) {
    }
    return Wake::changed;
}

}  // namespace substrate::sys
