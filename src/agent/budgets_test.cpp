#include "agent/budgets.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace substrate::agent {
namespace {

class Clock final : public Env {
  public:
    std::int64_t realtime_ns() const override { return 0; }
    std::int64_t monotonic_ns() const override { return now_ms * 1'000'000; }
    void random(std::span<std::uint8_t>) const override {}
    std::optional<std::string> variable(std::string_view) const override { return std::nullopt; }
    std::atomic<std::int64_t> now_ms = 1'000;
};

TEST(Budgets, OfParallelCallsExactlyOneIsTooMany) {
    const Clock clock;
    Budgets budgets(clock);
    constexpr int kCalls = 64;
    std::atomic<int> refused = 0;
    {
        std::vector<std::jthread> threads;
        for (int i = 0; i < kCalls; ++i)
            threads.emplace_back([&] {
                if (!budgets.enter("a", {.max_execs = kCalls - 1}, {}).ticket) ++refused;
            });
    }
    EXPECT_EQ(refused, 1);
    EXPECT_TRUE(budgets.enter("b", {.max_execs = 1}, {}).ticket);
}

TEST(Budgets, WhatNeverRanDoesNotCount) {
    const Clock clock;
    Budgets budgets(clock);
    budgets.enter("a", {.max_execs = 1}, {}).ticket->refund();
    EXPECT_TRUE(budgets.enter("a", {.max_execs = 1}, {}).ticket);
    const auto refused = budgets.enter("a", {.max_execs = 1}, {});
    ASSERT_FALSE(refused.ticket);
    EXPECT_EQ(refused.refusal.limit, "max_execs");
    EXPECT_EQ(refused.refusal.used, 1);
    EXPECT_EQ(refused.refusal.retry_after_s, 3600);
    EXPECT_FALSE(budgets.enter("c", {.max_execs = 0}, {}).ticket);
}

TEST(Budgets, WhatRunsWithinAnotherCountsAsOneMore) {
    Clock clock;
    Budgets budgets(clock);
    const Budget budget{.max_execs = 3, .max_runtime_ms = 1'000};
    {
        const auto outer = budgets.enter("a", budget, {});
        ASSERT_TRUE(outer.ticket);
        EXPECT_FALSE(budgets.count_within("a", budget));
        EXPECT_FALSE(budgets.count_within("a", budget));
        const auto refusal = budgets.count_within("a", budget);
        ASSERT_TRUE(refusal);
        EXPECT_EQ(refusal->limit, "max_execs");
        EXPECT_EQ(refusal->used, 3);
        // Its time is that of the one around it, once.
        clock.now_ms += 400;
        EXPECT_EQ(outer.ticket->left_ns(), 600'000'000);
    }
    EXPECT_FALSE(budgets.enter("a", budget, {}).ticket);
    EXPECT_TRUE(budgets.enter("a", {.max_execs = 4}, {}).ticket);
    EXPECT_FALSE(budgets.count_within("b", budget));
}

TEST(Budgets, RunningTimeIsSharedByThoseThatRun) {
    Clock clock;
    Budgets budgets(clock);
    int poked = 0;
    auto first = budgets.enter("a", {.max_runtime_ms = 1'000}, [&] { ++poked; }).ticket;
    clock.now_ms += 200;
    EXPECT_EQ(first->left_ns(), 800'000'000);
    auto second = budgets.enter("a", {.max_runtime_ms = 1'000}, {}).ticket;
    EXPECT_EQ(poked, 1);
    EXPECT_EQ(first->left_ns(), 400'000'000);
    clock.now_ms += 100;
    second.reset();
    EXPECT_EQ(poked, 2);
    EXPECT_EQ(first->left_ns(), 600'000'000);
    clock.now_ms += 700;
    EXPECT_EQ(first->left_ns(), 0);
    const auto refused = budgets.enter("a", {.max_runtime_ms = 1'000}, {});
    EXPECT_FALSE(refused.ticket);
    EXPECT_EQ(refused.refusal.limit, "max_runtime_ms");
    EXPECT_FALSE(budgets.enter("a", {}, {}).ticket->left_ns());
}

TEST(Budgets, AnHourLaterCountingStartsAnew) {
    Clock clock;
    Budgets budgets(clock);
    auto running = budgets.enter("a", {}, {}).ticket;
    clock.now_ms += 3'599'999;
    EXPECT_FALSE(budgets.enter("a", {.max_execs = 1}, {}).ticket);
    clock.now_ms += 1;
    auto next = budgets.enter("a", {.max_execs = 1, .max_runtime_ms = 1'000}, {}).ticket;
    ASSERT_TRUE(next);
    // The other began in the earlier window and counts from the new one's start.
    EXPECT_EQ(next->left_ns(), 500'000'000);
}

TEST(Budgets, IdsDoNotPileUp) {
    Clock clock;
    Budgets budgets(clock);
    for (std::size_t i = 0; i < Budgets::kMostIds; ++i)
        ASSERT_TRUE(budgets.enter(std::to_string(i), {}, {}).ticket);
    EXPECT_EQ(budgets.enter("one more", {}, {}).refusal.limit, "agent_ids");
    clock.now_ms += 3'600'000;
    EXPECT_TRUE(budgets.enter("one more", {}, {}).ticket);
}

}  // namespace
}  // namespace substrate::agent
