#include "egress/meter.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace substrate::egress {
namespace {

constexpr std::int64_t kNsPerSec = 1'000'000'000;
// Not less often, however slow: small shares cost more than they move.
constexpr std::int64_t kShareMs = 20;

}  // namespace

void Meter::limit_rate(std::uint64_t bytes_per_sec) {
    if (bytes_per_sec == rate_) return;
    const bool first = rate_ == 0;
    rate_ = std::min<std::uint64_t>(bytes_per_sec, std::uint64_t{1} << 40);
    if (first) tokens_ = static_cast<std::int64_t>(rate_);
    filled_ns_ = loop_.now_ns();
    wake();
}

void Meter::begin_command(std::optional<std::uint64_t> bytes, std::shared_ptr<ByteAccount> agent,
                          std::optional<std::uint64_t> agent_bytes) {
    command_ = {bytes, 0};
    agent_ = std::move(agent);
    agent_limit_ = agent_bytes;
}

std::uint64_t Meter::budget_left() const {
    std::uint64_t left = std::min(total_.left(), command_.left());
    if (agent_) left = std::min(left, ByteAccount{agent_limit_, agent_->used}.left());
    return left;
}

void Meter::refill() {
    const std::int64_t now = loop_.now_ns();
    const auto rate = static_cast<std::int64_t>(rate_);
    const std::int64_t passed = std::min(now - filled_ns_, kNsPerSec);
    // In two steps: the product of both does not fit for the highest rates.
    const std::int64_t more =
        passed / 1000 * (rate / 1000) / 1000 + passed / 1000 * (rate % 1000) / 1'000'000;
    if (more == 0) return;
    tokens_ = std::min(tokens_ + more, rate);
    filled_ns_ = now;
}

std::uint64_t Meter::allowance() {
    const std::uint64_t left = budget_left();
    if (rate_ == 0 || left == 0) return left;
    refill();
    return std::min(left, static_cast<std::uint64_t>(std::max<std::int64_t>(tokens_, 0)));
}

void Meter::take(std::uint64_t bytes) {
    total_.used += bytes;
    command_.used += bytes;
    if (agent_) agent_->used += bytes;
    if (rate_ != 0) tokens_ -= static_cast<std::int64_t>(bytes);
}

std::uint64_t Meter::take_of(std::uint64_t bytes) {
    const std::uint64_t most = std::min(bytes, budget_left());
    take(most);
    return most;
}

std::optional<Meter::Limit> Meter::exhausted() const {
    if (total_.left() == 0) return Limit{"egress_total_bytes", *total_.limit};
    if (command_.left() == 0) return Limit{"max_egress_bytes", *command_.limit};
    if (agent_ && agent_limit_ && agent_->used >= *agent_limit_)
        return Limit{"agent_max_egress_bytes", *agent_limit_};
    return std::nullopt;
}

std::uint64_t Meter::wait(std::function<void()> again) {
    const std::uint64_t waiter = ++next_waiter_;
    waiting_.emplace(waiter, std::move(again));
    if (timer_ == 0)
        timer_ = loop_.after_ms(kShareMs, [this] {
            timer_ = 0;
            wake();
        });
    return waiter;
}

void Meter::wake() {
    // Those who ask again meanwhile come last.
    const std::uint64_t last = next_waiter_;
    while (!waiting_.empty() && waiting_.begin()->first <= last && (allowance() > 0 || exhausted())) {
        const std::function<void()> again = std::move(waiting_.begin()->second);
        waiting_.erase(waiting_.begin());
        again();
    }
    if (!waiting_.empty() && timer_ == 0)
        timer_ = loop_.after_ms(kShareMs, [this] {
            timer_ = 0;
            wake();
        });
}

}  // namespace substrate::egress
