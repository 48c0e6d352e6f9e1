// Groups of the real kernel, in groups of the test's own. No limit is ever set on a group
// that holds anybody else.
#include "world/cgroup.hpp"

#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <set>
#include <thread>

#include "base/ids.hpp"
#include "base/skip_test_support.hpp"
#include "process/spawn.hpp"
#include "process/worker.hpp"
#include "sys/cgroup_dir.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/pipe.hpp"

namespace substrate::world {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

std::string new_world_id() { return make_world_id(sys::HostEnv()); }

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// A group without processes in each hierarchy below our own: the ground of one test.
class CgroupTest : public ::testing::Test {
  protected:
    void SetUp() override {
        auto found = find_cgroup_ground();
        ASSERT_TRUE(found) << found.error().message();
        ground_ = *std::move(found);
        whole_ = ground_;
        const std::string name = "cgroup_test." + new_world_id();
        if (ground_.unified) shift(ground_.unified, name);
        for (auto& place : ground_.v1) shift(place, name);
    }
    void TearDown() override {
        for (const std::string& path : made_) {
            ::rmdir((path + "/substrate/agent").c_str());
            ::rmdir((path + "/substrate").c_str());
            EXPECT_EQ(::rmdir(path.c_str()), 0) << path << " " << strerrorname_np(errno);
        }
    }
    std::string why_not(CgroupController controller) const {
        if (ground_.of(controller)) return {};
        if (!ground_.unified) return "no group of ours can be written to";
        const auto available = sys::read_file(ground_.unified->directory + "/cgroup.controllers");
        if (available && available->find(to_string(controller)) != std::string::npos) return {};
        return std::string(to_string(controller)) + " cannot be had in our group";
    }
    bool made_any() const { return !made_.empty(); }
    // For what needs any group at all: that of version 2, or the one for a limit on processes.
    std::string why_no_group() const {
        const bool any = ground_.unified || ground_.of(CgroupController::pids);
        return any ? "" : "no group of ours can be written to";
    }

    CgroupGround ground_;
    CgroupGround whole_;  // as it was found: nothing is made in it

  private:
    void shift(std::optional<CgroupPlace>& place, const std::string& name) {
        if (!place) return;
        const std::string path = place->directory + "/" + name;
        if (!place->directory.empty() && (made_.contains(path) || ::mkdir(path.c_str(), 0755) == 0)) {
            made_.insert(path);
            place->directory = path;
        } else place.reset();
    }
    std::set<std::string> made_;
};

// A child that does its part once it has been put where it belongs.
class Held {
  public:
    explicit Held(const std::function<int()>& part) {
        auto gate = sys::make_pipe();
        pid_ = ::fork();
        if (pid_ == 0) {
            gate->write.reset();
            char byte = 0;
            const bool told = ::read(gate->read.get(), &byte, 1) == 1;
            ::_exit(told ? part() : 99);
        }
        gate_ = std::move(gate->write);
    }
    ~Held() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        (void)end();
    }
    pid_t pid() const { return pid_; }
    void release() { (void)sys::write_all(gate_.get(), "x"); }
    int end() {  // the wait status
        int status = -1;
        EXPECT_EQ(::waitpid(pid_, &status, 0), pid_);
        pid_ = -1;
        return status;
    }

  private:
    pid_t pid_ = -1;
    sys::UniqueFd gate_;
};

int wait_for_ever() {
    for (;;) ::pause();
}

// Dirties memory step by step; never more than `most`.
int eat(std::uint64_t most) {
    // Where the kernel has to choose, it is not to choose another.
    if (const auto fd = sys::open_path("/proc/self/oom_score_adj", O_WRONLY))
        (void)sys::write_all(fd->get(), "1000");
    for (std::uint64_t eaten = 0; eaten < most; eaten += kMiB) {
        void* piece = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (piece == MAP_FAILED) return 1;
        volatile char* bytes = static_cast<char*>(piece);
        for (std::size_t i = 0; i < kMiB; i += 4096) bytes[i] = 1;
    }
    return 0;
}

