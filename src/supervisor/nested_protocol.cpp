#include "supervisor/nested_protocol.hpp"

#include <algorithm>

#include "codec/cbor.hpp"
#include "supervisor/protocol.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::size_t kHexDigits = 32;
constexpr std::int64_t kMostBytes = std::int64_t{1} << 62;

Result<Json> object_from(std::string_view payload, std::size_t most, std::string_view type) {
    SUB_TRY_ASSIGN(Json json, from_cbor(payload, {.max_bytes = most, .max_depth = 8}));
    if (!json.is_object() || text_of(json, "type") != type)
        return fail({Errc::invalid, "this is no '" + std::string(type) + "' message"});
    return json;
}

// A hash as our client writes it, else nothing.
std::string hash_or_nothing(std::string hash) {
    constexpr std::string_view kPrefix = "xxh3:";
    const bool good = hash.size() == kPrefix.size() + kHexDigits && hash.starts_with(kPrefix) &&
                      hash.find_first_not_of("0123456789abcdef", kPrefix.size()) == std::string::npos;
    return good ? hash : std::string();
}

}  // namespace

Result<ExecRequest> nested_request(std::string_view payload) {
    SUB_TRY_ASSIGN(const Json json, object_from(payload, kMaxNestedFrame, message::kJudge));
    if (text_of(json, "version") != kProtocolVersion)
        return fail(Error(Errc::unavailable, "the agent outside of this world is of another build")
                        .hint("use the substrate of the host"));
    SUB_TRY_ASSIGN(ExecRequest request, exec_request_from_json(json));
    if (request.timeout_ms < 0) return fail({Errc::invalid, "a time limit below zero"});
    // Who asks, for whom and since when is known by the door at which it is asked.
    request.session_id.clear();
    request.parent_span.clear();
    request.agent_id.clear();
    request.env_hash.clear();
    request.as_of_ns = 0;
    request.scope_token = text_of(json, "scope_token");
    return request;
}

Result<NestedEnd> nested_end(std::string_view payload) {
    SUB_TRY_ASSIGN(const Json json, object_from(payload, kMaxNestedEnded, message::kEnded));
    const std::int64_t exit = number_of(json, "exit"), signal = number_of(json, "signal");
    if (!json.contains("exit") || exit < 0 || exit > 255 || signal < 0 || signal > 64)
        return fail({Errc::invalid, "an end that no process has"});
    NestedEnd end{.exit = static_cast<int>(exit),
                  .signal = static_cast<int>(signal),
                  .timed_out = flag_of(json, "timed_out"),
                  .output = {}};
    end.output.stdout_hash = hash_or_nothing(text_of(json, "stdout_hash"));
    end.output.stderr_hash = hash_or_nothing(text_of(json, "stderr_hash"));
    const auto bytes = [&](const char* key) {
        return static_cast<std::uint64_t>(std::clamp<std::int64_t>(number_of(json, key), 0, kMostBytes));
    };
    end.output.stdout_bytes = bytes("stdout_bytes");
    end.output.stderr_bytes = bytes("stderr_bytes");
    end.output.merged = flag_of(json, "merged");
    return end;
}

Json to_nested_json(const ExecRequest& request) {
    Json json = to_json(request);
    json["type"] = message::kJudge;
    json["version"] = kProtocolVersion;
    if (!request.scope_token.empty()) json["scope_token"] = request.scope_token;
    return json;
}

Json to_json(const NestedEnd& end) {
    Json json = to_json(end.output);
    json["type"] = message::kEnded;
    json["exit"] = end.exit;
    json["signal"] = end.signal;
    json["timed_out"] = end.timed_out;
    return json;
}

}  // namespace substrate::supervisor
