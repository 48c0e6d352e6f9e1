#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate {

// Every record of the trace but the finished command, which is a Span.
namespace event_type {
inline constexpr std::string_view kSessionStart = "session_start";
inline constexpr std::string_view kSessionEnd = "session_end";
inline constexpr std::string_view kCommandStart = "command_start";
inline constexpr std::string_view kCommandComplete = "command_complete";
inline constexpr std::string_view kBuiltinCommand = "builtin_command";
inline constexpr std::string_view kPolicyViolation = "policy_violation";
inline constexpr std::string_view kApproval = "approval";
inline constexpr std::string_view kPolicyReload = "policy_reload";
inline constexpr std::string_view kProcessExec = "process_exec";
inline constexpr std::string_view kProcessExit = "process_exit";
inline constexpr std::string_view kNetConnect = "net_connect";
inline constexpr std::string_view kDnsQuery = "dns_query";
inline constexpr std::string_view kRateLimit = "rate_limit";
inline constexpr std::string_view kWorldStart = "world_start";
inline constexpr std::string_view kWorldEnd = "world_end";
inline constexpr std::string_view kReplayStart = "replay_start";
inline constexpr std::string_view kReplayComplete = "replay_complete";
inline constexpr std::string_view kApply = "apply";
inline constexpr std::string_view kWarning = "warning";
}  // namespace event_type

struct Event {
    std::string type;  // one of event_type
    std::int64_t ts_ns = 0;
    std::string session_id;  // may be empty
    std::string span_id;     // of the command it belongs to, may be empty
    // What else the type carries (schemas/trace.schema.json). Members named like
    // one of the fields above are ignored.
    Json fields = Json::object();
    bool operator==(const Event&) const = default;
};

Json to_json(const Event& event);
// event_type is required; its errors are as those of span_from_json.
Result<Event> event_from_json(const Json& value);

}  // namespace substrate
