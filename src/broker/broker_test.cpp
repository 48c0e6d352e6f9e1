#include "broker/broker.hpp"

#include <sys/stat.h>

#include <thread>

#include "broker/broker_test_support.hpp"
#include "broker/compiled_cache.hpp"

namespace substrate::broker {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
const std::string kDenySudo = "mode: enforce\ncommands:\n  denied: [sudo *]\n";
const std::string kDenyRm = "mode: enforce\ncommands:\n  denied: [rm *]\n";

class JudgeTest : public BrokerTest {
  protected:
    Judgement ask(Broker& broker, const std::string& line, const std::string& below = "") {
        return broker.judge({.line = line, .cwd = project_ + below, .project = project_, .session = "ses_1"});
    }
    // "allow", "ask", "deny RULE", with " (observed)" where it only would.
    std::string verdict(Broker& broker, const std::string& line, const std::string& below = "") {
        const Judgement made = ask(broker, line, below);
        const Decision& decision = made.verdict.decision;
        if (made.verdict.denied) return "deny " + decision.rule;
        if (made.verdict.asks) return made.approved ? "approved" : "ask";
        if (made.verdict.would_deny) return "deny " + decision.rule + " (observed)";
        return made.verdict.isolate ? "isolate" : made.verdict.direct ? "direct" : "allow";
    }
    void trust_project() const {
        TrustRecord record{.directory = project_, .texts = read_ground(project_, places_.uid).value()};
        ASSERT_TRUE(add_trust(places_, record));
    }
};

TEST_F(JudgeTest, WithoutAnyFileTheShippedDefaultObserves) {
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "ls"), "allow");
    EXPECT_EQ(verdict(broker, "sudo ls"), "deny commands.denied[0] (observed)");
    EXPECT_EQ(verdict(broker, "npm install"), "isolate");
    EXPECT_EQ(verdict(broker, "echo $X"), "allow") << "observing holds nothing back for what is unknown";
    const Judgement made = ask(broker, "ls");
    EXPECT_EQ(made.policies->id(), "default");
    EXPECT_TRUE(made.policies->hash().starts_with("sha256:")) << made.policies->hash();
    EXPECT_EQ(made.policies->layers()[0].file, "(shipped)/default.yaml");
}

TEST_F(JudgeTest, TheAccountsPolicyComesBeforeTheMachinesAndTheShipped) {
    write(places_.system_policies + "/default.yaml", "id: default\n" + kDenyRm);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
    write_user("default", kDenySudo);
    EXPECT_EQ(verdict(broker, "rm x"), "allow");
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
}

TEST_F(JudgeTest, NothingLoosensTheManagedPolicy) {
    write(places_.managed_policy, "id: company\n" + kDenySudo + "world:\n  commit: ask\n");
    write_user("default", "mode: observe\n");
    write(project_ + "/.substrate-policy.yaml", "id: mine\nmode: observe\n");
    trust_project();
    Broker broker(env_, places_);
    const Judgement made = ask(broker, "sudo x");
    EXPECT_TRUE(made.verdict.denied);
    EXPECT_EQ(made.verdict.decision.policy_id, "company");
    EXPECT_EQ(made.policies->id(), "mine");
    EXPECT_EQ(made.policies->commit(), CommitMode::ask);
    write(places_.managed_policy, "id: company\nmode: [", 0600);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]") << "the last good one";
    Broker fresh(env_, places_);
    EXPECT_EQ(verdict(fresh, "true"), "deny policy");
}

TEST_F(JudgeTest, SocketsAreShownThatAllPoliciesName) {
    using Paths = std::vector<std::string>;
    write_user("default", "net: {unix: [/run/a.sock, /run/b.sock]}\n");
    Broker broker(env_, places_);
    const auto shown = [&] {
        const policy::PatternValues values{.project = project_, .home = places_.home};
        return ask(broker, "true").policies->fs_access(values).sockets;
    };
    EXPECT_EQ(shown(), (Paths{"/run/a.sock", "/run/b.sock"}));
    // A project's own text opens nothing, and takes away what it does not name.
    write(project_ + "/.substrate-policy.yaml", "id: mine\nnet: {unix: [/run/b.sock, /run/c.sock]}\n");
    EXPECT_EQ(shown(), Paths{"/run/b.sock"});
    trust_project();
    EXPECT_EQ(shown(), (Paths{"/run/b.sock", "/run/c.sock"}));
    // The machine's need not name any; where it does, it binds.
    write(places_.managed_policy, "id: company\n");
    EXPECT_EQ(shown(), (Paths{"/run/b.sock", "/run/c.sock"}));
    write(places_.managed_policy, "id: company\nnet: {unix: [/run/c.sock]}\n");
    EXPECT_EQ(shown(), Paths{"/run/c.sock"});
    write(places_.managed_policy, "id: company\nnet: {unix: []}\n");
    EXPECT_EQ(shown(), Paths{});
}

