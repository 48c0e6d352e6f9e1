#include "shell/policy_suggest.hpp"

#include <gtest/gtest.h>

#include "broker/places.hpp"
#include "broker/policy_reader.hpp"
#include "codec/policy_yaml.hpp"
#include "policy/evaluate.hpp"
#include "shell/command_pattern.hpp"
#include "shell/policy_ground.hpp"
#include "shell/recorded_command.hpp"

namespace substrate::shell {
namespace {

const SuggestionGround kGround{.id = "seen", .session = "ses_1", .home = "/home/u"};

Span span_of(std::string cmd) {
    Span span;
    span.cmd = std::move(cmd);
    span.cwd = "/home/u/project";
    span.project = "/home/u/project";
    return span;
}

std::vector<Span> spans_of(const std::vector<std::string>& lines) {
    std::vector<Span> spans;
    for (const std::string& line : lines) spans.push_back(span_of(line));
    return spans;
}

std::vector<std::string> patterns_of(const std::vector<std::string>& lines) {
    const auto made = suggest_policy(spans_of(lines), kGround);
    EXPECT_TRUE(made) << made.error().describe();
    if (!made) return {};
    const PolicyText read = parse_policy(made->yaml, "suggested");
    EXPECT_TRUE(read.ok()) << read.problems[0].text() << "\n" << made->yaml;
    return read.policy.commands.allowed;
}

using Texts = std::vector<std::string>;

TEST(Suggest, CommandsAsTheyWere) {
    EXPECT_EQ(patterns_of({"make -j4", "make -j4", "git commit -m 'a b'", "./run.sh", "/usr/bin/env"}),
              (Texts{"make -j4", "git commit -m 'a b'", "./run.sh", "/usr/bin/env"}));
    // Orders of options and values that options take are not looked at when patterns are compared.
    EXPECT_EQ(patterns_of({"ls -la", "ls -al", "make -C sub all"}), (Texts{"ls -la", "make -C all"}));
}

TEST(Suggest, ThreeOfAShapeBecomeOne) {
    EXPECT_EQ(patterns_of({"echo one", "echo two"}), (Texts{"echo one", "echo two"}));
    EXPECT_EQ(patterns_of({"echo one", "echo two", "echo three"}), (Texts{"echo ?*"}));
    EXPECT_EQ(patterns_of({"cat src/a.c", "cat src/b.c", "cat src/dd.c"}), (Texts{"cat src/*.c"}));
    EXPECT_EQ(patterns_of({"cc -c a.c -o a.o", "cc -c b.c -o b.o", "cc -c x.c -o x.o"}),
              (Texts{"cc -c -o *.c *.o"}));
    EXPECT_EQ(patterns_of({"tool --name=a", "tool --name=b", "tool --name=c"}), (Texts{"tool --name=?*"}));
    EXPECT_EQ(patterns_of({"npm run a", "npm run b", "npm run c"}), (Texts{"npm run ?*"}));
}

TEST(Suggest, WhatMustNotBecomeOne) {
    // Verbs, code, and other commands.
    EXPECT_EQ(patterns_of({"git status", "git diff", "git log"}),
              (Texts{"git status", "git diff", "git log"}));
    EXPECT_EQ(patterns_of({"foo a b", "bar a b", "baz a b"}), (Texts{"foo a b", "bar a b", "baz a b"}));
    EXPECT_EQ(patterns_of({"python3 -c a", "python3 -c b", "python3 -c d"}),
              (Texts{"python3 -c a", "python3 -c b", "python3 -c d"}));
    EXPECT_EQ(patterns_of({"sudo a", "sudo b", "sudo c"}).size(), 6u);
    EXPECT_EQ(patterns_of({"a", "b", "c"}), (Texts{"a", "b", "c"}));
}

TEST(Suggest, AMergedWordIsNoOption) {
    const policy::ParsedLine line = policy::parse_command_line("rm -rf /");
    const Texts patterns = patterns_of({"rm a", "rm b", "rm c"});
    ASSERT_EQ(patterns, (Texts{"rm ?*"}));
    EXPECT_FALSE(pattern_allows(patterns[0], line.commands[0]));
}

TEST(Suggest, WordsThatArePatternsOrShellThemselves) {
    const Texts lines = {"echo '*' '?' '[a]' '\\'",
                         "echo \"it's \\\"q\\\"\"",
                         "printf '%s\\n' -- -x",
                         "'[' -f f ']'",
                         "echo ''",
                         "echo $'a\\nb\\tc'",
                         "echo \u00fc\u4e2d\U0001f600",
                         "touch '-- ' '#x: y'",
                         "echo '$HOME' '`x`' 'a|b;c&d'",
                         "rm -- -rf",
                         "test a = 'a b'",
                         "X=1 Y='a b' env Z=2 nice -n 5 make"};
    const auto made = suggest_policy(spans_of(lines), kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, lines.size());
    EXPECT_TRUE(made->left_out.empty()) << made->left_out[0];
    // None of them needed more than what it was.
    for (const std::string& pattern : patterns_of(lines)) EXPECT_FALSE(pattern.ends_with(" *")) << pattern;
}

TEST(Suggest, ArgumentsThatAreNotUtf8) {
    Span span = span_of(
        "touch a\xff"
        "b");
    span.replay.argv = {"touch",
                        "a\xff"
                        "b"};
    const auto made = suggest_policy({span}, kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, 1u);
    EXPECT_NE(made->yaml.find("a?b"), std::string::npos) << made->yaml;
}

TEST(Suggest, SecretsThatWereTakenOutAreGlobs) {
    Span span = span_of("curl --oauth2-bearer [REDACTED] -H 'X-Key: [REDACTED]' u");
    EXPECT_TRUE(recorded_command(span).redacted);
    const auto made = suggest_policy({span}, kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, 1u);
    EXPECT_EQ(made->yaml.find(kTakenOut), std::string::npos) << made->yaml;
}

TEST(Suggest, UnknownWordsAndLinesThatCannotBeCovered) {
    auto spans = spans_of({"rm *.o", "echo $X", "$X a", "if true", "ls"});
    spans.push_back(span_of("shutdown now"));
    spans.back().outcome = Outcome::denied;
    const auto made = suggest_policy(spans, kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, 3u);
    EXPECT_EQ(made->left_out.size(), 3u);
    const PolicyText read = parse_policy(made->yaml, "suggested");
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read.policy.commands.allowed, (Texts{"rm *", "echo *", "ls"}));
    EXPECT_EQ(read.policy.commands.unresolved, UnresolvedRule::isolate);
    EXPECT_EQ(read.policy.mode, PolicyMode::enforce);
    EXPECT_FALSE(read.policy.allow_shell_operators);
    EXPECT_EQ(made->yaml.find("- shutdown"), std::string::npos);
}

TEST(Suggest, NothingMoreThanNeeded) {
    const auto made = suggest_policy(spans_of({"ls"}), kGround);
    ASSERT_TRUE(made);
    const PolicyText read = parse_policy(made->yaml, "suggested");
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(read.policy.commands.unresolved, UnresolvedRule::deny);
    EXPECT_EQ(read.policy.net.allowed, std::optional<Texts>(Texts{}));
    // An empty allowlist would allow everything.
    EXPECT_EQ(patterns_of({"x=1"}), (Texts{":"}));
    EXPECT_EQ(suggest_policy({}, kGround).error().code(), Errc::not_found);
    EXPECT_EQ(suggest_policy(spans_of({"$X"}), kGround).error().code(), Errc::not_found);
}

TEST(Suggest, WritesFromScopes) {
    Span one = span_of("a"), two = span_of("b");
    one.scopes_used = {"fs.write:/home/u/project/x y", "fs.write:/home/u/.cache", "net:host.example:443"};
    two.scopes_used = {"fs.write:/home/u/projects/z", "fs.write:/srv/w"};
    auto made = suggest_policy({one, two}, kGround);
    ASSERT_TRUE(made);
    PolicyText read = parse_policy(made->yaml, "suggested");
    ASSERT_TRUE(read.ok()) << read.problems[0].text();
    EXPECT_EQ(read.policy.fs.write, (Texts{"$HOME/.cache", "$HOME/projects/z", "$PROJECT/x y", "/srv/w"}));
    EXPECT_EQ(read.policy.net.allowed, std::optional<Texts>(Texts{"host.example:443"}));
    // A list that was cut stands for the whole project.
    for (int i = 0; i < 20; ++i) one.scopes_used.push_back("fs.write:/home/u/project/" + std::to_string(i));
    made = suggest_policy({one}, kGround);
    ASSERT_TRUE(made);
    read = parse_policy(made->yaml, "suggested");
    EXPECT_EQ(read.policy.fs.write, (Texts{"$PROJECT", "$HOME/.cache"}));
}

// What a hostile session holds must not become keys of the policy, or reach a terminal.
TEST(Suggest, HostileTextsStayText) {
    auto spans = spans_of({"echo 'a\nmode: observe\ncommands: {}'", "echo $'\\e[2J\u202e'",
                           "true #\nmode: observe", "bash -c '$X\nid: evil'", "if '\nid: evil"});
    const auto made = suggest_policy(spans, {.id = "seen", .session = "ses\nid: evil", .home = "/home/u"});
    ASSERT_TRUE(made) << made.error().describe();
    const PolicyText read = parse_policy(made->yaml, "suggested");
    ASSERT_TRUE(read.ok()) << read.problems[0].text() << made->yaml;
    EXPECT_EQ(read.policy.id, "seen");
    EXPECT_EQ(read.policy.mode, PolicyMode::enforce);
    EXPECT_EQ(made->yaml.find('\x1b'), std::string::npos);
    EXPECT_EQ(made->yaml.find("\u202e"), std::string::npos);
    EXPECT_EQ(made->yaml.find("\nid: evil"), std::string::npos);
}

// The reader of policies refuses some texts whatever their quotes; one command that has
// them must not spoil the others.
TEST(Suggest, TextsThatNoPolicyCanHoldAreLeftOut) {
    const auto made =
        suggest_policy(spans_of({"ls", "./'#end-of-the-text'", "touch '#end-of-the-text'"}), kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, 1u);
    EXPECT_EQ(made->left_out.size(), 2u);
    EXPECT_TRUE(parse_policy(made->yaml, "suggested").ok());
}

TEST(Suggest, LongWordsAreWidened) {
    const auto made = suggest_policy(spans_of({"echo " + std::string(100'000, 'x')}), kGround);
    ASSERT_TRUE(made) << made.error().describe();
    EXPECT_EQ(made->covered, 1u);
    EXPECT_LT(made->yaml.size(), 4096u);
}

TEST(Recorded, DialectAndWordsAsTheyWereJudged) {
    Span span = span_of("a | b");
    span.argv = {"bash", "-c", "a | b"};
    EXPECT_EQ(recorded_command(span).dialect, policy::Dialect::bash);
    span.argv[0] = "sh";
    EXPECT_EQ(recorded_command(span).dialect, policy::Dialect::posix);
    EXPECT_EQ(recorded_command(span).line, "a | b");
    span.argv[0] = "zsh";
    EXPECT_EQ(recorded_command(span).argv, span.argv);
    span.replay.argv = {"x", "[REDACTED]"};
    EXPECT_EQ(recorded_command(span).argv, (Texts{"x", "REDACTED"}));
    EXPECT_TRUE(recorded_command(span).redacted);
}

TEST(Suggest, YamlScalarsReadAsThemselves) {
    for (const std::string text :
         {"a",    "true",         "null",     "1.5",      "- x",    "a: b",
          "a #b", "x ",           " x",       "~",        "*a",     "?a",
          "a\nb", "a\tb\x01\x7f", "\"q\" \\", "\u00fc",   "\u202e", "\U0001f600\u202e",
          "@x",   "a b",          "'x'",      "$PROJECT", "/",      "-",
          "a:",   "{a}",          "%x"}) {
        const PolicyText read = parse_policy("id: a\nname: " + yaml_scalar(text) + "\n", "f");
        ASSERT_TRUE(read.ok()) << text << ": " << read.problems[0].text();
        EXPECT_EQ(read.policy.name, text);
    }
}

TEST(PatternWord, MeansExactlyItself) {
    for (const std::string text :
         {"a", "", "*", "a b", "it's", "\"", "'\"", "\\", "$X", "|", "[x]", "\u00fc'\"", "a\nb"}) {
        policy::SimpleCommand command;
        command.words = {{.text = "p"}, {.text = text}};
        EXPECT_TRUE(pattern_allows("p " + pattern_word(text), command)) << text;
        command.words[1].text += "x";
        EXPECT_FALSE(pattern_allows("p " + pattern_word(text), command)) << text;
    }
}

}  // namespace
}  // namespace substrate::shell
