#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "sys/internet_socket.hpp"

namespace substrate::supervisor {

// How the agent behaves. Times in milliseconds.
struct Settings {
    std::int64_t agent_idle_ms = 600'000;          // it ends after so long without a request
    std::int64_t world_idle_ms = 300'000;          // a warm world, without a command
    bool standby = true;                           // fresh worlds are made ahead
    std::int64_t api_read_timeout_ms = 30'000;     // for a request's head, and for its body
    std::int64_t api_write_timeout_ms = 60'000;    // for accepting a piece of an answer
    std::int64_t api_detached_ms = 600'000;        // a terminal without a client is kept
    std::int64_t api_session_idle_ms = 1'800'000;  // a session without a line is kept
    std::string listen;                            // HOST:PORT of the API over TCP; empty: none
    std::map<std::string, std::string> sources;    // by key; what is not there is the default
};

// One setting, wherever it is named: `key` in agent.yaml and, with "--" before it, as a flag.
// There a time is written "90s", "10m" or as a number of seconds; a variable holds a whole
// number of `variable_unit_ms`. Flags are true or false, in a variable 1 or 0.
struct SettingKind {
    std::string_view key;
    std::string_view variable;
    std::string_view help;
    std::int64_t variable_unit_ms = 0;
    std::int64_t Settings::* time = nullptr;
    bool Settings::* flag = nullptr;
    std::string Settings::* address = nullptr;  // the same everywhere
};
std::span<const SettingKind> setting_kinds();

// Flags ("key", "value") over the environment over `text`, the content of the file `path`.
// Errc::invalid with file, line and column, or the flag or variable, for whatever is unknown, of
// another form or out of range.
Result<Settings> read_settings(const Env& env, std::span<const std::pair<std::string, std::string>> flags,
                               std::string_view text, const std::string& path);

// The same with the content of `path`, which may not exist. Errc::denied for a file that
// somebody else could have written.
Result<Settings> load_settings(const Env& env, std::span<const std::pair<std::string, std::string>> flags,
                               const std::string& path);

// What `listen` says. Errc::invalid for anything but a loopback address ("[::1]" in brackets) and a port.
Result<sys::Endpoint> read_listen(std::string_view text);

// [{"key", "value" or, in milliseconds, "value_ms", "source"}]
Json to_json(const Settings& settings);

}  // namespace substrate::supervisor
