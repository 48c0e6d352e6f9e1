#pragma once

#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "plan/host_facts.hpp"

namespace substrate::world {

struct ProbeOptions {
    std::string init_program;    // path of substrate-world-init
    std::string substrate_home;  // absolute
    std::string scratch;         // an existing private directory where captures would lie
};

// Learns what this machine and account can do by doing it: the init starts in
// the namespaces of a world, mounts what a world mounts, writes through an
// overlay and looks for it in the upper directory, and is gone again. Leaves
// nothing behind. Errors only where the question itself could not be asked.
Result<plan::HostFacts> probe_host(const Env& env, const ProbeOptions& options);

// $HOME where it is absolute, else account_home_of.
std::string home_of(const Env& env, unsigned uid);
// The home directory of the account database (getpwuid(3)); "/" when unknown.
std::string account_home_of(unsigned uid);

}  // namespace substrate::world
