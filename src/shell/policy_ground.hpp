#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "broker/loader.hpp"
#include "broker/places.hpp"
#include "broker/policy_set.hpp"
#include "codec/json_value.hpp"
#include "shell/console.hpp"

// What the commands about policies have in common.
namespace substrate::shell {

// Where a policy is asked about.
struct PolicyGround {
    broker::Places places;
    std::string cwd;      // absolute, without links
    std::string project;  // that it belongs to
};
// Of `directory`; empty: of the working directory.
Result<PolicyGround> policy_ground(const Console& console, const std::string& directory = {});

// The text of a file that a person named. Errc::not_found; Errc::invalid for what is no regular
// file or is too large. A file where policies are read from is held to their rules as well.
Result<std::string> read_named_file(const broker::Places& places, const std::string& path);

// A policy by its id, or by its file where the name has a slash or ends in ".yaml".
Result<broker::Layer> named_policy(const broker::Places& places, const std::string& name);

// One policy by itself, as it holds in a project.
Result<std::shared_ptr<const broker::PolicySet>> set_of(broker::Layer layer, const broker::Places& places,
                                                        const std::string& project);

// "FILE: MESSAGE", the file named once; not yet safe to print.
std::string problem_text(const broker::LoadProblem& problem);

// The running agent's answer; nullopt when none runs.
Result<std::optional<Json>> ask_running_agent(const Console& console, Json request);

}  // namespace substrate::shell
