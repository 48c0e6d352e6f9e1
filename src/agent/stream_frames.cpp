#include "agent/stream_frames.hpp"

#include <algorithm>
#include <array>

#include "agent/execute_request.hpp"
#include "agent/problem.hpp"
#include "base/text.hpp"
#include "codec/base64.hpp"
#include "codec/schema_check.hpp"

namespace substrate::agent {
namespace {

struct Known {
    std::string_view type;
    const char* schema;
};
constexpr std::array<Known, 6> kKnown = {{{"start", "StreamStart"},
                                          {"stdin", "StreamStdin"},
                                          {"resize", "StreamResize"},
                                          {"signal", "StreamSignal"},
                                          {"close", "StreamClose"},
                                          {"exec", "StreamExec"}}};

std::unexpected<Json> invalid(const std::string& pointer, const std::string& message) {
    Json frame = error_frame("invalid", (pointer.empty() ? "the frame" : printable(pointer)) + " " + message);
    frame["pointer"] = pointer;
    return std::unexpected(std::move(frame));
}

// Exactly one thing to run or to return to.
bool names_one(const Json& start) {
    const bool persistent = start.value("persistent", false);
    return int{start.contains("cmd")} + int{persistent} + int{start.contains("session")} == 1;
}

}  // namespace

Json error_frame(std::string_view error, std::string_view message) {
    return {{"type", "error"}, {"error", error}, {"message", message}};
}

Json error_frame(const HttpResponse& problem) {
    auto body = parse_json(problem.body);
    if (!body || !body->is_object()) return error_frame("internal", "the request failed");
    for (const char* member : {"title", "status", "detail"}) body->erase(member);
    (*body)["type"] = "error";
    return std::move(*body);
}

std::expected<ClientFrame, Json> read_client_frame(const Json& document, std::string_view text) {
    auto parsed = parse_json(text);
    if (!parsed) return invalid("", "is not JSON: " + printable(parsed.error().message()));
    ClientFrame frame{.type = {}, .body = std::move(*parsed), .input = {}};
    if (!frame.body.is_object()) return invalid("", "is not an object");
    const auto type = frame.body.find("type");
    if (type == frame.body.end() || !type->is_string()) return invalid("/type", "is required");
    frame.type = type->get<std::string>();
    const auto* const known = std::ranges::find(kKnown, frame.type, &Known::type);
    if (known == kKnown.end()) return invalid("/type", "is none of a client");
    if (frame.type == "start")
        if (auto refusal = check_agent_id(frame.body)) return std::unexpected(error_frame(*refusal));
    const Json::json_pointer at(std::string("/components/schemas/") + known->schema);
    if (!document.contains(at))
        return std::unexpected(error_frame("internal", "the document has no such frame"));
    const auto breach = check_schema(document, document.at(at), frame.body);
    if (!breach) return std::unexpected(error_frame(problem(breach.error())));
    if (*breach) return invalid((*breach)->pointer, printable((*breach)->message));
    if (frame.type == "start" && !names_one(frame.body))
        return invalid("", "is to have one of cmd, persistent and session");
    if (frame.type == "exec" && frame.body["cmd"].get_ref<const std::string&>().contains('\0'))
        return invalid("/cmd", "holds a NUL character");
    if (frame.type != "stdin") return frame;
    auto bytes = from_base64(frame.body["data_b64"].get_ref<const std::string&>());
    if (!bytes) return invalid("/data_b64", printable(bytes.error().message()));
    frame.input = std::move(*bytes);
    return frame;
}

}  // namespace substrate::agent
