#pragma once

#include <cstddef>
#include <string>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/exec.hpp"

// What a command in a world may say at the world's door, and nothing else: `judge`, once, and `ended`, once.
// Frames as on control.sock. Every byte comes from a world and is read as hostile.
namespace substrate::supervisor {

// Of one frame; a script has at most 128 KiB.
inline constexpr std::size_t kMaxNestedFrame = 160u << 10;
inline constexpr std::size_t kMaxNestedEnded = 4u << 10;

// How the world says that its command ended.
struct NestedEnd {
    int exit = 0;    // 0 to 255; 128 + signal where there was one
    int signal = 0;  // 0: none
    bool timed_out = false;
    OutputRecord output;
};

// The payload of a frame as a request to judge. Errc::invalid for everything else; Errc::unavailable for
// another build. What only the agent may say of a request is empty in it; `scope_token` is what was
// presented.
Result<ExecRequest> nested_request(std::string_view payload);
// The payload of the frame that follows.
Result<NestedEnd> nested_end(std::string_view payload);

// The client's side of the same.
Json to_nested_json(const ExecRequest& request);
Json to_json(const NestedEnd& end);

}  // namespace substrate::supervisor
