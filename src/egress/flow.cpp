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

Result<Flow> Flow::make(std::uint64_t* budget) {
    SUB_TRY_ASSIGN(sys::Pipe pipe, sys::make_pipe());
    return Flow(std::move(pipe), budget);
}

void Flow::put_first(std::string_view bytes) {
    if (budget_ != nullptr) {
        if (bytes.size() > *budget_) exhausted_ = true;
        bytes = bytes.substr(0, *budget_);
        *budget_ -= bytes.size();
    }
    first_ += bytes;
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
        std::size_t size = kAtOnce;
        if (budget_ != nullptr) {
            if (*budget_ == 0) exhausted_ = true;
            if (exhausted_) break;
            size = std::min<std::uint64_t>(size, *budget_);
        }
        const ssize_t n =
            ::splice(from, nullptr, pipe_.write.get(), nullptr, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
        if (n < 0) return would_block();
        if (n == 0) source_ended_ = true;
        in_pipe_ += static_cast<std::size_t>(n);
        if (budget_ != nullptr) *budget_ -= static_cast<std::uint64_t>(n);
    }
    return true;
}

}  // namespace substrate::egress
