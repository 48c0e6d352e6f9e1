// Any bytes: refused, or a diff that comes back the same through its text.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "codec/fs_diff_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    const auto json = parse_json(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!json) return 0;
    const auto diff = fs_diff_from_json(*json);
    if (!diff) return 0;
    const auto again = parse_json(dump_json(to_json(*diff)));
    if (!again) std::abort();
    const auto back = fs_diff_from_json(*again);
    if (!back || *back != *diff) std::abort();
    return 0;
}