// How many of `most` forks succeed. The children end when we do.
int count_forks(int most) {
    auto life = sys::make_pipe();
    int made = 0;
    for (; made < most; ++made) {
        const pid_t child = ::fork();
        if (child < 0) break;
        if (child == 0) {
            life->write.reset();
            char byte = 0;
            ::_exit(::read(life->read.get(), &byte, 1) == 0 ? 0 : 1);
        }
    }
    life->write.reset();
    while (::wait(nullptr) > 0) {
    }
    return made;
}

TEST_F(CgroupTest, AProcessOverTheMemoryLimitIsKilledAndCounted) {
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::memory));
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.memory_bytes = 64 * kMiB});
    ASSERT_TRUE(cgroup) << cgroup.error().message();
    for (const auto& item : cgroup->degradations()) ADD_FAILURE() << item.reason;
    Held greedy([] { return eat(256 * kMiB); });
    ASSERT_TRUE(cgroup->add(greedy.pid()));
    greedy.release();
    const int status = greedy.end();
    ASSERT_TRUE(WIFSIGNALED(status)) << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    const auto usage = cgroup->usage();
    ASSERT_TRUE(usage) << usage.error().message();
    EXPECT_EQ(usage->oom_kills, 1u);
    EXPECT_GT(usage->memory_peak_bytes.value_or(64 * kMiB), 48 * kMiB);
    EXPECT_LE(usage->memory_peak_bytes.value_or(0), 64 * kMiB);
    // Less is no reason to die, and is not counted.
    Held modest([] { return eat(16 * kMiB); });
    ASSERT_TRUE(cgroup->add(modest.pid()));
    modest.release();
    EXPECT_EQ(modest.end(), 0);
    EXPECT_EQ(cgroup->usage()->oom_kills, 1u);
    const auto removed = cgroup->remove();
    EXPECT_TRUE(removed) << removed.error().message();
}

TEST_F(CgroupTest, ForksOverTheLimitFailAndAreCounted) {
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::pids));
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.pids = 20});
    ASSERT_TRUE(cgroup) << cgroup.error().message();
    for (const auto& item : cgroup->degradations()) ADD_FAILURE() << item.reason;
    EXPECT_EQ(cgroup->usage()->pids_max_hits, 0u);
    Held forker([] { return count_forks(40); });
    ASSERT_TRUE(cgroup->add(forker.pid()));
    forker.release();
    const int status = forker.end();
    ASSERT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), 19);  // and itself
    EXPECT_GE(cgroup->usage()->pids_max_hits, 1u);
}

TEST_F(CgroupTest, TheProcessorQuotaIsWhatWasAskedFor) {
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::cpu));
    struct Case {
        std::uint32_t cpu_millis;
        const char* quota_us;
        const char* period_us;
    };
    for (const Case& asked :
         {Case{1500, "150000", "100000"}, {10, "1000", "100000"}, {1, "1000", "1000000"}}) {
        auto cgroup = Cgroup::make(ground_, new_world_id(), {.cpu_millis = asked.cpu_millis});
        ASSERT_TRUE(cgroup) << cgroup.error().message();
        for (const auto& item : cgroup->degradations()) ADD_FAILURE() << item.reason;
        std::string kept;
        for (const std::string& directory : cgroup->directories()) {
            for (const char* file : {"/cpu.max", "/cpu.cfs_quota_us", "/cpu.cfs_period_us"})
                if (exists(directory + file)) kept += sys::read_file(directory + file).value();
        }
        for (char& c : kept)
            if (c == '\n') c = ' ';
        EXPECT_EQ(kept, std::string(asked.quota_us) + " " + asked.period_us + " ");
    }
}

