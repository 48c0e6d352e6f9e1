#include "broker/approvals.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>

#include "base/ids.hpp"
#include "broker/approvals_file.hpp"
#include "sys/file.hpp"
#include "sys/host_env.hpp"

namespace substrate::broker {
namespace {

// The real clock, ahead by as much as a test likes. Counts who asks for the time: reading the
// file does, an answer from memory does not.
class TestEnv final : public Env {
  public:
    std::int64_t realtime_ns() const override {
        ++asked;
        return host_.realtime_ns() + ahead_ns;
    }
    std::int64_t monotonic_ns() const override { return host_.monotonic_ns(); }
    void random(std::span<std::uint8_t> bytes) const override { host_.random(bytes); }
    std::optional<std::string> variable(std::string_view) const override { return std::nullopt; }
    std::int64_t ahead_ns = 0;
    mutable std::atomic<int> asked = 0;

  private:
    sys::HostEnv host_;
};

ApprovalScope scope_of(std::string pattern, std::string directory = "/home/ann/project") {
    return {"default", "sha256:one", std::move(directory), std::move(pattern)};
}

class ApprovalsTest : public ::testing::Test {
  protected:
    void SetUp() override {
        base_ = ::testing::TempDir() + "substrate-approvals-XXXXXX";
        ASSERT_NE(::mkdtemp(base_.data()), nullptr);
        file_ = base_ + "/approvals.yaml";
    }
    void TearDown() override { EXPECT_TRUE(sys::remove_tree_at(AT_FDCWD, base_)); }

    Approvals open() const { return {env_, file_}; }
    void write(std::string_view text, mode_t mode = 0600) const {
        const auto written = sys::replace_file(file_, text, mode);
        ASSERT_TRUE(written) << written.error().message();
    }
    std::string content() const { return sys::read_file(file_).value_or("(no file)"); }
    static bool covered(const Approvals& approvals, const ApprovalScope& scope,
                        const std::string& session = "ses_a") {
        std::string problem;
        const bool yes = approvals.covers(scope, session, problem);
        EXPECT_EQ(problem, "");
        return yes;
    }
    // That what stands there counts for nothing and stays, and what is said about it.
    void broken(std::string_view expected, Errc code) const {
        Approvals approvals = open();
        std::string problem;
        EXPECT_FALSE(approvals.covers(scope_of("git push"), "ses_a", problem));
        EXPECT_TRUE(problem.contains(expected)) << problem;
        EXPECT_TRUE(problem.contains(file_)) << problem;
        EXPECT_TRUE(problem.contains("repair the file or remove it")) << problem;
        const auto listed = approvals.list();
        ASSERT_FALSE(listed);
        EXPECT_EQ(listed.error().code(), code) << listed.error().message();
        for (const auto& changed :
             {approvals.keep(scope_of("ls"), Answer::always, "ses_a"), without_count(approvals.revoke("")),
              without_count(approvals.drop_outdated("default", "sha256:two"))}) {
            ASSERT_FALSE(changed);
            EXPECT_EQ(changed.error().code(), Errc::conflict);
            EXPECT_TRUE(changed.error().message().contains(expected)) << changed.error().message();
            EXPECT_FALSE(changed.error().advice().empty());
        }
        // What was answered for the session does not depend on it.
        EXPECT_TRUE(approvals.keep(scope_of("ls"), Answer::session, "ses_a"));
        EXPECT_TRUE(approvals.covers(scope_of("ls"), "ses_a", problem));
        EXPECT_NE(problem, "");
    }
    static Result<> without_count(Result<std::size_t> result) {
        if (!result) return fail(std::move(result).error());
        return {};
    }
    void broken_text(std::string_view text, std::string_view expected) const {
        SCOPED_TRACE(text.substr(0, 200));
        write(text);
        broken(expected, Errc::invalid);
        EXPECT_EQ(content(), text);
    }

