#include "agent/worker_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <set>

namespace substrate::agent {
namespace {

TEST(WorkerPool, EveryTaskThatWasTakenIsDone) {
    std::atomic<int> done = 0;
    {
        WorkerPool pool(3, 1'000);
        for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.post([&] { ++done; }));
    }
    EXPECT_EQ(done, 500);
}

TEST(WorkerPool, TooManyAreRefused) {
    WorkerPool pool(1, 2);
    std::latch started(1), go(1);
    ASSERT_TRUE(pool.post([&] {
        started.count_down();
        go.wait();
    }));
    started.wait();
    EXPECT_TRUE(pool.post([] {}));
    EXPECT_TRUE(pool.post([] {}));
    EXPECT_FALSE(pool.post([] {}));
    EXPECT_EQ(pool.waiting(), 2U);
    EXPECT_EQ(pool.running(), 1U);
    go.count_down();
    pool.close();
    EXPECT_FALSE(pool.post([] {}));
}

// A world ends with its thread, so no thread may end before the pool.
TEST(WorkerPool, TasksWaitForEachOtherOnlyWhenThereAreNoThreadsLeft) {
    WorkerPool pool(8, 8);
    std::latch all(8);
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(pool.post([&] { all.arrive_and_wait(); }));
    all.wait();
}

}  // namespace
}  // namespace substrate::agent
