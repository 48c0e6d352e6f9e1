#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace substrate::start {

// What an exec request of the plain form says of this process.
struct PlainRequest {
    std::string_view line;  // for the shell
    bool ephemeral = false;
    std::string_view cwd;                      // absolute
    const char* const* environment = nullptr;  // "NAME=value", ended by a null pointer
    unsigned umask = 022;
    std::string_view agent_identity;
    bool observes_output = false;
};

// Writes the frame of the control protocol that the ordinary client would send for
// `substrate -c LINE`. 0 when it does not fit or the environment is out of the ordinary
// (a variable twice, an id that is none, very many): then the ordinary client sends it.
std::size_t write_request(const PlainRequest& request, std::span<char> out);

}  // namespace substrate::start
