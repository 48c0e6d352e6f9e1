#include "plan/command.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sstream>

namespace substrate::plan {
namespace {

// The words between '|', or "shell" for what only a shell can execute.
std::string outcome(std::string_view line) {
    const auto words = simple_command(line);
    if (!words) return "shell";
    std::string text;
    for (const std::string& word : *words) text += (text.empty() ? "" : "|") + word;
    return text;
}

struct Row {
    std::string_view line;
    const char* expected;
};

TEST(SimpleCommand, WhatIsDirect) {
    const Row rows[] = {
        {"ls", "ls"},
        {"ls -la", "ls|-la"},
        {"  ls   -l  ", "ls|-l"},
        {"ls ", "ls"},
        {"make CC=gcc -j4", "make|CC=gcc|-j4"},
        {"dd if=/dev/zero of=x bs=1M", "dd|if=/dev/zero|of=x|bs=1M"},
        {"./configure --prefix=/usr/local", "./configure|--prefix=/usr/local"},
        {"/bin/ls /tmp", "/bin/ls|/tmp"},
        {"../tool a", "../tool|a"},
        {"g++ -O2 a.cpp -o a", "g++|-O2|a.cpp|-o|a"},
        {"git log --format=%H", "git|log|--format=%H"},
        {"date +%s", "date|+%s"},
        {"scp user@host:file .", "scp|user@host:file|."},
        {"cut -d, -f1", "cut|-d,|-f1"},
        {"true", "true"},
        {"false", "false"},
        {"/bin/true x", "/bin/true|x"},
        {"/bin/echo hi", "/bin/echo|hi"},
        {"./test x", "./test|x"},
        {"-x", "-x"},
        {"- a", "-|a"},
        {"env A=1 ls", "env|A=1|ls"},
        {"git then else", "git|then|else"},
        {"cat %1", "cat|%1"},
        {"7z x a.7z", "7z|x|a.7z"},
        {"sleep 0", "sleep|0"},
        {"cdx y", "cdx|y"},
        {"Echo x", "Echo|x"},
        {"python3 -m pytest", "python3|-m|pytest"},
        {"a@b", "a@b"},
        {"a,b", "a,b"},
        {"a:b", "a:b"},
        {"_x", "_x"},
    };
    for (const Row& row : rows) EXPECT_EQ(outcome(row.line), row.expected) << row.line;
}

constexpr std::string_view kWithNul("ls\0-l", 5);
constexpr std::string_view kForTheShell[] = {
    // nothing to execute
    "",
    " ",
    "    ",
    "\t",
    "\n",
    // quotes and escapes
    "echo 'a'",
    "ls \"a b\"",
    "ls a\\ b",
    "ls ''",
    "l\\s",
    "ls $'a'",
    // expansions
    "ls $HOME",
    "ls ${HOME}",
    "ls $(pwd)",
    "ls `pwd`",
    "ls *.c",
    "ls a?",
    "ls [ab]",
    "ls {a,b}",
    "ls ~",
    "ls ~/x",
    "ls a:~",
    "~/bin/x",
    "ls !$",
    "ls ^a",
    "$X",
    "ls @(a)",
    "ls +(a)",
    // operators and comments
    "ls | wc",
    "ls|wc",
    "ls; pwd",
    "ls;",
    "ls && pwd",
    "ls || pwd",
    "ls &",
    "ls > f",
    "ls >f",
    "ls 2>&1",
    "ls < f",
    "ls <<< a",
    "ls # all",
    "#",
    "(ls)",
    "{ ls; }",
    "! ls",
    "ls !x",
    "a() b",
    "ls )",
    // assignments and jobs
    "A=1",
    "A=1 ls",
    "A+=1 ls",
    "a[0]=1",
    "PATH=/x:/y ls",
    "=x",
    "a/b=c",
    "%1",
    "%",
    "%% x",
    // built-ins and keywords, also where a program of the name exists
    "cd /",
    "echo hi",
    "printf x",
    "pwd",
    "test -e x",
    "[ -e x ]",
    "kill 1",
    "exit",
    "exit 3",
    "export A",
    "source x",
    ". x",
    ": x",
    ":",
    "time ls",
    "if true",
    "while true",
    "until x",
    "for",
    "case x",
    "function f",
    "select x",
    "wait",
    "read x",
    "type ls",
    "ulimit -n",
    "umask",
    "exec ls",
    "eval ls",
    "command ls",
    "builtin ls",
    "set -e",
    "coproc ls",
    "then",
    "do",
    "in",
    "}",
    "{",
    // the programs understand words that the built-ins ignore
    "true x",
    "true --help",
    "false --version",
    "false x",
    // other white space and other bytes
    "ls\t-l",
    "ls\n",
    "ls\npwd",
    "\nls",
    "ls\r",
    "ls -l\r\n",
    "ls\v",
    "ls\f",
    "ls \xc3\xa4",
    "ls \xff",
    "ls\xc2\xa0-l",
    "ls \x1b[0m",
    "ls \x7f",
    kWithNul,
};

TEST(SimpleCommand, WhatNeedsTheShell) {
    for (const std::string_view line : kForTheShell) EXPECT_EQ(outcome(line), "shell") << line;
}

TEST(SimpleCommand, EveryByteIsEitherPlainOrTheShells) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+./:,@%=";
    for (int byte = 0; byte < 256; ++byte) {
        const char c = static_cast<char>(byte);
        const std::string line = std::string("prog x") + c + "y";
        if (c == ' ') EXPECT_EQ(outcome(line), "prog|x|y");
        else if (kPlain.contains(c)) EXPECT_EQ(outcome(line), "prog|x" + std::string(1, c) + "y");
        else EXPECT_EQ(outcome(line), "shell") << byte;
    }
}

TEST(SimpleCommand, LongLinesAreNoProblem) {
    constexpr std::size_t kWords = 100000;
    std::string line = "prog";
    for (std::size_t i = 0; i < kWords; ++i) line += " word";
    const auto words = simple_command(line);
    ASSERT_TRUE(words);
    EXPECT_EQ(words->size(), kWords + 1);
}

// What bash itself lists: a newer bash may know more words than this table.
std::vector<std::string> words_of_bash() {
    int ends[2];
    if (::pipe(ends) != 0) return {};
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(ends[1], STDOUT_FILENO);
        ::execl("/bin/bash", "bash", "--norc", "-c", "compgen -b; compgen -k", nullptr);
        ::_exit(127);
    }
    ::close(ends[1]);
    std::string text;
    char buffer[4096];
    for (ssize_t n = 0; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        text.append(buffer, static_cast<std::size_t>(n));
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    std::istringstream in(text);
    std::vector<std::string> words;
    for (std::string word; in >> word;) words.push_back(word);
    return words;
}

TEST(SimpleCommand, KnowsEveryBuiltInAndKeywordOfBash) {
    const std::vector<std::string> words = words_of_bash();
    if (words.size() < 50) GTEST_SKIP() << "no bash with compgen at /bin/bash";
    for (const std::string& word : words) {
        EXPECT_EQ(outcome(word + " x"), "shell") << word;
        if (word != "true" && word != "false") {
            EXPECT_EQ(outcome(word), "shell") << word;
        }
    }
}

TEST(SelectEnvironment, PassesTheListedNamesOnly) {
    const auto selected = select_environment({"PATH=/bin",
                                              "HOME=/h",
                                              "USER=u",
                                              "LOGNAME=u",
                                              "SHELL=/bin/sh",
                                              "TERM=xterm",
                                              "COLORTERM=t",
                                              "NO_COLOR=1",
                                              "LANG=C",
                                              "LANGUAGE=de",
                                              "LC_ALL=C",
                                              "LC_TIME=de",
                                              "TZ=UTC",
                                              "AWS_SECRET_ACCESS_KEY=s",
                                              "LD_PRELOAD=x.so",
                                              "BASH_ENV=/x",
                                              "PS1=$",
                                              "PATHX=1",
                                              "XPATH=1",
                                              "path=1",
                                              "BASH_FUNC_ls%%=() { :; }"});
    EXPECT_EQ(selected.passed, (std::map<std::string, std::string>{{"PATH", "/bin"},
                                                                   {"HOME", "/h"},
                                                                   {"USER", "u"},
                                                                   {"LOGNAME", "u"},
                                                                   {"SHELL", "/bin/sh"},
                                                                   {"TERM", "xterm"},
                                                                   {"COLORTERM", "t"},
                                                                   {"NO_COLOR", "1"},
                                                                   {"LANG", "C"},
                                                                   {"LANGUAGE", "de"},
                                                                   {"LC_ALL", "C"},
                                                                   {"LC_TIME", "de"},
                                                                   {"TZ", "UTC"}}));
    EXPECT_EQ(selected.withheld,
              (std::vector<std::string>{"AWS_SECRET_ACCESS_KEY=s", "BASH_ENV=/x", "BASH_FUNC_ls%%=() { :; }",
                                        "LD_PRELOAD=x.so", "PATHX=1", "PS1=$", "XPATH=1", "path=1"}));
}

TEST(SelectEnvironment, OddEntries) {
    const auto selected = select_environment(
        {"PATH", "", "=x", "TZ=", "LC_=1", "LC_A-B=1", "LC_%%=() {", "LANG=a=b=c", "HOME=\xff\n"});
    EXPECT_EQ(selected.passed, (std::map<std::string, std::string>{
                                   {"TZ", ""}, {"LC_", "1"}, {"LANG", "a=b=c"}, {"HOME", "\xff\n"}}));
    EXPECT_EQ(selected.withheld, (std::vector<std::string>{"", "=x", "LC_%%=() {", "LC_A-B=1", "PATH"}));
}

TEST(SelectEnvironment, OrderOfTheWithheldDoesNotMatter) {
    EXPECT_EQ(select_environment({"B=1", "A=2", "PATH=x"}).withheld,
              select_environment({"A=2", "PATH=x", "B=1"}).withheld);
}

TEST(IsVariableName, AsAShellAssigns) {
    for (const char* name : {"A", "_", "a1", "_1", "LC_ALL"}) EXPECT_TRUE(is_variable_name(name)) << name;
    for (const char* name : {"", "1", "1a", "a-b", "a b", "a=b", "a%%", "\xc3\xa4", "a\n"})
        EXPECT_FALSE(is_variable_name(name)) << name;
}

}  // namespace
}  // namespace substrate::plan
