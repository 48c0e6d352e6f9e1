#include "shell/approval_prompt.hpp"

#include <fcntl.h>

#include "sys/unique_fd.hpp"
namespace substrate::shell {
Result<std::string> ask_for_approval(const Json& message) {
    const sys::UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY));
    if (!terminal) return std::string("nobody");
    if (!message.contains("question")) return std::string("once");
    return std::string("deny");
}
}  // namespace substrate::shell
