#include "agent/execute_request.hpp"

#include <gtest/gtest.h>

#include "agent/problem.hpp"

namespace substrate::agent {
namespace {

std::expected<ExecuteRequest, HttpResponse> read(Json body) {
    body["agent_id"] = "a";
    if (!body.contains("cmd")) body["cmd"] = "true";
    return read_execute(body, {.pid = 1, .cwd = "/somewhere"}, {{"PATH", "/bin"}, {"HOME", "/root"}});
}

constexpr const char* kWorld = "wld_01a205be-4245-7085-bc9d-4d2b227e6740";

std::string error_of(const std::optional<HttpResponse>& response) {
    return response ? Json::parse(response->body).value("error", "") : "";
}
std::string pointer_of(const Json& body) {
    const auto request = read(body);
    return request ? "" : Json::parse(request.error().body).value("pointer", "");
}

TEST(ExecuteRequest, TakesWhatIsAskedFor) {
    const auto request = read({{"cmd", "a b"},
                               {"cwd", "/x"},
                               {"env", {{"A", "b"}, {"PATH", "/opt"}}},
                               {"stdin_b64", "Zm9v"},
                               {"timeout_ms", 5},
                               {"budget", {{"max_execs", 3}, {"max_runtime_ms", 4}}}});
    ASSERT_TRUE(request);
    EXPECT_EQ(request->exec.cmd, "a b");
    EXPECT_EQ(request->exec.cwd, "/x");
    EXPECT_EQ(request->exec.agent_id, "a");
    EXPECT_EQ(request->exec.env,
              (std::map<std::string, std::string>{{"A", "b"}, {"HOME", "/root"}, {"PATH", "/opt"}}));
    EXPECT_EQ(request->stdin_bytes, "foo");
    EXPECT_EQ(request->exec.timeout_ms, 5);
    EXPECT_EQ(request->budget.max_execs, 3);
    EXPECT_EQ(request->budget.max_runtime_ms, 4);
    EXPECT_FALSE(request->exec.ephemeral);
}

TEST(ExecuteRequest, NamesAProfileAndAWorldAndWantsATerminal) {
    const auto request = read({{"profile", "ci-2"}, {"world_id", kWorld}, {"pty", true}});
    ASSERT_TRUE(request);
    EXPECT_EQ(request->exec.profile, "ci-2");
    EXPECT_EQ(request->exec.world_id, kWorld);
    EXPECT_EQ(request->exec.terminal, TerminalSize{});
    EXPECT_FALSE(read({{"pty", false}})->exec.terminal);
}

TEST(ExecuteRequest, StandsInItsCallersTrace) {
    const std::string later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-09-more";
    EXPECT_EQ(read({{"traceparent", later}})->exec.traceparent,
              "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    EXPECT_EQ(read(Json::object())->exec.traceparent, "");
}

TEST(ExecuteRequest, WithoutADirectoryTheClientsOwn) {
    EXPECT_EQ(read(Json::object())->exec.cwd, "/somewhere");
    const auto nowhere = read_execute({{"agent_id", "a"}, {"cmd", "x"}}, {}, {});
    ASSERT_FALSE(nowhere);
    EXPECT_EQ(nowhere.error().status, 400);
}

TEST(ExecuteRequest, AnIsolatedOneKeepsItsChanges) {
    const auto request = read({{"isolate", true}});
    EXPECT_TRUE(request->exec.ephemeral);
    EXPECT_EQ(request->exec.commit, CommitMode::ask);
}

TEST(ExecuteRequest, WhatNoProgramCouldGetIsRefused) {
    using namespace std::string_literals;
    EXPECT_EQ(pointer_of({{"cmd", "a\0b"s}}), "/cmd");
    EXPECT_EQ(pointer_of({{"cwd", "x"}}), "/cwd");
    EXPECT_EQ(pointer_of({{"cwd", "/a\0"s}}), "/cwd");
    EXPECT_EQ(pointer_of({{"env", {{"", "x"}}}}), "/env");
    EXPECT_EQ(pointer_of({{"env", {{"A=B", "x"}}}}), "/env");
    EXPECT_EQ(pointer_of({{"env", {{"A", "x\0y"s}}}}), "/env");
    EXPECT_EQ(pointer_of({{"stdin_b64", "Zm9"}}), "/stdin_b64");
    EXPECT_EQ(pointer_of({{"traceparent", "00-0-0-00"}}), "/traceparent");
    for (const char* profile : {"", "../x", "A", "a b"})
        EXPECT_EQ(pointer_of({{"profile", profile}}), "/profile") << profile;
    EXPECT_EQ(pointer_of({{"world_id", "wld_1"}}), "/world_id");
    EXPECT_EQ(pointer_of({{"world_id", kWorld}, {"isolate", true}}), "/world_id");
}

TEST(ExecuteRequest, WhoAsksIsSaid) {
    EXPECT_EQ(error_of(check_agent_id({{"cmd", "x"}})), "agent_id_required");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", ""}})), "agent_id_required");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", nullptr}})), "agent_id_required");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", "a\x1b[31m"}})), "agent_id_invalid");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", "a\nb"}})), "agent_id_invalid");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", "\u202e"}})), "agent_id_invalid");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", "a\\b \u00e4"}})), "");
    EXPECT_EQ(error_of(check_agent_id({{"agent_id", 7}})), "");
    EXPECT_EQ(error_of(check_agent_id(Json::array())), "");
}

}  // namespace
}  // namespace substrate::agent