TEST_F(CgroupTest, KillEmptiesItAndRemoveTakesItAway) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    for (const plan::Limits& limits :
         {plan::Limits{}, plan::Limits{.memory_bytes = 256 * kMiB, .pids = 100}}) {
        auto cgroup = Cgroup::make(ground_, new_world_id(), limits);
        ASSERT_TRUE(cgroup) << cgroup.error().message();
        if (!cgroup->exists()) continue;
        Held first(wait_for_ever), second(wait_for_ever), outside(wait_for_ever);
        ASSERT_TRUE(cgroup->add(first.pid()));
        ASSERT_TRUE(cgroup->add(second.pid()));
        const auto directories = cgroup->directories();
        const auto killed = cgroup->kill();
        ASSERT_TRUE(killed) << killed.error().message();
        for (Held* held : {&first, &second}) {
            const int status = held->end();
            EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        }
        EXPECT_EQ(::kill(outside.pid(), 0), 0);
        const auto removed = cgroup->remove();
        ASSERT_TRUE(removed) << removed.error().message();
        EXPECT_FALSE(cgroup->exists());
        for (const std::string& directory : directories) EXPECT_FALSE(exists(directory)) << directory;
    }
}

// The way of kernels without cgroup.kill and of version 1.
TEST_F(CgroupTest, SignalsReachEveryProcessOfAGroup) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.pids = 100});
    ASSERT_TRUE(cgroup);
    Held first(wait_for_ever), second(wait_for_ever);
    ASSERT_TRUE(cgroup->add(first.pid()));
    ASSERT_TRUE(cgroup->add(second.pid()));
    const auto group = sys::open_path(cgroup->directories().back(), O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(group);
    EXPECT_EQ(sys::kill_cgroup_processes(group->get()).value_or(0), 2u);
    for (Held* held : {&first, &second}) EXPECT_TRUE(WIFSIGNALED(held->end()));
    EXPECT_EQ(sys::kill_cgroup_processes(group->get()).value_or(9), 0u);
}

TEST_F(CgroupTest, ItEndsItsProcessesWhenItIsDestroyed) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    Held inside(wait_for_ever);
    std::vector<std::string> directories;
    {
        auto cgroup = Cgroup::make(ground_, new_world_id(), {.pids = 100});
        ASSERT_TRUE(cgroup);
        Cgroup moved = *std::move(cgroup);
        EXPECT_FALSE(cgroup->exists());  // NOLINT(bugprone-use-after-move): that is what it says
        directories = moved.directories();
        ASSERT_TRUE(moved.add(inside.pid()));
    }
    EXPECT_TRUE(WIFSIGNALED(inside.end()));
    EXPECT_FALSE(directories.empty());
    for (const std::string& directory : directories) EXPECT_FALSE(exists(directory)) << directory;
}

// `text` is a process's /proc/PID/cgroup.
void expect_inside(const std::string& text, const Cgroup& cgroup, const std::string& world_id) {
    std::size_t named = 0;
    for (std::size_t at = 0; (at = text.find("/substrate/" + world_id + "\n", at)) != std::string::npos; ++at)
        ++named;
    EXPECT_EQ(named, cgroup.directories().size()) << text;
}

// Starts a program that waits for its input's end, in the version 2 part.
Result<process::Child> start_cat(const Cgroup& cgroup, int input, int namespaces) {
    char program[] = "/bin/cat";
    char* argv[] = {program, nullptr};
    char* environment[] = {nullptr};
    process::ChildPlan child;
    child.program = program;
    child.argv = argv;
    child.envp = environment;
    for (int fd = 0; fd < 3; ++fd) child.placements[fd] = {fd == 0 ? input : fd, fd};
    child.placement_count = 3;
    return process::spawn(child, {.namespaces = namespaces, .cgroup_fd = cgroup.v2_fd()});
}

std::string own_groups_after_joining(const Cgroup& cgroup) {
    auto pipe = sys::make_pipe();
    if (!pipe) return pipe.error().message();
    const auto pid = process::fork_worker([&] {
        for (const int task : cgroup.v1_task_fds())
            if (!sys::write_all(task, "0")) return;
        if (const auto text = sys::read_file("/proc/self/cgroup"))
            (void)sys::write_all(pipe->write.get(), *text);
    });
    if (!pid) return pid.error().message();
    pipe->write.reset();
    const auto text = sys::read_to_end(pipe->read.get(), 1 << 16);
    EXPECT_EQ(::waitpid(*pid, nullptr, 0), *pid);
    return text ? *text : text.error().message();
}

