#include "codec/span_json.hpp"

#include <gtest/gtest.h>

#include "codec/event_json.hpp"

namespace substrate {
namespace {

Span full_span() {
    Span span;
    span.ts_ns = 1'700'000'000'123'456'789;
    span.started_ns = span.ts_ns - 12'345'678;
    span.session_id = "ses_1";
    span.span_id = "spn_1";
    span.parent_span = "spn_0";
    span.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    span.component = "broker";
    span.world_id = "wld_1";
    span.policy_id = "default";
    span.policy_hash = "sha256:ab";
    span.agent_id = "bot";
    span.project = "/p";
    span.cwd = "/p/x\xff";
    span.cmd = "printf '\xfe'";
    span.argv = {"printf", "\xfe"};
    span.exit = 143;
    span.signal = 15;
    span.outcome = Outcome::timeout;
    span.duration_ms = 12.345678;
    span.usage = {7, 2048};
    span.scopes_used = {"fs.write:/p/node_modules", "net:packages.example:443"};
    span.fs_diff.entries = {{.path = "a", .size = 1}};
    span.fs_diff.files = 1;
    span.commit = "applied";
    span.capture = {CaptureStrategy::overlay, CaptureStrategy::copy_diff, "no overlay here"};
    span.degraded = {{"cgroup", "not delegated", "systemd-run --user --scope -p Delegate=yes"}};
    span.enforcement = {.user_namespace = true,
                        .mount_namespace = true,
                        .pid_namespace = true,
                        .netns = "loopback",
                        .seccomp = "enforce",
                        .seccomp_hash = "xxh3:1",
                        .no_new_privs = true,
                        .capabilities_dropped = true,
                        .landlock_abi = 6,
                        .tcp_ports = std::vector<std::uint16_t>{443, 8080},
                        .unix_sockets = {"/run/a.sock", "/run/\xff"},
                        .fs_guard = 3,
                        .fs_rules = 2,
                        .cgroup = "/substrate/wld_1",
                        .limits = {}};
    span.decision = {"allow_with_restrictions", "r1", "npm *", "lockfile", {"ephemeral"}};
    span.replay = {"/usr/bin",
                   {{"LANG", "C.UTF-8"}, {"X", "\xff"}},
                   "xxh3:2",
                   027,
                   "C.UTF-8",
                   "/p/x",
                   "default",
                   "sha256:ab",
                   "deadbeef",
                   "debian-12.1",
                   "guest_rootfs",
                   "substrate",
                   {"printf", "\xfe"},
                   "/usr/bin/printf",
                   "xxh3:3"};
    span.output = {"xxh3:4", "xxh3:5", 10, 20, true};
    span.warm = true;
    span.nested_depth = 2;
    span.pty = true;
    return span;
}

// Span has no ==; its JSON is the comparison.
void expect_round_trip(const Span& span) {
    const Json value = to_json(span);
    const auto parsed = parse_json(dump_json(value));
    ASSERT_TRUE(parsed);
    const auto back = span_from_json(*parsed);
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_EQ(to_json(*back), value);
    EXPECT_EQ(back->cmd, span.cmd);
    EXPECT_EQ(back->argv, span.argv);
    EXPECT_EQ(back->replay, span.replay);
    EXPECT_EQ(back->fs_diff, span.fs_diff);
    EXPECT_EQ(back->degraded, span.degraded);
    EXPECT_EQ(back->enforcement, span.enforcement);
    EXPECT_EQ(back->decision, span.decision);
    EXPECT_EQ(back->output, span.output);
    EXPECT_EQ(back->capture, span.capture);
    EXPECT_EQ(back->duration_ms, span.duration_ms);
}

TEST(SpanJson, ComesBackThroughText) {
    expect_round_trip(full_span());
    Span small;
    small.span_id = "spn_2";
    expect_round_trip(small);
}

TEST(SpanJson, LeavesOutWhatDidNotHappen) {
    Span span;
    span.span_id = "spn_2";
    const Json value = to_json(span);
    EXPECT_EQ(value["event_type"], "command_complete");
    EXPECT_EQ(value["trace_schema_version"], 1);
    EXPECT_EQ(value["agent_id"], "human");
    EXPECT_FALSE(value.contains("signal"));
    EXPECT_FALSE(value.contains("argv"));
    EXPECT_FALSE(value.contains("parent_span"));
    EXPECT_FALSE(value.contains("traceparent"));
    EXPECT_FALSE(value["output"].contains("stdout_hash"));
    EXPECT_TRUE(value["world_fs_strategy"]["fallback_reason"].is_null());
    EXPECT_EQ(value["degraded_components"], Json::array());
}

TEST(SpanJson, DegradationsAreNamedAndExplained) {
    const Json value = to_json(full_span());
    EXPECT_EQ(value["degraded_components"], Json({"cgroup"}));
    EXPECT_EQ(value["degradations"][0]["fix"], "systemd-run --user --scope -p Delegate=yes");
    EXPECT_EQ(value["world_fs_strategy"]["final"], "copy-diff");
    EXPECT_EQ(value["signal"], 15);
}

TEST(SpanJson, RefusalsNameThePlace) {
    const auto message = [](const char* text) { return span_from_json(*parse_json(text)).error().message(); };
    EXPECT_EQ(message("{}"), "'/event_type' is missing");
    EXPECT_EQ(message(R"({"event_type":"command_complete"})"), "'/span_id' is missing");
    EXPECT_EQ(message(R"({"event_type":"apply","span_id":"s"})"), "'/event_type' is not command_complete");
    EXPECT_EQ(message(R"({"event_type":"command_complete","span_id":"s","usage":{"cpu_ms":"1"}})"),
              "'/usage/cpu_ms' is not an integer");
    EXPECT_EQ(message(R"({"event_type":"command_complete","span_id":"s","outcome":"great"})"),
              "'/outcome' is not a known word");
    EXPECT_EQ(message(R"({"event_type":"command_complete","span_id":"s","fs_diff":{}})"),
              "'/fs_diff/fs_diff_schema_version' is missing");
    EXPECT_EQ(message("3"), "the value is not an object");
}

TEST(SpanJson, NewMembersAreIgnored) {
    const auto span = span_from_json(*parse_json(
        R"({"event_type":"command_complete","span_id":"s","future":[1],"usage":{"io":{"read":1}}})"));
    ASSERT_TRUE(span) << span.error().message();
    EXPECT_EQ(span->span_id, "s");
}

TEST(EventJson, ComesBackAndKeepsItsCommonMembers) {
    Event event{.type = std::string(event_type::kWarning),
                .ts_ns = 5,
                .session_id = "ses_1",
                .span_id = "spn_1",
                .fields = {{"message", "m"}, {"n", 3}}};
    const auto back = event_from_json(*parse_json(dump_json(to_json(event))));
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, event);
    event.fields["event_type"] = "forged";
    EXPECT_EQ(to_json(event)["event_type"], "warning");
    EXPECT_EQ(event_from_json(*parse_json("{}")).error().message(), "'/event_type' is missing");
}

}  // namespace
}  // namespace substrate