TEST_F(JudgeTest, AnEditIsInForceForTheNextCommand) {
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "rm x"), "allow");
    const std::string before = ask(broker, "ls").policies->hash();
    write_user("default", kDenyRm);
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
    const std::vector<Reload> reloads = broker.take_reloads();
    ASSERT_EQ(reloads.size(), 1u);
    EXPECT_EQ(reloads[0].old_hash, before);
    EXPECT_EQ(reloads[0].new_hash, ask(broker, "ls").policies->hash());
    EXPECT_EQ(reloads[0].problem, "");
    EXPECT_TRUE(broker.take_reloads().empty());
}

TEST_F(JudgeTest, ABrokenEditKeepsTheLastGoodPolicyAndSaysSoOnce) {
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    const std::string file = places_.user_policies + "/default.yaml";
    for (const std::string text :
         {"id: default\nmode: [", "id: default\nunknown: 1\n", "id: default\nmode: 7\n",
          "id: default\nid: default\n", "a: &a [x,x]\nb: [*a,*a]\n", "id: other\n", "",
          "id: default\ncommands:\n  denied: ['a && b']\n"}) {
        write(file, text);
        const Judgement made = ask(broker, "sudo x");
        EXPECT_TRUE(made.verdict.denied) << text;
        EXPECT_EQ(made.verdict.decision.pattern, "sudo *") << text;
        ASSERT_EQ(made.notices.size(), 1u) << text;
        EXPECT_TRUE(made.notices[0].contains(file)) << made.notices[0];
        EXPECT_TRUE(made.notices[0].contains("the last good one stays in force")) << made.notices[0];
        EXPECT_TRUE(ask(broker, "sudo x").notices.empty()) << "told once";
        const std::vector<Reload> reloads = broker.take_reloads();
        ASSERT_EQ(reloads.size(), 1u) << text;
        EXPECT_NE(reloads[0].problem, "");
        EXPECT_EQ(reloads[0].old_hash, reloads[0].new_hash);
    }
    ASSERT_EQ(::chmod(file.c_str(), 0666), 0);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    write_user("default", kDenyRm);
    EXPECT_EQ(verdict(broker, "sudo x"), "allow") << "mended";
}

TEST_F(JudgeTest, AtTheFirstStartABrokenPolicyLetsNothingRun) {
    const std::string file = places_.user_policies + "/default.yaml";
    for (const std::string text : {"id: default\nmode: [", "id: default\nunknown: 1\n", "id: other\n", ""}) {
        write(file, text);
        Broker broker(env_, places_);
        const Judgement made = ask(broker, "true");
        EXPECT_TRUE(made.verdict.denied) << text;
        EXPECT_FALSE(made.policies);
        EXPECT_TRUE(made.verdict.decision.reason.contains(file)) << made.verdict.decision.reason;
    }
    ASSERT_EQ(::unlink(file.c_str()), 0);
    ASSERT_EQ(::mkdir(file.c_str(), 0700), 0);
    Broker directory(env_, places_);
    EXPECT_EQ(verdict(directory, "true"), "deny policy");
    ASSERT_EQ(::rmdir(file.c_str()), 0);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
    Broker fifo(env_, places_);
    EXPECT_EQ(verdict(fifo, "true"), "deny policy");
}

TEST_F(JudgeTest, AMomentWithoutTheFileIsNoPolicy) {
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    ASSERT_EQ(::unlink((places_.user_policies + "/default.yaml").c_str()), 0);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    env_.ahead_ns += 2 * kSecond;
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0] (observed)") << "gone: the shipped one";
    write_user("default", kDenyRm);
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
}

TEST_F(JudgeTest, AFileBeingWrittenKeepsTheLastGoodPolicy) {
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    sys::UniqueFd writer =
        sys::open_path(places_.user_policies + "/default.yaml", O_WRONLY | O_TRUNC).value();
    ASSERT_TRUE(sys::write_all(writer.get(), "id: default\nmode: enforce\n"));
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]") << "half of a policy that would allow it";
    ASSERT_TRUE(sys::write_all(writer.get(), "commands:\n  denied: [rm *]\n"));
    writer.reset();
    EXPECT_EQ(verdict(broker, "sudo x"), "allow");
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
}

