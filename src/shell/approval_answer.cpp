#include "shell/approval_answer.hpp"

#include <fcntl.h>

#include "broker/approval_question.hpp"
#include "shell/approval_prompt.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::shell {

Result<std::string> answer_approval(const Json& message, int agent_fd) {
    const sys::UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal) return std::string("nobody");
    const auto question = message.find("question");
    if (question == message.end()) return std::string("somebody");
    SUB_TRY_ASSIGN(const broker::ApprovalQuestion asked, broker::approval_question_from_json(*question));
    return std::string(broker::to_string(ask_on_terminal(asked, terminal.get(), {.cancel_fd = agent_fd})));
}

}  // namespace substrate::shell
