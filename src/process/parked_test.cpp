#include "process/parked.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sys/file.hpp"
#include "sys/signals.hpp"

namespace substrate::process {
namespace {

struct Pipe {
    Pipe() {
        int fds[2];
        EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
        read.reset(fds[0]);
        write.reset(fds[1]);
    }
    sys::UniqueFd read, write;
};

Program shell(const std::string& line) {
    return {.path = "/bin/sh", .argv = {"sh", "-c", line}, .environment = {"GREETING=hello"}, .cwd = "/usr"};
}

// Reaps one child as PID 1 of a world does.
int reap(ParkedChild& child) {
    int status = -1;
    EXPECT_EQ(::waitpid(child.pid(), &status, 0), child.pid());
    child.note_reaped();
    return status;
}

TEST(ParkedChild, ExecutesWhatItIsGiven) {
    Pipe pipe;
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child) << child.error().message();
    Program program = shell("pwd; echo $GREETING; umask; exit 7");
    program.umask = 027;
    ASSERT_TRUE(child->release(program, std::array{0, pipe.write.get(), 2}));
    pipe.write.reset();
    EXPECT_EQ(sys::read_to_end(pipe.read.get(), 1000).value(), "/usr\nhello\n0027\n");
    EXPECT_EQ(WEXITSTATUS(reap(*child)), 7);
    EXPECT_FALSE(child->failure());
}

TEST(ParkedChild, ASignalOnTheWayIsNoFailure) {
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child) << child.error().message();
    // It does not read its release, but that is there.
    ASSERT_TRUE(sys::send_signal(child->pid(), SIGSTOP));
    int status = 0;
    ASSERT_EQ(::waitpid(child->pid(), &status, WUNTRACED), child->pid());
    ASSERT_TRUE(child->release(shell("exit 7"), std::array{0, 1, 2}));
    ASSERT_TRUE(sys::send_signal(child->pid(), SIGKILL));
    status = reap(*child);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_FALSE(child->failure());
}

TEST(ParkedChild, HoldsNoDescriptorWhileItWaits) {
    Pipe pipe;
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child);
    pipe.write.reset();
    // Ends only once the child has closed its copy of the writing end.
    EXPECT_EQ(sys::read_to_end(pipe.read.get(), 1000).value(), "");
}

TEST(ParkedChild, PassesTheThreeDescriptorsAlone) {
    const sys::UniqueFd leak(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC, as a library might
    Pipe pipe;
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child);
    ASSERT_TRUE(child->release(shell("ls /proc/self/fd"), std::array{0, pipe.write.get(), 2}));
    pipe.write.reset();
    EXPECT_EQ(sys::read_to_end(pipe.read.get(), 1000).value(), "0\n1\n2\n3\n");
    EXPECT_EQ(reap(*child), 0);
}

TEST(ParkedChild, NamesTheStepThatFailed) {
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child);
    ASSERT_TRUE(
        child->release({.path = "/no/such/program", .argv = {"program"}, .cwd = "/"}, std::array{0, 1, 2}));
    EXPECT_EQ(WEXITSTATUS(reap(*child)), 127);
    const auto failure = child->failure();
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->message(), "step exec '/no/such/program': No such file or directory");
}

TEST(ParkedChild, FallsBack) {
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child);
    Program program = shell("");
    program.path = "/no/such/program";
    program.fallback_path = "/bin/sh";
    program.fallback_argv = {"sh", "-c", "exit 3"};
    ASSERT_TRUE(child->release(program, std::array{0, 1, 2}));
    EXPECT_EQ(WEXITSTATUS(reap(*child)), 3);
    EXPECT_FALSE(child->failure());
}

TEST(ParkedChild, IsConfinedBeforeItIsReleased) {
    ChildPlan plan;
    plan.no_new_privs = true;
    plan.new_session = true;
    auto child = ParkedChild::park(plan);
    ASSERT_TRUE(child);
    Pipe pipe;
    ASSERT_TRUE(child->release(shell("grep NoNewPrivs /proc/self/status; ps -o sid= -p $$ | tr -d ' '"),
                               std::array{0, pipe.write.get(), 2}));
    pipe.write.reset();
    EXPECT_EQ(sys::read_to_end(pipe.read.get(), 1000).value(),
              "NoNewPrivs:\t1\n" + std::to_string(child->pid()) + "\n");
    EXPECT_EQ(reap(*child), 0);
}

TEST(ParkedChild, EndsWithItsHandle) {
    pid_t pid = -1;
    {
        auto child = ParkedChild::park({});
        ASSERT_TRUE(child);
        pid = child->pid();
        // Even where it is stopped.
        ASSERT_TRUE(sys::send_signal(pid, SIGSTOP));
    }
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
}

TEST(ParkedChild, OneThatWasKilledTakesNoProgram) {
    auto child = ParkedChild::park({});
    ASSERT_TRUE(child);
    ASSERT_TRUE(sys::send_signal(child->pid(), SIGKILL));
    reap(*child);
    EXPECT_FALSE(child->release(shell("exit 0"), std::array{0, 1, 2}));
}

}  // namespace
}  // namespace substrate::process
