#include "broker/answer.hpp"

namespace substrate::broker {

const char* to_string(Answer answer) {
    switch (answer) {
        case Answer::deny: return "deny";
        case Answer::once: return "once";
        case Answer::session: return "session";
        case Answer::always: return "always";
    }
    return "deny";
}

std::optional<Answer> parse_answer(std::string_view text) {
    for (const Answer answer : {Answer::deny, Answer::once, Answer::session, Answer::always})
        if (text == to_string(answer)) return answer;
    return std::nullopt;
}

}  // namespace substrate::broker