TEST_F(CgroupTest, ChildrenAreCreatedInside) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    const std::string id = new_world_id();
    auto cgroup = Cgroup::make(ground_, id, {.cpu_millis = 1000, .memory_bytes = 256 * kMiB, .pids = 100});
    ASSERT_TRUE(cgroup);
    for (const int namespaces : {0, CLONE_NEWPID | CLONE_NEWUTS}) {
        if (namespaces != 0 && ::geteuid() != 0) continue;
        auto pipe = sys::make_pipe();
        ASSERT_TRUE(pipe);
        const auto started = start_cat(*cgroup, pipe->read.get(), namespaces);
        ASSERT_TRUE(started) << started.error().message();
        const auto text = sys::read_file("/proc/" + std::to_string(started->pid) + "/cgroup");
        pipe->write.reset();
        EXPECT_EQ(process::wait_for(*started).value(), 0);
        if (cgroup->v2_fd() < 0) continue;
        EXPECT_TRUE(text.value().ends_with("/substrate/" + id + "\n")) << text.value();
    }
    std::string joined = own_groups_after_joining(*cgroup);
    // Of version 2 it is no member: that is for who is created inside.
    if (cgroup->v2_fd() >= 0) joined += "/substrate/" + id + "\n";
    expect_inside(joined, *cgroup, id);
    const auto removed = cgroup->remove();
    EXPECT_TRUE(removed) << removed.error().message();
}

TEST_F(CgroupTest, AWorldHasItsGroupAlone) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    const std::string id = new_world_id();
    const auto first = Cgroup::make(ground_, id, {.pids = 100});
    ASSERT_TRUE(first);
    const auto second = Cgroup::make(ground_, id, {.pids = 100});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), Errc::conflict);
    for (const std::string& directory : first->directories()) EXPECT_TRUE(exists(directory)) << directory;
    for (const char* name : {"", "..", "x", "agent", "wld_1/../../x"}) {
        const auto wrong = Cgroup::make(ground_, name, {});
        ASSERT_FALSE(wrong) << name;
        EXPECT_EQ(wrong.error().code(), Errc::invalid);
    }
}

// How fast that is then nobody measures here: the kernel says what it holds.
TEST_F(CgroupTest, ReadingAndWritingAreLimitedForEachDevice) {
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::io));
    const IoLimits io{.read_bps = 1 << 20, .write_bps = 2 << 20, .read_iops = 100, .write_iops = 50};
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.io = io});
    ASSERT_TRUE(cgroup) << cgroup.error().message();
    EXPECT_EQ(cgroup->held().io, io);
    const bool v1 = ground_.of(CgroupController::io).has_value();
    // What version 1 cannot hold is said.
    EXPECT_EQ(cgroup->degradations().size(), v1 ? 1U : 0U);
    for (const Degradation& item : cgroup->degradations())
        EXPECT_TRUE(item.reason.contains("version 1 of control groups")) << item.reason;
    struct ::stat st{};
    ASSERT_EQ(::stat("/", &st), 0);
    std::string directory;
    for (const std::string& each : cgroup->directories())
        if (exists(each + (v1 ? "/blkio.throttle.read_bps_device" : "/io.max"))) directory = each;
    ASSERT_FALSE(directory.empty());
    if (!v1) {
        const std::string text = sys::read_file(directory + "/io.max").value();
        EXPECT_TRUE(text.contains(" rbps=1048576 wbps=2097152 riops=100 wiops=50\n")) << text;
    } else {
        for (const auto& [file, most] : {std::pair{"read_bps", "1048576"},
                                         {"write_bps", "2097152"},
                                         {"read_iops", "100"},
                                         {"write_iops", "50"}}) {
            const std::string path = directory + "/blkio.throttle." + file + "_device";
            const std::string text = sys::read_file(path).value();
            EXPECT_TRUE(text.contains(std::string(" ") + most + "\n")) << path << ": " << text;
        }
    }
    Held inside(wait_for_ever);
    ASSERT_TRUE(cgroup->add(inside.pid()));
    EXPECT_TRUE(sys::read_file("/proc/" + std::to_string(inside.pid()) + "/cgroup")
                    .value()
                    .contains(directory.substr(directory.find("/substrate/"))));
    ASSERT_TRUE(cgroup->kill());
    EXPECT_TRUE(cgroup->remove());
}

