#include "shell/console.hpp"

#include <unistd.h>

#include "base/text.hpp"
#include "model/exit_codes.hpp"
#include "sys/file.hpp"

namespace substrate::shell {

void Console::out(std::string_view text) const { (void)sys::write_all(STDOUT_FILENO, text); }
void Console::err(std::string_view text) const { (void)sys::write_all(STDERR_FILENO, text); }
void Console::complain(const Error& error) const { note(error.describe()); }
void Console::note(std::string_view text) const { err("substrate: " + printable(text) + "\n"); }
bool Console::out_is_terminal() const { return ::isatty(STDOUT_FILENO) == 1; }

int Console::fail_with(const Error& error) const {
    complain(error);
    return to_int(exit_code_for(error.code()));
}

}  // namespace substrate::shell
