#include "agent/approvals.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "sys/file.hpp"
#include "sys/host_env.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::agent {
namespace {

using broker::Answer;

class ApprovalsTest : public ::testing::Test {
  protected:
    static broker::ApprovalQuestion question(const std::string& scope = "make") {
        broker::ApprovalQuestion asked;
        asked.command = "make \x1b[31mall";
        asked.parts = {"make all"};
        asked.reason = "approval is asked for";
        asked.policy_id = "default";
        asked.directory = "/p";
        asked.scope_pattern = scope;
        return asked;
    }
    std::optional<std::string> ask(const std::string& scope = "make") {
        return approvals_.ask(question(scope), {"bot", "spn_1", [this] { ++woken_; }});
    }

    sys::HostEnv env_;
    Approvals approvals_{env_, "secret"};
    int woken_ = 0;
};

TEST_F(ApprovalsTest, WhatWaitsIsListedSafeToPrint) {
    const auto id = ask();
    ASSERT_TRUE(id);
    const Json all = approvals_.list();
    ASSERT_EQ(all.at("approvals").size(), 1u);
    const Json& one = all.at("approvals").front();
    EXPECT_EQ(one.at("approval_id"), *id);
    EXPECT_EQ(one.at("agent_id"), "bot");
    EXPECT_EQ(one.at("scope").at("pattern"), "make");
    EXPECT_EQ(one.at("command").get<std::string>().find('\x1b'), std::string::npos);
    EXPECT_EQ(one.at("decisions").size(), 4u);
}

TEST_F(ApprovalsTest, OneDecisionByWhoHasTheSecret) {
    const auto id = ask();
    ASSERT_TRUE(id);
    EXPECT_EQ(approvals_.decide(*id, Answer::once, "").error().code(), Errc::denied);
    EXPECT_EQ(approvals_.decide(*id, Answer::once, "secrex").error().code(), Errc::denied);
    EXPECT_EQ(approvals_.decide("ask_other", Answer::once, "secret").error().code(), Errc::not_found);
    EXPECT_EQ(woken_, 0);
    EXPECT_FALSE(approvals_.take(*id));
    ASSERT_TRUE(approvals_.decide(*id, Answer::session, "secret"));
    EXPECT_EQ(woken_, 1);
    EXPECT_EQ(approvals_.decide(*id, Answer::deny, "secret").error().code(), Errc::not_found) << "decided";
    EXPECT_TRUE(approvals_.list().at("approvals").empty());
    EXPECT_EQ(approvals_.take(*id), Answer::session);
    EXPECT_FALSE(approvals_.take(*id));
}

TEST_F(ApprovalsTest, WhatCannotBeKeptIsAllowedOnceOnly) {
    const auto id = ask("");
    ASSERT_TRUE(id);
    EXPECT_EQ(approvals_.list().at("approvals").front().at("decisions").size(), 2u);
    EXPECT_EQ(approvals_.decide(*id, Answer::always, "secret").error().code(), Errc::invalid);
    EXPECT_TRUE(approvals_.decide(*id, Answer::once, "secret"));
}

TEST_F(ApprovalsTest, SoManyWaitAndNoneAfterTheEnd) {
    std::vector<std::string> ids;
    while (auto id = ask()) ids.push_back(*id);
    EXPECT_EQ(ids.size(), Approvals::kMost);
    approvals_.withdraw(ids.front());
    EXPECT_TRUE(ask());
    approvals_.close();
    EXPECT_EQ(woken_, static_cast<int>(Approvals::kMost));
    approvals_.withdraw(ids.back());
    EXPECT_FALSE(ask());
}

TEST_F(ApprovalsTest, AnEmptySecretIsNone) {
    Approvals open(env_, "");
    const auto id = open.ask(question(), {"bot", "spn_1", [] {}});
    EXPECT_EQ(open.decide(*id, Answer::once, "").error().code(), Errc::denied);
}

TEST_F(ApprovalsTest, TheSecretIsNewEachTimeAndTheAccountsOwn) {
    std::string directory = "/tmp/approvals-test.XXXXXX";
    ASSERT_NE(::mkdtemp(directory.data()), nullptr);
    const std::string file = directory + "/token";
    const auto first = make_secret(env_, file), second = make_secret(env_, file);
    ASSERT_TRUE(first && second);
    EXPECT_NE(*first, *second);
    EXPECT_EQ(second->size(), 64u);
    EXPECT_EQ(sys::read_file(file).value(), *second + "\n");
    struct ::stat st{};
    ASSERT_EQ(::stat(file.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 0777, 0600u);
    EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, directory));
}

TEST_F(ApprovalsTest, WhoAsksWaitsForTheDecisionOrGoes) {
    const auto await = [&](std::optional<std::int64_t> most_ns,
                           const std::function<bool(const std::string&)>& pause) {
        const auto id = ask();
        if (!id) return std::optional<Answer>();
        return approvals_.await(*id, question(), most_ns, [&](int left_ms) {
            EXPECT_GT(left_ms, 0);
            return pause(*id);
        });
    };
    int pauses = 0;
    EXPECT_EQ(await({},
                    [&](const std::string& id) {
                        return ++pauses < 2 || approvals_.decide(id, Answer::once, "secret").has_value();
                    }),
              Answer::once);
    EXPECT_EQ(pauses, 2);
    EXPECT_FALSE(await({}, [](const std::string&) { return false; })) << "who asked has gone";
    EXPECT_FALSE(await(0, [](const std::string&) { return true; })) << "no time is left";
    EXPECT_TRUE(approvals_.list().at("approvals").empty()) << "nobody waits any more";
    EXPECT_FALSE(await({}, [&](const std::string&) {
        approvals_.close();
        return true;
    }));
}

}  // namespace
}  // namespace substrate::agent
