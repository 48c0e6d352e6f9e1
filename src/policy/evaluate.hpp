#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/policy.hpp"
#include "policy/command_line.hpp"
#include "policy/compiled_policy.hpp"

namespace substrate::policy {

// What an evaluation must know about where the command would run.
struct EvaluationContext {
    std::string cwd;   // absolute; empty: not known
    std::string home;  // what ~ means; empty: not known
    Dialect dialect = Dialect::bash;
};

// The verdict on a whole line: denied, then the allowlist, then what is not known,
// then isolated, then approval. A line that cannot be read as a whole follows
// commands.unresolved; one over a limit is denied.
Decision evaluate(const CompiledPolicy& policy, std::string_view line, const EvaluationContext& context);

// The same for an argument vector that would be executed as it is.
Decision evaluate(const CompiledPolicy& policy, const std::vector<std::string>& argv,
                  const EvaluationContext& context);

// The same for a line that was parsed before.
Decision judge(const CompiledPolicy& policy, const ParsedLine& line, const EvaluationContext& context);

// Denials only, for one argument vector on its way to execve(2): action is deny
// or allow. What is not known, other lists and pipelines are not looked at.
Decision quick_check(const CompiledPolicy& policy, const std::vector<std::string>& argv,
                     const EvaluationContext& context);

// "command denied by policy: rm -rf / (policy default, commands.denied[1] "rm -rf /")",
// safe to print; "would be denied" for a policy that observes.
std::string denial_text(const Decision& decision);

}  // namespace substrate::policy