    TestEnv env_;
    std::string base_, file_;
};

TEST(Answer, Words) {
    for (const Answer answer : {Answer::deny, Answer::once, Answer::session, Answer::always})
        EXPECT_EQ(parse_answer(to_string(answer)), answer);
    for (const char* other : {"", "Once", "yes", "always ", "alway"})
        EXPECT_FALSE(parse_answer(other)) << other;
}

TEST_F(ApprovalsTest, NothingIsCoveredAtFirst) {
    Approvals approvals = open();
    EXPECT_FALSE(covered(approvals, scope_of("git push")));
    EXPECT_EQ(approvals.list().value().size(), 0u);
    EXPECT_EQ(approvals.revoke("").value(), 0u);
    EXPECT_EQ(content(), "(no file)");
    // "Once" and "deny" leave nothing behind.
    for (const Answer answer : {Answer::once, Answer::deny})
        EXPECT_TRUE(approvals.keep(scope_of("git push"), answer, "ses_a"));
    EXPECT_FALSE(covered(approvals, scope_of("git push")));
    EXPECT_EQ(content(), "(no file)");
}

TEST_F(ApprovalsTest, AlwaysHoldsInEverySessionAndProcess) {
    Approvals approvals = open();
    const std::int64_t before = env_.realtime_ns();
    ASSERT_TRUE(approvals.keep(scope_of("git push"), Answer::always, "ses_a"));
    ASSERT_TRUE(approvals.keep(scope_of("git push"), Answer::always, "ses_b"));  // already kept
    const Approvals other = open();
    EXPECT_TRUE(covered(other, scope_of("git push"), "ses_other"));
    EXPECT_TRUE(covered(other, scope_of("git push"), ""));
    const auto listed = other.list().value();
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].scope, scope_of("git push"));
    EXPECT_TRUE(is_id(listed[0].id, "apr"));
    EXPECT_GE(listed[0].at_ns, before);
    struct ::stat st{};
    ASSERT_EQ(::stat(file_.c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600u);
}

TEST_F(ApprovalsTest, OnlyWhatWasShownIsCovered) {
    Approvals approvals = open();
    for (const Answer answer : {Answer::session, Answer::always}) {
        ASSERT_TRUE(approvals.keep(scope_of("git push"), answer, "ses_a"));
        EXPECT_TRUE(covered(approvals, scope_of("git push")));
        EXPECT_TRUE(covered(approvals, scope_of("git push", "/home/ann/project/src/deep")));
        for (const char* elsewhere :
             {"/", "/home/ann", "/home/ann/project2", "/home/ann/projec", "/home/ann/project/../other",
              "/home/ann/project/./x", "/home/ann/project/", "/home/ann/project//x", "home/ann/project", ""})
            EXPECT_FALSE(covered(approvals, scope_of("git push", elsewhere))) << elsewhere;
        for (const char* pattern : {"./git push", "git push ", "git", "", "git push\n", "git push --force"})
            EXPECT_FALSE(covered(approvals, scope_of(pattern))) << pattern;
        ApprovalScope scope = scope_of("git push");
        scope.policy_hash = "sha256:two";
        EXPECT_FALSE(covered(approvals, scope));
        scope = scope_of("git push");
        scope.policy_id = "other";
        EXPECT_FALSE(covered(approvals, scope));
    }
    ASSERT_TRUE(approvals.keep(scope_of("ls", "/"), Answer::always, "ses_a"));
    EXPECT_TRUE(covered(approvals, scope_of("ls", "/any")));
    EXPECT_TRUE(covered(approvals, scope_of("ls", "/")));
}

TEST_F(ApprovalsTest, ASessionAnswerIsOfThatSession) {
    Approvals approvals = open();
    ASSERT_TRUE(approvals.keep(scope_of("git push"), Answer::session, "ses_a"));
    EXPECT_TRUE(covered(approvals, scope_of("git push"), "ses_a"));
    EXPECT_FALSE(covered(approvals, scope_of("git push"), "ses_b"));
    EXPECT_FALSE(covered(approvals, scope_of("git push"), ""));
    EXPECT_FALSE(covered(open(), scope_of("git push"), "ses_a"));
    EXPECT_EQ(content(), "(no file)");
    approvals.end_session("ses_b");
    EXPECT_TRUE(covered(approvals, scope_of("git push"), "ses_a"));
    approvals.end_session("ses_a");
    EXPECT_FALSE(covered(approvals, scope_of("git push"), "ses_a"));

    const auto nameless = approvals.keep(scope_of("git push"), Answer::session, "");
    ASSERT_FALSE(nameless);
    EXPECT_EQ(nameless.error().code(), Errc::invalid);
    EXPECT_FALSE(covered(approvals, scope_of("git push"), ""));
}

TEST_F(ApprovalsTest, TheOldestSessionAnswersGiveWay) {
    Approvals approvals = open();
    for (std::size_t i = 0; i <= kMaxApprovals; ++i)
        ASSERT_TRUE(approvals.keep(scope_of("cmd " + std::to_string(i)), Answer::session, "ses_a"));
    EXPECT_FALSE(covered(approvals, scope_of("cmd 0")));
    EXPECT_TRUE(covered(approvals, scope_of("cmd 1")));
}

TEST_F(ApprovalsTest, WhatCouldNeverCountIsNotKept) {
    Approvals approvals = open();
    for (const ApprovalScope& scope :
         {scope_of(""), scope_of("ls", "relative"), scope_of("ls", "/a/../b"), scope_of("ls", "/a/.."),
          scope_of("ls", "/a/"), scope_of("ls", ""), scope_of("ls", std::string("/a\0b", 4)),
          scope_of(std::string(kMaxPatternBytes + 1, 'x')), ApprovalScope{"", "h", "/", "ls"},
          ApprovalScope{"p", "", "/", "ls"}, ApprovalScope{"p", "a b", "/", "ls"}})
        for (const Answer answer : {Answer::session, Answer::always}) {
            const auto kept = approvals.keep(scope, answer, "ses_a");
            ASSERT_FALSE(kept);
            EXPECT_EQ(kept.error().code(), Errc::invalid);
            EXPECT_FALSE(covered(approvals, scope));
        }
    EXPECT_EQ(content(), "(no file)");
}

TEST_F(ApprovalsTest, AnyBytesSurvive) {
    std::string every;
    for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
    env_.ahead_ns = 3600'000'000'000;  // so that the file is read once, which is slow here
    Approvals approvals = open();
    std::vector<ApprovalScope> scopes = {scope_of(every),
                                         scope_of("a\\x41 \\\\ \\\\x41"),
                                         scope_of("'\"\n- id: \"x\"\n"),
                                         scope_of(" lead and trail "),
                                         scope_of("# end: #end-of-the-text"),
                                         scope_of("\xd1\x81 \xf0\x9f\x98\x80 \xe2\x80\xae"),
                                         scope_of("~"),
                                         scope_of("null"),
                                         scope_of("${HOME} {a: b} [c] &d *e !f |g >h %i @j `k"),
                                         scope_of("ls", "/odd \xff\n\"dir"),
                                         scope_of(std::string(kMaxPatternBytes, '\xff'))};
    for (const ApprovalScope& scope : scopes) {
        const auto kept = approvals.keep(scope, Answer::always, "");
        ASSERT_TRUE(kept) << kept.error().message();
    }
    const Approvals other = open();
    for (const ApprovalScope& scope : scopes) EXPECT_TRUE(covered(other, scope, ""));
    EXPECT_FALSE(covered(other, scope_of("aA \\ \\x41"), ""));
    for (const char c : content()) ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f)) << static_cast<int>(c);
}

