#include "agent/scope_requests.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include "codec/event_json.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::agent {
namespace {

using broker::Answer;

class MovedEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override { return host_.realtime_ns() + ahead_ns; }
    std::int64_t monotonic_ns() const override { return host_.monotonic_ns() + ahead_ns; }
    void random(std::span<std::uint8_t> bytes) const override { host_.random(bytes); }
    std::optional<std::string> variable(std::string_view name) const override { return host_.variable(name); }
    std::int64_t ahead_ns = 0;

  private:
    sys::HostEnv host_;
};

class ScopeRequestsTest : public ::testing::Test {
  protected:
    void SetUp() override {
        std::string base = "/tmp/scope-requests-test.XXXXXX";
        root_ = ::mkdtemp(base.data());
        ASSERT_TRUE(sys::make_dirs(root_ + "/state/policies", 0700));
        broker_ = std::make_unique<broker::Broker>(
            env_, broker::places_of(root_ + "/state", root_, sys::effective_uid()));
        auto trace = trace::TraceWriter::open(root_ + "/state");
        ASSERT_TRUE(trace);
        trace_ = std::make_unique<trace::TraceWriter>(std::move(*trace));
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, root_)); }

    static ScopeRequests::Asked asked(const std::string& host, const std::string& agent = "bot") {
        return {.scope = {broker::ScopeKind::net, host},
                .agent_id = agent,
                .project = "/p",
                .session = "ses_1",
                .reason = "I need \x1b[31mit",
                .policy_id = "default",
                .policy_hash = "sha256:1",
                .ttl_ms = 60'000,
                .patience_ms = 10'000,
                .why = "it is not allowed",
                .rule = {},
                .pattern = {}};
    }
    void settle() { requests_.settle(*broker_, *trace_); }
    std::size_t held() { return broker_->grants().of("bot", "/p", "sha256:1").size(); }

    std::string root_;
    MovedEnv env_;
    Approvals approvals_{env_, "secret"};
    ScopeRequests requests_{env_, approvals_};
    std::unique_ptr<broker::Broker> broker_;
    std::unique_ptr<trace::TraceWriter> trace_;
};

TEST_F(ScopeRequestsTest, WaitUnderOneIdAndAreGrantedForATime) {
    const auto state = requests_.ask(asked("h:1"));
    ASSERT_FALSE(state.approval_id.empty());
    EXPECT_EQ(requests_.ask(asked("h:1")).approval_id, state.approval_id) << "asked once";
    const Json listed = approvals_.list()["approvals"][0];
    EXPECT_EQ(listed["command"], "request_scopes net:h:1");
    EXPECT_EQ(listed["reason"], "it is not allowed; the agent says: I need \\x1b[31mit");
    EXPECT_EQ(listed["impact"][0], "for bot in /p, for 60 s");
    EXPECT_EQ(listed["decisions"], (Json{"once", "deny"}));
    settle();
    EXPECT_EQ(held(), 0u);
    ASSERT_TRUE(approvals_.decide(state.approval_id, Answer::once, "secret"));
    EXPECT_EQ(held(), 0u);
    settle();
    ASSERT_EQ(held(), 1u);
    EXPECT_EQ(broker_->grants().of("bot", "/p", "sha256:1")[0]->scope.value, "h:1");
    EXPECT_TRUE(approvals_.list()["approvals"].empty());
    const std::string written = sys::read_file(root_ + "/state/trace.jsonl").value();
    EXPECT_TRUE(written.contains("\"event_type\":\"approval\"") && written.contains("\"answer\":\"once\"") &&
                written.contains("\"scope\":\"net:h:1\""))
        << written;
    env_.ahead_ns = 61'000'000'000;
    EXPECT_EQ(held(), 0u);
}

TEST_F(ScopeRequestsTest, ANoIsToldForATimeAndNotAskedAgain) {
    const auto state = requests_.ask(asked("h:1"));
    ASSERT_TRUE(approvals_.decide(state.approval_id, Answer::deny, "secret"));
    settle();
    EXPECT_TRUE(requests_.ask(asked("h:1")).refused);
    EXPECT_TRUE(approvals_.list()["approvals"].empty());
    EXPECT_EQ(held(), 0u);
    env_.ahead_ns = 11'000'000'000;
    settle();
    EXPECT_FALSE(requests_.ask(asked("h:1")).approval_id.empty());
}

TEST_F(ScopeRequestsTest, NobodyDecidesInTime) {
    const auto state = requests_.ask(asked("h:1"));
    env_.ahead_ns = 11'000'000'000;
    settle();
    EXPECT_TRUE(approvals_.list()["approvals"].empty());
    EXPECT_FALSE(approvals_.decide(state.approval_id, Answer::once, "secret"));
    EXPECT_EQ(held(), 0u);
}

TEST_F(ScopeRequestsTest, FewWait) {
    for (std::size_t i = 0; i < ScopeRequests::kMostWaitingOfOne; ++i)
        EXPECT_FALSE(requests_.ask(asked("h:" + std::to_string(i + 1))).approval_id.empty());
    EXPECT_TRUE(requests_.ask(asked("more:1")).full);
    EXPECT_FALSE(requests_.ask(asked("more:1", "other")).full);
    for (std::size_t i = 1; i < ScopeRequests::kMostWaiting - ScopeRequests::kMostWaitingOfOne; ++i)
        EXPECT_FALSE(requests_.ask(asked("more:1", "other" + std::to_string(i))).full);
    EXPECT_TRUE(requests_.ask(asked("more:1", "another")).full);
}

}  // namespace
}  // namespace substrate::agent
