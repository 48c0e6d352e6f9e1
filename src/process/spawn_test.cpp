#include "process/spawn.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>

#include <string>
#include <thread>
#include <vector>

#include "base/skip_test_support.hpp"
#include "sys/file.hpp"

namespace substrate::process {
namespace {

class Argv {
  public:
    explicit Argv(std::vector<std::string> words) : words_(std::move(words)) {
        for (auto& word : words_) pointers_.push_back(word.data());
        pointers_.push_back(nullptr);
    }
    char** data() { return pointers_.data(); }
    const char* program() const { return words_.front().c_str(); }

  private:
    std::vector<std::string> words_;
    std::vector<char*> pointers_;
};

class SpawnTest : public ::testing::Test {
  protected:
    ChildPlan plan(Argv& argv) const {
        ChildPlan plan;
        plan.program = argv.program();
        plan.argv = argv.data();
        plan.envp = no_environment_;
        for (int fd = 0; fd < 3; ++fd) plan.placements[fd] = {fd, fd};
        plan.placement_count = 3;
        return plan;
    }
    char* no_environment_[1] = {nullptr};
};

std::string run_and_read(ChildPlan plan, int& status) {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    sys::UniqueFd read(fds[0]), write(fds[1]);
    plan.placements[1] = {write.get(), 1};
    auto child = spawn(plan);
    EXPECT_TRUE(child) << child.error().message();
    write.reset();
    auto text = sys::read_to_end(read.get(), 1 << 20);
    status = wait_for(*child).value();
    return *text;
}

TEST_F(SpawnTest, RunsAndReportsTheExitStatus) {
    Argv argv({"/bin/sh", "-c", "exit 7"});
    auto child = spawn(plan(argv));
    ASSERT_TRUE(child) << child.error().message();
    EXPECT_EQ(WEXITSTATUS(wait_for(*child).value()), 7);
}

TEST_F(SpawnTest, NamesTheStepThatFailed) {
    Argv argv({"/no/such/program"});
    auto missing = spawn(plan(argv));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().os_errno(), ENOENT);
    EXPECT_EQ(missing.error().message(), "step exec '/no/such/program': No such file or directory");

    Argv shell({"/bin/true"});
    ChildPlan in_nowhere = plan(shell);
    in_nowhere.cwd = "/nope";
    auto nowhere = spawn(in_nowhere);
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().message(), "step change directory '/nope': No such file or directory");
}

TEST_F(SpawnTest, AGroupThatIsNoneIsSaidToBe) {
    const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    Argv argv({"/bin/true"});
    auto created = spawn(plan(argv), {.cgroup_fd = null.get()});
    ASSERT_FALSE(created);
    EXPECT_EQ(created.error().message(), "clone3 into the cgroup: Bad file descriptor");
}

TEST_F(SpawnTest, FallsBackToTheShell) {
    Argv argv({"/no/such/program"}), shell({"/bin/sh", "-c", "echo fell back"});
    ChildPlan with_fallback = plan(argv);
    with_fallback.fallback_program = "/bin/sh";
    with_fallback.fallback_argv = shell.data();
    int status = -1;
    EXPECT_EQ(run_and_read(with_fallback, status), "fell back\n");
}

TEST_F(SpawnTest, PassesNoDescriptorButThePlacedOnes) {
    const sys::UniqueFd leak(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC, as a library might
    ASSERT_TRUE(leak);
    Argv argv({"/bin/sh", "-c", "ls /proc/self/fd"});
    int status = -1;
    // ls itself opens the directory as descriptor 3.
    EXPECT_EQ(run_and_read(plan(argv), status), "0\n1\n2\n3\n");
}

// So many open files that the numbers of new ones are past what spawn() takes for few.
std::vector<sys::UniqueFd> open_many() {
    std::vector<sys::UniqueFd> many;
    for (int i = 0; i < 400; ++i) many.emplace_back(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
    return many;
}

std::string ls_with(LowDescriptors& low, ChildPlan plan, const SpawnOptions& options) {
    int fds[2];
    EXPECT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    sys::UniqueFd read(fds[0]), write(fds[1]);
    plan.placements[1] = {write.get(), 1};
    SpawnOptions with_low = options;
    with_low.low = &low;
    auto child = spawn(plan, with_low);
    if (!child) return child.error().message();
    write.reset();
    // The end of the text: nobody else has kept the pipe.
    auto text = sys::read_to_end(read.get(), 1 << 20);
    EXPECT_EQ(wait_for(*child).value(), 0);
    return text ? *text : text.error().message();
}

TEST_F(SpawnTest, FromAmongManyFilesNoneIsPassedAndNoneIsLost) {
    const auto low = LowDescriptors::reserve();
    ASSERT_TRUE(low) << low.error().message();
    const auto many = open_many();
    Argv argv({"/bin/sh", "-c", "ls /proc/self/fd"});
    EXPECT_EQ(ls_with(**low, plan(argv), {}), "0\n1\n2\n3\n");
    std::vector<std::thread> threads;
    threads.reserve(4);
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] {
            for (int j = 0; j < 20; ++j) EXPECT_EQ(ls_with(**low, plan(argv), {}), "0\n1\n2\n3\n");
        });
    for (std::thread& thread : threads) thread.join();
    for (const sys::UniqueFd& fd : many) EXPECT_EQ(::fcntl(fd.get(), F_GETFD), 0);
    Argv missing({"/no/such/program"});
    EXPECT_EQ(ls_with(**low, plan(missing), {}), "step exec '/no/such/program': No such file or directory");
}