TEST_F(JudgeTest, AProfileThatNobodyTrustsOnlyTightens) {
    write_user("default", kDenySudo);
    write_user("loose", "mode: observe\n");
    write_user("strict", kDenyRm);
    write(project_ + "/.substrate-profile", "loose\n");
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    EXPECT_EQ(ask(broker, "ls").policies->id(), "loose");
    write(project_ + "/.substrate-profile", " strict \n");
    EXPECT_EQ(verdict(broker, "sudo x", "/sub"), "deny commands.denied[0]");
    EXPECT_EQ(verdict(broker, "rm x", "/sub"), "deny commands.denied[0]");
    write(project_ + "/sub/.substrate-profile", "loose");
    EXPECT_EQ(verdict(broker, "rm x", "/sub"), "allow") << "the nearest one chooses";
    EXPECT_EQ(verdict(broker, "sudo x", "/sub"), "deny commands.denied[0]");
    for (const std::string text : {"", "a b", "../default", "nobody-has-this", "Default"}) {
        write(project_ + "/.substrate-profile", text);
        Broker fresh(env_, places_);
        EXPECT_EQ(verdict(fresh, "true"), "deny policy") << text;
    }
}

TEST_F(JudgeTest, AProfileThatIsAskedForOnlyTightens) {
    write_user("default", kDenySudo + "approval:\n  require: [git push *]\n");
    write_user("loose", "mode: observe\n");
    write_user("strict", kDenyRm + "world:\n  commit: manual\n");
    Broker broker(env_, places_);
    const auto judge = [&](const std::string& line, const std::string& profile) {
        return broker.judge({.line = line,
                             .cwd = project_,
                             .governed_by = {},
                             .project = project_,
                             .session = "ses_1",
                             .profile = profile});
    };
    EXPECT_TRUE(judge("sudo x", "loose").verdict.denied);
    EXPECT_FALSE(judge("rm x", "loose").verdict.denied);
    EXPECT_TRUE(judge("rm x", "strict").verdict.denied);
    EXPECT_TRUE(judge("sudo x", "strict").verdict.denied);
    EXPECT_FALSE(judge("rm x", "").verdict.denied) << "only for who asks for it";
    const Judgement both = judge("ls", "strict");
    EXPECT_EQ(both.policies->id(), "default+strict");
    EXPECT_EQ(both.policies->commit(), CommitMode::manual);
    EXPECT_NE(both.policies->hash(), judge("ls", "").policies->hash());
    EXPECT_EQ(judge("ls", "default").policies->id(), "default") << "it governs already";
    // What was approved under one is not approved under the other, and an edit of one drops its own.
    ASSERT_TRUE(broker.answer(judge("git push a", ""), Answer::always, "ses_1"));
    EXPECT_TRUE(judge("git push a", "").approved);
    EXPECT_FALSE(judge("git push a", "loose").approved);
    write_user("loose", "mode: observe\nname: edited\n");
    EXPECT_FALSE(judge("git push a", "loose").approved);
    EXPECT_TRUE(judge("git push a", "").approved);
}

TEST_F(JudgeTest, AProfileThatIsAskedForMustBeThere) {
    write_user("broken", "mode: [\n");
    Broker broker(env_, places_);
    EXPECT_EQ(broker.in_force(project_, project_, "nothing").unknown, std::vector<std::string>{"nothing"});
    EXPECT_TRUE(broker.in_force(project_, project_, "broken").unknown.empty());
    for (const char* profile : {"nothing", "broken"})
        EXPECT_TRUE(broker
                        .judge({.line = "true",
                                .cwd = project_,
                                .governed_by = {},
                                .project = project_,
                                .session = {},
                                .profile = profile})
                        .verdict.denied)
            << profile;
    EXPECT_TRUE(broker.in_force(project_, project_).set);
}

TEST_F(JudgeTest, WhatIsTrustedMayLoosen) {
    write_user("default", kDenySudo);
    write_user("loose", "mode: observe\n");
    write(project_ + "/.substrate-profile", "loose\n");
    trust_project();
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "allow");
    EXPECT_TRUE(broker.in_force(project_, project_).choice.trusted);
    ASSERT_TRUE(remove_trust(places_, project_).value());
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
}

