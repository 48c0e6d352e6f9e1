#include "egress/event_loop.hpp"

#include <time.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace substrate::egress {
namespace {

constexpr std::int64_t kNsPerMs = 1'000'000;

}  // namespace

std::int64_t EventLoop::now_ns() {
    timespec now{};
    ::clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

Result<EventLoop> EventLoop::make() {
    sys::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll) return fail(Error::last_os("epoll_create1"));
    return EventLoop(std::move(epoll));
}

Result<> EventLoop::watch(int fd, std::uint32_t events, Ready ready) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail(Error::last_os("epoll_ctl"));
    handlers_[fd] = std::make_shared<Ready>(std::move(ready));
    return {};
}

Result<> EventLoop::change(int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) return fail(Error::last_os("epoll_ctl"));
    return {};
}

void EventLoop::remove(int fd) {
    if (handlers_.erase(fd) != 0) (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

EventLoop::Timer EventLoop::after_ms(std::int64_t milliseconds, std::function<void()> due) {
    const Timer timer = ++next_timer_;
    const std::int64_t when = now_ns() + milliseconds * kNsPerMs;
    due_[timer] = when;
    timers_.emplace(std::pair(when, timer), std::move(due));
    return timer;
}

void EventLoop::cancel(Timer timer) {
    const auto found = due_.find(timer);
    if (found == due_.end()) return;
    timers_.erase({found->second, timer});
    due_.erase(found);
}

// How long to wait for the next, in milliseconds.
int EventLoop::run_timers() {
    while (!timers_.empty() && !stopped_) {
        const auto first = timers_.begin();
        const std::int64_t left = first->first.first - now_ns();
        if (left > 0)
            return static_cast<int>(std::min<std::int64_t>((left + kNsPerMs - 1) / kNsPerMs, 60'000));
        const std::function<void()> due = std::move(first->second);
        due_.erase(first->first.second);
        timers_.erase(first);
        due();
    }
    return -1;
}

Result<> EventLoop::run() {
    std::array<epoll_event, 256> events{};
    while (!stopped_) {
        const int wait_ms = run_timers();
        if (stopped_) break;
        const int n = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), wait_ms);
        if (n < 0 && errno != EINTR) return fail(Error::last_os("epoll_wait"));
        for (int i = 0; i < n; ++i) {
            const epoll_event& event = events[static_cast<std::size_t>(i)];
            // One handled before may have removed it; a number that was taken again is only woken for
            // nothing.
            const auto found = handlers_.find(event.data.fd);
            if (found == handlers_.end()) continue;
            const std::shared_ptr<Ready> handler = found->second;
            (*handler)(event.events);
        }
    }
    return {};
}

}  // namespace substrate::egress
