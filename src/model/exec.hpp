#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/fs_access.hpp"
#include "model/span.hpp"

namespace substrate {

// When a command's captured changes reach the host.
enum class CommitMode : std::uint8_t {
    automatic,  // at the end of the command
    ask,        // shown first; kept where nobody can be asked
    manual,     // kept until `substrate apply`
    discard,    // never: replays
};
const char* to_string(CommitMode mode);  // "auto", "ask", "manual", "discard"
std::optional<CommitMode> parse_commit_mode(std::string_view text);

// What becomes of system calls that no command needs; the strictest first.
enum class SeccompMode : std::uint8_t {
    enforce,  // they fail
    log,      // they are let through to the kernel's own checks, and stand in its log
    off,
};
const char* to_string(SeccompMode mode);
// Also "true" and "false": enforce and off.
std::optional<SeccompMode> parse_seccomp_mode(std::string_view text);

// What a world may use at most.
struct WorldLimits {
    std::uint32_t cpu_millis = 0;    // thousandths of one processor; 0: no limit
    std::uint64_t memory_bytes = 0;  // 0: no limit
    std::uint32_t pids = 0;          // 0: no limit
    std::int64_t runtime_ms = 0;     // of each command; 0: no limit
    IoLimits io;
    bool operator==(const WorldLimits&) const = default;
};

// A terminal of a world's own: its size, in characters.
struct TerminalSize {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
    // Which of the caller's three descriptors it takes the place of, by bits; 0: the caller has none.
    std::uint8_t streams = 0;
    bool operator==(const TerminalSize&) const = default;
};

// One command to run in a world.
struct ExecRequest {
    std::string cmd;                         // a line for the shell
    std::vector<std::string> argv;           // or: exactly this, without a shell
    std::string cwd;                         // on the host, absolute
    std::map<std::string, std::string> env;  // already selected
    std::string env_hash;                    // of what was not passed on
    std::uint32_t umask = 022;
    std::string shell = "/bin/bash";
    bool login_shell = false;
    bool ephemeral = false;
    CommitMode commit = CommitMode::automatic;
    std::optional<CaptureStrategy> capture;  // this one and no other
    bool host_network = false;
    // With it: the only ports to connect to by TCP. Set by the gate, never by a caller.
    std::optional<std::vector<std::uint16_t>> tcp_ports;
    FsAccess fs;                                 // set by the gate, never by a caller
    WorldLimits limits;                          // the same
    SeccompMode seccomp = SeccompMode::enforce;  // the same
    std::string governed_by;      // the directory whose policies hold; empty: cwd. Never by a caller
    int nested_depth = 0;         // of a request from inside a world. Never by a caller
    std::int64_t timeout_ms = 0;  // 0: none
    std::string session_id;       // empty: the project's own
    std::string parent_span;
    std::string agent_id = "human";
    std::string traceparent;  // of its caller, as read_traceparent() gives it; empty: none
    // A policy that must agree besides those that govern; empty: none. Not for control.sock.
    std::string profile;
    // This session world and no other; empty: any that fits. Not for control.sock.
    std::string world_id;
    // The text of a scope token, which the command gets in a sealed memory file; empty: none. Never by a
    // caller.
    std::string scope_token;
    // What all commands of this agent id may move over the network within an hour. Not for control.sock.
    std::optional<std::uint64_t> agent_egress_bytes;
    std::int64_t as_of_ns = 0;  // show the project as it was then; 0: as it is
    // A terminal of the world's own instead of descriptors of the caller.
    std::optional<TerminalSize> terminal;
    bool observes_output = false;  // the client reports hashes of the output
};

struct ExecResult {
    Span span;
    std::vector<std::string> notices;  // one line each, for standard error
    // With as_of_ns: paths of the project that have changed since and are not shown as
    // they were then.
    std::vector<std::string> changed_paths;
};

}  // namespace substrate
