// layers_bench DIRECTORY TRIPLES
//
// Starts /bin/true in two warm worlds in turn, one with every layer that a command passes when it
// starts (Landlock rules, seccomp filter, cgroup limits where this machine has them) and one without,
// and as a plain process. Namespaces and mounts are those of a world in both. Prints the names of the
// layers, then for each triple the nanoseconds with, without, and of the plain process, from the order
// until its end is known.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "base/ids.hpp"
#include "base/paths.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "world/cgroup.hpp"
#include "world/probe.hpp"
#include "world/seccomp.hpp"
#include "world/world.hpp"

namespace {

using namespace substrate;

constexpr const char* kProgram = "/bin/true";
// A warm world makes itself ready for the next command meanwhile.
constexpr auto kPause = std::chrono::milliseconds(2);

// Benchmarks have no caller that could act on a failure.
template <typename T>
T checked(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().describe());
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::string init_program() {
    return std::string(parent_of(checked(sys::read_link_at(AT_FDCWD, "/proc/self/exe")))) +
           "/substrate-world-init";
}

class BenchWorld {
  public:
    BenchWorld(const std::string& base, const sys::HostEnv& env, const plan::HostFacts& facts, bool layers)
        : null_(checked(sys::open_path("/dev/null", O_RDWR))) {
        plan::WorldSpec spec;
        spec.world_id = make_world_id(env);
        spec.project = HostPath(base + "/project");
        const auto st = checked(sys::stat_at(AT_FDCWD, spec.project.c_str()));
        spec.project_device = sys::device_of(st.value());
        spec.project_inode = st.value().stx_ino;
        spec.store = HostPath(base + "/store");
        if (layers) spec.limits = {.cpu_millis = 2000, .memory_bytes = 1u << 30, .pids = 256};
        plan_ = checked(plan::plan_world(spec, facts));
        slot_ = "worlds/" + spec.world_id + "/slots/0";
        for (const char* part : {"/upper", "/work", "/tree"})
            checked(sys::make_dirs(base + "/store/" + slot_ + part, 0755));
        if (layers) {
            group_ = checked(
                world::Cgroup::make(checked(world::find_cgroup_ground()), spec.world_id, plan_.limits));
            seccomp_ = checked(world::compile_seccomp(SeccompMode::enforce));
        } else {
            plan_.landlock = {};
            plan_.seccomp = SeccompMode::off;
        }
        world_.emplace(checked(world::World::launch(plan_, {init_program(), &seccomp_, &group_})));
        checked(world_->await_ready());
    }

    std::string layers() const {
        std::string names = "landlock-" + std::to_string(plan_.landlock.abi) + " seccomp";
        return group_.exists() ? names + " cgroup" : names;
    }

    void run() {
        world::ExecOrder order;
        order.slot.path = slot_;
        order.program = kProgram;
        order.argv = {"true"};
        order.environment = {"PATH=/usr/bin:/bin"};
        order.cwd = "/";
        checked(world_->exec(order, {null_.get(), null_.get(), null_.get()}));
        const world::Event event = checked(world_->receive());
        if (const auto* failed = std::get_if<world::Failed>(&event))
            checked<void>(fail(world_->describe(*failed)));
        const auto* exited = std::get_if<world::Exited>(&event);
        if (exited == nullptr || exited->wait_status != 0)
            throw std::runtime_error("the command did not end well");
    }
    void prepare() { checked(world_->prepare({slot_, {}})); }

  private:
    sys::UniqueFd null_;
    plan::WorldPlan plan_;
    std::string slot_;
    world::Cgroup group_ = world::Cgroup::none();
    world::SeccompProgram seccomp_;
    std::optional<world::World> world_;
};

void run_plain() {
    std::array<char*, 2> argv = {const_cast<char*>("true"), nullptr};
    std::array<char*, 2> environment = {const_cast<char*>("PATH=/usr/bin:/bin"), nullptr};
    pid_t pid = -1;
    int status = -1;
    if (::posix_spawn(&pid, kProgram, nullptr, nullptr, argv.data(), environment.data()) != 0 ||
        ::waitpid(pid, &status, 0) != pid || status != 0)
        throw std::runtime_error("the plain process did not end well");
}

std::int64_t nanoseconds_of(const auto& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count();
}

void measure(const std::string& base, int triples) {
    for (const char* name : {"/project", "/store", "/home"}) checked(sys::make_dirs(base + name, 0755));
    const sys::HostEnv env;
    const plan::HostFacts facts =
        checked(world::probe_host(env, {init_program(), base + "/home", base + "/store"}));
    BenchWorld with(base, env, facts, /*layers=*/true), without(base, env, facts, /*layers=*/false);
    std::printf("layers %s\n", with.layers().c_str());
    for (int triple = -2; triple < triples; ++triple) {  // the first warm up
        std::array<std::int64_t, 3> elapsed{};
        for (int turn = 0; turn < 3; ++turn) {
            std::this_thread::sleep_for(kPause);
            const int which = (turn + triple + 3) % 3;
            BenchWorld& world = which == 0 ? with : without;
            elapsed[which] = nanoseconds_of([&] { which == 2 ? run_plain() : world.run(); });
            if (which != 2) world.prepare();
        }
        if (triple < 0) continue;
        std::printf("triple %lld %lld %lld\n", static_cast<long long>(elapsed[0]),
                    static_cast<long long>(elapsed[1]), static_cast<long long>(elapsed[2]));
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fputs("usage: layers_bench DIRECTORY TRIPLES\n", stderr);
        return 2;
    }
    try {
        measure(argv[1], std::atoi(argv[2]));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "layers_bench: %s\n", error.what());
        return 1;
    }
    return 0;
}
