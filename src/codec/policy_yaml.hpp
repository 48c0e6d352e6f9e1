#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "codec/yaml_value.hpp"
#include "model/policy.hpp"

namespace substrate {

// One thing that is wrong with a policy's text.
struct PolicyProblem {
    std::string file;
    int line = 0;  // from 1
    int column = 0;
    std::string pointer;  // JSON pointer (RFC 6901) of the value; empty: the whole text
    std::string message;
    // "FILE:LINE:COLUMN: POINTER: MESSAGE"; not yet safe to print
    std::string text() const;
};

// Where a value came from, for `policy show --explain`.
struct PolicyOrigin {
    std::string pointer;
    int line = 0;
};

struct PolicyText {
    Policy policy;
    std::vector<PolicyProblem> problems;  // not empty: `policy` must not be used
    std::vector<PolicyOrigin> origins;  // of every scalar, list and item of a list, in the order of the text
    bool ok() const { return problems.empty(); }
};

// Reads a policy as schemas/policy.schema.json says: an unknown key, a wrong
// type, a value out of range or a missing id is a problem, and all of them are
// reported, up to 100. `file` is only for messages. Patterns are not compiled here.
PolicyText parse_policy(std::string_view text, std::string_view file);

// "2Gi", "512Mi", "1000" → bytes. "2", "0.5", "1500m" → thousandths of a processor.
// "30s", "5m", "1h30m", "250ms" or a number of seconds → milliseconds. nullopt for others.
std::optional<std::uint64_t> parse_byte_size(std::string_view text);
std::optional<std::uint32_t> parse_cpu_millis(std::string_view text);
std::optional<std::int64_t> parse_duration_ms(std::string_view text);

}  // namespace substrate
