// What a client of the agent may send: a stream of frames, fed in pieces whose
// sizes come from the input. Every payload that is CBOR is tried as a request to
// execute and as each answer; a request that is accepted comes back the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/cbor.hpp"
#include "codec/frame.hpp"
#include "supervisor/protocol.hpp"

namespace {

using namespace substrate;

void check_request(const Json& message) {
    const auto request = supervisor::exec_request_from_json(message);
    if (!request) {
        if (request.error().code() != Errc::invalid || request.error().message().empty()) std::abort();
        return;
    }
    if (request->cwd.empty() || request->cwd.front() != '/' || request->shell.empty()) std::abort();
    if (request->cmd.empty() && request->argv.empty()) std::abort();
    const Json sent = supervisor::to_json(*request);
    const auto back = supervisor::exec_request_from_json(sent);
    if (!back || supervisor::to_json(*back) != sent) std::abort();
}

void check_payload(std::string_view payload) {
    const auto message = from_cbor(payload);
    if (!message) return;
    check_request(*message);
    const auto output = supervisor::output_from_json(*message);
    if (supervisor::output_from_json(supervisor::to_json(output)) != output) std::abort();
    const Error error = supervisor::error_from_json(*message);
    if (supervisor::error_from_json(supervisor::to_json(error)).message() != error.message()) std::abort();
    (void)supervisor::texts_of(*message, "paths");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = 1 + data[0] % 64u;
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    check_payload(stream);
    FrameReader reader(4096);
    for (std::size_t at = 0; at < stream.size(); at += step) {
        reader.feed(stream.substr(at, step));
        for (;;) {
            const auto payload = reader.take();
            if (!payload) return 0;
            if (!*payload) break;
            check_payload(**payload);
        }
    }
    return 0;
}
