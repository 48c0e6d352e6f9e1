#include "supervisor/nested_protocol.hpp"

#include <gtest/gtest.h>

#include "codec/cbor.hpp"
#include "supervisor/protocol.hpp"

namespace substrate::supervisor {
namespace {

ExecRequest asked() {
    ExecRequest request;
    request.cmd = "make";
    request.cwd = "/p";
    request.env = {{"A", "b"}};
    request.timeout_ms = 5;
    return request;
}
std::string payload_of(Json message) { return to_cbor(message); }

TEST(NestedProtocol, ARequestArrivesWithoutWhatOnlyTheAgentMaySay) {
    ExecRequest request = asked();
    request.session_id = "ses_01a20431-ade7-7eb5-b462-80188af70471";
    request.parent_span = "spn_01a20431-ade7-7eb5-b462-80188af70471";
    request.agent_id = "boss";
    request.as_of_ns = 7;
    Json message = to_nested_json(request);
    message["governed_by"] = "/elsewhere";
    message["nested_depth"] = 3;
    const auto arrived = nested_request(payload_of(message));
    ASSERT_TRUE(arrived) << arrived.error().describe();
    EXPECT_EQ(to_json(*arrived)["cmd"], "make");
    EXPECT_EQ(arrived->env, asked().env);
    EXPECT_EQ(arrived->timeout_ms, 5);
    EXPECT_EQ(arrived->session_id + arrived->parent_span + arrived->agent_id + arrived->governed_by, "");
    EXPECT_EQ(arrived->as_of_ns, 0);
    EXPECT_EQ(arrived->nested_depth, 0);
}

TEST(NestedProtocol, EverythingElseIsRefused) {
    const auto code = [](const std::string& payload) {
        const auto arrived = nested_request(payload);
        return arrived ? "accepted" : std::string(to_string(arrived.error().code()));
    };
    const Json good = to_nested_json(asked());
    const auto with = [&](const char* key, const Json& value) {
        Json message = good;
        message[key] = value;
        return code(payload_of(message));
    };
    EXPECT_EQ(code(payload_of(good)), "accepted");
    EXPECT_EQ(code(""), "invalid");
    EXPECT_EQ(code("\xff"), "invalid");
    EXPECT_EQ(code(payload_of(Json::array({1}))), "invalid");
    EXPECT_EQ(with("type", "exec"), "invalid");
    EXPECT_EQ(with("type", 1), "invalid");
    EXPECT_EQ(with("version", "0/0"), "unavailable");
    EXPECT_EQ(with("cwd", "relative"), "invalid");
    EXPECT_EQ(with("cmd", ""), "invalid");
    EXPECT_EQ(with("cmd", std::string("a\0b", 3)), "invalid");
    EXPECT_EQ(with("argv", Json{1, 2}), "invalid");
    EXPECT_EQ(with("timeout_ms", -1), "invalid");
    EXPECT_EQ(with("cmd", std::string(kMaxNestedFrame, 'x')), "invalid");
    Json deep = 1;
    for (int i = 0; i < 20; ++i) deep = Json::array({deep});
    EXPECT_EQ(with("x", deep), "invalid");
}

TEST(NestedProtocol, AnEndIsWithinWhatAProcessCanHave) {
    const NestedEnd told{.exit = 143,
                         .signal = 15,
                         .timed_out = true,
                         .output = {"xxh3:" + std::string(32, 'a'), "", 7, 0, true}};
    const auto arrived = nested_end(payload_of(to_json(told)));
    ASSERT_TRUE(arrived) << arrived.error().describe();
    EXPECT_EQ(arrived->exit, 143);
    EXPECT_EQ(arrived->signal, 15);
    EXPECT_TRUE(arrived->timed_out);
    EXPECT_EQ(arrived->output, told.output);
    const auto with = [&](const char* key, const Json& value) {
        Json message = to_json(told);
        message[key] = value;
        return nested_end(payload_of(message));
    };
    EXPECT_FALSE(with("exit", 256));
    EXPECT_FALSE(with("exit", -1));
    EXPECT_FALSE(with("signal", 65));
    EXPECT_FALSE(with("type", "judge"));
    EXPECT_FALSE(with("x", std::string(kMaxNestedEnded, 'x')));
    EXPECT_EQ(with("stdout_hash", "xxh3:<b>").value().output.stdout_hash, "");
    EXPECT_EQ(with("stdout_bytes", -5).value().output.stdout_bytes, 0u);
}

}  // namespace
}  // namespace substrate::supervisor
