#include "shell/unfinished.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/skip_test_support.hpp"

namespace substrate::shell {
namespace {

constexpr const char* kShell = "/bin/bash";

TEST(Unfinished, WhatAShellWouldAskOnFor) {
    if (::access(kShell, X_OK) != 0) GTEST_SKIP() << "needs " << kShell;
    for (const char* text :
         {"echo 'a", "echo \"a\nb", "if true", "if true; then", "for i in 1 2; do echo $i", "f() {", "(echo",
          "echo a |", "echo a &&", "echo $(ls", "cat <<E", "cat <<E\nE2", "echo a \\", "case x in", "a=(1"})
        EXPECT_EQ(is_unfinished(kShell, text).value_or(false), true) << text;
}

TEST(Unfinished, WhatIsWholeOrWrong) {
    if (::access(kShell, X_OK) != 0) GTEST_SKIP() << "needs " << kShell;
    for (const char* text : {"echo 'a'", "ls", "if true; then ls; fi", "f() { ls; }", "cat <<E\na\nE",
                             "echo a \\\\", "echo )", "fi", "echo a | | b", "a=(1)", "echo \\'", "# it's"})
        EXPECT_EQ(is_unfinished(kShell, text).value_or(true), false) << text;
}

TEST(Unfinished, NothingIsRun) {
    if (::access(kShell, X_OK) != 0) GTEST_SKIP() << "needs " << kShell;
    const std::string file = testing::TempDir() + "unfinished." + std::to_string(::getpid());
    EXPECT_TRUE(is_unfinished(kShell, "echo $(touch '" + file + "'); touch '" + file + "'").has_value());
    EXPECT_NE(::access(file.c_str(), F_OK), 0);
    EXPECT_FALSE(is_unfinished("/nowhere/bash", "ls").has_value());
}

}  // namespace
}  // namespace substrate::shell
