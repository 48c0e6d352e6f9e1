#include "policy/compiled_policy.hpp"

#include <gtest/gtest.h>

#include "base/text.hpp"
#include "policy/evaluate.hpp"
#include "policy/expand.hpp"

namespace substrate::policy {
namespace {

const EvaluationContext kContext{.cwd = "/home/u/project", .home = "/home/u"};

std::string compiled(std::vector<std::string> denied, std::vector<std::string> allowed = {}) {
    Policy policy{.id = "test", .hash = "h1"};
    policy.commands.denied = std::move(denied);
    policy.commands.allowed = std::move(allowed);
    return compile_policy(policy, {.project = "/home/u/project", .home = "/home/u"}).value();
}

bool denies(const std::string& bytes, std::string_view line) {
    return evaluate(CompiledPolicy::open(bytes).value(), line, kContext).rule.starts_with("commands.denied[");
}

TEST(Pattern, Globs) {
    EXPECT_TRUE(glob_match("a*c", "abbc"));
    EXPECT_TRUE(glob_match("*", ""));
    EXPECT_TRUE(glob_match("a\\*", "a*"));
    EXPECT_FALSE(glob_match("a\\*", "ab"));
    EXPECT_TRUE(glob_match("[a-c]x", "bx"));
    EXPECT_FALSE(glob_match("[!a-c]x", "bx"));
    EXPECT_TRUE(glob_match("[]a]", "]"));
    EXPECT_TRUE(glob_match("a[b", "a[b"));
    EXPECT_TRUE(glob_match("?", "/"));
    EXPECT_FALSE(glob_match("ab", "abc"));
    EXPECT_TRUE(glob_match("**a**", "xax"));
}

TEST(Pattern, GlobsThatMayMeet) {
    EXPECT_TRUE(globs_may_meet("/etc*", "/e*c"));
    EXPECT_TRUE(globs_may_meet("/", "/"));
    EXPECT_FALSE(globs_may_meet("/", "*.o"));
    EXPECT_FALSE(globs_may_meet("/etc", "*"));
    EXPECT_TRUE(globs_may_meet("/etc", "/[a-f]tc"));
    EXPECT_FALSE(globs_may_meet("abc", "a?d"));
}

TEST(Pattern, WrongOnesAreNamed) {
    for (const char* pattern : {"", "   ", "| sh", "curl * |", "a | | b", "a; b", "a && b", "$(x)", "`x`",
                                "a > b", "'a", "$PROJECT"})
        EXPECT_FALSE(parse_pattern(pattern)) << pattern;
    EXPECT_FALSE(parse_pattern(std::string(5000, 'a')));
    EXPECT_FALSE(parse_pattern("a|b|c|d|e|f|g|h|i"));
    EXPECT_EQ(parse_pattern("curl *|sh")->size(), 2u);
    EXPECT_EQ(parse_pattern("rm 'a b' \"c*\"")->at(0).operands, (std::vector<std::string>{"a b", "c\\*"}));
    EXPECT_EQ(parse_pattern("rm $HOME/x*", {.home = "/h*"})->at(0).operands[0], "/h\\*/x*");
}

TEST(Pattern, APipelineCannotLetThrough) {
    Policy policy{.id = "test"};
    policy.commands.allowed = {"cat * | sh"};
    const auto made = compile_policy(policy, {});
    ASSERT_FALSE(made);
    EXPECT_NE(made.error().message().find("commands.allowed[0]"), std::string::npos);
}

TEST(NormalPath, Collapses) {
    EXPECT_EQ(normal_path("/"), "/");
    EXPECT_EQ(normal_path("//a/./b/../c/"), "/a/c");
    EXPECT_EQ(normal_path("/.."), "/");
    EXPECT_EQ(normal_path("a/.."), ".");
    EXPECT_EQ(normal_path("../a"), "../a");
    EXPECT_EQ(normal_path(""), ".");
}

TEST(Compiled, EqualInputGivesEqualBytes) {
    EXPECT_EQ(compiled({"sudo *", "rm -rf /"}), compiled({"sudo *", "rm -rf /"}));
}

// The prefilter must find whatever matching rule by rule would find.
TEST(Compiled, FindsEachOfManyRules) {
    std::vector<std::string> rules;
    for (int i = 0; i < 2'000; ++i) {
        const std::string n = std::to_string(i);
        switch (i % 5) {
            case 0: rules.push_back("tool" + n + " *"); break;
            case 1: rules.push_back("git push origin branch-" + n + "*"); break;
            case 2: rules.push_back("*run" + n + " x"); break;
            case 3: rules.push_back("rm -rf /data/" + n); break;
            default: rules.push_back("kubectl delete ?od-" + n + " --force"); break;
        }
    }
    const std::string bytes = compiled(rules);
    const auto policy = CompiledPolicy::open(bytes).value();
    for (int i = 0; i < 2'000; ++i) {
        const std::string n = std::to_string(i);
        const std::string lines[] = {"tool" + n + " a b", "git push origin branch-" + n + "-x",
                                     "myrun" + n + " x", "rm -r --force /tmp /data/" + n + "/",
                                     "kubectl delete pod-" + n + " --force"};
        const Decision decision = evaluate(policy, lines[i % 5], kContext);
        EXPECT_TRUE(decision.rule.starts_with("commands.denied[")) << lines[i % 5];
        if (i % 5 != 1) {
            EXPECT_EQ(decision.pattern, rules[static_cast<std::size_t>(i)]);
        }
    }
    EXPECT_FALSE(denies(bytes, "tool a b"));
    EXPECT_FALSE(denies(bytes, "git push origin main"));
}

TEST(Compiled, AnyProgramPatterns) {
    EXPECT_TRUE(denies(compiled({"*"}), "ls"));
    EXPECT_TRUE(denies(compiled({"* --dangerous"}), "ls --dangerous"));
    EXPECT_FALSE(denies(compiled({"* --dangerous"}), "ls"));
    EXPECT_TRUE(denies(compiled({"* /etc/shadow"}), "cat /etc/./shadow"));
    EXPECT_TRUE(denies(compiled({"*"}), "$X"));
}

TEST(Compiled, DamagedBytesAreRefusedOrHarmless) {
    const std::string good = compiled({"sudo *", "curl * | sh", "rm -rf /", "git push --force*"}, {"ls *"});
    ASSERT_TRUE(CompiledPolicy::open(good));
    for (std::size_t size = 0; size < good.size(); size += 7)
        EXPECT_FALSE(CompiledPolicy::open(std::string_view(good).substr(0, size)));
    for (std::size_t at = 0; at < good.size(); ++at) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 0x41);
        EXPECT_FALSE(CompiledPolicy::open(bad)) << at;
    }
    EXPECT_FALSE(CompiledPolicy::open(good + "x"));
    EXPECT_FALSE(CompiledPolicy::open(""));
}

