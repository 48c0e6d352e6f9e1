// What OutputWatch does with the standard streams of a process: each test runs
// in a child whose streams it has arranged.
#include "shell/output_watch.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <cstdio>
#include <functional>
#include <thread>

#include "sys/file.hpp"
#include "sys/pipe.hpp"

namespace substrate::shell {
namespace {

std::string hash_of(std::string_view text) {
    const XXH128_hash_t value = XXH3_128bits(text.data(), text.size());
    char digits[40];
    std::snprintf(digits, sizeof digits, "xxh3:%016llx%016llx", static_cast<unsigned long long>(value.high64),
                  static_cast<unsigned long long>(value.low64));
    return digits;
}
const std::string kNothing = hash_of("");

std::string text_of(const Result<OutputRecord>& record) {
    if (!record) return "error: " + record.error().message();
    return "out " + std::to_string(record->stdout_bytes) + " " + record->stdout_hash + "\nerr " +
           std::to_string(record->stderr_bytes) + " " + record->stderr_hash +
           (record->merged ? "\nmerged\n" : "\n");
}
std::string expected(std::string_view out, const std::string& out_hash, std::string_view err,
                     const std::string& err_hash, bool merged = false) {
    return "out " + std::to_string(out.size()) + " " + out_hash + "\nerr " + std::to_string(err.size()) +
           " " + err_hash + (merged ? "\nmerged\n" : "\n");
}

// Runs `inside` in a child whose standard output and error are these; what it returns comes back.
std::string in_child(int out, int err, const std::function<std::string()>& inside) {
    auto answer = sys::make_pipe();
    EXPECT_TRUE(answer);
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGPIPE, SIG_IGN);
        ::alarm(60);  // a hang is a failure
        std::string text = "no streams";
        // Above the streams first: the originals may be among them.
        const int out_copy = ::fcntl(out, F_DUPFD_CLOEXEC, 10), err_copy = ::fcntl(err, F_DUPFD_CLOEXEC, 10);
        if (::dup2(out_copy, STDOUT_FILENO) == STDOUT_FILENO &&
            ::dup2(err_copy, STDERR_FILENO) == STDERR_FILENO) {
            ::close(out_copy);
            ::close(err_copy);
            text = inside();
        }
        (void)sys::write_all(answer->write.get(), text);
        ::_exit(0);
    }
    answer->write.reset();
    const auto text = sys::read_to_end(answer->read.get(), 1 << 20);
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return text ? *text : text.error().message();
}

// A command that writes to what the watch gives it, as a process of its own with
// nothing else open, as after an exec. It may read `in`.
pid_t start(const OutputWatch& watch, const std::function<void(int out, int err)>& command,
            int in = STDIN_FILENO) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGPIPE, SIG_DFL);
        ::alarm(60);
        ::dup2(in, STDIN_FILENO);
        ::dup2(watch.stdout_fd(), STDOUT_FILENO);
        ::dup2(watch.stderr_fd(), STDERR_FILENO);
        ::close_range(3, ~0u, 0);
        command(STDOUT_FILENO, STDERR_FILENO);
        ::_exit(0);
    }
    return child;
}

// As run.cpp does it: move while the command runs, then finish.
std::string run(OutputWatch& watch, const std::function<void(int out, int err)>& command) {
    const pid_t child = start(watch, command);
    watch.close_command_ends();
    for (;;) {
        std::vector<pollfd> polled;
        watch.add_to(polled);
        if (polled.empty()) break;
        ::poll(polled.data(), polled.size(), -1);
        if (auto moved = watch.move(); !moved) return "error: " + moved.error().message();
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return text_of(watch.finish());
}

std::string watch_and_run(const std::function<void(int out, int err)>& command, bool force_merged = false) {
    auto watch = OutputWatch::make(OutputWatch::Terminals::leave_alone, force_merged);
    if (!watch) return "error: " + watch.error().message();
    return run(*watch, command);
}

void say(int fd, std::string_view text) { (void)sys::write_all(fd, text); }

class OutputWatchTest : public ::testing::Test {
  protected:
    void SetUp() override {
        ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
        null_ = sys::UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
        auto out = sys::make_pipe(), err = sys::make_pipe();
        ASSERT_TRUE(out && err);
        out_ = std::move(*out);
        err_ = std::move(*err);
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, directory_)); }
    sys::UniqueFd open_file(int flags, mode_t mode = 0600) const {
        return sys::UniqueFd(::open((directory_ + "/file").c_str(), flags | O_CREAT | O_CLOEXEC, mode));
    }
    std::string directory_ = "/var/tmp/substrate-output-test-XXXXXX";
    sys::UniqueFd null_;
    sys::Pipe out_, err_;
};