// What a command could write into the project to get away from what a person chose.
TEST_F(JudgeTest, NoEditInTheProjectGetsAwayFromWhatWasTrusted) {
    write_user("default", "mode: observe\n");
    write_user("strict", kDenyRm);
    const std::string profile = project_ + "/.substrate-profile";
    write(profile, "strict\n");
    trust_project();
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
    write(profile, "default\n");
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]") << "another profile";
    ASSERT_EQ(::unlink(profile.c_str()), 0);
    env_.ahead_ns += 2 * kSecond;
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]") << "none";
    Broker fresh(env_, places_);
    EXPECT_EQ(verdict(fresh, "rm x"), "deny commands.denied[0]") << "none, after a restart";
    write(project_ + "/sub/.substrate-profile", "default\n");
    EXPECT_EQ(verdict(fresh, "rm x", "/sub"), "deny commands.denied[0]") << "a nearer one";
    write(project_ + "/sub/.substrate-policy.yaml", "id: mine\n");
    EXPECT_EQ(verdict(fresh, "rm x", "/sub"), "deny commands.denied[0]") << "a nearer policy";
    write(project_ + "/.substrate-policy.yaml", "id: mine\n");
    EXPECT_EQ(verdict(fresh, "rm x"), "deny commands.denied[0]") << "a policy beside it";
    EXPECT_FALSE(fresh.in_force(project_ + "/sub", project_).notices.empty()) << "and it is said";
}

TEST_F(JudgeTest, AProjectsOwnPolicy) {
    write_user("default", kDenySudo);
    write(project_ + "/.substrate-policy.yaml", "id: mine\n" + kDenyRm);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
    trust_project();
    EXPECT_EQ(verdict(broker, "sudo x"), "allow") << "it takes the default's place";
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]");
    write(project_ + "/.substrate-policy.yaml", "id: mine\nmode: [");
    EXPECT_EQ(verdict(broker, "rm x"), "deny commands.denied[0]") << "broken: the last good one";
}

TEST_F(JudgeTest, BrokenTrustRecordsAreNotBelieved) {
    write_user("default", kDenySudo);
    write_user("loose", "mode: observe\n");
    write(project_ + "/.substrate-profile", "loose\n");
    trust_project();
    std::string text = sys::read_file(places_.trust_file).value();
    const auto at = text.find("loose");
    ASSERT_NE(at, std::string::npos);
    text.replace(at, 5, "l00se");
    write(places_.trust_file, text);
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "true"), "deny policy") << "its hash does not fit";
    EXPECT_FALSE(add_trust(places_, {.directory = "/x"})) << "never overwritten";
    write(places_.trust_file, "{");
    EXPECT_EQ(verdict(broker, "true"), "deny policy");
}

TEST_F(JudgeTest, AnAnswerIsKeptForExactlyItsScope) {
    write_user("default", "mode: enforce\napproval:\n  require: [git push *]\n");
    Broker broker(env_, places_);
    const Judgement asked = ask(broker, "git push origin");
    EXPECT_TRUE(asked.verdict.asks && !asked.may_run());
    EXPECT_EQ(asked.scope.pattern, "git push origin");
    EXPECT_EQ(asked.parts, std::vector<std::string>{"git push origin"});
    ASSERT_TRUE(broker.answer(asked, Answer::once, "ses_1"));
    EXPECT_EQ(verdict(broker, "git push origin"), "ask") << "once is once";
    ASSERT_TRUE(broker.answer(asked, Answer::session, "ses_1"));
    EXPECT_EQ(verdict(broker, "git push origin", "/sub"), "approved");
    EXPECT_EQ(verdict(broker, "git push  'origin'"), "approved");
    EXPECT_EQ(verdict(broker, "git push other"), "ask");
    EXPECT_EQ(verdict(broker, "git push origin; ls"), "ask");
    EXPECT_FALSE(
        broker.judge({.line = "git push origin", .cwd = project_, .project = project_, .session = "ses_2"})
            .approved);
    ASSERT_TRUE(broker.answer(ask(broker, "git push always"), Answer::always, "ses_1"));
    Broker later(env_, places_);
    EXPECT_EQ(verdict(later, "git push always"), "approved");
    EXPECT_EQ(verdict(later, "git push origin"), "ask");
    // Another policy, another question.
    write_user("default", "mode: enforce\napproval:\n  require: [git push *, ls]\n");
    EXPECT_EQ(verdict(later, "git push always"), "ask");
    EXPECT_TRUE(later.approvals().list()->empty());
}