TEST_F(ApprovalsTest, TheFileIsReadAgainOnlyWhenItChanged) {
    env_.ahead_ns = 3600'000'000'000;  // as if the file had been there for an hour
    Approvals approvals = open();
    // Nothing to read.
    EXPECT_FALSE(covered(approvals, scope_of("ls")));
    int asked = env_.asked;
    EXPECT_FALSE(covered(approvals, scope_of("ls")));
    EXPECT_EQ(env_.asked, asked);
    ASSERT_TRUE(approvals.keep(scope_of("ls"), Answer::always, ""));
    EXPECT_TRUE(covered(approvals, scope_of("ls")));
    asked = env_.asked;
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(covered(approvals, scope_of("ls")));
    EXPECT_EQ(env_.asked, asked);
    // Another process adds and takes away.
    ASSERT_TRUE(open().keep(scope_of("id"), Answer::always, ""));
    EXPECT_TRUE(covered(approvals, scope_of("id")));
    ASSERT_TRUE(open().revoke(""));
    EXPECT_FALSE(covered(approvals, scope_of("ls")));
    ASSERT_EQ(::unlink(file_.c_str()), 0);
    EXPECT_FALSE(covered(approvals, scope_of("id")));
    // Just after a change the stamps may not tell the next one.
    env_.ahead_ns = 0;
    ASSERT_TRUE(approvals.keep(scope_of("ls"), Answer::always, ""));
    EXPECT_TRUE(covered(approvals, scope_of("ls")));
    asked = env_.asked;
    EXPECT_TRUE(covered(approvals, scope_of("ls")));
    EXPECT_GT(env_.asked, asked);
}