TEST_F(CgroupTest, ALimitOnReadingAloneIsHeldWhole) {
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::io));
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.io = {.read_bps = 1 << 20}});
    ASSERT_TRUE(cgroup) << cgroup.error().message();
    EXPECT_TRUE(cgroup->degradations().empty());
    EXPECT_EQ(cgroup->held().io, (IoLimits{.read_bps = 1 << 20}));
}

TEST_F(CgroupTest, RemovingRefusesWhatIsInUse) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    const std::string id = new_world_id();
    auto cgroup = Cgroup::make(ground_, id, {.pids = 100});
    ASSERT_TRUE(cgroup);
    Held inside(wait_for_ever);
    ASSERT_TRUE(cgroup->add(inside.pid()));
    EXPECT_EQ(find_leftovers(ground_).value(), (std::vector<CgroupLeftover>{{id, false}}));
    const auto collected = remove_leftover(ground_, id);
    ASSERT_FALSE(collected);
    EXPECT_EQ(collected.error().code(), Errc::conflict);
    const auto refused = cgroup->remove();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), Errc::conflict);
    EXPECT_EQ(::kill(inside.pid(), 0), 0);
    ASSERT_TRUE(cgroup->kill());
    EXPECT_TRUE(cgroup->remove());
}

TEST_F(CgroupTest, LeftoversAreFoundAndRemoved) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    EXPECT_TRUE(find_leftovers(ground_).value().empty());
    const std::string id = new_world_id();
    // A supervisor that dies: nothing is destroyed.
    Held dying([&] {
        auto cgroup = Cgroup::make(ground_, id, {.memory_bytes = 64 * kMiB, .pids = 100});
        return cgroup && cgroup->exists() ? ::kill(::getpid(), SIGKILL) : 1;
    });
    dying.release();
    ASSERT_TRUE(WIFSIGNALED(dying.end()));
    EXPECT_EQ(find_leftovers(ground_).value(), (std::vector<CgroupLeftover>{{id, true}}));
    EXPECT_TRUE(remove_leftover(ground_, id));
    EXPECT_TRUE(remove_leftover(ground_, id));
    EXPECT_FALSE(remove_leftover(ground_, "agent"));
    EXPECT_TRUE(find_leftovers(ground_).value().empty());
}

TEST_F(CgroupTest, TheGroupAboveIsKeptForTheNextWhereThatIsWanted) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    CgroupGround keeping = ground_;
    keeping.keep_parents = true;
    auto cgroup = Cgroup::make(keeping, new_world_id(), {.pids = 100});
    ASSERT_TRUE(cgroup);
    std::vector<std::string> parents;
    for (const std::string& directory : cgroup->directories())
        parents.push_back(directory.substr(0, directory.rfind('/')));
    EXPECT_TRUE(remove_empty_parents(ground_)) << "of which there is none yet";
    for (const std::string& parent : parents) EXPECT_TRUE(exists(parent)) << parent;
    ASSERT_TRUE(cgroup->remove());
    for (const std::string& parent : parents) EXPECT_TRUE(exists(parent)) << parent;
    const auto removed = remove_empty_parents(ground_);
    EXPECT_TRUE(removed) << removed.error().message();
    for (const std::string& parent : parents) EXPECT_FALSE(exists(parent)) << parent;
}

// Whoever removes the last world also removes what the next one goes below.
TEST_F(CgroupTest, WorldsComeAndGoBesideEachOther) {
    SUB_SKIP_WITHOUT("cgroup", why_no_group());
    const auto come_and_go = [&] {
        for (int i = 0; i < 50; ++i) {
            auto cgroup = Cgroup::make(ground_, new_world_id(), {.pids = 100});
            ASSERT_TRUE(cgroup) << cgroup.error().message();
            for (const auto& item : cgroup->degradations())
                if (why_not(CgroupController::pids).empty()) ADD_FAILURE() << item.reason;
            ASSERT_TRUE(cgroup->remove());
        }
    };
    std::thread other(come_and_go);
    come_and_go();
    other.join();
}

