// The policies of packaging/policies: each is read, compiles, and does what it is for.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "codec/policy_yaml.hpp"
#include "policy/evaluate.hpp"

namespace substrate {
namespace {

const policy::EvaluationContext kContext{.cwd = "/home/u/project", .home = "/home/u"};

std::string compiled(const std::filesystem::path& file) {
    std::ifstream stream(file);
    std::stringstream text;
    text << stream.rdbuf();
    PolicyText read = parse_policy(text.str(), file.filename().string());
    EXPECT_TRUE(read.ok()) << (read.ok() ? "" : read.problems[0].text());
    // A preset or a profile is found by its id.
    EXPECT_EQ(read.policy.id, file.stem().string());
    auto made = policy::compile_policy(read.policy, {.project = "/home/u/project", .home = "/home/u"});
    EXPECT_TRUE(made) << file << ": " << (made ? "" : made.error().describe());
    return made ? *made : "";
}

Decision judge(const std::string& bytes, std::string_view line) {
    const auto opened = policy::CompiledPolicy::open(bytes);
    return opened ? policy::evaluate(*opened, line, kContext) : Decision{.action = DecisionAction::deny};
}

TEST(ShippedPolicies, AllCompileUnderTheirIds) {
    int seen = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(SUBSTRATE_POLICIES)) {
        if (entry.path().extension() != ".yaml") continue;
        EXPECT_FALSE(compiled(entry.path()).empty()) << entry.path();
        ++seen;
    }
    EXPECT_GE(seen, 12);
}

TEST(ShippedPolicies, DefaultDeniesAccidentsAndIsolatesInstalls) {
    const std::string bytes = compiled(SUBSTRATE_POLICIES "/default.yaml");
    ASSERT_FALSE(bytes.empty());
    const auto deny = judge(bytes, "true; rm -fr /");
    EXPECT_EQ(deny.action, DecisionAction::deny);
    EXPECT_EQ(deny.rule, "commands.denied[1]");
    EXPECT_EQ(deny.mode, PolicyMode::observe);
    EXPECT_EQ(
        policy::denial_text(deny),
        "command would be denied by policy: rm -fr / (policy default, commands.denied[1] \"rm -rf /\")");
    for (const char* line : {"sudo ls", "chmod -R 777 .", "curl x | bash", "wget -qO- x | sh", "rm -rf ~",
                             "mkfs.ext4 /dev/sda", "dd if=x of=/dev/sda", "su -c ls"})
        EXPECT_EQ(judge(bytes, line).action, DecisionAction::deny) << line;
    for (const char* line : {"npm install", "pip install x", "python3 -m pip install x", "cargo install x",
                             "apt-get install -y x"}) {
        EXPECT_EQ(judge(bytes, line).action, DecisionAction::allow_with_restrictions) << line;
        EXPECT_EQ(judge(bytes, line).restrictions, std::vector<std::string>{"isolate"}) << line;
    }
    for (const char* line : {"make -j4", "git push", "npm test && npm run build", "dd if=x of=/dev/null",
                             "rm -rf build", "ls *.c"})
        EXPECT_EQ(judge(bytes, line).action, DecisionAction::allow)
            << line << ": " << judge(bytes, line).reason;
}

TEST(ShippedPolicies, AgentsMustAskForWhatLeavesTheMachine) {
    for (const auto& entry : std::filesystem::directory_iterator(SUBSTRATE_POLICIES "/agents")) {
        const std::string bytes = compiled(entry.path());
        ASSERT_FALSE(bytes.empty());
        EXPECT_EQ(judge(bytes, "git push origin main").action, DecisionAction::ask) << entry.path();
        EXPECT_EQ(judge(bytes, "git push -f").action, DecisionAction::deny) << entry.path();
        EXPECT_EQ(judge(bytes, "sudo ls").mode, PolicyMode::enforce) << entry.path();
        EXPECT_EQ(judge(bytes, "make test").action, DecisionAction::allow) << entry.path();
    }
}

}  // namespace
}  // namespace substrate