TEST_F(ApprovalsTest, AnEditInPlaceCounts) {
    Approvals approvals = open();
    ASSERT_TRUE(approvals.keep(scope_of("git push"), Answer::always, ""));
    EXPECT_TRUE(covered(approvals, scope_of("git push")));
    std::string text = content();
    text.replace(text.find("git push"), 8, "git pull");
    const auto fd = sys::open_path(file_, O_WRONLY);
    ASSERT_TRUE(fd && sys::write_all(fd->get(), text));
    EXPECT_FALSE(covered(approvals, scope_of("git push")));
    EXPECT_TRUE(covered(approvals, scope_of("git pull")));
}

TEST_F(ApprovalsTest, Revoke) {
    Approvals approvals = open();
    for (const char* pattern : {"a", "b", "c"})
        ASSERT_TRUE(approvals.keep(scope_of(pattern), Answer::always, ""));
    ASSERT_TRUE(approvals.keep(scope_of("d"), Answer::session, "ses_a"));
    const std::string id = approvals.list().value()[1].id;
    EXPECT_EQ(approvals.revoke("apr_00000000-0000-7000-8000-000000000000").value(), 0u);
    EXPECT_EQ(approvals.revoke("*").value(), 0u);
    EXPECT_EQ(approvals.revoke(id).value(), 1u);
    EXPECT_EQ(approvals.revoke(id).value(), 0u);
    EXPECT_TRUE(covered(approvals, scope_of("a")));
    EXPECT_FALSE(covered(approvals, scope_of("b")));
    EXPECT_TRUE(covered(approvals, scope_of("d")));
    EXPECT_EQ(approvals.revoke("").value(), 3u);
    for (const char* pattern : {"a", "c", "d"}) EXPECT_FALSE(covered(approvals, scope_of(pattern)));
    EXPECT_TRUE(approvals.list().value().empty());
}

TEST_F(ApprovalsTest, AChangedPolicyDropsItsApprovals) {
    Approvals approvals = open();
    ApprovalScope old = scope_of("a"), other = scope_of("a"), now = scope_of("b");
    other.policy_id = "other";
    now.policy_hash = "sha256:two";
    for (const ApprovalScope& scope : {old, other, now}) {
        ASSERT_TRUE(approvals.keep(scope, Answer::always, ""));
        ASSERT_TRUE(approvals.keep(scope, Answer::session, "ses_a"));
    }
    EXPECT_EQ(approvals.drop_outdated("default", "sha256:two").value(), 2u);
    EXPECT_EQ(approvals.drop_outdated("default", "sha256:two").value(), 0u);
    EXPECT_FALSE(covered(approvals, old));
    EXPECT_TRUE(covered(approvals, other));
    EXPECT_TRUE(covered(approvals, now));
    EXPECT_EQ(approvals.list().value().size(), 2u);
    // Changing the policy back brings nothing back.
    EXPECT_EQ(approvals.drop_outdated("default", "sha256:one").value(), 2u);
    EXPECT_FALSE(covered(approvals, old));
}

constexpr std::string_view kEntry =
    "  - id: \"apr_018f0000-0000-7000-8000-000000000001\"\n"
    "    policy_id: \"default\"\n"
    "    policy_hash: \"sha256:one\"\n"
    "    directory: \"/home/ann/project\"\n"
    "    pattern: \"git push\"\n"
    "    at: \"2026-11-22T02:42:00Z\"\n";

TEST_F(ApprovalsTest, AFileByHand) {
    write("version: 1\napprovals:\n" + std::string(kEntry), 0640);
    Approvals approvals = open();
    EXPECT_TRUE(covered(approvals, scope_of("git push")));
    EXPECT_EQ(approvals.list().value()[0].at_ns, 1'795'315'320'000'000'000);
    ASSERT_TRUE(approvals.keep(scope_of("ls"), Answer::always, ""));
    EXPECT_TRUE(covered(approvals, scope_of("git push")));
    EXPECT_EQ(parse_approvals(content(), "f").value(), approvals.list().value());
}

