#pragma once

#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"

namespace substrate::supervisor {

// Where one account's Substrate keeps things.
struct Home {
    std::string path;  // $SUBSTRATE_HOME, default ~/.substrate; absolute
    bool is_default = true;

    std::string control_socket() const { return path + "/sock/control.sock"; }
    std::string agent_socket() const { return path + "/sock/agent.sock"; }
    std::string agent_lock() const { return path + "/sock/agent.lock"; }
    // What a decision of /v1/approvals must carry.
    std::string approval_token() const { return path + "/approval-token"; }
    // What requests over TCP must carry, and where they are taken: there while the agent listens.
    std::string api_token() const { return path + "/api-token"; }
    std::string tcp_address() const { return path + "/sock/agent.tcp"; }
    std::string agent_settings() const { return path + "/agent.yaml"; }
    std::string agent_log() const { return path + "/agent.log"; }
};

// Reads SUBSTRATE_HOME and HOME; creates nothing.
Result<Home> locate_home(const Env& env);
// Creates the directory and what lies in it, 0700.
Result<> create_home(const Home& home);

// Where captures may lie, the preferred place first: $SUBSTRATE_HOME/overlay
// (for root with the default home: /var/lib/substrate/overlay), then
// $XDG_RUNTIME_DIR/substrate, then /tmp/substrate-$UID.
std::vector<std::string> capture_roots(const Env& env, const Home& home);

}  // namespace substrate::supervisor