TEST(QuickCheck, OnlyDenials) {
    const std::string bytes = compiled({"sudo *", "curl * | sh"}, {"ls"});
    const auto policy = CompiledPolicy::open(bytes).value();
    EXPECT_EQ(quick_check(policy, {"/usr/bin/sudo", "ls"}, kContext).rule, "commands.denied[0]");
    EXPECT_EQ(quick_check(policy, {"env", "sudo", "ls"}, kContext).pattern, "sudo *");
    EXPECT_EQ(quick_check(policy, {"bash", "-c", "true; sudo ls"}, kContext).action, DecisionAction::deny);
    EXPECT_EQ(quick_check(policy, {"make"}, kContext).action, DecisionAction::allow);
    EXPECT_EQ(quick_check(policy, {"curl", "x"}, kContext).action, DecisionAction::allow);
    EXPECT_EQ(quick_check(policy, {"bash", "-c", "$X"}, kContext).action, DecisionAction::allow);
    EXPECT_EQ(quick_check(policy, {}, kContext).action, DecisionAction::allow);
    EXPECT_EQ(quick_check(policy, {"sudo"}, kContext).policy_hash, "h1");
}

TEST(Evaluate, ArgumentVectorsAreNotExpanded) {
    const std::string bytes = compiled({"rm -rf /", "sudo *"});
    const auto policy = CompiledPolicy::open(bytes).value();
    const auto judged = [&](const std::vector<std::string>& argv) {
        return evaluate(policy, argv, kContext).action;
    };
    EXPECT_EQ(judged({"rm", "-rf", "/"}), DecisionAction::deny);
    EXPECT_EQ(judged({"echo", "$(sudo ls)"}), DecisionAction::allow);
    EXPECT_EQ(judged({"ls", "*"}), DecisionAction::allow);
    EXPECT_EQ(judged({"sh", "-c", "sudo ls"}), DecisionAction::deny);
}

TEST(Evaluate, WhatGitRunsBesidesIsNeverOverlooked) {
    const std::vector<std::string> verbs = {"commit",    "bisect",  "submodule",    "rebase", "clone",
                                            "config",    "fetch",   "push",         "grep",   "difftool",
                                            "ls-remote", "alias.x", "-c",           "-C",     "pull",
                                            "log",       "archive", "filter-branch"};
    const std::vector<std::vector<std::string>> rests = {{},
                                                         {"run", "sudo", "ls"},
                                                         {"foreach", "sudo ls"},
                                                         {"-x", "sudo ls"},
                                                         {"--exec=sudo ls"},
                                                         {"--upload-pack", "sudo ls"},
                                                         {"--receive-pack=sudo ls", "x"},
                                                         {"--open-files-in-pager=sudo ls", "x"},
                                                         {"ext::sudo ls"},
                                                         {"-u", "sudo ls", "x"},
                                                         {"core.pager=sudo ls", "log"},
                                                         {"alias.x", "!sudo ls"},
                                                         {"x", "-c", "core.sshCommand=sudo ls"}};
    int alone = 0, found = 0;
    for (const std::string& verb : verbs)
        for (const std::vector<std::string>& rest : rests) {
            std::vector<std::string> argv = {"git", verb};
            argv.insert(argv.end(), rest.begin(), rest.end());
            const ParsedLine parsed = parse_arguments(argv);
            const bool others =
                parsed.commands.size() > 1 || !parsed.ok() || parsed.commands[0].unresolved != Unknown::none;
            found += others ? 1 : 0;
            if (git_may_run_others(argv)) continue;
            ++alone;
            EXPECT_FALSE(others) << shell_join(argv);
        }
    EXPECT_GT(alone, 50);
    EXPECT_GT(found, 20);
}

TEST(Evaluate, DenialsArePrintedSafely) {
    Decision decision{.rule = "commands.denied[0]",
                      .pattern = "x *",
                      .command = "x \x1b[31m\xe2\x80\xae",
                      .policy_id = "default",
                      .mode = PolicyMode::enforce};
    EXPECT_EQ(denial_text(decision),
              "command denied by policy: x \\x1b[31m\\u{202e} (policy default, commands.denied[0] \"x *\")");
    decision.mode = PolicyMode::observe;
    EXPECT_TRUE(denial_text(decision).starts_with("command would be denied by policy: x"));
}

}  // namespace
}  // namespace substrate::policy
