#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/policy_set.hpp"
#include "codec/policy_yaml.hpp"
#include "model/policy.hpp"

// Tables of commands and the verdicts they must get, for `policy test`.
namespace substrate::shell {

struct PolicyCase {
    int line = 0;
    std::string command;            // for a shell
    std::vector<std::string> argv;  // or: exactly this
    std::string cwd;                // empty: where the test is run; $PROJECT and $HOME stand for themselves
    std::string expect;             // one of kVerdicts
    std::string rule, pattern;      // empty: any
};

struct PolicyTable {
    std::string policy;  // an id or a file; empty: what is in force
    std::vector<PolicyCase> cases;
    std::vector<PolicyProblem> problems;  // not empty: the rest must not be used
};

inline constexpr std::string_view kVerdicts[] = {"allow", "deny", "ask", "isolate", "direct"};

// Unknown keys, wrong types, a missing `cases` or a case without a command are problems.
PolicyTable read_policy_table(std::string_view text, std::string_view file);

// A decision in one of kVerdicts: what the rules say, whether they are enforced or not.
// `action` is the name of a DecisionAction, as spans have it.
std::string_view verdict_word(std::string_view action, const std::vector<std::string>& restrictions);

struct CaseOutcome {
    broker::Verdict verdict;
    std::string_view got;
    // Not empty: what is not as expected, one line.
    std::string failure;
};

// Where the commands of a table run.
struct CaseGround {
    std::string cwd, project, home;
};
CaseOutcome try_case(const broker::PolicySet& policies, const PolicyCase& expected, const CaseGround& ground);

}  // namespace substrate::shell