TEST_F(SpawnTest, FromAmongManyFilesIntoAUserNamespace) {
    Argv nothing({"/bin/true"});
    const auto possible = spawn(plan(nothing), {.namespaces = CLONE_NEWUSER});
    SUB_SKIP_WITHOUT("userns", possible ? std::string() : possible.error().message());
    EXPECT_EQ(wait_for(*possible).value(), 0);
    const auto low = LowDescriptors::reserve();
    ASSERT_TRUE(low) << low.error().message();
    const auto many = open_many();
    Argv argv({"/bin/sh", "-c", "ls /proc/self/fd"});
    int asked = 0;
    const SpawnOptions mapped{.namespaces = CLONE_NEWUSER, .write_id_maps = [&](pid_t) -> Result<> {
                                  ++asked;
                                  return {};
                              }};
    EXPECT_EQ(ls_with(**low, plan(argv), mapped), "0\n1\n2\n3\n");
    const SpawnOptions refused{.namespaces = CLONE_NEWUSER, .write_id_maps = [&](pid_t) -> Result<> {
                                   return fail({Errc::unavailable, "no maps"});
                               }};
    EXPECT_EQ(ls_with(**low, plan(argv), refused), "no maps");
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(ls_with(**low, plan(argv), mapped), "0\n1\n2\n3\n");
}

TEST_F(SpawnTest, SwapsDescriptorsThatAreEachOthersTargets) {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
    sys::UniqueFd read(fds[0]), write(fds[1]);
    Argv argv({"/bin/sh", "-c", "echo error >&2"});
    ChildPlan swapped = plan(argv);
    swapped.placements[1] = {2, 1};
    swapped.placements[2] = {write.get(), 2};
    auto child = spawn(swapped);
    ASSERT_TRUE(child) << child.error().message();
    write.reset();
    EXPECT_EQ(sys::read_to_end(read.get(), 100).value(), "error\n");
    EXPECT_TRUE(wait_for(*child));
}

TEST_F(SpawnTest, DropsCapabilitiesAndSetsNoNewPrivs) {
    Argv argv({"/bin/sh", "-c", "grep -E 'Cap|NoNewPrivs' /proc/self/status"});
    ChildPlan confined = plan(argv);
    if (::geteuid() == 0) confined.drop_capabilities = true;  // PR_CAPBSET_DROP needs CAP_SETPCAP
    confined.no_new_privs = true;
    int status = -1;
    const std::string text = run_and_read(confined, status);
    EXPECT_NE(text.find("NoNewPrivs:\t1"), std::string::npos) << text;
    if (::geteuid() != 0) return;
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
        EXPECT_NE(text.find(std::string(set) + ":\t0000000000000000"), std::string::npos) << text;
}

TEST_F(SpawnTest, AChildWhoseIdsCannotBeMappedIsEnded) {
    Argv argv({"/bin/true"});
    const SpawnOptions options{
        .namespaces = 0, .write_id_maps = [](pid_t) -> Result<> { return fail({Errc::os, "no maps"}); }};
    const auto child = spawn(plan(argv), options);
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().message(), "no maps");
}

TEST_F(SpawnTest, WorksBesideBusyThreads) {
    std::jthread busy([](const std::stop_token& stop) {
        while (!stop.stop_requested()) std::string(100, 'x').shrink_to_fit();
    });
    Argv argv({"/bin/true"});
    for (int i = 0; i < 50; ++i) {
        auto child = spawn(plan(argv));
        ASSERT_TRUE(child) << child.error().message();
        EXPECT_EQ(wait_for(*child).value(), 0);
    }
}

}  // namespace
}  // namespace substrate::process
