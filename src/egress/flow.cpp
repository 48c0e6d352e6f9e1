#include "egress/flow.hpp"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace substrate::egress {
namespace {

constexpr std::size_t kAtOnce = 64 * 1024;
// So that one connection does not keep the others waiting.
constexpr int kRounds = 16;

bool would_block() { return errno == EAGAIN || errno == EINTR; }

}  // namespace

Result<Flow> Flow::make(Meter& meter) {
    SUB_TRY_ASSIGN(sys::Pipe pipe, sys::make_pipe());
    return Flow(std::move(pipe), meter);
}

void Flow::put_first(std::string_view bytes) {
    const std::uint64_t most = meter_->take_of(bytes.size());
    if (most < bytes.size()) exhausted_ = true;
    first_ += bytes.substr(0, most);
}

bool Flow::write_first(int to, bool& blocked) {
    while (!first_.empty()) {
        const ssize_t n = ::send(to, first_.data(), first_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) {
            blocked = would_block();
            return blocked;
        }
        bytes_ += static_cast<std::uint64_t>(n);
        first_.erase(0, static_cast<std::size_t>(n));
    }
    return true;
}

bool Flow::flush(int to) {
    bool blocked = false;
    if (!write_first(to, blocked)) return false;
    if (first_.empty() && in_pipe_ == 0 && source_ended_ && !ended_) {
        (void)::shutdown(to, SHUT_WR);
        ended_ = true;
    }
    return true;
}

bool Flow::move(int from, int to) {
    bool blocked = false;
    throttled_ = false;
    if (!write_first(to, blocked)) return false;
    for (int round = 0; round < kRounds && !blocked && !ended_; ++round) {
        if (in_pipe_ > 0) {
            const ssize_t n =
                ::splice(pipe_.read.get(), nullptr, to, nullptr, in_pipe_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
            if (n <= 0) return n < 0 && would_block();
            in_pipe_ -= static_cast<std::size_t>(n);
            bytes_ += static_cast<std::uint64_t>(n);
            continue;
        }
        if (source_ended_) {
            // Fails when the peer has gone, which the other direction notices.
            (void)::shutdown(to, SHUT_WR);
            ended_ = true;
            break;
        }
        const std::size_t size = std::min<std::uint64_t>(kAtOnce, meter_->allowance());
        if (size == 0) {
            exhausted_ = meter_->exhausted().has_value();
            throttled_ = !exhausted_;
            break;
        }
        const ssize_t n =
            ::splice(from, nullptr, pipe_.write.get(), nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0) return would_block();
        if (n == 0) source_ended_ = true;
        in_pipe_ += static_cast<std::size_t>(n);
        meter_->take(static_cast<std::uint64_t>(n));
    }
    return true;
}

}  // namespace substrate::egress
