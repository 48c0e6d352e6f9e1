#include "broker/policy_reader.hpp"

#include <gtest/gtest.h>

namespace substrate::broker {
namespace {

const Places kPlaces = places_of("/home/u/.substrate", "/home/u", 1000);

TEST(PolicyReader, APatternThatCannotBeUsedHasItsLine) {
    const PolicyText read =
        check_policy_text("id: a\ncommands:\n  denied:\n    - x\n    - a; b\n", "f", kPlaces);
    ASSERT_EQ(read.problems.size(), 1u);
    EXPECT_EQ(read.problems[0].pointer, "/commands/denied/1");
    EXPECT_EQ(read.problems[0].line, 5);
}

// A file of nothing but bad patterns may come with any project.
TEST(PolicyReader, ProblemsOfPatternsAreNotWithoutEnd) {
    std::string text = "id: a\ncommands:\n  denied:\n";
    for (int i = 0; i < 2'000; ++i) text += "    - \";\"\n";
    EXPECT_EQ(check_policy_text(text, "f", kPlaces).problems.size(), 100u);
}

}  // namespace
}  // namespace substrate::broker
