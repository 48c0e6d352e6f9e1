#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "plan/world_plan.hpp"
#include "process/spawn.hpp"
#include "sys/unique_fd.hpp"
#include "world/cgroup.hpp"
#include "world/init_protocol.hpp"
#include "world/seccomp.hpp"

namespace substrate::world {

struct LaunchOptions {
    std::string init_program;  // path of substrate-world-init
    const SeccompProgram* seccomp = nullptr;
    const Cgroup* cgroup = nullptr;  // where it exists, the world's processes are in it from their start
    std::uint64_t file_limit = 0;    // soft, of open files, for everything in the world; 0: as ours
    process::LowDescriptors* low = nullptr;  // where many files are open here; not owned
};

// A running world: its init process and the socket to it. Not thread-safe; one
// command at a time. Destruction ends every process of the world and waits for
// the init to be gone.
class World {
  public:
    // Does not wait for the world to be set up: orders may be given at once, and what
    // fails is the first event. Requires the directory `<store>/worlds/<id>`, on which
    // the world's root is mounted, for itself alone. Must be called from
    // a thread that lives as long as the world: the kernel ends the init with
    // the thread that started it.
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