TEST_F(JudgeTest, ABrokenFileOfApprovalsApprovesNothing) {
    write_user("default", "mode: enforce\napproval:\n  require: [git push *]\n");
    Broker broker(env_, places_);
    ASSERT_TRUE(broker.answer(ask(broker, "git push"), Answer::always, "ses_1"));
    EXPECT_EQ(verdict(broker, "git push"), "approved");
    write(places_.approvals_file, "version: 1\napprovals: [");
    const Judgement made = ask(broker, "git push");
    EXPECT_FALSE(made.may_run());
    ASSERT_EQ(made.notices.size(), 1u);
    EXPECT_TRUE(made.notices[0].contains(places_.approvals_file)) << made.notices[0];
}

TEST_F(JudgeTest, AnEvaluationSeesOneWholePolicy) {
    // Either of the two denies one command and allows the other; no mixture does neither.
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    std::jthread writer([&](const std::stop_token& stop) {
        for (bool sudo = false; !stop.stop_requested(); sudo = !sudo)
            write_user("default", sudo ? kDenySudo : kDenyRm);
    });
    for (int i = 0; i < 50; ++i) {
        const Judgement made = ask(broker, "sudo x; rm x");
        ASSERT_TRUE(made.verdict.denied);
        const bool sudo = made.policies->layers()[0].policy.commands.denied[0] == "sudo *";
        EXPECT_EQ(made.verdict.decision.command, sudo ? "sudo x" : "rm x");
        EXPECT_EQ(made.verdict.decision.policy_hash, made.policies->hash());
    }
}

TEST_F(JudgeTest, TheCacheOfCompiledPoliciesOnlySavesTime) {
    write_user("default", kDenySudo);
    {
        Broker broker(env_, places_);
        EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    }
    const std::string cached =
        places_.cache + "/" +
        compiled_name(load_policies(places_, project_, project_).set->layers()[0].policy,
                      {.project = project_, .home = places_.home});
    ASSERT_TRUE(stamp_of(cached));
    std::string bytes = sys::read_file(cached).value();
    bytes[bytes.size() / 2] ^= 1;
    for (const std::string& damaged : {bytes, bytes.substr(0, 100), std::string()}) {
        write(cached, damaged);
        Broker broker(env_, places_);
        EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
    }
    ASSERT_TRUE(sys::remove_tree_at(AT_FDCWD, places_.cache));
    write(places_.cache, "no directory");
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "sudo x"), "deny commands.denied[0]");
}

TEST_F(JudgeTest, PatternsKnowTheProject) {
    write_user("default", "mode: enforce\ncommands:\n  denied: [rm -rf $PROJECT, rm -rf $HOME]\n");
    Broker broker(env_, places_);
    EXPECT_EQ(verdict(broker, "rm -rf " + project_), "deny commands.denied[0]");
    EXPECT_EQ(verdict(broker, "rm -rf ../project"), "deny commands.denied[0]");
    EXPECT_EQ(verdict(broker, "rm -rf ~"), "deny commands.denied[1]");
    EXPECT_EQ(verdict(broker, "rm -rf /elsewhere"), "allow");
}

TEST_F(JudgeTest, ThePoliciesOfAnotherDirectoryMayHold) {
    write_user("default", "mode: enforce\napproval:\n  require: [git push *]\n");
    write_user("strict", kDenySudo);
    write(project_ + "/sub/.substrate-profile", "strict\n");
    Broker broker(env_, places_);
    const auto governed = [&](const std::string& line, const std::string& cwd, const std::string& by) {
        return broker.judge(
            {.line = line, .cwd = cwd, .governed_by = by, .project = project_, .session = "ses_1"});
    };
    EXPECT_TRUE(governed("sudo x", project_, project_ + "/sub").verdict.denied);
    EXPECT_FALSE(governed("sudo x", project_ + "/sub", project_).verdict.denied);
    // An approval must hold for both.
    ASSERT_TRUE(broker.answer(ask(broker, "git push origin"), Answer::session, "ses_1"));
    EXPECT_TRUE(governed("git push origin", project_ + "/sub", project_).approved);
    EXPECT_FALSE(governed("git push origin", project_, root_ + "/home").approved);
    EXPECT_FALSE(governed("git push origin", root_ + "/home", project_).approved);
}

TEST_F(JudgeTest, WhoIsGovernedByAnotherDirectoryTakesNoNoticeAway) {
    write_user("default", kDenySudo);
    Broker broker(env_, places_);
    (void)ask(broker, "true");
    write_user("default", "mode: [\n");
    const auto inside = broker.judge(
        {.line = "true", .cwd = "/tmp", .governed_by = project_, .project = project_, .session = "ses_1"});
    EXPECT_TRUE(inside.notices.empty());
    EXPECT_EQ(ask(broker, "true").notices.size(), 1u) << "the person is told";
}

}  // namespace
}  // namespace substrate::broker
