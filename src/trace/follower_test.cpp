#include "trace/follower.hpp"

#include <unistd.h>

#include <thread>

#include "trace/trace_test_support.hpp"

namespace substrate::trace {
namespace {

std::string id_of(Result<std::optional<Json>> record) {
    if (!record) return record.error().message();
    return *record ? (**record).value("span_id", std::string("-")) : std::string("none");
}

TEST_F(TraceTest, FollowsFromTheOldestOrFromNow) {
    auto trace = writer();
    ASSERT_TRUE(trace.append(span("spn_1")));
    auto all = *TraceFollower::open(dir_, TraceFollower::From::oldest);
    auto fresh = *TraceFollower::open(dir_, TraceFollower::From::now);
    ASSERT_TRUE(trace.append(span("spn_2")));
    EXPECT_EQ(id_of(all.poll()), "spn_1");
    EXPECT_EQ(id_of(all.poll()), "spn_2");
    EXPECT_EQ(id_of(all.poll()), "none");
    EXPECT_EQ(id_of(fresh.poll()), "spn_2");
    EXPECT_EQ(id_of(fresh.poll()), "none");
}

TEST_F(TraceTest, FollowsAcrossSeveralRotations) {
    auto trace = writer({.max_bytes = 4'000, .keep = 50});
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::oldest);
    int next = 0;
    for (int i = 0; i < 60; ++i) {
        ASSERT_TRUE(trace.append(span("spn_" + std::to_string(i))));
        if (i % 23 != 0) continue;
        for (; next <= i; ++next) ASSERT_EQ(id_of(follower.poll()), "spn_" + std::to_string(next));
        EXPECT_EQ(id_of(follower.poll()), "none");
    }
    for (; next < 60; ++next) ASSERT_EQ(id_of(follower.poll()), "spn_" + std::to_string(next));
    EXPECT_TRUE(follower.take_skipped().empty());
}

TEST_F(TraceTest, SaysWhenRecordsWereRotatedAway) {
    auto trace = writer({.max_bytes = 2'000, .keep = 1});
    ASSERT_TRUE(trace.append(span("spn_0")));
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::oldest);
    for (int i = 1; i < 9; ++i) ASSERT_TRUE(trace.append(span("spn_" + std::to_string(i))));
    EXPECT_EQ(id_of(follower.poll()), "spn_0") << "it still holds that file";
    EXPECT_EQ(id_of(follower.poll()), "spn_7");
    EXPECT_EQ(id_of(follower.poll()), "spn_8");
    const auto skipped = follower.take_skipped();
    ASSERT_EQ(skipped.size(), 1u);
    EXPECT_EQ(skipped[0].reason, "rotated away before all of it was read");
}

TEST_F(TraceTest, HoldsAPartialLineBackUntilItsEnd) {
    put_raw("{\"event_type\":\"warning\",");
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::oldest);
    EXPECT_EQ(id_of(follower.poll()), "none");
    put_raw("\"span_id\":\"spn_1\"}\n");
    EXPECT_EQ(id_of(follower.poll()), "spn_1");
}

TEST_F(TraceTest, WaitsForAFileThatIsNotThereYetAndFilters) {
    std::filesystem::create_directories(dir_);
    ::chmod(dir_.c_str(), 0700);
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::now, {.event_type = "command_complete"});
    std::thread other([&] {
        auto trace = writer();
        EXPECT_TRUE(trace.append(event("warning")));
        EXPECT_TRUE(trace.append(span("spn_1")));
    });
    EXPECT_EQ(id_of(follower.next()), "spn_1");
    other.join();
}

TEST_F(TraceTest, AStopDescriptorEndsTheWait) {
    auto trace = writer();
    int pipe_fds[2];
    ASSERT_EQ(::pipe(pipe_fds), 0);
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::now, {}, pipe_fds[0]);
    std::thread stopper([&] { ::close(pipe_fds[1]); });
    EXPECT_EQ(id_of(follower.next()), "none");
    stopper.join();
    ::close(pipe_fds[0]);
}

}  // namespace
}  // namespace substrate::trace
