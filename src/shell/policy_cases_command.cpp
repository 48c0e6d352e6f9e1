#include <fmt/format.h>

#include "base/text.hpp"
#include "broker/loader.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_cases.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

using SetPtr = std::shared_ptr<const broker::PolicySet>;

// A file that the table names lies where the table says, not where the test is run.
std::string beside(const std::string& table, const std::string& policy) {
    const bool file = policy.contains('/') || policy.ends_with(".yaml") || policy.ends_with(".yml");
    if (!file || policy.starts_with('/') || !table.contains('/')) return policy;
    return table.substr(0, table.rfind('/') + 1) + policy;
}

Result<SetPtr> policies_for(const PolicyGround& ground, const std::string& name) {
    if (!name.empty()) {
        SUB_TRY_ASSIGN(broker::Layer layer, named_policy(ground.places, name));
        return set_of(std::move(layer), ground.places, ground.project);
    }
    broker::Loaded loaded = broker::load_policies(ground.places, ground.cwd, ground.project);
    if (loaded.set) return SetPtr(std::move(loaded.set));
    return fail(
        Error(Errc::invalid, "no policy could be read: " +
                                 (loaded.problems.empty() ? "" : problem_text(loaded.problems.front())))
            .hint("substrate policy validate"));
}

Json to_json(const PolicyCase& expected, const CaseOutcome& outcome) {
    const Decision& decision = outcome.verdict.decision;
    Json json = {{"line", expected.line},
                 {"expect", expected.expect},
                 {"got", outcome.got},
                 {"ok", outcome.failure.empty()},
                 {"failure", nullptr}};
    put_bytes(json, "command", expected.argv.empty() ? expected.command : shell_join(expected.argv));
    put_bytes(json, "rule", decision.rule);
    put_bytes(json, "pattern", decision.pattern);
    put_bytes(json, "reason", decision.reason);
    if (!outcome.failure.empty()) json["failure"] = outcome.failure;
    return json;
}

}  // namespace

int policy_test(const Console& console, const PolicyTestOptions& options) {
    const auto ground = policy_ground(console);
    if (!ground) return console.fail_with(ground.error());
    const auto text = read_named_file(ground->places, options.file);
    if (!text) return console.fail_with(text.error());
    const PolicyTable table = read_policy_table(*text, options.file);
    for (const PolicyProblem& problem : table.problems) console.note(problem.text());
    if (!table.problems.empty()) return to_int(ExitCode::usage);
    const auto policies =
        policies_for(*ground, options.policy.empty() ? beside(options.file, table.policy) : options.policy);
    if (!policies) return console.fail_with(policies.error());

    const CaseGround where{.cwd = ground->cwd, .project = ground->project, .home = ground->places.home};
    std::size_t failed = 0;
    Json cases = Json::array();
    for (const PolicyCase& expected : table.cases) {
        const CaseOutcome outcome = try_case(**policies, expected, where);
        failed += outcome.failure.empty() ? 0 : 1;
        if (options.json) {
            cases.push_back(to_json(expected, outcome));
        } else if (!outcome.failure.empty()) {
            const std::string command = expected.argv.empty() ? expected.command : shell_join(expected.argv);
            console.out(fmt::format("{}:{}: {}: {}\n", printable(options.file), expected.line,
                                    printable(command), outcome.failure));
        }
    }
    const std::size_t passed = table.cases.size() - failed;
    if (options.json)
        console.out(dump_json_pretty({{"policy_id", (*policies)->id()},
                                      {"policy_hash", (*policies)->hash()},
                                      {"passed", passed},
                                      {"failed", failed},
                                      {"cases", cases}}) +
                    "\n");
    else console.out(fmt::format("{} passed, {} failed\n", passed, failed));
    return failed == 0 ? 0 : 1;
}

}  // namespace substrate::shell
