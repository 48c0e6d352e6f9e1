#include "supervisor/scope_tokens.hpp"

#include <gtest/gtest.h>

#include "codec/scope_token_json.hpp"

namespace substrate::supervisor {
namespace {

class SteppedEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override { return now_ns; }
    std::int64_t monotonic_ns() const override { return now_ns; }
    void random(std::span<std::uint8_t> bytes) const override {
        for (std::uint8_t& byte : bytes) byte = ++last_;
    }
    std::optional<std::string> variable(std::string_view) const override { return std::nullopt; }
    std::int64_t now_ns = 1'000;

  private:
    mutable std::uint8_t last_ = 0;
};

class ScopeTokensTest : public testing::Test {
  protected:
    static ScopeToken token(const std::string& span_id) {
        return {.span_id = span_id,
                .session = "ses_1",
                .agent_id = "bot",
                .scopes = {{"net:packages.example:443", "policy default"}, {"fs.write:/p\xff", "grant g"}},
                .expires_ns = 5'000,
                .mac = {}};
    }
    static std::string why(const Result<ScopeToken>& verified) {
        return verified ? "" : verified.error().message();
    }
    static std::string edited(const std::string& text, const std::function<void(Json&)>& edit) {
        Json json = *parse_json(text);
        edit(json);
        return dump_json(json);
    }

    SteppedEnv env_;
    ScopeTokens tokens_{env_};
};

TEST_F(ScopeTokensTest, AreGoodForTheirCommandWhileItRuns) {
    auto live = tokens_.issue(token("spn_1"));
    const std::string text = live->text();
    const auto verified = tokens_.verify(text, "spn_1");
    ASSERT_TRUE(verified) << verified.error().message();
    EXPECT_EQ(verified->scopes, token("spn_1").scopes);
    EXPECT_EQ(verified->agent_id, "bot");
    live.reset();
    EXPECT_EQ(why(tokens_.verify(text, "spn_1")), "the scope token is not accepted: its command has ended");
}

TEST_F(ScopeTokensTest, AreOfNoOtherCommand) {
    const auto one = tokens_.issue(token("spn_1")), other = tokens_.issue(token("spn_2"));
    EXPECT_EQ(why(tokens_.verify(one->text(), "spn_2")),
              "the scope token is not accepted: it is of another command");
    EXPECT_TRUE(tokens_.verify(other->text(), "spn_2"));
}

TEST_F(ScopeTokensTest, Expire) {
    const auto live = tokens_.issue(token("spn_1"));
    env_.now_ns = 5'000;
    EXPECT_EQ(why(tokens_.verify(live->text(), "spn_1")), "the scope token is not accepted: it has expired");
}

TEST_F(ScopeTokensTest, NothingInThemCanBeChanged) {
    const auto live = tokens_.issue(token("spn_1"));
    const auto other = tokens_.issue(token("spn_2"));
    const std::string forged = "the scope token is not accepted: this agent has not made it";
    for (const auto& edit : std::vector<std::function<void(Json&)>>{
             [](Json& json) { json["agent_id"] = "root"; }, [](Json& json) { json["span_id"] = "spn_2"; },
             [](Json& json) { json["scopes"].push_back({{"scope", "net:*"}, {"source", "me"}}); },
             [](Json& json) { json["scopes"][0]["scope"] = "net:*"; },
             [](Json& json) { json["expires"] = "2100-01-01T00:00:00Z"; },
             [](Json& json) { json["mac"] = std::string(64, '0'); }, [](Json& json) { json["mac"] = ""; },
             [&](Json& json) { json["mac"] = (*parse_json(other->text()))["mac"]; }}) {
        EXPECT_EQ(why(tokens_.verify(edited(live->text(), edit), "spn_1")), forged);
        EXPECT_EQ(why(tokens_.verify(edited(live->text(), edit), "spn_2")), forged);
    }
    // Another agent's.
    ScopeTokens theirs(env_);
    EXPECT_EQ(why(tokens_.verify(theirs.issue(token("spn_1"))->text(), "spn_1")), forged);
}

TEST_F(ScopeTokensTest, WhatIsNoneIsRefused) {
    for (const std::string& text : {std::string(), std::string("{"), std::string("[]"), std::string("{}"),
                                    std::string(R"({"version":2})"), std::string(20'000, ' ')})
        EXPECT_TRUE(why(tokens_.verify(text, "spn_1")).starts_with("the scope token is not accepted: "))
            << text;
}

TEST_F(ScopeTokensTest, StayWithinTheirBounds) {
    ScopeToken many = token("spn_1");
    many.scopes.assign(10'000, {"net:packages.example:443", "policy default"});
    const auto live = tokens_.issue(many);
    EXPECT_LE(live->text().size(), ScopeTokens::kMost);
    EXPECT_FALSE(tokens_.verify(live->text(), "spn_1")->scopes.empty());
}

}  // namespace
}  // namespace substrate::supervisor
