#include "egress/confine.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "egress/activity.hpp"
#include "egress/event_loop.hpp"

namespace substrate::egress {
namespace {

// In a process of its own, since there is no way back.
void confined(const std::function<bool()>& holds) {
    EXPECT_EXIT(
        {
            const auto done = confine_gateway();
            std::_Exit(!done ? 2 : holds() ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

class Confine : public testing::Test {
  protected:
    void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        GTEST_SKIP() << "a sanitizer's runtime needs calls that the gateway has none of";
#endif
    }
};

bool refused(long result) { return result < 0 && (errno == EPERM || errno == EACCES); }

TEST_F(Confine, WhoTakesTheGatewayOverStartsNothing) {
    confined([] {
        const char* argv[] = {"/bin/true", nullptr};
        return refused(::execve(argv[0], const_cast<char* const*>(argv), nullptr)) && refused(::fork()) &&
               refused(::kill(::getppid(), 0)) &&
               refused(::ptrace(PTRACE_ATTACH, ::getppid(), nullptr, nullptr)) &&
               ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0) == MAP_FAILED;
    });
}

TEST_F(Confine, TakesThePageOfAWorld) {
    auto page = sys::SharedMemory::make("test", sizeof(ActivityPage));
    ASSERT_TRUE(page);
    const int memory = page->second.get();
    confined([memory] { return ActivityNote::open(memory).has_value(); });
}

TEST_F(Confine, ReadsNoFilesAndWritesNone) {
    const std::string mine = testing::TempDir() + "/confine-test." + std::to_string(::getpid());
    const int made = ::open(mine.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ASSERT_GE(made, 0);
    ::close(made);
    confined([&] {
        return refused(::open(mine.c_str(), O_RDONLY | O_CLOEXEC)) &&
               refused(::open(mine.c_str(), O_RDWR | O_CLOEXEC)) &&
               refused(::open("/proc/self/mem", O_RDWR | O_CLOEXEC)) &&
               refused(::open("/etc/none", O_CREAT | O_WRONLY, 0600)) &&
               refused(::open("/tmp", O_TMPFILE | O_RDWR, 0600)) && refused(::unlink(mine.c_str())) &&
               refused(::rename(mine.c_str(), "/tmp/x")) && refused(::chmod(mine.c_str(), 0777)) &&
               refused(::mkdir("/tmp/x", 0700));
    });
    ASSERT_EQ(::unlink(mine.c_str()), 0);
}

TEST_F(Confine, SpeaksToNoNeighbour) {
    confined([] {
        return refused(::socket(AF_UNIX, SOCK_STREAM, 0)) && refused(::socket(AF_NETLINK, SOCK_RAW, 0)) &&
               refused(::socket(AF_INET, SOCK_RAW, 1)) && refused(::socket(AF_PACKET, SOCK_RAW, 0)) &&
               refused(::socket(AF_VSOCK, SOCK_STREAM, 0));
    });
}

TEST_F(Confine, KeepsWhatItsWorkNeeds) {
    confined([] {
        int pipes[2];
        auto loop = EventLoop::make();
        if (!loop || ::pipe2(pipes, O_CLOEXEC) != 0) return false;
        bool due = false;
        loop->after_ms(1, [&] {
            due = true;
            loop->stop();
        });
        void* memory = std::malloc(8 << 20);
        std::free(memory);
        return loop->run().has_value() && due && memory != nullptr &&
               ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) >= 0 &&
               ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0 && ::write(pipes[1], "x", 1) == 1;
    });
}

}  // namespace
}  // namespace substrate::egress
