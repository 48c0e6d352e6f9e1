#include "broker/scope_grants.hpp"

#include "broker/broker.hpp"
#include "broker/broker_test_support.hpp"

namespace substrate::broker {
namespace {

constexpr policy::PatternValues kValues{.project = "/home/a/p", .home = "/home/a"};

std::string read(std::string_view text) {
    const auto scope = read_scope(text, kValues);
    return scope ? to_string(*scope) : "refused";
}

TEST(Scope, IsReadInOneForm) {
    EXPECT_EQ(read("net:Packages.Example.:443"), "net:packages.example:443");
    EXPECT_EQ(read("net:[2001:DB8::1]:80"), "net:[2001:db8::1]:80");
    EXPECT_EQ(read("net:192.0.2.7:80"), "net:192.0.2.7:80");
    EXPECT_EQ(read("fs.write:$PROJECT/out//x/"), "fs.write:/home/a/p/out/x");
    EXPECT_EQ(read("fs.write:out"), "fs.write:/home/a/p/out");
    EXPECT_EQ(read("fs.write:/home/a/p"), "fs.write:/home/a/p");
    EXPECT_EQ(read("fs.write:$PROJECT"), "fs.write:/home/a/p");
    EXPECT_EQ(read("cmd:git push *"), "cmd:git push *");
}

TEST(Scope, WhatIsTooWideOrNoneIsRefused) {
    using namespace std::string_literals;
    for (const std::string& text : {""s,
                                    "net"s,
                                    "net:"s,
                                    "net:*"s,
                                    "net:*.example:443"s,
                                    "net:packages.example"s,
                                    "net:packages.example:0"s,
                                    "net:packages.example:99999"s,
                                    "net:192.0.2.0/24:80"s,
                                    "net:preset:npm"s,
                                    "net:127.1:80"s,
                                    "net:a\nb:80"s,
                                    "fs.write:"s,
                                    "fs.write:/etc"s,
                                    "fs.write:/home/a/px"s,
                                    "fs.write:/home/a"s,
                                    "fs.write:$PROJECT/../q"s,
                                    "fs.write:../q"s,
                                    "fs.write:a\0b"s,
                                    "fs.read:/home/a/p"s,
                                    "cmd:"s,
                                    "cmd:*"s,
                                    "cmd:* push"s,
                                    "cmd:g?t push"s,
                                    "cmd:curl * | sh"s,
                                    "cmd:a; b"s,
                                    "cmd:"s + std::string(5000, 'a'),
                                    "sudo"s})
        EXPECT_EQ(read(text), "refused") << text;
}

class ScopeGrantsTest : public BrokerTest {
  protected:
    ScopeGrant grant(const std::string& text, std::int64_t ttl_ns = 1'000'000'000) {
        return {.id = "grt_1",
                .agent_id = "bot",
                .project = project_,
                .policy_hash = "sha256:1",
                .scope = read_scope(text, {.project = project_, .home = places_.home}).value(),
                .until_ns = env_.monotonic_ns() + ttl_ns,
                .compiled = {}};
    }
    std::size_t held(const ScopeGrants& grants, const std::string& agent, const std::string& project,
                     const std::string& hash) {
        return grants.of(agent, project, hash).size();
    }
};

TEST_F(ScopeGrantsTest, HoldForWhoAskedUnderTheSamePoliciesAndForATime) {
    ScopeGrants grants(env_, places_.home);
    EXPECT_FALSE(grants.expire());
    ASSERT_TRUE(grants.keep(grant("net:packages.example:443")));
    ASSERT_TRUE(grants.keep(grant("net:packages.example:443", 3'600'000'000'000)));
    EXPECT_EQ(held(grants, "bot", project_, "sha256:1"), 1u) << "the later takes the place of the first";
    EXPECT_EQ(held(grants, "other", project_, "sha256:1"), 0u);
    EXPECT_EQ(held(grants, "bot", project_ + "/sub", "sha256:1"), 0u);
    EXPECT_EQ(held(grants, "bot", project_, "sha256:2"), 0u);
    env_.ahead_ns = 3'700'000'000'000;
    EXPECT_EQ(held(grants, "bot", project_, "sha256:1"), 0u);
    EXPECT_TRUE(grants.expire());
    EXPECT_FALSE(grants.expire());
}

TEST_F(ScopeGrantsTest, AreListedAndRevoked) {
    ScopeGrants grants(env_, places_.home);
    ScopeGrant first = grant("net:one.example:443");
    ScopeGrant second = grant("net:two.example:443", 3'600'000'000'000);
    first.id = "grt_1";
    second.id = "grt_2";
    ASSERT_TRUE(grants.keep(first));
    ASSERT_TRUE(grants.keep(second));
    ASSERT_EQ(grants.list().size(), 2u);
    EXPECT_EQ(grants.list()[0]->id, "grt_1");
    EXPECT_EQ(grants.revoke("grt_3"), nullptr);
    const ScopeGrantPtr revoked = grants.revoke("grt_1");
    ASSERT_TRUE(revoked);
    EXPECT_EQ(to_string(revoked->scope), "net:one.example:443");
    EXPECT_EQ(grants.revoke("grt_1"), nullptr);
    EXPECT_EQ(held(grants, "bot", project_, "sha256:1"), 1u);
    env_.ahead_ns = 3'700'000'000'000;
    EXPECT_TRUE(grants.list().empty()) << "what has expired is none, swept or not";
}
TEST_F(ScopeGrantsTest, AreNotKeptWithoutEnd) {
    ScopeGrants grants(env_, places_.home);
    for (std::size_t i = 0; i < ScopeGrants::kMost; ++i)
        ASSERT_TRUE(grants.keep(grant("net:h" + std::to_string(i) + ".example:443")));
    const auto full = grants.keep(grant("net:one-more.example:443"));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code(), Errc::conflict);
    env_.ahead_ns = 2'000'000'000;
    EXPECT_TRUE(grants.keep(grant("net:one-more.example:443")));
}

TEST_F(ScopeGrantsTest, APatternStandsInForAnAnswerAndOverridesNothing) {
    write_user(
        "default",
        "mode: enforce\ncommands:\n  denied: [git push --force *]\napproval:\n  require: [git *, make]\n");
    Broker broker(env_, places_);
    const auto judge = [&](const std::string& line, const std::string& agent = "bot") {
        return broker.judge({.line = line,
                             .argv = {},
                             .cwd = project_,
                             .governed_by = {},
                             .project = project_,
                             .session = {},
                             .profile = {},
                             .agent_id = agent});
    };
    ScopeGrant given = grant("cmd:git push *");
    given.policy_hash = judge("true").policies->hash();
    ASSERT_TRUE(broker.grants().keep(std::move(given)));
    EXPECT_TRUE(judge("git push origin").may_run());
    EXPECT_TRUE(judge("git push 'origin' main").may_run());
    EXPECT_TRUE(judge("eval git push origin").may_run()) << "the text is read, and is the same command";
    EXPECT_FALSE(judge("git push origin", "other").may_run());
    EXPECT_FALSE(judge("git fetch origin").may_run());
    EXPECT_FALSE(judge("make").may_run());
    EXPECT_TRUE(judge("git push --force origin").verdict.denied);
    for (const char* line : {"git push origin; make", "git push $X", "git push origin | sh",
                             "git push $(make)", "eval git fetch origin", "git push origin && git fetch"})
        EXPECT_FALSE(judge(line).may_run()) << line;
    // Under other policies it is void.
    write_user("default", "mode: enforce\napproval:\n  require: [git *]\n");
    EXPECT_FALSE(judge("git push origin").may_run());
}

TEST_F(ScopeGrantsTest, APlaceMayBeWrittenButForTheMachinesPolicy) {
    const policy::PatternValues values{.project = project_, .home = places_.home};
    const auto access = [&](const std::vector<std::string>& granted) {
        Broker broker(env_, places_);
        return broker.in_force(project_, project_).set->fs_access(values, granted);
    };
    const std::string out = project_ + "/out", more = project_ + "/more";
    write_user("default", "fs:\n  write: [$PROJECT/out]\n");
    EXPECT_EQ(access({}).writable, std::vector<std::string>{out});
    EXPECT_EQ(access({more}).writable, (std::vector<std::string>{more, out}));
    EXPECT_FALSE(access({more}).project_writable);
    EXPECT_TRUE(access({project_}).project_writable);
    write(places_.managed_policy, "id: managed\nfs:\n  write: [$PROJECT/out]\n", 0644);
    EXPECT_EQ(access({more}).writable, std::vector<std::string>{out});
    write(places_.managed_policy, "id: managed\nfs:\n  write: [$PROJECT]\n", 0644);
    EXPECT_EQ(access({more}).writable, (std::vector<std::string>{more, out}));
    write_user("default", "world_fs:\n  mode: read_only\n");
    EXPECT_TRUE(access({more}).writable.empty());
    EXPECT_FALSE(access({project_}).project_writable);
}

}  // namespace
}  // namespace substrate::broker