// Version 2 shares out a controller only from a group without processes.
TEST_F(CgroupTest, OurOwnProcessesStepAside) {
    if (ground_.of(CgroupController::pids)) GTEST_SKIP() << "the controller belongs to version 1 here";
    SUB_SKIP_WITHOUT("cgroup", why_not(CgroupController::pids));
    const std::string own = ground_.unified->directory;
    const auto group = sys::open_cgroup(own, sys::CgroupVersion::v2);
    ASSERT_TRUE(group);
    Held ours(wait_for_ever);
    ASSERT_TRUE(sys::write_cgroup_file(group->get(), "cgroup.procs", std::to_string(ours.pid())));
    {
        auto refused = Cgroup::make(ground_, new_world_id(), {.pids = 20});
        ASSERT_TRUE(refused);
        ASSERT_EQ(refused->degradations().size(), 1u);
        EXPECT_NE(refused->degradations()[0].reason.find("other processes live in our group, such as pid " +
                                                         std::to_string(ours.pid())),
                  std::string::npos)
            << refused->degradations()[0].reason;
        EXPECT_EQ(sys::cgroup_processes(group->get()).value(), std::vector<pid_t>{ours.pid()});
        EXPECT_EQ(sys::read_cgroup_file(group->get(), "cgroup.type").value(), "domain\n");
        EXPECT_EQ(sys::read_cgroup_file(group->get(), "cgroup.subtree_control").value(), "");
    }
    ground_.movable = {ours.pid()};
    auto cgroup = Cgroup::make(ground_, new_world_id(), {.pids = 20});
    ASSERT_TRUE(cgroup);
    for (const auto& item : cgroup->degradations()) ADD_FAILURE() << item.reason;
    EXPECT_TRUE(sys::cgroup_processes(group->get()).value().empty());
    const std::string proc = "/proc/" + std::to_string(ours.pid());
    const std::string where = sys::read_file(proc + "/cgroup").value();
    EXPECT_NE(where.find("/substrate/agent\n"), std::string::npos) << where;
    // From there it finds the same ground.
    EXPECT_EQ(locate_cgroups(sys::read_file(proc + "/mountinfo").value(), where).unified, ground_.unified);
    // What lives beside the worlds is none of them.
    EXPECT_EQ(find_leftovers(ground_).value().size(), 1u);
}

TEST_F(CgroupTest, WithoutPermissionTheLimitsAreNamedAsMissing) {
    if (made_any() && ::geteuid() != 0) GTEST_SKIP() << "the groups are ours, and we cannot become another";
    auto report = sys::make_pipe();
    ASSERT_TRUE(report);
    Held nobody([&] {
        constexpr uid_t kNobody = 65534;
        if (made_any() && (::setgroups(0, nullptr) != 0 || ::setresgid(kNobody, kNobody, kNobody) != 0 ||
                           ::setresuid(kNobody, kNobody, kNobody) != 0))
            return 1;
        auto cgroup =
            Cgroup::make(whole_, new_world_id(), {.cpu_millis = 1, .memory_bytes = kMiB, .pids = 1});
        if (!cgroup || cgroup->exists()) return 2;
        for (const auto& item : cgroup->degradations())
            (void)sys::write_all(report->write.get(),
                                 item.component + "|" + item.reason + "|" + item.fix + "\n");
        // There is nothing to end or to count, which is no error either.
        return cgroup->add(::getpid()) && cgroup->kill() && cgroup->remove() && cgroup->usage() ? 0 : 3;
    });
    nobody.release();
    EXPECT_EQ(nobody.end(), 0);
    report->write.reset();
    const std::string text = sys::read_to_end(report->read.get(), 1 << 16).value();
    for (const char* what : {"cpu", "memory", "processes"})
        EXPECT_NE(text.find("cgroup|no limit on " + std::string(what) + ": "), std::string::npos) << text;
    const bool is_root = ::geteuid() == 0 && !made_any() && ::access("/", W_OK) == 0;
    if (!is_root) {
        EXPECT_NE(text.find("systemd-run --user --scope -p Delegate=yes"), std::string::npos) << text;
    }
    EXPECT_EQ(std::ranges::count(text, '\n'), 3) << text;
}

