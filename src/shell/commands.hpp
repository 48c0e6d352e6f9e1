#pragma once

#include <optional>
#include <string>
#include <vector>

#include "shell/console.hpp"
#include "shell/run.hpp"

// One function for each command of `substrate`; each returns the exit code.
namespace substrate::shell {

struct TraceOptions {
    std::string span_id;  // empty: a list
    bool last = false;
    bool follow = false;
    bool json = false;
    std::string session;
    std::string agent;
    std::string outcome;
    std::string since;  // RFC 3339, or "90s", "15m", "2h", "3d" ago
    unsigned count = 20;
};
int trace_command(const Console& console, const TraceOptions& options);

struct ReplayOptions {
    std::string span_id;
    bool verbose = false;
    bool verify = false;
    bool json = false;
    bool no_world = false;
};
int replay_command(const Console& console, const ReplayOptions& options);

struct ChangeOptions {
    std::string target;  // a span, a world, or empty: what is pending here
    std::vector<std::string> paths;
    bool stat = false;
    bool json = false;
    bool patch = false;
    bool force = false;
};
int diff_command(const Console& console, const ChangeOptions& options);
int apply_command(const Console& console, const ChangeOptions& options);
int discard_command(const Console& console, const ChangeOptions& options);

struct WorldOptions {
    bool json = false;
    bool dry_run = false;
};
int world_status(const Console& console, const WorldOptions& options);
int world_doctor(const Console& console, const WorldOptions& options);
int world_warm(const Console& console, const WorldOptions& options);
int world_stop(const Console& console);
int world_restart(const Console& console, const WorldOptions& options);
int world_gc(const Console& console, const WorldOptions& options);

struct PublishOptions {
    std::uint16_t port = 0;
    std::string world;  // empty: the one of this project
    bool end = false;   // no longer
    bool json = false;
};
// A port of a world, for the host's loopback.
int world_publish(const Console& console, const PublishOptions& options);

struct VerifyOptions {
    std::string root;  // where the scratch project is made; empty: /var/tmp
    bool json = false;
};
// Tries in worlds what commands must not be able to do. Exit 5 when something was possible, 4
// when nothing could be tried.
int world_verify(const Console& console, const VerifyOptions& options);

// --explain: the plan of the world that a command would get; runs nothing.
int explain_command(const Console& console, const ExecRequest& request);
// The same for the JSON of an ExecRequest, as the client hands it on.
int explain_request(const Console& console, const std::string& json);

// Relays standard input to standard output until the input ends: for output of
// background processes whose `substrate` has gone.
int relay_command();

}  // namespace substrate::shell
