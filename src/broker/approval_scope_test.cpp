#include <gtest/gtest.h>

#include <map>

#include "broker/approvals.hpp"

namespace substrate::broker {
namespace {

std::string form(std::string_view line) { return scope_pattern(line, policy::parse_command_line(line)); }

TEST(ScopePattern, OneSimpleCommandIsItsWords) {
    for (const char* line : {"git push", "  git   push\t\n", "'git' push", "g\"i\"t 'push'", "git \"push\""})
        EXPECT_EQ(form(line), "git push") << line;
    EXPECT_EQ(form("git commit -m \"two words\""), "git commit -m 'two words'");
    EXPECT_EQ(form("echo ''"), "echo ''");
    EXPECT_EQ(form("git commit -m 'caf\xc3\xa9 \xff'"), "git commit -m 'caf\xc3\xa9 \xff'");
    EXPECT_EQ(form("./build.sh --fast"), "./build.sh --fast");
}

TEST(ScopePattern, LinesThatLookAlikeDiffer) {
    // In each row no two lines do the same.
    const std::vector<std::vector<std::string>> rows = {
        {"git push",          "./git push",
         "/usr/bin/git push", "git push .",
         "git pus h",         "'git push'",
         "git 'push '",       "! git push",
         "time git push",     "git push &",
         "git push; ls",      "git push | sh",
         "(git push)",        "{ git push; }",
         "git push >x",       "git push 2>&1",
         "A=b git push",      "env git push",
         "sudo git push",     "git push --force",
         "git push $X",       "git push *",
         "git push ?",        "git push {a,b}",
         "git push `x`",      "git push ~",
         "git push '~'",      "$X git push",
         "git push\nls",      "git push\\ ",
         "Git push",          "g\xd1\x96t push",
         "exec git push",     "if git push; then ls; fi",
         "git push && ls",    "git push <<E\nE"},
        {"A=b cmd", "'A=b' cmd", "'A=b cmd'", "A='b cmd'"},
        {"time ls", "'time' ls", "ls"},
        {"echo *", "echo '*'", "echo \\**"},
        {"cat <<E\nx\nE", "cat <<E\nx \nE", "cat <<E\nx\nE\n "},
        {"$X a", "$X a\\ ", "$X 'a '"},
        {"rm ~/x", "rm '~/x'", "rm \\~/x~"},
        {"sh -c 'ls a'", "sh -c ls a", "sh -c \"'ls a'\""},
        {"echo $'a'", "echo '$a'", "echo $a"},
        {"echo {a,b}", "echo '{a,b}'"},
        {"cat <(ls)", "cat '<(ls)'", "cat < '(ls)'"},
        {"a # b", "a '#' b"},
    };
    for (const auto& row : rows) {
        std::map<std::string, std::string> seen;
        for (const std::string& line : row) {
            const auto [at, fresh] = seen.emplace(form(line), line);
            EXPECT_TRUE(fresh) << "'" << line << "' and '" << at->second << "' are both '" << at->first
                               << "'";
        }
    }
}

// What a form is read as, is what its line is read as.
TEST(ScopePattern, AFormIsReadAsTheSameCommand) {
    for (const char* line : {"git  push", "'git' \"push\"", "a 'b c' \"d'e\"", "'A=b' cmd", "'if' x", "x ''",
                             "echo '!' '#'", "echo a\\ b", "'time' ls", "\"[\" a"}) {
        const auto once = policy::parse_command_line(line);
        ASSERT_TRUE(once.ok()) << line;
        const std::string pattern = scope_pattern(line, once);
        const auto again = policy::parse_command_line(pattern);
        EXPECT_EQ(again.commands, once.commands) << line << " → " << pattern;
        EXPECT_EQ(scope_pattern(pattern, again), pattern);
    }
}

TEST(ScopePattern, OtherLinesAreTheirText) {
    for (const char* line : {"A=b git push",  "git push > x",
                             "cat <<E\nx\nE", "ls *",
                             "echo $HOME",    "git push; git push",
                             "sudo ls",       "env ls",
                             "sh -c 'ls'",    "xargs rm",
                             "./x ~",         "! ls",
                             "time ls",       "'A=b' cmd",
                             "'if' x",        "g\xd1\x96t push",
                             "ls \\a",        "x=1",
                             "a # b",         "[ -f x ]",
                             "cd '",          "echo \"\\$\""})
        EXPECT_EQ(form(line), line);
    EXPECT_EQ(form(" \n ls *\n"), "ls *");
    // White space that may mean something stays.
    EXPECT_EQ(form(" cat <<E\nx\nE\n "), "cat <<E\nx\nE\n ");
    EXPECT_EQ(form(" $X a\\ "), "$X a\\ ");
    EXPECT_EQ(form(" cd ' "), " cd ' ");
    EXPECT_EQ(form(""), "");
    const std::string mebibyte = "echo " + std::string(2u << 20, 'a');
    EXPECT_EQ(form(mebibyte), mebibyte);
}

TEST(ScopePattern, ArgumentVectors) {
    using Words = std::vector<std::string>;
    EXPECT_EQ(scope_pattern(Words{"git", "push"}), form("git push"));
    EXPECT_EQ(scope_pattern(Words{}), "");
    EXPECT_EQ(scope_pattern(Words{"a b", "", "'"}), "'a b' '' ''\\'''");
    // As a line without the quotes these would be something else than programs.
    EXPECT_EQ(scope_pattern(Words{"A=b", "cmd"}), "'A=b' cmd");
    EXPECT_EQ(scope_pattern(Words{"if", "x"}), "'if' x");
    EXPECT_EQ(scope_pattern(Words{"time", "ls"}), "'time' ls");
    EXPECT_EQ(scope_pattern(Words{"A= b", "cmd"}), "'A= b' cmd");
    EXPECT_EQ(scope_pattern(Words{"eval", "rm x"}), "env -- eval 'rm x'");
    EXPECT_EQ(scope_pattern(Words{"cd", "/x"}), "env -- cd /x");
    EXPECT_NE(scope_pattern(Words{"sh", "-c", "ls; ls"}), form("sh -c ls; ls"));
    for (const char* line :
         {"git push", "A=b cmd", "if x", "time ls", "eval 'rm x'", "cd /x", ". x", "exec x"}) {
        const policy::ParsedLine parsed = policy::parse_command_line(std::string("x ") + line);
        Words words;
        for (const policy::Word& word : parsed.commands[0].words) words.push_back(word.text);
        words.erase(words.begin());
        EXPECT_EQ(scope_pattern(words) == form(line), std::string_view(line) == "git push") << line;
    }
}

}  // namespace
}  // namespace substrate::broker