TEST_F(OutputWatchTest, PipesGetWhatWasWrittenAndAreHashed) {
    EXPECT_EQ(in_child(out_.write.get(), err_.write.get(),
                       [] {
                           return watch_and_run([](int out, int err) {
                               say(out, "hello\n");
                               say(err, "error\n");
                               say(out, "again\n");
                           });
                       }),
              expected("hello\nagain\n", hash_of("hello\nagain\n"), "error\n", hash_of("error\n")));
    out_.write.reset();
    err_.write.reset();
    EXPECT_EQ(sys::read_to_end(out_.read.get(), 100).value(), "hello\nagain\n");
    EXPECT_EQ(sys::read_to_end(err_.read.get(), 100).value(), "error\n");
}

TEST_F(OutputWatchTest, MoreThanAPipeHolds) {
    std::string text;
    while (text.size() < (3u << 20)) text += std::to_string(text.size()) + " bytes before this line\n";
    std::string arrived;
    std::jthread reader([&] { arrived = sys::read_to_end(out_.read.get(), 1u << 30).value(); });
    const std::string record = in_child(out_.write.get(), null_.get(),
                                        [&] { return watch_and_run([&](int out, int) { say(out, text); }); });
    out_.write.reset();
    reader.join();
    EXPECT_EQ(record, expected(text, hash_of(text), "", ""));
    EXPECT_TRUE(arrived == text) << arrived.size() << " of " << text.size() << " bytes arrived";
}

TEST_F(OutputWatchTest, OneTargetForBothIsOneStreamInOrder) {
    EXPECT_EQ(in_child(out_.write.get(), out_.write.get(),
                       [] {
                           return watch_and_run([](int out, int err) {
                               for (int i = 0; i < 3; ++i) {
                                   say(out, "o");
                                   say(err, "e");
                               }
                           });
                       }),
              expected("oeoeoe", hash_of("oeoeoe"), "", "", /*merged=*/true));
    out_.write.reset();
    EXPECT_EQ(sys::read_to_end(out_.read.get(), 100).value(), "oeoeoe");
}

TEST_F(OutputWatchTest, TwoTargetsCanBeForcedIntoOne) {
    EXPECT_EQ(in_child(out_.write.get(), err_.write.get(),
                       [] {
                           return watch_and_run(
                               [](int out, int err) {
                                   say(out, "o");
                                   say(err, "e");
                               },
                               /*force_merged=*/true);
                       }),
              expected("oe", hash_of("oe"), "", "", /*merged=*/true));
    err_.write.reset();
    EXPECT_EQ(sys::read_to_end(err_.read.get(), 100).value(), "");
}

TEST_F(OutputWatchTest, DevNullIsNotObserved) {
    EXPECT_EQ(
        in_child(null_.get(), null_.get(),
                 [] {
                     auto watch = OutputWatch::make(OutputWatch::Terminals::relay, false);
                     if (!watch || watch->observes() || watch->stdout_fd() != 1 || watch->stderr_fd() != 2)
                         return std::string("observed");
                     return run(*watch, [](int out, int err) {
                         say(out, "x");
                         say(err, "y");
                     });
                 }),
        expected("", "", "", ""));
}

TEST_F(OutputWatchTest, ClosedStreamsAreNotObserved) {
    EXPECT_EQ(in_child(null_.get(), null_.get(),
                       [] {
                           ::close(1);
                           ::close(2);
                           return watch_and_run([](int, int) {});
                       }),
              expected("", "", "", ""));
}

TEST_F(OutputWatchTest, AFileIsReadAfterwardsFromWhereItStood) {
    const sys::UniqueFd file = open_file(O_RDWR);
    say(file.get(), "before");
    EXPECT_EQ(in_child(file.get(), null_.get(),
                       [] { return watch_and_run([](int out, int) { say(out, "after"); }); }),
              expected("after", hash_of("after"), "", ""));
    EXPECT_EQ(sys::read_file(directory_ + "/file").value(), "beforeafter");
}

TEST_F(OutputWatchTest, AFileForAppendingCountsFromItsEnd) {
    say(open_file(O_WRONLY).get(), "before");
    EXPECT_EQ(in_child(open_file(O_WRONLY | O_APPEND).get(), null_.get(),
                       [] { return watch_and_run([](int out, int) { say(out, "after"); }); }),
              expected("after", hash_of("after"), "", ""));
}

TEST_F(OutputWatchTest, OneFileForBothIsOneStream) {
    const sys::UniqueFd file = open_file(O_WRONLY);
    EXPECT_EQ(in_child(file.get(), file.get(),
                       [] {
                           return watch_and_run([](int out, int err) {
                               say(out, "o");
                               say(err, "e");
                           });
                       }),
              expected("oe", hash_of("oe"), "", "", /*merged=*/true));
}

TEST_F(OutputWatchTest, NothingWrittenHasTheHashOfNothing) {
    const sys::UniqueFd file = open_file(O_WRONLY);
    EXPECT_EQ(in_child(out_.write.get(), file.get(), [] { return watch_and_run([](int, int) {}); }),
              expected("", kNothing, "", kNothing));
}

