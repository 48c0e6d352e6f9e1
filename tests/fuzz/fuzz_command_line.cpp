// Any bytes are a command line: parsing and judging them ends, within limits, and a
// line that names its commands in full names at least one for what is not empty.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "policy/evaluate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    using namespace substrate::policy;
    static const std::string bytes = [] {
        Policy policy{.id = "fuzz"};
        policy.commands.denied = {"sudo *",      "rm -rf /",          "curl * | sh",
                                  "chmod 777 *", "git push --force*", "* /etc/shadow"};
        policy.commands.isolated = {"npm install *"};
        return compile_policy(policy, {}).value();
    }();
    const CompiledPolicy policy = CompiledPolicy::open(bytes).value();
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    for (const Dialect dialect : {Dialect::bash, Dialect::posix}) {
        const EvaluationContext context{.cwd = "/p", .home = "/h", .dialect = dialect};
        const ParsedLine parsed = parse_command_line(line, {.dialect = dialect, .home = "/h"});
        if (parsed.commands.size() > kMaxCommands) std::abort();
        for (std::size_t i = 0; i < parsed.commands.size(); ++i) {
            const SimpleCommand& command = parsed.commands[i];
            if (command.stage >= parsed.stages.size()) std::abort();
            if (command.parent != kNoParent && command.parent >= i) std::abort();
        }
        const Decision decision = judge(policy, parsed, context);
        if (decision.reason.empty() || decision.policy_id != "fuzz") std::abort();
        // What cannot be read is never let through plainly.
        if (!parsed.ok() && decision.action == DecisionAction::allow) std::abort();
        if (line.contains('\0') && decision.action != DecisionAction::deny) std::abort();
    }
    return 0;
}
