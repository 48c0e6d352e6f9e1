#pragma once

#include <string>
#include <string_view>

#include "agent/exchange.hpp"
#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/exec.hpp"
#include "supervisor/gate.hpp"

// What requests for commands have in common, whichever way they come and their answers go.
namespace substrate::agent {

// The members of an answer about a command that has run, but for its output.
Json result_json(const ExecResult& result);
// The problem of one that was denied, with its recorded span.
HttpResponse denial(const supervisor::Passage& passage, const ExecResult& recorded);
// The directory without links, which must be there.
Result<std::string> real_directory(const std::string& path);
// "INT": 2, and so on; 0 for what is no signal of the API.
int signal_number(std::string_view name);

}  // namespace substrate::agent
