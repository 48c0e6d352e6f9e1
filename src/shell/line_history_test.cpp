#include "shell/line_history.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/file.hpp"

namespace substrate::shell {
namespace {

class LineHistoryTest : public testing::Test {
  protected:
    void SetUp() override {
        auto dir = sys::make_temp_dir(testing::TempDir() + "history.");
        ASSERT_TRUE(dir) << dir.error().describe();
        dir_ = *dir;
    }
    void TearDown() override { (void)sys::remove_tree_at(AT_FDCWD, dir_); }
    std::string path() const { return dir_ + "/history"; }
    std::string dir_;
};

using Lines = std::vector<std::string>;

TEST_F(LineHistoryTest, WhatWasTypedComesBackInOrder) {
    LineHistory history(path());
    EXPECT_EQ(history.load().value_or(Lines{"error"}), Lines());
    const Lines lines = {"ls -l", "cat <<E\na\\nb\nE", "echo '\\'"};
    for (const std::string& line : lines) ASSERT_TRUE(history.add(line));
    EXPECT_EQ(LineHistory(path()).load().value_or(Lines{}), lines);
    struct ::stat st{};
    ASSERT_EQ(::stat(path().c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600U);
}

TEST_F(LineHistoryTest, SecretsRepetitionsAndLinesWithASpaceAreLeftOut) {
    LineHistory history(path());
    for (const char* line : {"curl -H 'Authorization: Bearer hunter2hunter2' x", "ls", "ls", " ls -a", ""})
        ASSERT_TRUE(history.add(line));
    EXPECT_EQ(history.load().value_or(Lines{}),
              (Lines{"curl -H 'Authorization: Bearer [REDACTED]' x", "ls"}));
}

TEST_F(LineHistoryTest, ItDoesNotGrowForEver) {
    std::string text;
    for (std::size_t i = 0; i <= 2 * LineHistory::kMost; ++i) text += "line " + std::to_string(i) + "\n";
    ASSERT_TRUE(sys::replace_file(path(), text, 0600));
    const auto lines = LineHistory(path()).load();
    ASSERT_TRUE(lines);
    ASSERT_EQ(lines->size(), LineHistory::kMost);
    EXPECT_EQ(lines->back(), "line " + std::to_string(2 * LineHistory::kMost));
    EXPECT_LT(sys::read_file(path()).value_or(text).size(), text.size());
}

}  // namespace
}  // namespace substrate::shell
