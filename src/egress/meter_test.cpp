#include "egress/meter.hpp"

#include <gtest/gtest.h>

namespace substrate::egress {
namespace {

class MeterTest : public testing::Test {
  protected:
    EventLoop loop_ = *EventLoop::make();
    Meter meter_{loop_};
};

TEST_F(MeterTest, WithoutLimitsEverythingMayPass) {
    meter_.take(1u << 30);
    EXPECT_GT(meter_.allowance(), 1u << 30);
    EXPECT_FALSE(meter_.exhausted());
}

TEST_F(MeterTest, TheLowestBudgetHoldsAndIsNamed) {
    const auto account = std::make_shared<ByteAccount>();
    meter_.limit_total(1000);
    meter_.begin_command(100, account, 50);
    EXPECT_EQ(meter_.allowance(), 50U);
    EXPECT_EQ(meter_.take_of(80), 50U) << "what has been read already goes on as far as it may";
    EXPECT_EQ(meter_.exhausted()->name, "agent_max_egress_bytes");
    // Another world of the same agent.
    Meter other(loop_);
    other.begin_command(std::nullopt, account, 60);
    EXPECT_EQ(other.allowance(), 10U);
    // The next command has a budget of its own; what the world has used stays used.
    meter_.begin_command(100, nullptr, std::nullopt);
    EXPECT_EQ(meter_.allowance(), 100U);
    meter_.take(100);
    EXPECT_EQ(meter_.exhausted()->name, "max_egress_bytes");
    meter_.begin_command(std::nullopt, nullptr, std::nullopt);
    EXPECT_EQ(meter_.allowance(), 850U);
    meter_.limit_total(150);
    EXPECT_EQ(meter_.exhausted()->name, "egress_total_bytes");
    meter_.limit_total(0);
    EXPECT_FALSE(meter_.exhausted());
}

TEST_F(MeterTest, ABudgetOfNothingIsUsedUp) {
    meter_.begin_command(std::nullopt, std::make_shared<ByteAccount>(), 0);
    EXPECT_TRUE(meter_.exhausted());
    EXPECT_EQ(meter_.allowance(), 0U);
}

TEST_F(MeterTest, ARateLetsOneSecondsWorthThroughAndThenMakesWaitInTurn) {
    meter_.limit_rate(1u << 20);
    EXPECT_EQ(meter_.allowance(), 1u << 20);
    meter_.take(1u << 20);
    EXPECT_LT(meter_.allowance(), 1u << 20);
    EXPECT_FALSE(meter_.exhausted());
    std::string order;
    for (const char name : {'a', 'b', 'c'})
        meter_.wait([&, name] {
            order += name;
            EXPECT_GT(meter_.allowance(), 0U);
            meter_.take(meter_.allowance());
            if (name == 'b') loop_.stop();
        });
    const std::uint64_t gone = meter_.wait([&] { order += 'x'; });
    meter_.cancel(gone);
    ASSERT_TRUE(loop_.run());
    // A slow machine has room for the third in the same turn.
    EXPECT_TRUE(order == "ab" || order == "abc") << order;
}

TEST_F(MeterTest, TheHighestRateDoesNotOverflow) {
    meter_.limit_rate(~std::uint64_t{0});
    meter_.take(1u << 20);
    EXPECT_GT(meter_.allowance(), 1u << 20);
}

}  // namespace
}  // namespace substrate::egress
