#include "agent/exchange.hpp"

#include <sys/eventfd.h>

#include <array>

#include "sys/file.hpp"

namespace substrate::agent {

void Exchange::tell(std::unique_lock<std::mutex> lock) {
    const bool news = !any_ && !gone_;
    any_ = true;
    lock.unlock();
    if (news) tell_server_();
}

void Exchange::respond(HttpResponse whole) {
    std::unique_lock lock(mutex_);
    if (answered_) return;
    answered_ = true;
    ready_.head = std::move(whole);
    ready_.finished = true;
    tell(std::move(lock));
}

void Exchange::begin(HttpResponse head) {
    std::unique_lock lock(mutex_);
    if (answered_) return;
    answered_ = true;
    ready_.head = std::move(head);
    ready_.in_pieces = true;
    tell(std::move(lock));
}

void Exchange::write(std::string_view bytes) {
    std::unique_lock lock(mutex_);
    if (gone_ || ready_.finished) return;
    ready_.bytes += bytes;
    tell(std::move(lock));
}

void Exchange::finish() {
    std::unique_lock lock(mutex_);
    ready_.finished = true;
    tell(std::move(lock));
}

bool Exchange::answered() const {
    const std::scoped_lock lock(mutex_);
    return answered_;
}

bool Exchange::has_room() {
    const std::scoped_lock lock(mutex_);
    wants_room_ = ready_.bytes.size() >= kRoom;
    return !wants_room_;
}

Result<> Exchange::open_wake() {
    sys::UniqueFd made(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!made) return fail(Error::last_os("eventfd"));
    const std::scoped_lock lock(mutex_);
    wake_ = std::move(made);
    if (gone_) wake();
    return {};
}

void Exchange::wake() {
    if (wake_) (void)sys::write_all(wake_.get(), std::string_view("\1\0\0\0\0\0\0\0", 8));
}

void Exchange::clear_wake() {
    std::array<char, 8> count{};
    (void)sys::read_some(wake_.get(), count);
}

bool Exchange::gone() const {
    const std::scoped_lock lock(mutex_);
    return gone_;
}

bool Exchange::ready() const {
    const std::scoped_lock lock(mutex_);
    return any_;
}

bool Exchange::finished() const {
    const std::scoped_lock lock(mutex_);
    return ready_.finished;
}

Exchange::Ready Exchange::take() {
    const std::scoped_lock lock(mutex_);
    Ready taken = std::move(ready_);
    ready_ = {.head = std::nullopt, .in_pieces = taken.in_pieces, .bytes = {}, .finished = taken.finished};
    any_ = false;
    if (std::exchange(wants_room_, false)) wake();
    return taken;
}

void Exchange::abandon() {
    const std::scoped_lock lock(mutex_);
    gone_ = true;
    ready_.bytes.clear();
    wake();
}

}  // namespace substrate::agent
