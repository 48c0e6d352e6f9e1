#include "trace/record.hpp"

#include <gtest/gtest.h>

namespace substrate::trace {
namespace {

TEST(Record, SpansLeaveWithoutSecrets) {
    Span span;
    span.span_id = "spn_1";
    span.cmd = "deploy --token=abc \xff";
    span.argv = {"deploy", "--token", "abc"};
    span.decision.reason = "deploy --password abc was allowed";
    span.replay.env = {{"GH_TOKEN", "abc"}, {"LANG", "C"}, {"URL", "https://u:abc@h/"}};
    span.replay.argv = {"sh", "-c", "x --token abc"};
    const Record record = prepare(span);
    const Json& json = record.json();
    EXPECT_EQ(dump_json(json).find("abc"), std::string::npos) << dump_json(json);
    EXPECT_EQ(json["cmd"], "deploy --token=[REDACTED] \\xff");
    EXPECT_EQ(json["cmd_escaped"], true);
    EXPECT_EQ(json["argv"], Json({"deploy", "--token", "[REDACTED]"}));
    EXPECT_EQ(json["replay_context"]["env"]["GH_TOKEN"], "[REDACTED]");
    EXPECT_EQ(json["replay_context"]["env"]["LANG"], "C");
    EXPECT_EQ(json["replay_context"]["env"]["URL"], "https://u:[REDACTED]@h/");
    EXPECT_TRUE(record.is_span());
}

TEST(Record, ARedactedSecretThatWasNotUtf8LeavesNoFlag) {
    Span span;
    span.span_id = "spn_1";
    span.cmd = "x --token=\xff";
    const Json json = prepare(span).json();
    EXPECT_EQ(json["cmd"], "x --token=[REDACTED]");
    EXPECT_FALSE(json.contains("cmd_escaped"));
}

TEST(Record, EventsLeaveWithoutSecrets) {
    Event event{.type = std::string(event_type::kProcessExec)};
    event.fields = {{"argv", {"mysql", "-pabc"}},
                    {"message", "with --token abc"},
                    {"token", "abc"},
                    {"env", {{"DB_PASSWORD", "abc"}, {"PWD", "/x"}}},
                    {"deep", {{{"list", {"TOKEN=abc"}}}}},
                    {"count", 3}};
    const Record record = prepare(event);
    const Json& json = record.json();
    EXPECT_EQ(dump_json(json).find("abc"), std::string::npos) << dump_json(json);
    EXPECT_EQ(json["argv"], Json({"mysql", "-p[REDACTED]"}));
    EXPECT_EQ(json["env"]["PWD"], "/x");
    EXPECT_EQ(json["count"], 3);
    EXPECT_FALSE(record.is_span());
}

}  // namespace
}  // namespace substrate::trace