TEST_F(ApprovalsTest, BrokenTexts) {
    const std::string entry(kEntry), head = "version: 1\napprovals:\n", whole = head + entry;
    const auto with = [&](std::string_view from, std::string_view to) {
        std::string text = whole;
        return text.replace(text.find(from), from.size(), to);
    };
    broken_text("", ":1: must be a mapping");
    broken_text("[]\n", ":1: must be a mapping");
    broken_text("version: 1\n", "'approvals' is missing");
    broken_text("approvals: []\n", "'version' is missing");
    broken_text("version: 2\napprovals: []\n", ":1: 'version' must be 1");
    broken_text("version: \"1\"\napprovals: []\n", ":1: 'version' must be 1");
    broken_text("version: 1\napprovals:\n", ":2: 'approvals' must be a list");
    broken_text("version: 1\napprovals: {}\n", ":2: 'approvals' must be a list");
    broken_text("version: 1\napprovals: []\nextra: 1\n", ":3: the key 'extra' is not known");
    broken_text(head + "  - \"x\"\n", ":3: must be a mapping");
    broken_text(whole + "    more: \"x\"\n", ":9: the key 'more' is not known");
    broken_text(whole + "    at: \"2026-11-22T02:42:00Z\"\n", "is there twice");
    broken_text(whole + "---\n" + whole, "more than one document");
    broken_text(with("    pattern: \"git push\"\n", ""), ":3: 'pattern' is missing");
    broken_text(with("\"git push\"", "git push"), ":7: 'pattern' must be a text in quotes");
    broken_text(with("\"git push\"", "[\"git push\"]"), ":7: 'pattern' must be a text in quotes");
    broken_text(with("\"git push\"", "\"\""), "there is no command");
    broken_text(with("\"git push\"", "\"git \\\\x70ush\""), ":7: 'pattern' has a backslash");
    broken_text(with("\"git push\"", "\"git push"), "approvals.yaml:");
    broken_text(with("\"git push\"", "&a \"git push\""), ":7:");
    broken_text(with("\"/home/ann/project\"", "\"/home/ann/../x\""), "the directory is not absolute");
    broken_text(with("\"/home/ann/project\"", "\"project\""), "the directory is not absolute");
    broken_text(with("\"default\"", "\"\""), "the policy's id");
    broken_text(with("\"sha256:one\"", "\"two words\""), "the policy's hash");
    broken_text(with("apr_018f", "apr_018F"), ":3: 'id' is not");
    broken_text(with("2026-11-22T", "2026-13-22T"), ":8: 'at' is not an RFC 3339 time");
    broken_text(whole + entry, ":9: this id is there twice");
    std::string twice = entry;
    twice.replace(twice.find("0001"), 4, "0002");
    broken_text(whole + twice, "the same approval is there twice");
    broken_text(whole + std::string(1, '\0'), "NUL");
    broken_text(whole.substr(0, whole.size() - 20), "approvals.yaml:");
    std::string many = head;
    for (std::size_t i = 0; i <= kMaxApprovals; ++i) {
        std::string one = entry;
        const std::string number = fmt::format("{:04}", i);
        one.replace(one.find("0001\""), 4, number).replace(one.find("git push"), 8, "git " + number);
        many += one;
    }
    broken_text(many, "more than 1024 approvals");
}

TEST_F(ApprovalsTest, WhatIsNoFileOfOursIsLeftAlone) {
    ASSERT_EQ(::mkdir(file_.c_str(), 0700), 0);
    broken("is a directory", Errc::safety);
    ASSERT_EQ(::rmdir(file_.c_str()), 0);

    ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
    broken("is a FIFO", Errc::safety);
    ASSERT_EQ(::unlink(file_.c_str()), 0);

    const std::string good = "version: 1\napprovals:\n" + std::string(kEntry);
    ASSERT_TRUE(sys::replace_file(base_ + "/other", good, 0600));
    ASSERT_EQ(::symlink("other", file_.c_str()), 0);
    broken("is a symbolic link", Errc::safety);
    EXPECT_EQ(sys::read_file(base_ + "/other").value(), good);
    ASSERT_EQ(::unlink(file_.c_str()), 0);
    ASSERT_EQ(::symlink("nowhere", file_.c_str()), 0);
    broken("is a symbolic link", Errc::safety);
    EXPECT_NE(::access((base_ + "/nowhere").c_str(), F_OK), 0);

    for (const mode_t mode : {0602, 0620, 0666}) {
        write(good, mode);
        broken("can be written by others", Errc::safety);
        EXPECT_EQ(content(), good);
    }
    write(good);
    ASSERT_EQ(::truncate(file_.c_str(), static_cast<off_t>(kMaxApprovalsFile) + 1), 0);
    broken("bytes, more than", Errc::safety);
    if (::geteuid() == 0) {
        write(good);
        ASSERT_EQ(::chown(file_.c_str(), 12345, 12345), 0);
        broken("belongs to the user with the id 12345", Errc::safety);
        EXPECT_EQ(content(), good);
    }
    // Once it is in order again it counts again.
    write(good);
    EXPECT_TRUE(covered(open(), scope_of("git push")));
}

