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

// The paths of /etc/passwd's entry for `uid`, else $HOME.
std::string home_of(const Env& env, unsigned uid);

}  // namespace substrate::world
