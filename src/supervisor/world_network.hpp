#pragma once

#include <memory>
#include <string>

#include "base/result.hpp"
#include "model/exec.hpp"
#include "supervisor/session_world.hpp"

// A world's way out, command by command. For a world without one these do nothing.
namespace substrate::supervisor {

// Before a command: what happens in the world's network belongs to it from now on, and a world that has run
// commands under other rules gets today's. Errc::conflict where the world cannot have what `order` wants.
Result<> prepare_network(const Machine& machine, SessionWorld& world,
                         const std::shared_ptr<const NetworkOrder>& order, Network::Command command,
                         ExecResult& result);

// The world has sent its sockets: they go to the gateway. Where that fails nobody listens at them, and the
// result says so: refused, never open. With a veth pair the world's first command waits for this. A network
// that has a name gets it.
void open_uplink(const Machine& machine, SessionWorld& world, ExecResult& result);

// Publishes the ports that the policies say, of a world that other commands come to as well.
void follow_ports(const Machine& machine, SessionWorld& world, const broker::PolicySet& policies,
                  ExecResult& result);

// When a command has ended: asks what it has reached, for note_network(). The gateway looks while the agent
// brings the changes home.
std::uint64_t ask_network(const Machine& machine, const SessionWorld& world);

// What it has reached and what was refused, in its span and for the person.
void note_network(const Machine& machine, const SessionWorld& world, std::uint64_t asked, ExecResult& result);

}  // namespace substrate::supervisor