TEST_F(ApprovalsTest, NothingIsWrittenWhereOthersCanWrite) {
    ASSERT_EQ(::chmod(base_.c_str(), 0777), 0);
    Approvals approvals = open();
    const auto kept = approvals.keep(scope_of("ls"), Answer::always, "");
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code(), Errc::safety);
    EXPECT_TRUE(kept.error().advice().contains("chmod")) << kept.error().advice();
    EXPECT_FALSE(covered(approvals, scope_of("ls")));
    ASSERT_EQ(::chmod(base_.c_str(), 0700), 0);
    // A lock that leads elsewhere is none.
    ASSERT_EQ(::symlink("elsewhere", (base_ + "/approvals.lock").c_str()), 0);
    EXPECT_FALSE(approvals.keep(scope_of("ls"), Answer::always, ""));
    EXPECT_NE(::access((base_ + "/elsewhere").c_str(), F_OK), 0);
}

TEST_F(ApprovalsTest, AFullFileSaysSo) {
    std::vector<Approval> many(kMaxApprovals);
    for (std::size_t i = 0; i < many.size(); ++i)
        many[i] = {scope_of("cmd " + std::to_string(i)), 1, make_id(env_, "apr")};
    write(format_approvals(many));
    Approvals approvals = open();
    const auto kept = approvals.keep(scope_of("one more"), Answer::always, "");
    ASSERT_FALSE(kept);
    EXPECT_EQ(kept.error().code(), Errc::conflict);
    EXPECT_TRUE(kept.error().advice().contains("--revoke")) << kept.error().advice();
    EXPECT_TRUE(covered(approvals, scope_of("cmd 7")));
    EXPECT_EQ(approvals.revoke(many[7].id).value(), 1u);
    EXPECT_TRUE(approvals.keep(scope_of("one more"), Answer::always, ""));
}

TEST_F(ApprovalsTest, ThreadsAndProcessesLoseNothing) {
    constexpr int kThreads = 3, kEach = 8;
    const auto pattern = [](int process, int thread, int number) {
        return fmt::format("cmd {} {} {}", process, thread, number);
    };
    std::vector<pid_t> children;
    for (int process = 0; process < 2; ++process) {
        const pid_t child = ::fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            ::alarm(120);  // a hang is a failure
            Approvals approvals = open();
            std::atomic<int> failed = 0;
            std::vector<std::thread> threads;
            for (int thread = 0; thread < kThreads; ++thread)
                threads.emplace_back([&, thread] {
                    for (int i = 0; i < kEach; ++i) {
                        const ApprovalScope scope = scope_of(pattern(process, thread, i));
                        std::string problem;
                        if (!approvals.keep(scope, Answer::always, "ses_a") ||
                            !approvals.covers(scope, "", problem))
                            ++failed;
                    }
                });
            for (std::thread& thread : threads) thread.join();
            ::_exit(failed == 0 ? 0 : 1);
        }
        children.push_back(child);
    }
    // Who reads meanwhile always sees a whole file.
    const Approvals reader = open();
    std::size_t seen = 0;
    for (std::size_t running = children.size(); running > 0;) {
        int status = 0;
        if (::waitpid(children[running - 1], &status, WNOHANG) != 0) {
            EXPECT_EQ(status, 0);
            --running;
        }
        const auto listed = reader.list();
        ASSERT_TRUE(listed) << listed.error().message();
        EXPECT_GE(listed->size(), seen);
        seen = listed->size();
    }
    std::set<std::string> ids;
    const auto all = reader.list().value();
    for (const Approval& approval : all) ids.insert(approval.id);
    EXPECT_EQ(ids.size(), static_cast<std::size_t>(2 * kThreads * kEach));
    for (int process = 0; process < 2; ++process)
        for (int thread = 0; thread < kThreads; ++thread)
            for (int i = 0; i < kEach; ++i)
                EXPECT_TRUE(covered(reader, scope_of(pattern(process, thread, i))));
    // No temporary is left.
    EXPECT_EQ(::access((base_ + "/approvals.lock").c_str(), F_OK), 0);
    EXPECT_EQ(::unlink((base_ + "/approvals.lock").c_str()), 0);
    EXPECT_EQ(::unlink(file_.c_str()), 0);
    EXPECT_EQ(::rmdir(base_.c_str()), 0);
    ASSERT_EQ(::mkdir(base_.c_str(), 0700), 0);
}

}  // namespace
}  // namespace substrate::broker
