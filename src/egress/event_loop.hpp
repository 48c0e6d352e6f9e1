#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::egress {

// Calls handlers when descriptors are ready and when times have come (epoll(7)). One thread; a handler may
// add and remove any of them, itself too.
class EventLoop {
  public:
    using Ready = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR
    using Timer = std::uint64_t;

    static Result<EventLoop> make();

    // The descriptor stays the caller's, who removes it before it is closed.
    Result<> watch(int fd, std::uint32_t events, Ready ready);
    Result<> change(int fd, std::uint32_t events);
    void remove(int fd);

    // Monotonic; for those who measure what the loop does.
    static std::int64_t now_ns();
    Timer after_ms(std::int64_t milliseconds, std::function<void()> due);
    void cancel(Timer timer);

    // Until stop() is called.
    Result<> run();
    void stop() { stopped_ = true; }

  private:
    explicit EventLoop(sys::UniqueFd epoll) : epoll_(std::move(epoll)) {}
    int run_timers();

    sys::UniqueFd epoll_;
    std::unordered_map<int, std::shared_ptr<Ready>> handlers_;
    std::map<std::pair<std::int64_t, Timer>, std::function<void()>> timers_;
    std::unordered_map<Timer, std::int64_t> due_;
    Timer next_timer_ = 0;
    bool stopped_ = false;
};

}  // namespace substrate::egress
