#pragma once

#include <string>

#include "model/exec.hpp"
#include "supervisor/session_world.hpp"
#include "world/init_protocol.hpp"

namespace substrate::supervisor {

// What is executed for a request: directly where that is the same as by the
// shell, else by the shell. Looks programs up in PATH on the host, which the
// world shows at the same paths; where it errs, the shell gets the line.
void set_command(world::ExecOrder& order, const ExecRequest& request, const std::string& world_id,
                 const std::string& span_id);

// What can be said of the program itself, for noticing that it changed: a hash
// of its size, times and inode. Empty when there is no such file.
std::string program_identity(const std::string& path);

}  // namespace substrate::supervisor
