// Any stream of frames, fed in pieces whose sizes come from the input; each
// payload is refused or a value whose CBOR reads back the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/cbor.hpp"
#include "codec/frame.hpp"

namespace {

void check_payload(std::string_view payload) {
    using namespace substrate;
    const auto value = from_cbor(payload);
    if (!value) return;
    const std::string bytes = to_cbor(*value);
    const auto back = from_cbor(bytes);
    // A value that grew over the size cap is refused; NaN is never equal to itself.
    if (back && to_cbor(*back) != bytes) std::abort();
    if (!back && bytes.size() <= CborLimits{}.max_bytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = 1 + data[0] % 64u;
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    check_payload(stream);
    substrate::FrameReader reader(4096);
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
