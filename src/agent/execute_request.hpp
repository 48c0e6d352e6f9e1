#pragma once

#include <expected>
#include <map>
#include <string>

#include "agent/budgets.hpp"
#include "agent/exchange.hpp"
#include "codec/json_value.hpp"
#include "model/exec.hpp"

namespace substrate::agent {

// What POST /v1/execute asks for.
struct ExecuteRequest {
    ExecRequest exec;
    std::string stdin_bytes;
    Budget budget;
};

// Reads a body that fits the document's schema; what a schema cannot say is checked here. `base`
// are the variables that a command has unless the request says otherwise. The error is the answer.
std::expected<ExecuteRequest, HttpResponse> read_execute(const Json& body, const Peer& peer,
                                                         const std::map<std::string, std::string>& base);

// The problem that a body has with its agent id, before anything else is looked at: it must be
// there, have 1 to 128 characters, and none that a terminal would act on.
std::optional<HttpResponse> check_agent_id(const Json& body);

}  // namespace substrate::agent
