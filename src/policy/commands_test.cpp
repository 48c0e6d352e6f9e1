// Every line of tests/policy/commands.txt gets the verdict that stands before it.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/text.hpp"
#include "policy/evaluate.hpp"

namespace substrate::policy {
namespace {

std::string replace_all(std::string text, std::string_view what, std::string_view with) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
    return text;
}

// «N×TEXT», from the innermost on.
std::string repeat(std::string text) {
    constexpr std::string_view kOpen = "«", kTimes = "×", kClose = "»";
    while (true) {
        const std::size_t open = text.rfind(kOpen);
        if (open == std::string::npos) return text;
        const std::size_t times = text.find(kTimes, open), close = text.find(kClose, times);
        const int count = std::stoi(text.substr(open + kOpen.size(), times - open));
        const std::string one = text.substr(times + kTimes.size(), close - times - kTimes.size());
        std::string many;
        for (int i = 0; i < count; ++i) many += one;
        text.replace(open, close + kClose.size() - open, many);
    }
}

std::string decoded(std::string line) {
    line = replace_all(std::move(line), "␤", "\n");
    line = replace_all(std::move(line), "␉", "\t");
    line = replace_all(std::move(line), "␍", "\r");
    return repeat(replace_all(std::move(line), "␀", std::string_view("\0", 1)));
}

std::string verdict_of(const Decision& decision) {
    if (decision.rule == "commands.unresolved")
        return decision.action == DecisionAction::allow_with_restrictions ? "isolated" : "unresolved";
    if (decision.rule == "limits") return "limits";
    if (decision.rule == "allow_shell_operators") return "operators";
    if (decision.rule == "commands.allowed") return "allowlist";
    if (decision.rule == "commands.direct") return "direct";
    if (decision.rule == "approval.require") return "ask-all";
    if (decision.rule.starts_with("commands.denied[")) return "deny " + decision.pattern;
    if (decision.rule.starts_with("commands.isolated[")) return "isolate " + decision.pattern;
    if (decision.rule.starts_with("approval.require[")) return "ask " + decision.pattern;
    return decision.rule.empty() && decision.action == DecisionAction::allow ? "allow"
                                                                             : "none: " + decision.rule;
}

void set(Policy& policy, const std::string& key, const std::string& value) {
    if (key == "@denied") policy.commands.denied.push_back(value);
    else if (key == "@allowed") policy.commands.allowed.push_back(value);
    else if (key == "@isolated") policy.commands.isolated.push_back(value);
    else if (key == "@direct") policy.commands.direct.push_back(value);
    else if (key == "@require") policy.approval.require.push_back(value);
    else if (key == "@auto_approve") policy.approval.auto_approve.push_back(value);
    else if (key == "@unresolved") policy.commands.unresolved = parse_unresolved_rule(value).value();
    else if (key == "@operators") policy.allow_shell_operators = value == "yes";
    else if (key == "@require_all") policy.approval.require_all = value == "yes";
    else FAIL() << "the table has an unknown key " << key;
}

TEST(Commands, TableOfVerdicts) {
    std::ifstream file(SUBSTRATE_TEST_POLICY_DIR "/commands.txt");
    ASSERT_TRUE(file.is_open());
    const EvaluationContext context{.cwd = "/home/u/project", .home = "/home/u"};
    Policy policy;
    std::string bytes, row;
    int number = 0, judged = 0;
    while (std::getline(file, row)) {
        ++number;
        if (row.starts_with('#') || row.empty()) continue;
        if (row.starts_with('@')) {
            const std::string key = row.substr(0, row.find(' '));
            const std::string value = row.substr(row.find_first_not_of(' ', key.size()));
            if (key == "@policy") policy = {.id = value};
            else set(policy, key, value);
            bytes.clear();
            continue;
        }
        // The line is what follows the first " | " that does not belong to a pattern.
        std::size_t bar = std::string::npos;
        for (const char* pattern : {"deny curl * | sh", "deny wget * | sh", "deny base64 * | sh"})
            if (row.starts_with(pattern)) bar = std::string_view(pattern).size();
        if (bar == std::string::npos) bar = row.find(" |");
        ASSERT_NE(bar, std::string::npos) << "line " << number;
        const std::string wanted = row.substr(0, bar);
        const std::string line = row.size() > bar + 3 ? decoded(row.substr(bar + 3)) : "";
        if (bytes.empty()) {
            auto made = compile_policy(policy, {.project = "/home/u/project", .home = "/home/u"});
            ASSERT_TRUE(made) << made.error().describe();
            bytes = *made;
        }
        const auto compiled = CompiledPolicy::open(bytes);
        ASSERT_TRUE(compiled);
        const Decision decision = evaluate(*compiled, line, context);
        EXPECT_EQ(verdict_of(decision), wanted) << "line " << number << ": " << row.substr(0, 200)
                                                << "\n  because " << decision.reason.substr(0, 200);
        EXPECT_FALSE(decision.reason.empty()) << "line " << number;
        EXPECT_EQ(decision.policy_id, policy.id);
        ++judged;
    }
    EXPECT_GE(judged, 300);
}

}  // namespace
}  // namespace substrate::policy
