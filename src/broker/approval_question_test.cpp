#include "broker/approval_question.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "broker/approval_question_test_support.hpp"

namespace substrate::broker {
namespace {

using test_support::simple_question;

TEST(ApprovalQuestion, Json) {
    ApprovalQuestion question = simple_question();
    question.command = "echo \xff \\ \n";
    question.parts = {"echo", "caf\xc3\xa9", "\xff"};
    question.impact = {"writes 3 files", "reaches packages.example"};
    question.timeout_ms = 30'000;
    question.more_parts = 2;
    const Json sent = parse_json(dump_json(to_json(question))).value();
    EXPECT_EQ(approval_question_from_json(sent).value(), question);
    EXPECT_EQ(approval_question_from_json(to_json(simple_question())).value(), simple_question());

    for (const char* missing : {"command", "policy_id", "directory"}) {
        Json less = sent;
        less.erase(missing);
        EXPECT_FALSE(approval_question_from_json(less)) << missing;
    }
    for (const auto& [key, wrong] : std::vector<std::pair<const char*, Json>>{{"command", 1},
                                                                              {"parts", "x"},
                                                                              {"parts", {1}},
                                                                              {"more_parts", -1},
                                                                              {"timeout_ms", -1},
                                                                              {"timeout_ms", "5"},
                                                                              {"impact", {{"a", "b"}}}}) {
        Json other = sent;
        other[key] = wrong;
        const auto read = approval_question_from_json(other);
        ASSERT_FALSE(read) << key;
        EXPECT_EQ(read.error().code(), Errc::invalid);
        EXPECT_TRUE(read.error().message().contains(key)) << read.error().message();
    }
    EXPECT_FALSE(approval_question_from_json(Json::array()));
}

TEST(ApprovalQuestion, TheWorstCommandFitsInAMessage) {
    ApprovalQuestion question = simple_question();
    question.command = std::string(1u << 20, '\xff');
    question.scope_pattern = question.command;
    question.parts.assign(2000, std::string(1u << 13, '\xff'));
    question.impact.assign(1000, std::string(1u << 14, 'x'));
    question.reason = question.command;
    const std::string text = dump_json(to_json(question));
    EXPECT_LT(text.size(), 8u << 20);
    const auto read = approval_question_from_json(parse_json(text).value()).value();
    EXPECT_EQ(read.command, question.command);
    EXPECT_EQ(read.parts.size(), kMaxSentParts);
    EXPECT_EQ(read.more_parts, 2000 - kMaxSentParts);
    EXPECT_EQ(read.impact.size(), kMaxSentImpact + 1);
    EXPECT_EQ(read.impact.back(), "[900 more lines]");
    EXPECT_TRUE(read.impact[0].ends_with("[12288 more bytes]")) << read.impact[0].substr(4000);
    // It could not be kept, so nobody is offered that.
    EXPECT_EQ(read.scope_pattern, "");
    EXPECT_FALSE(read.can_be_kept());
}

}  // namespace
}  // namespace substrate::broker
