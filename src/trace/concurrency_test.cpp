// Writers in several processes and threads, across rotations, with a reader
// that follows: every record comes out once, whole, and in its writer's order.
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "trace/follower.hpp"
#include "trace/reader.hpp"
#include "trace/trace_test_support.hpp"

namespace substrate::trace {
namespace {

constexpr int kWriters = 4;
constexpr int kRecords = 5'000;
// 20,000 records of 200 bytes and more are over 4 MB: at least 15 rotations.
constexpr WriterOptions kSmallFiles{.max_bytes = 256 * 1024, .keep = 40};

Event numbered(int writer, int number) {
    Event event{.type = "warning", .ts_ns = number};
    event.fields = {{"writer", writer},
                    {"number", number},
                    {"filler", std::string(static_cast<std::size_t>(100 + number % 97), 'x')}};
    return event;
}

bool write_all(const std::string& dir, int writer) {
    auto trace = TraceWriter::open(dir, kSmallFiles);
    if (!trace) return false;
    for (int i = 0; i < kRecords; ++i)
        if (!trace->append(numbered(writer, i))) return false;
    return true;
}

// The next number that each writer is expected to have written.
class Ledger {
  public:
    void take(const Json& record) {
        int& next = next_[record.at("writer").get<int>()];
        EXPECT_EQ(record.at("number").get<int>(), next);
        ++next;
        ++total_;
    }
    int total() const { return total_; }

  private:
    std::map<int, int> next_;
    int total_ = 0;
};

TEST_F(TraceTest, FourProcessesLoseAndTearNothing) {
    {
        auto trace = writer(kSmallFiles);
    }
    auto follower = *TraceFollower::open(dir_, TraceFollower::From::oldest);
    std::vector<pid_t> children;
    for (int w = 0; w < kWriters; ++w) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) ::_exit(write_all(dir_, w) ? 0 : 1);
        children.push_back(child);
    }
    Ledger followed;
    while (followed.total() < kWriters * kRecords && !HasFailure()) {
        const auto record = follower.next();
        ASSERT_TRUE(record && *record);
        followed.take(**record);
    }
    for (const pid_t child : children) {
        int status = -1;
        ASSERT_EQ(::waitpid(child, &status, 0), child);
        EXPECT_EQ(status, 0);
    }
    EXPECT_TRUE(follower.take_skipped().empty());
    auto reader = *TraceReader::open(dir_);
    Ledger read;
    ASSERT_TRUE(reader.oldest_first({}, [&](Json&& record) { return read.take(record), true; }));
    EXPECT_EQ(read.total(), kWriters * kRecords);
    EXPECT_EQ(reader.skipped_count(), 0u);
    EXPECT_TRUE(std::filesystem::exists(path("trace.jsonl.10")));
}

TEST_F(TraceTest, ThreadsShareOneWriter) {
    auto trace = writer(kSmallFiles);
    std::vector<std::thread> threads;
    for (int w = 0; w < kWriters; ++w)
        threads.emplace_back([&, w] {
            for (int i = 0; i < 1'000; ++i) EXPECT_TRUE(trace.append(numbered(w, i)));
        });
    for (std::thread& thread : threads) thread.join();
    auto reader = *TraceReader::open(dir_);
    Ledger read;
    ASSERT_TRUE(reader.oldest_first({}, [&](Json&& record) { return read.take(record), true; }));
    EXPECT_EQ(read.total(), kWriters * 1'000);
}

}  // namespace
}  // namespace substrate::trace
