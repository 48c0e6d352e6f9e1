#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sys/shared_memory.hpp"
#include "sys/unique_fd.hpp"

// What an agent and its gateway know of one world without a message: most commands reach for nothing, and
// then neither has anything to tell the other.
namespace substrate::egress {

struct ActivityPage {
    std::atomic<std::uint64_t> commands;  // that have begun; the agent's
    std::atomic<std::uint32_t> busy;      // not 0: the gateway has something to say, or will; the gateway's
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// The agent's side. Neither end of it keeps a socket of the world open: without its gateway nothing listens.
class ActivityWatch final {
  public:
    // `sockets` are the ones that the gateway gets, which must be open still. The descriptor goes with them.
    static Result<std::pair<ActivityWatch, sys::UniqueFd>> make(const std::vector<sys::UniqueFd>& sockets);

    void begin_command() { page().commands.fetch_add(1, std::memory_order_seq_cst); }
    // Whether the gateway has to be asked what the world has reached. False: nobody has connected or asked
    // for a name since it was asked last, and nothing of before is open.
    bool stirred() const;

  private:
    ActivityWatch(sys::SharedMemory memory, sys::UniqueFd waiting)
        : memory_(std::move(memory)), waiting_(std::move(waiting)) {}
    ActivityPage& page() const { return *static_cast<ActivityPage*>(memory_.at()); }
    sys::SharedMemory memory_;
    sys::UniqueFd waiting_;  // epoll over the sockets
};

// The gateway's side.
class ActivityNote final {
  public:
    static Result<ActivityNote> open(int memory);

    // Before anything is taken from one of the world's sockets.
    void stir() { page().busy.store(1, std::memory_order_seq_cst); }
    // All has been said, and nothing is open.
    void rest() { page().busy.store(0, std::memory_order_seq_cst); }
    std::uint64_t commands() const { return page().commands.load(std::memory_order_seq_cst); }

  private:
    explicit ActivityNote(sys::SharedMemory memory) : memory_(std::move(memory)) {}
    ActivityPage& page() const { return *static_cast<ActivityPage*>(memory_.at()); }
    sys::SharedMemory memory_;
};

}  // namespace substrate::egress
