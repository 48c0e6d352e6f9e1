// What a command in a world may say at the world's door: a stream of frames, fed in pieces whose sizes come
// from the input. What is accepted is within bounds, says nothing that only the agent may say, and comes
// back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/cbor.hpp"
#include "codec/frame.hpp"
#include "supervisor/nested_protocol.hpp"
#include "supervisor/protocol.hpp"

namespace {

using namespace substrate;

void check_request(std::string_view payload) {
    const auto request = supervisor::nested_request(payload);
    if (!request) {
        if (request.error().message().empty()) std::abort();
        return;
    }
    if (request->cwd.empty() || request->cwd.front() != '/' || request->timeout_ms < 0) std::abort();
    if (!request->session_id.empty() || !request->parent_span.empty() || !request->agent_id.empty())
        std::abort();
    if (!request->governed_by.empty() || request->nested_depth != 0 || request->as_of_ns != 0) std::abort();
    const auto back = supervisor::nested_request(to_cbor(supervisor::to_nested_json(*request)));
    if (!back || supervisor::to_json(*back) != supervisor::to_json(*request)) std::abort();
}

void check_end(std::string_view payload) {
    const auto end = supervisor::nested_end(payload);
    if (!end) return;
    if (end->exit < 0 || end->exit > 255 || end->signal < 0 || end->signal > 64) std::abort();
    const auto back = supervisor::nested_end(to_cbor(supervisor::to_json(*end)));
    if (!back || back->exit != end->exit || back->output != end->output) std::abort();
}

void check(std::string_view payload) {
    check_request(payload);
    check_end(payload);
    // A request whose version is this build's is rare in a random input.
    auto message = from_cbor(payload, {.max_bytes = supervisor::kMaxNestedFrame, .max_depth = 8});
    if (!message || !message->is_object()) return;
    (*message)["version"] = kProtocolVersion;
    (*message)["type"] = supervisor::message::kJudge;
    check_request(to_cbor(*message));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = 1 + data[0] % 64u;
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    check(stream);
    FrameReader reader(supervisor::kMaxNestedFrame);
    for (std::size_t at = 0; at < stream.size(); at += step) {
        reader.feed(stream.substr(at, step));
        for (;;) {
            const auto payload = reader.take();
            if (!payload) return 0;
            if (!*payload) break;
            check(**payload);
        }
    }
    return 0;
}
