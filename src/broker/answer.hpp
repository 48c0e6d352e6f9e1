#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace substrate::broker {

// What a person says to the question whether a command may run.
enum class Answer : std::uint8_t { deny, once, session, always };
const char* to_string(Answer answer);  // "deny", "once", "session", "always"
std::optional<Answer> parse_answer(std::string_view text);

}  // namespace substrate::broker
