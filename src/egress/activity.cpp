#include "egress/activity.hpp"

#include <sys/epoll.h>

#include <cerrno>

namespace substrate::egress {

Result<std::pair<ActivityWatch, sys::UniqueFd>> ActivityWatch::make(
    const std::vector<sys::UniqueFd>& sockets) {
    SUB_TRY_ASSIGN(auto memory, sys::SharedMemory::make("substrate-net-activity", sizeof(ActivityPage)));
    sys::UniqueFd waiting(::epoll_create1(EPOLL_CLOEXEC));
    if (!waiting) return fail(Error::last_os("epoll_create1"));
    // epoll(7), question 6: an entry lives as long as any descriptor of the socket, here the gateway's. So
    // what waits there can be seen by a process that could not accept it.
    for (const sys::UniqueFd& socket : sockets) {
        epoll_event event{.events = EPOLLIN, .data = {.fd = -1}};
        if (::epoll_ctl(waiting.get(), EPOLL_CTL_ADD, socket.get(), &event) != 0)
            return fail(Error::last_os("epoll_ctl"));
    }
    return std::pair(ActivityWatch(std::move(memory.first), std::move(waiting)), std::move(memory.second));
}

bool ActivityWatch::stirred() const {
    // In this order: what no longer waits was taken by the gateway, which has said so before.
    epoll_event event{};
    int ready = -1;
    do ready = ::epoll_wait(waiting_.get(), &event, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready != 0 || page().busy.load(std::memory_order_seq_cst) != 0;
}

Result<ActivityNote> ActivityNote::open(int memory) {
    SUB_TRY_ASSIGN(sys::SharedMemory mapped, sys::SharedMemory::open(memory, sizeof(ActivityPage)));
    return ActivityNote(std::move(mapped));
}

}  // namespace substrate::egress
