#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/fs_diff.hpp"

namespace substrate {

inline constexpr int kTraceSchemaVersion = 1;

enum class Outcome : std::uint8_t { ok, failed, denied, would_deny, timeout, killed, budget };
const char* to_string(Outcome outcome);

enum class CaptureStrategy : std::uint8_t { overlay, fuse, copy_diff, direct };
const char* to_string(CaptureStrategy strategy);  // "overlay", "fuse", "copy-diff", "direct"
std::optional<CaptureStrategy> parse_capture_strategy(std::string_view text);

// Which capture was wanted, which ran, and why they differ.
struct CaptureRecord {
    CaptureStrategy primary = CaptureStrategy::overlay;
    CaptureStrategy final = CaptureStrategy::overlay;
    std::string fallback_reason;  // empty when they are the same
    bool operator==(const CaptureRecord&) const = default;
};

// A layer that this machine could not give in full.
struct Degradation {
    std::string component;  // "capture", "network", "cgroup", "user_namespace", …
    std::string reason;
    std::string fix;  // one line: what would restore it
    bool operator==(const Degradation&) const = default;
};

struct PolicyDecision {
    std::string action = "allow";  // allow | allow_with_restrictions | ask | deny
    std::string rule;
    std::string pattern;
    std::string reason;
    std::vector<std::string> restrictions;
    bool operator==(const PolicyDecision&) const = default;
};

struct ResourceUsage {
    std::int64_t cpu_ms = 0;      // user and system time of the command and its reaped children
    std::int64_t max_rss_kb = 0;  // of the largest process
    bool operator==(const ResourceUsage&) const = default;
};

// The bytes that the command wrote. A stream that was not observed (a
// terminal, /dev/null) has no hash.
struct OutputRecord {
    std::string stdout_hash;  // "xxh3:" and 32 hex digits, or empty
    std::string stderr_hash;
    std::uint64_t stdout_bytes = 0;
    std::uint64_t stderr_bytes = 0;
    bool merged = false;  // both streams were one pipe or terminal; stdout_hash covers it
    bool operator==(const OutputRecord&) const = default;
};

// What a world may read from and write to each block device. 0: no limit.
struct IoLimits {
    std::uint64_t read_bps = 0;  // bytes a second
    std::uint64_t write_bps = 0;
    std::uint64_t read_iops = 0;  // operations a second
    std::uint64_t write_iops = 0;
    bool any() const { return read_bps != 0 || write_bps != 0 || read_iops != 0 || write_iops != 0; }
    bool operator==(const IoLimits&) const = default;
};

// What the command's world could use at most. 0: nothing held it back.
struct EnforcedLimits {
    std::uint32_t cpu_millis = 0;
    std::uint64_t memory_bytes = 0;
    std::uint64_t pids = 0;
    std::uint64_t tmp_bytes = 0;     // its own /tmp
    bool memory_is_default = false;  // nobody had asked for it
    bool pids_is_default = false;
    IoLimits io;
    bool operator==(const EnforcedLimits&) const = default;
};

// Which enforcement layers were in force while the command ran.
struct Enforcement {
    bool user_namespace = false;
    bool mount_namespace = false;
    bool pid_namespace = false;
    std::string netns;         // "loopback", "gateway", "host"
    std::string seccomp;       // "enforce", "log", "off"
    std::string seccomp_hash;  // of the loaded program
    bool no_new_privs = false;
    bool capabilities_dropped = false;
    int landlock_abi = 0;  // 0 when not in use
    // The only ports to which Landlock let it connect by TCP; nullopt: it held back none.
    std::optional<std::vector<std::uint16_t>> tcp_ports;
    std::vector<std::string> unix_sockets;  // of the host, that it could connect to
    int fs_guard = 0;                       // how many patterns and paths are denied by name
    int fs_rules = 0;                       // how many lists of patterns narrow what may be written and read
    std::string cgroup;                     // empty when not in use
    EnforcedLimits limits;
    bool operator==(const Enforcement&) const = default;
};

// What a replay needs to run the command again as it ran.
struct ReplayContext {
    std::string path;                        // PATH
    std::map<std::string, std::string> env;  // the world's allowlisted variables
    std::string env_hash;                    // over the variables that were not passed on
    std::uint32_t umask = 022;
    std::string locale;
    std::string cwd;
    std::string policy_id;
    std::string policy_hash;
    std::string policy_commit;
    std::string world_image_version;
    std::string root_provider;
    std::string hostname;
    std::vector<std::string> argv;
    std::string tool_path;  // what argv[0] resolved to
    std::string tool_hash;  // of its content
    bool operator==(const ReplayContext&) const = default;
};

// One finished command: the `command_complete` record of the trace.
struct Span {
    std::int64_t ts_ns = 0;       // when it ended, since the epoch
    std::int64_t started_ns = 0;  // since the epoch
    std::string session_id;
    std::string span_id;
    std::string parent_span;
    std::string traceparent;  // of whoever asked (base/trace_context.hpp); empty: none was given
    std::string component = "supervisor";
    std::string world_id;
    std::string policy_id;
    std::string policy_hash;
    std::string agent_id = "human";
    std::string project;  // the captured directory
    std::string cwd;
    std::string cmd;                // the line as typed
    std::vector<std::string> argv;  // what was executed, where it was not a shell's work
    int exit = 0;                   // 128+n for signal n
    int signal = 0;                 // 0 when it exited by itself
    Outcome outcome = Outcome::ok;
    std::string outcome_reason;  // the limit that ended or hindered it: "memory", "pids", "runtime", "disk"
    double duration_ms = 0;
    ResourceUsage usage;
    std::vector<std::string> scopes_used;
    FsDiff fs_diff;
    std::string commit;  // "applied", "pending", "discarded", "none", "conflict"
    CaptureRecord capture;
    std::vector<Degradation> degraded;
    Enforcement enforcement;
    PolicyDecision decision;
    ReplayContext replay;
    OutputRecord output;
    bool warm = false;  // the world had run a command before
    // Not 0: it was asked for from inside that world and ran there beside others, so many calls deep. What it
    // changed is in the span of the command that the world ran, and what it was and how it ended only the
    // world has said.
    int nested_depth = 0;
    bool pty = false;  // it had a terminal of the world's own
};

}  // namespace substrate
