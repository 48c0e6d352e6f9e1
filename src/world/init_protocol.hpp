#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"

// What the supervisor and a world's init say to each other over their
// SOCK_SEQPACKET socket, one message a packet. A payload over kMaxInline bytes
// travels in a memfd.
namespace substrate::world {

inline constexpr int kControlFd = 3;  // of world-init: the socket
inline constexpr int kScopeFd = 3;    // of a command that has a scope token: the token's sealed memory file
inline constexpr std::size_t kMaxInline = 64 * 1024;
inline constexpr std::size_t kMaxMessage = 16u << 20;

// The directories of the project's store that one capture mount uses, relative
// to the store. What they mean depends on the plan's capture strategy.
struct CaptureSlot {
    std::string path;                 // holds `upper` and `work` (overlay) or `tree` (copy-diff)
    std::vector<std::string> lowers;  // kept captures to show, top first, above the project
    bool operator==(const CaptureSlot&) const = default;
};

// A terminal of the world's own, which the command's session has as its controlling terminal.
struct TerminalOrder {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
    // Which of the three streams that travel it takes the place of, by bits; 0: none travels, or one.
    std::uint8_t streams = 0;
    bool operator==(const TerminalOrder&) const = default;
};
// Runs one command; its standard streams travel with the message. Where it gets a terminal, that takes the
// place of some; or at most one descriptor travels, which becomes 0, and the terminal is 1, 2 and 3.
struct ExecOrder {
    CaptureSlot slot;  // used unless background processes still hold the previous one
    std::string program;
    std::vector<std::string> argv;
    std::string fallback_program;  // empty: none
    std::vector<std::string> fallback_argv;
    std::vector<std::string> environment;  // "NAME=value"
    std::string cwd;                       // in the world
    std::uint32_t umask = 022;
    std::optional<TerminalOrder> terminal;
    bool scope_token = false;  // one descriptor more travels, the last: it becomes kScopeFd
    bool operator==(const ExecOrder&) const = default;
};
// To the running command's process group; `everything`: to every process of
// the world but its init.
struct SignalOrder {
    std::int32_t signal = 0;
    bool everything = false;
    bool operator==(const SignalOrder&) const = default;
};
// Makes the capture for a command to come, so that it need not wait for it. The
// next ExecOrder may name another slot all the same.
struct PrepareOrder {
    CaptureSlot slot;
    bool operator==(const PrepareOrder&) const = default;
};
// The other end of the world's veth pair is made (or `problem` says why not), after Uplink: the first command
// waits for it.
struct LinkOrder {
    std::vector<std::string> addresses;  // of the world's end: one of version 4, perhaps one of version 6
    std::array<std::uint8_t, 6> gateway_hardware{};
    std::string problem;
    bool operator==(const LinkOrder&) const = default;
};
// The first order: the world to be. With it come the files `tasks` of its version 1 cgroups, open for
// writing: the init joins each before anything else. One thread that moves itself does not wait for a grace
// period, as a write to cgroup.procs would (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
struct SetUpOrder {
    std::string plan;     // plan::encode_plan
    std::string seccomp;  // the program, as the kernel takes it; empty: none
    bool operator==(const SetUpOrder&) const = default;
};
using Order = std::variant<ExecOrder, SignalOrder, PrepareOrder, LinkOrder, SetUpOrder>;

// With it comes the listening socket at the plan's door, where there is one.
struct Ready {
    bool operator==(const Ready&) const = default;
};
// Setting up or starting a command failed; after a failed set-up init exits.
struct Failed {
    std::string message;
    std::int32_t os_errno = 0;
    bool operator==(const Failed&) const = default;
};
struct Exited {
    std::int32_t wait_status = 0;
    std::int64_t cpu_us = 0;
    std::int64_t max_rss_kb = 0;
    std::string slot;         // the slot that captured its changes
    bool background = false;  // processes live on and hold the slot
    // Of a command that failed: the file systems of the world's own that have no room left.
    std::vector<std::string> full;
    bool operator==(const Exited&) const = default;
};
// The last background process is gone and the capture is unmounted.
struct Quiet {
    bool operator==(const Quiet&) const = default;
};
// The network is made, before the first command: the sockets of its way out travel with the message
// (world/uplink.hpp), and behind them, where the plan names it, the network itself.
struct Uplink {
    bool operator==(const Uplink&) const = default;
};
// The terminal of the command that is being started: its master travels with the message.
struct TerminalOpened {
    bool operator==(const TerminalOpened&) const = default;
};
using Event = std::variant<Ready, Failed, Exited, Quiet, Uplink, TerminalOpened>;

std::string encode(const Order& order);
std::string encode(const Event& event);
Result<Order> decode_order(std::string_view bytes);
Result<Event> decode_event(std::string_view bytes);

}  // namespace substrate::world
