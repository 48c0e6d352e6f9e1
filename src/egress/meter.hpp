#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string_view>

#include "egress/event_loop.hpp"

namespace substrate::egress {

// Bytes that have passed, both directions together, and how many may.
struct ByteAccount {
    std::optional<std::uint64_t> limit;
    std::uint64_t used = 0;
    std::uint64_t left() const {
        if (!limit) return ~std::uint64_t{0};
        return used < *limit ? *limit - used : 0;
    }
};

// What the connections of one world may move: by budgets, after which nothing more passes, and by a rate
// (token bucket: one second's worth at once at most). Bytes are counted when they are taken in.
class Meter {
  public:
    // `loop` must live longer.
    explicit Meter(EventLoop& loop) : loop_(loop) {}
    ~Meter() { loop_.cancel(timer_); }
    Meter(const Meter&) = delete;
    Meter& operator=(const Meter&) = delete;

    void limit_total(std::uint64_t bytes) { total_.limit = bytes == 0 ? std::nullopt : std::optional(bytes); }
    // 0: as fast as it goes.
    void limit_rate(std::uint64_t bytes_per_sec);
    // A command begins: its own budget, and that of whoever gave it, whose account others share.
    void begin_command(std::optional<std::uint64_t> bytes, std::shared_ptr<ByteAccount> agent,
                       std::optional<std::uint64_t> agent_bytes);

    // How many bytes may be taken in now; 0 with nothing exhausted(): later.
    std::uint64_t allowance();
    void take(std::uint64_t bytes);
    // Of bytes that have been read already, how many may go on. They are taken.
    std::uint64_t take_of(std::uint64_t bytes);
    struct Limit {
        std::string_view name;  // as in records
        std::uint64_t bytes = 0;
    };
    // The budget that is used up.
    std::optional<Limit> exhausted() const;

    // Calls `again` once, in the order of asking, when there is allowance by the rate.
    std::uint64_t wait(std::function<void()> again);
    void cancel(std::uint64_t waiter) { waiting_.erase(waiter); }

  private:
    void refill();
    void wake();
    std::uint64_t budget_left() const;

    EventLoop& loop_;
    ByteAccount total_, command_;
    std::shared_ptr<ByteAccount> agent_;
    std::optional<std::uint64_t> agent_limit_;
    std::uint64_t rate_ = 0;
    std::int64_t tokens_ = 0;  // less than 0: what was read before it was asked for
    std::int64_t filled_ns_ = 0;
    std::map<std::uint64_t, std::function<void()>> waiting_;
    std::uint64_t next_waiter_ = 0;
    EventLoop::Timer timer_ = 0;
};

}  // namespace substrate::egress
