#include "shell/policy_cases.hpp"

#include <gtest/gtest.h>

#include "broker/places.hpp"
#include "broker/policy_reader.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

const CaseGround kGround{.cwd = "/home/u/project/sub", .project = "/home/u/project", .home = "/home/u"};

std::shared_ptr<const broker::PolicySet> policies(const std::string& text) {
    const broker::Places places = broker::places_of("/home/u/.substrate", "/home/u", 1000);
    auto layer = broker::read_layer("id: a\n" + text, "a.yaml", {}, places);
    EXPECT_TRUE(layer) << layer.error().describe();
    auto set = set_of(std::move(*layer), places, kGround.project);
    EXPECT_TRUE(set) << set.error().describe();
    return *set;
}

std::string failure(const broker::PolicySet& set, const PolicyCase& expected) {
    return try_case(set, expected, kGround).failure;
}

TEST(PolicyTable, ReadsCases) {
    const PolicyTable table = read_policy_table(
        "policy: ./a.yaml\ncases:\n  - command: rm -rf /\n    expect: deny\n    rule: commands.denied[0]\n"
        "  - argv: [ls, '-l', '']\n    cwd: $PROJECT/x\n    expect: allow\n",
        "t.yaml");
    ASSERT_TRUE(table.problems.empty()) << table.problems[0].text();
    EXPECT_EQ(table.policy, "./a.yaml");
    ASSERT_EQ(table.cases.size(), 2u);
    EXPECT_EQ(table.cases[0].line, 3);
    EXPECT_EQ(table.cases[0].rule, "commands.denied[0]");
    EXPECT_EQ(table.cases[1].argv, (std::vector<std::string>{"ls", "-l", ""}));
}

TEST(PolicyTable, EachProblemHasItsPlace) {
    const std::pair<const char*, const char*> rows[] = {
        {"", "t:1:1: must be a mapping with `cases`"},
        {"policy: a\n", "t:1:1: /cases: is missing"},
        {"cases: x\n", "t:1:8: /cases: must be a list of cases"},
        {"cases: []\n", "t:1:8: /cases: must be a list of cases"},
        {"case: []\ncases: [{command: a, expect: deny}]\n",
         "t:1:1: /case: is not a known key; known here: policy, cases"},
        {"cases:\n  - a\n", "t:2:5: /cases/0: must be a mapping"},
        {"cases:\n  - {expect: deny}\n", "t:2:5: /cases/0: needs either `command` or `argv`"},
        {"cases:\n  - {command: a, argv: [a], expect: deny}\n",
         "t:2:5: /cases/0: needs either `command` or `argv`"},
        {"cases:\n  - {command: a}\n", "t:2:5: /cases/0/expect: is missing"},
        {"cases:\n  - {command: a, expect: no}\n",
         "t:2:26: /cases/0/expect: must be one of allow, deny, ask, isolate, direct"},
        {"cases:\n  - {command: [a], expect: deny}\n",
         "t:2:15: /cases/0/command: must be a text that is not empty"},
        {"cases:\n  - {argv: a, expect: deny}\n", "t:2:12: /cases/0/argv: must be a list of words"},
        {"cases:\n  - {command: a, cwd: b, expect: deny}\n",
         "t:2:23: /cases/0/cwd: must be an absolute path, or begin with $PROJECT or $HOME"},
        {"cases:\n  - {command: a, command: b, expect: deny}\n",
         "t:2:18: the key \"command\" is there twice"},
        {"cases: &a [*a]\n", "t:1:8: anchors are not supported"},
    };
    for (const auto& [text, problem] : rows) {
        const PolicyTable table = read_policy_table(text, "t");
        ASSERT_FALSE(table.problems.empty()) << text;
        EXPECT_EQ(table.problems[0].text(), problem) << text;
    }
}

TEST(PolicyTable, VerdictsAreHeldAgainstExpectations) {
    const auto set = policies(
        "commands:\n  denied: [rm -rf /, 'rm -rf $PROJECT']\n  isolated: [npm install *]\n  direct: [vite "
        "*]\n"
        "  unresolved: ask\n");
    EXPECT_EQ(failure(*set, {.command = "true; rm -fr /", .expect = "deny", .pattern = "rm -rf /"}), "");
    EXPECT_EQ(failure(*set, {.command = "npm install x", .expect = "isolate"}), "");
    EXPECT_EQ(failure(*set, {.command = "vite dev", .expect = "direct"}), "");
    EXPECT_EQ(failure(*set, {.command = "$X", .expect = "ask", .rule = "commands.unresolved"}), "");
    EXPECT_EQ(failure(*set, {.argv = {"echo", "$X"}, .expect = "allow"}), "");
    EXPECT_EQ(failure(*set, {.command = "ls", .expect = "deny"}),
              "verdict deny expected, but it is allow (no rule is against it)");
    EXPECT_EQ(failure(*set, {.command = "rm -rf /", .expect = "deny", .rule = "commands.denied[1]"}),
              "rule commands.denied[1] expected, but it is commands.denied[0] (denied by the pattern \"rm "
              "-rf /\")");
    EXPECT_EQ(failure(*set, {.command = "ls", .expect = "allow", .pattern = "\x1b[2J"}),
              "pattern \\x1b[2J expected, but it is none (no rule is against it)");
}

TEST(PolicyTable, TheDirectoryOfACase) {
    const auto set = policies("commands:\n  denied: ['rm -rf $PROJECT']\n");
    EXPECT_EQ(failure(*set, {.command = "rm -rf ..", .expect = "deny"}), "");
    EXPECT_EQ(failure(*set, {.command = "rm -rf ..", .cwd = "$PROJECT", .expect = "allow"}), "");
    EXPECT_EQ(failure(*set, {.command = "rm -rf project", .cwd = "$HOME", .expect = "deny"}), "");
    EXPECT_EQ(failure(*set, {.command = "rm -rf project", .cwd = "/tmp", .expect = "allow"}), "");
}

}  // namespace
}  // namespace substrate::shell