TEST_F(CgroupTest, DirectoriesOnOtherFileSystemsLimitNothing) {
    char path[] = "/tmp/cgroup_test.XXXXXX";
    ASSERT_NE(::mkdtemp(path), nullptr);
    CgroupGround planted;
    planted.unified = CgroupPlace{.directory = path, .read_only = false, .problem = {}};
    planted.v1[static_cast<std::size_t>(CgroupController::pids)] = planted.unified;
    const auto cgroup = Cgroup::make(planted, new_world_id(), {.memory_bytes = kMiB, .pids = 1});
    ASSERT_TRUE(cgroup);
    EXPECT_FALSE(cgroup->exists());
    ASSERT_EQ(cgroup->degradations().size(), 2u);
    for (const auto& item : cgroup->degradations())
        EXPECT_NE(item.reason.find("is not on a cgroup file system"), std::string::npos) << item.reason;
    EXPECT_TRUE(find_leftovers(planted).value().empty());
    EXPECT_EQ(::rmdir(path), 0);  // nothing was made in it
}

TEST_F(CgroupTest, ReadOnlyAndUnseenHierarchiesAreNamed) {
    CgroupGround ground;
    ground.unified = CgroupPlace{.directory = "/sys/fs/cgroup", .read_only = true, .problem = {}};
    ground.v1[static_cast<std::size_t>(CgroupController::pids)] =
        CgroupPlace{.directory = {}, .read_only = false, .problem = "no mount shows our group '/a'"};
    auto cgroup = Cgroup::make(ground, new_world_id(), {.memory_bytes = kMiB, .pids = 1});
    ASSERT_TRUE(cgroup);
    ASSERT_EQ(cgroup->degradations().size(), 2u);
    EXPECT_EQ(cgroup->degradations()[0].reason, "no limit on memory: '/sys/fs/cgroup' is mounted read-only");
    EXPECT_EQ(cgroup->degradations()[1].reason, "no limit on processes: no mount shows our group '/a'");
    const auto nothing = Cgroup::make({}, new_world_id(), {.cpu_millis = 1});
    ASSERT_TRUE(nothing);
    ASSERT_EQ(nothing->degradations().size(), 1u);
    EXPECT_EQ(nothing->degradations()[0].reason, "no limit on cpu: no cgroup file system is mounted");
    // Who asks for nothing misses nothing.
    EXPECT_TRUE(Cgroup::make({}, new_world_id(), {})->degradations().empty());
}

TEST_F(CgroupTest, ControllersThatAreNotDelegatedAreNamed) {
    if (!ground_.unified) GTEST_SKIP() << "no group of version 2";
    // As on a machine where nothing is delegated to us: no controller anywhere.
    auto bare = ground_;
    bare.v1 = {};
    const auto available = sys::read_file(bare.unified->directory + "/cgroup.controllers").value();
    if (available.find("memory") != std::string::npos) GTEST_SKIP() << "version 2 has the controllers here";
    const auto cgroup =
        Cgroup::make(bare, new_world_id(), {.cpu_millis = 1, .memory_bytes = kMiB, .pids = 1});
    ASSERT_TRUE(cgroup) << cgroup.error().message();
    EXPECT_TRUE(cgroup->exists());
    EXPECT_GE(cgroup->v2_fd(), 0);
    ASSERT_EQ(cgroup->degradations().size(), 3u);
    EXPECT_EQ(
        cgroup->degradations()[1].reason,
        "no limit on memory: the memory controller is not delegated to '" + bare.unified->directory + "'");
    EXPECT_EQ(cgroup->usage()->oom_kills, std::nullopt);
}

}  // namespace
}  // namespace substrate::world
