#include "supervisor/protocol.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "codec/cbor.hpp"

namespace substrate::supervisor {
namespace {

// Through the bytes of the wire, as both sides see it.
Json over_the_wire(const Json& json) {
    auto back = from_cbor(to_cbor(json));
    EXPECT_TRUE(back) << back.error().message();
    return back ? *back : Json();
}

ExecRequest full_request() {
    ExecRequest request;
    request.cmd = "echo \xff\xfe 'caf\xe9' \n";
    request.argv = {"prog", "", "\x80", "a b"};
    request.cwd = "/home/\xe4/p";
    request.env = {{"PATH", "/bin:\xff"}, {"LANG", ""}};
    request.env_hash = "xxh3:0";
    request.umask = 077;
    request.shell = "/bin/sh";
    request.login_shell = true;
    request.ephemeral = true;
    request.commit = CommitMode::manual;
    request.capture = CaptureStrategy::copy_diff;
    request.host_network = true;
    request.timeout_ms = std::numeric_limits<std::int64_t>::max();
    request.session_id = "ses_1";
    request.parent_span = "spn_1";
    request.agent_id = "agent \xf0\x9f\xa4\x96";
    request.as_of_ns = 1'700'000'000'000'000'001;
    request.observes_output = true;
    return request;
}

void expect_equal(const ExecRequest& a, const ExecRequest& b) {
    EXPECT_EQ(a.cmd, b.cmd);
    EXPECT_EQ(a.argv, b.argv);
    EXPECT_EQ(a.cwd, b.cwd);
    EXPECT_EQ(a.env, b.env);
    EXPECT_EQ(a.env_hash, b.env_hash);
    EXPECT_EQ(a.umask, b.umask);
    EXPECT_EQ(a.shell, b.shell);
    EXPECT_EQ(a.login_shell, b.login_shell);
    EXPECT_EQ(a.ephemeral, b.ephemeral);
    EXPECT_EQ(a.commit, b.commit);
    EXPECT_EQ(a.capture, b.capture);
    EXPECT_EQ(a.host_network, b.host_network);
    EXPECT_EQ(a.timeout_ms, b.timeout_ms);
    EXPECT_EQ(a.session_id, b.session_id);
    EXPECT_EQ(a.parent_span, b.parent_span);
    EXPECT_EQ(a.agent_id, b.agent_id);
    EXPECT_EQ(a.as_of_ns, b.as_of_ns);
    EXPECT_EQ(a.observes_output, b.observes_output);
}

TEST(ExecRequestJson, ComesBackAsItWas) {
    ExecRequest least;
    least.cmd = "x";
    least.cwd = "/";
    for (const ExecRequest& request : {full_request(), least}) {
        const auto back = exec_request_from_json(over_the_wire(to_json(request)));
        ASSERT_TRUE(back) << back.error().message();
        expect_equal(*back, request);
    }
}

TEST(ExecRequestJson, EveryCommitModeAndCaptureHasItsWord) {
    ExecRequest request = full_request();
    for (const auto mode :
         {CommitMode::automatic, CommitMode::ask, CommitMode::manual, CommitMode::discard}) {
        request.commit = mode;
        EXPECT_EQ(exec_request_from_json(to_json(request))->commit, mode);
    }
    for (const auto strategy : {CaptureStrategy::overlay, CaptureStrategy::fuse, CaptureStrategy::copy_diff,
                                CaptureStrategy::direct}) {
        request.capture = strategy;
        EXPECT_EQ(exec_request_from_json(to_json(request))->capture, strategy);
    }
}

std::string refusal(const char* key, const Json& value) {
    Json json = to_json(full_request());
    json[key] = value;
    const auto request = exec_request_from_json(json);
    if (!request && request.error().code() != Errc::invalid) return "not Errc::invalid";
    return request ? "accepted" : request.error().message();
}

TEST(ExecRequestJson, BadRequestsAreRefusedByName) {
    EXPECT_EQ(refusal("cwd", "relative"), "cwd is not an absolute path");
    EXPECT_EQ(refusal("cwd", ""), "cwd is not an absolute path");
    EXPECT_EQ(refusal("cwd", 7), "cwd is not an absolute path");
    EXPECT_EQ(refusal("cwd", std::string("/a\0b", 4)), "a NUL byte in the request");
    EXPECT_EQ(refusal("cmd", std::string("a\0b", 3)), "a NUL byte in the request");
    EXPECT_EQ(refusal("shell", "bash"), "the shell is not an absolute path");
    EXPECT_EQ(refusal("shell", nullptr), "the shell is not an absolute path");
    EXPECT_EQ(refusal("commit", "sometimes"), "unknown commit mode");
    EXPECT_EQ(refusal("commit", nullptr), "unknown commit mode");
    EXPECT_EQ(refusal("capture", "magic"), "unknown capture strategy");
    EXPECT_EQ(refusal("capture", 1), "unknown capture strategy");
    Json nothing = to_json(full_request());
    nothing["cmd"] = "";
    nothing["argv"] = Json::array();
    EXPECT_EQ(exec_request_from_json(nothing).error().message(), "there is no command");
    for (const Json& json : {Json(), Json::array(), Json(7), Json("x"), Json::object()})
        EXPECT_FALSE(exec_request_from_json(json)) << json.dump();
}

TEST(ExecRequestJson, UmaskKeepsItsPermissionBits) {
    Json json = to_json(full_request());
    json["umask"] = 07022;
    EXPECT_EQ(exec_request_from_json(json)->umask, 022u);
}

// What is run must be what was asked for, or nothing.
TEST(ExecRequestJson, ArgumentsThatAreNoTextAreRefused) {
    EXPECT_NE(refusal("argv", Json::array({"rm", 5, "x"})), "accepted");
    EXPECT_NE(refusal("argv", "rm"), "accepted");
    EXPECT_NE(refusal("env", Json{{"PATH", 1}}), "accepted");
}
TEST(ExecRequestJson, NulBytesAreRefusedWherever) {
    EXPECT_NE(refusal("argv", Json::array({"rm", std::string("a\0b", 3)})), "accepted");
    EXPECT_NE(refusal("env", Json{{"PATH", std::string("a\0b", 3)}}), "accepted");
    EXPECT_NE(refusal("env", Json{{std::string("A\0B", 3), "x"}}), "accepted");
}
TEST(ExecRequestJson, VariableNamesAreNames) {
    EXPECT_NE(refusal("env", Json{{"A=B", "x"}}), "accepted");
    EXPECT_NE(refusal("env", Json{{"", "x"}}), "accepted");
}
TEST(ExecRequestJson, WhatIsMissingHasItsDefault) {
    const auto request =
        exec_request_from_json({{"cmd", "x"}, {"cwd", "/"}, {"shell", "/bin/sh"}, {"commit", "auto"}});
    ASSERT_TRUE(request) << request.error().message();
    EXPECT_EQ(request->umask, 022u) << "files that everybody can write";
    EXPECT_EQ(request->agent_id, "human");
}

TEST(OutputJson, ComesBackAsItWas) {
    const OutputRecord output{.stdout_hash = "xxh3:1",
                              .stderr_hash = "",
                              .stdout_bytes = 1ull << 40,
                              .stderr_bytes = 0,
                              .merged = true};
    EXPECT_EQ(output_from_json(over_the_wire(to_json(output))), output);
    EXPECT_EQ(output_from_json(Json::object()), OutputRecord{});
}

TEST(ErrorJson, KeepsKindMessageAndAdvice) {
    for (const Errc code : {Errc::invalid, Errc::not_found, Errc::denied, Errc::conflict, Errc::unsupported,
                            Errc::unavailable, Errc::safety, Errc::os, Errc::internal}) {
        const Error error = Error(code, "what\xff").during("while").hint("do");
        const Error back = error_from_json(over_the_wire(to_json(error)));
        EXPECT_EQ(back.code(), code);
        EXPECT_EQ(back.message(), "while: what\xff");
        EXPECT_EQ(back.advice(), "do");
    }
    EXPECT_EQ(error_from_json({{"code", "unheard of"}}).code(), Errc::internal);
}

TEST(Members, AreReadLeniently) {
    const Json json = {
        {"text", "t"}, {"number", -7}, {"flag", true}, {"texts", {"a", 1, "b"}}, {"float", 1.5}};
    EXPECT_EQ(text_of(json, "text"), "t");
    EXPECT_EQ(text_of(json, "number"), "");
    EXPECT_EQ(text_of(json, "none"), "");
    EXPECT_EQ(number_of(json, "number"), -7);
    EXPECT_EQ(number_of(json, "float"), 0);
    EXPECT_EQ(number_of(json, "text"), 0);
    EXPECT_TRUE(flag_of(json, "flag"));
    EXPECT_FALSE(flag_of(json, "number"));
    EXPECT_EQ(texts_of(json, "texts"), (std::vector<std::string>{"a", "b"}));
    EXPECT_TRUE(texts_of(json, "text").empty());
    EXPECT_EQ(text_of(Json::array({1}), "text"), "");
}

}  // namespace
}  // namespace substrate::supervisor