TEST_F(OutputWatchTest, AReaderThatGoesAwayEndsTheCommandAsWithoutUs) {
    out_.read.reset();
    const std::string answer = in_child(out_.write.get(), null_.get(), [] {
        auto watch = OutputWatch::make(OutputWatch::Terminals::leave_alone, false);
        if (!watch) return std::string("no watch");
        const pid_t child = start(*watch, [](int out, int) {
            const std::string line(4096, 'x');
            for (;;)
                if (!sys::write_all(out, line)) ::_exit(3);
        });
        watch->close_command_ends();
        for (;;) {
            std::vector<pollfd> polled;
            watch->add_to(polled);
            if (polled.empty()) break;
            ::poll(polled.data(), polled.size(), -1);
            if (!watch->move()) return std::string("move failed");
        }
        int status = 0;
        ::waitpid(child, &status, 0);
        if (!watch->finish()) return std::string("finish failed");
        return std::string(WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE ? "SIGPIPE"
                                                                              : "ended otherwise");
    });
    EXPECT_EQ(answer, "SIGPIPE");
}

TEST_F(OutputWatchTest, WhatBackgroundProcessesHoldIsLeftOver) {
    auto gate = sys::make_pipe();
    ASSERT_TRUE(gate);
    const std::string answer = in_child(out_.write.get(), null_.get(), [&] {
        auto watch = OutputWatch::make(OutputWatch::Terminals::leave_alone, false);
        if (!watch) return std::string("no watch");
        const pid_t background = start(
            *watch,
            [](int, int) {
                char byte = 0;
                (void)sys::read_some(STDIN_FILENO, {&byte, 1});
            },
            gate->read.get());
        const pid_t child = start(*watch, [](int out, int) { say(out, "early"); });
        ::waitpid(child, nullptr, 0);
        watch->close_command_ends();
        const std::string record = text_of(watch->finish());
        const auto left = watch->leftovers();
        const bool right = left.size() == 1 && left[0].target == STDOUT_FILENO && left[0].source > 2;
        say(gate->write.get(), "x");
        ::waitpid(background, nullptr, 0);
        if (!watch->move() || !watch->leftovers().empty()) return std::string("still left over");
        return right ? record : std::string("not left over");
    });
    EXPECT_EQ(answer, expected("early", hash_of("early"), "", ""));
}

TEST_F(OutputWatchTest, SocketsAreRelayed) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const sys::UniqueFd read(ends[0]);
    sys::UniqueFd write(ends[1]);
    EXPECT_EQ(in_child(write.get(), null_.get(),
                       [] { return watch_and_run([](int out, int) { say(out, "by socket"); }); }),
              expected("by socket", hash_of("by socket"), "", ""));
    write.reset();
    EXPECT_EQ(sys::read_to_end(read.get(), 100).value(), "by socket");
}

// A parent such as a runtime with an event loop hands out sockets that do not block.
TEST_F(OutputWatchTest, ANonBlockingSocketLosesNothing) {
    int ends[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    const sys::UniqueFd read(ends[0]);
    sys::UniqueFd write(ends[1]);
    ASSERT_EQ(::fcntl(write.get(), F_SETFL, O_NONBLOCK), 0);
    const std::string text(4u << 20, 'x');
    std::string arrived;
    std::jthread reader([&] { arrived = sys::read_to_end(read.get(), 1u << 30).value(); });
    const std::string record = in_child(write.get(), null_.get(),
                                        [&] { return watch_and_run([&](int out, int) { say(out, text); }); });
    write.reset();
    reader.join();
    EXPECT_EQ(arrived.size(), text.size());
    EXPECT_EQ(record, expected(text, hash_of(text), "", ""));
}

TEST_F(OutputWatchTest, ANonBlockingPipeLosesNothing) {
    ASSERT_EQ(::fcntl(out_.write.get(), F_SETFL, O_NONBLOCK), 0);
    const std::string text(4u << 20, 'x');
    std::string arrived;
    std::jthread reader([&] { arrived = sys::read_to_end(out_.read.get(), 1u << 30).value(); });
    const std::string record = in_child(out_.write.get(), null_.get(),
                                        [&] { return watch_and_run([&](int out, int) { say(out, text); }); });
    out_.write.reset();
    reader.join();
    EXPECT_EQ(arrived.size(), text.size());
    EXPECT_EQ(record, expected(text, hash_of(text), "", ""));
}

// `1<> file`: what lies behind the place that was written to was not written.
TEST_F(OutputWatchTest, TheRestOfAFileIsNotOutput) {
    say(open_file(O_WRONLY).get(), "0123456789");
    const sys::UniqueFd file = open_file(O_RDWR);
    EXPECT_EQ(
        in_child(file.get(), null_.get(), [] { return watch_and_run([](int out, int) { say(out, "ab"); }); }),
        expected("ab", hash_of("ab"), "", ""));
}

// Output may go to a file that its writer may not read.
TEST_F(OutputWatchTest, AFileThatCannotBeReadIsNoFailure) {
    const sys::UniqueFd file = open_file(O_WRONLY, 0200);
    const std::string answer =
        in_child(file.get(), null_.get(), [] { return watch_and_run([](int out, int) { say(out, "x"); }); });
    EXPECT_FALSE(answer.starts_with("error")) << answer;
}

}  // namespace
}  // namespace substrate::shell
