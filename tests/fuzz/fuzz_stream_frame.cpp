// What a client of /v1/stream may say in a text message: taken, or refused by a frame of the type "error"
// that names its word; what is taken has the type that it says.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/document.hpp"
#include "agent/stream_frames.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    static const agent::Document document = agent::Document::parse(agent::openapi_text()).value();
    const auto frame = agent::read_client_frame(document.json(), {reinterpret_cast<const char*>(data), size});
    if (frame) {
        if (frame->body.at("type") != frame->type) std::abort();
        if (frame->type == "exec" && frame->body.at("cmd").get<std::string>().contains('\0')) std::abort();
    } else {
        const Json& error = frame.error();
        if (error.at("type") != "error" || error.at("error").get<std::string>().empty()) std::abort();
        (void)dump_json(error);
    }
    return 0;
}
