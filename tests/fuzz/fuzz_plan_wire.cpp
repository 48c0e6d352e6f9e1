// Any bytes as a plan, an order and an event of world-init: refused, or exactly
// what the encoder writes for the value that came out. Plans that are accepted
// must also have a text and survive normalisation.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plan/world_plan.hpp"
#include "world/init_protocol.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    if (const auto plan = plan::decode_plan(bytes)) {
        if (plan::encode_plan(*plan) != bytes) std::abort();
        if (plan::to_text(*plan).empty()) std::abort();
        if (const auto once = plan::normalize(plan->mounts)) {
            const auto twice = plan::normalize(*once);
            if (!twice || *twice != *once) std::abort();
        }
    }
    if (const auto order = world::decode_order(bytes))
        if (world::encode(*order) != bytes) std::abort();
    if (const auto event = world::decode_event(bytes))
        if (world::encode(*event) != bytes) std::abort();
    return 0;
}
