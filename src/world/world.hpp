#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "plan/host_facts.hpp"
#include "plan/world_plan.hpp"
#include "process/spawn.hpp"
#include "sys/unique_fd.hpp"
#include "world/cgroup.hpp"
#include "world/init_protocol.hpp"
#include "world/seccomp.hpp"

namespace substrate::world {

// What an init begins with, whatever its world will be.
struct InitOptions {
    std::string init_program;                      // path of substrate-world-init
    int namespaces = 0;                            // CLONE_NEW* flags of clone(2)
    std::vector<plan::IdExtent> uid_map, gid_map;  // of a user namespace; identity
    int cgroup_fd = -1;                            // Cgroup::v2_fd(); not owned
    std::uint64_t file_limit = 0;            // soft, of open files, for everything in the world; 0: as ours
    process::LowDescriptors* low = nullptr;  // where many files are open here; not owned
};
// Of every world on this machine.
InitOptions init_options_for(const plan::HostFacts& facts, std::string init_program);

// An init that has its namespaces and waits for what its world is to be, which can be planned while it
// starts. Destruction ends it.
class WaitingInit {
  public:
    // Must be called from a thread that lives as long as the world: the kernel ends the init with
    // the thread that started it.
    static Result<WaitingInit> start(const InitOptions& options);
    WaitingInit(WaitingInit&&) noexcept;
    ~WaitingInit();

    struct Running {
        process::Child child;
        sys::UniqueFd control;  // the socket over which it is told
    };
    // Waits until it runs, and is no longer this one's to end. Once only.
    Result<Running> finish();

  private:
    struct Arguments;
    WaitingInit(std::unique_ptr<Arguments> arguments, process::StartingChild child, sys::UniqueFd control);

    std::unique_ptr<Arguments> arguments_;  // of the program, until that is executed
    process::StartingChild child_;
    sys::UniqueFd control_;
};

struct LaunchOptions {
    std::string init_program;
    const SeccompProgram* seccomp = nullptr;
    const Cgroup* cgroup = nullptr;  // as of World::set_up
};

// A running world: its init process and the socket to it. Not thread-safe; one
// command at a time. Destruction ends every process of the world and waits for
// the init to be gone.
class World {
  public:
    // Does not wait for the world to be set up: orders may be given at once, and what
    // fails is the first event. Requires the directory `<store>/worlds/<id>`, on which
    // the world's root is mounted, for itself alone. The init must have been started in the user namespace
    // that the plan says. `cgroup`: where it exists, everything that the init does happens inside; the init
    // must have been started in its version 2 part. Null: none.
    static Result<World> set_up(WaitingInit init, const plan::WorldPlan& plan, const SeccompProgram* seccomp,
                                const Cgroup* cgroup);
    // Starts an init and has it set the world up.
    static Result<World> launch(const plan::WorldPlan& plan, const LaunchOptions& options);

    // One that has already ended: assigning it ends the other.
    static World ended() { return World({}, {}); }

    World(World&&) noexcept = default;
    World& operator=(World&& other) noexcept;
    ~World();

    pid_t init_pid() const { return init_.pid; }
    const process::Child& init() const { return init_; }
    // Readable when an event can be received or the init is gone.
    int event_fd() const { return control_.get(); }

    // Waits for the world to be set up, where no order follows at once.
    Result<> await_ready();
    bool ready() const { return ready_; }

    // `token` goes with an order that says so.
    Result<> exec(const ExecOrder& order, const int (&stdio)[3], int token = -1);
    // Of an order with a terminal. `input` becomes descriptor 0; -1: the terminal does. A token goes without
    // an input only.
    Result<> exec_on_terminal(const ExecOrder& order, int input = -1, int token = -1);
    Result<> prepare(const CaptureSlot& slot);
    Result<> signal(int number, bool everything);
    Result<> link(const LinkOrder& link);
    // The next event; of a new world, the first is Ready. Errc::unavailable when the
    // init is gone.
    Result<Event> receive();
    // After Uplink was received: what came with it, once.
    bool has_uplink() const { return !uplink_.empty(); }
    std::vector<sys::UniqueFd> take_uplink() { return std::move(uplink_); }
    // The listening socket of the world's door, which comes with Ready: once. May be none.
    sys::UniqueFd take_door() { return std::move(door_); }
    // The master of the terminal of the command that is being started, after TerminalOpened. Once.
    sys::UniqueFd take_terminal() { return std::move(terminal_); }
    // What `failed`, just received, means.
    Error describe(const Failed& failed) const;

  private:
    World(process::Child init, sys::UniqueFd control)
        : init_(std::move(init)), control_(std::move(control)) {}
    void end();

    process::Child init_;
    sys::UniqueFd control_;
    sys::UniqueFd door_;
    sys::UniqueFd terminal_;
    bool ready_ = false;
    std::vector<sys::UniqueFd> uplink_;
};

}  // namespace substrate::world
