#include "agent/stream_link.hpp"

#include <algorithm>
#include <utility>

#include "sys/file.hpp"

namespace substrate::agent {
namespace {

// Pieces grow to this before another message is begun: fewer of them travel.
constexpr std::size_t kLargest = 64 * 1024;
// What a message costs beside its bytes, so that many small ones are bounded too.
constexpr std::size_t kOverhead = 64;

std::size_t cost(const StreamMessage& message) { return message.bytes.size() + kOverhead; }

}  // namespace

void StreamLink::wake_locked() const {
    if (wake_ >= 0) (void)sys::write_all(wake_, std::string_view("\1\0\0\0\0\0\0\0", 8));
}

void StreamLink::wake_by(int wake) {
    const std::scoped_lock lock(mutex_);
    wake_ = wake;
    if (gone_ || !in_.empty()) wake_locked();
}

std::optional<StreamMessage> StreamLink::receive(bool control_only) {
    std::optional<StreamMessage> message;
    bool room = false;
    {
        const std::scoped_lock lock(mutex_);
        const auto next = std::ranges::find_if(
            in_, [&](const StreamMessage& waiting) { return !control_only || !waiting.binary; });
        if (next == in_.end()) return std::nullopt;
        message = std::move(*next);
        in_.erase(next);
        in_bytes_ -= cost(*message);
        room = in_bytes_ < kRoom && std::exchange(wants_room_in_, false);
    }
    if (room) tell_server_();
    return message;
}

bool StreamLink::gone() const {
    const std::scoped_lock lock(mutex_);
    return gone_;
}

bool StreamLink::has_room_out() {
    const std::scoped_lock lock(mutex_);
    wants_room_out_ = out_bytes_ >= kRoom && !gone_;
    return !wants_room_out_;
}

void StreamLink::send(bool binary, std::string_view bytes) {
    bool news = false;
    {
        const std::scoped_lock lock(mutex_);
        if (gone_ || close_) return;
        news = out_.empty();
        if (binary && !out_.empty() && out_.back().binary && out_.back().bytes.size() < kLargest) {
            out_.back().bytes += bytes;
            out_bytes_ += bytes.size();
        } else {
            out_.push_back({binary, std::string(bytes)});
            out_bytes_ += cost(out_.back());
        }
    }
    if (news) tell_server_();
}

void StreamLink::send_text(std::string_view json) { send(/*binary=*/false, json); }
void StreamLink::send_bytes(std::string_view bytes) { send(/*binary=*/true, bytes); }

void StreamLink::close(StreamClose why) {
    {
        const std::scoped_lock lock(mutex_);
        if (gone_ || close_) return;
        close_ = std::move(why);
    }
    tell_server_();
}

std::size_t StreamLink::unsent_bytes() const {
    const std::scoped_lock lock(mutex_);
    std::size_t bytes = 0;
    for (const StreamMessage& message : out_)
        if (message.binary) bytes += message.bytes.size();
    return bytes;
}

bool StreamLink::has_messages() const {
    const std::scoped_lock lock(mutex_);
    return !in_.empty();
}

bool StreamLink::has_room_in() {
    const std::scoped_lock lock(mutex_);
    wants_room_in_ = in_bytes_ >= kRoom;
    return !wants_room_in_;
}

void StreamLink::deliver(StreamMessage message) {
    const std::scoped_lock lock(mutex_);
    in_bytes_ += cost(message);
    in_.push_back(std::move(message));
    wake_locked();
}

void StreamLink::abandon() {
    const std::scoped_lock lock(mutex_);
    gone_ = true;
    wake_locked();
}

StreamLink::Ready StreamLink::take() {
    const std::scoped_lock lock(mutex_);
    Ready ready;
    if (!out_.empty()) {
        ready.message = std::move(out_.front());
        out_.pop_front();
        out_bytes_ -= cost(*ready.message);
        if (out_bytes_ < kRoom && std::exchange(wants_room_out_, false)) wake_locked();
        return ready;
    }
    ready.close = close_;
    return ready;
}

}  // namespace substrate::agent
