#pragma once

#include <string_view>

#include "base/env.hpp"
#include "supervisor/home.hpp"

namespace substrate::shell {

// Where a command of ours writes, and what it knows of its surroundings.
// Handed in by the program; nothing here is global.
struct Console {
    const Env& env;
    supervisor::Home home;
    std::vector<std::string> environment;  // "NAME=value", of the process

    // Writes to standard output or error; a reader that has gone away is no error of ours.
    void out(std::string_view text) const;
    void err(std::string_view text) const;
    // One line "substrate: …" on standard error.
    void complain(const Error& error) const;
    void note(std::string_view text) const;
    // complain(), and the exit code that goes with it.
    int fail_with(const Error& error) const;
    bool out_is_terminal() const;
};

}  // namespace substrate::shell
