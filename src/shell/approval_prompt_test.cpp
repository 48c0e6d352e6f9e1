// The question on a real terminal: each test runs it in a child that has a pseudo
// terminal of its own as its controlling one, and types.
#include "shell/approval_prompt.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "broker/approval_question_test_support.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

using broker::test_support::simple_question;

using broker::Answer;

constexpr std::string_view kPrompt = "(Enter denies): ";

class Terminal {
  public:
    Terminal() : master_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        EXPECT_TRUE(master_ && ::grantpt(master_.get()) == 0 && ::unlockpt(master_.get()) == 0);
        name_ = ::ptsname(master_.get());
        slave_ = sys::UniqueFd(::open(name_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
        EXPECT_TRUE(slave_);
        winsize size{.ws_row = 24, .ws_col = 60, .ws_xpixel = 0, .ws_ypixel = 0};
        EXPECT_EQ(::ioctl(slave_.get(), TIOCSWINSZ, &size), 0);
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal() {
        if (child_ > 0) {
            ::kill(child_, SIGKILL);
            ::waitpid(child_, nullptr, 0);
        }
    }

    termios settings() const {
        termios now{};
        EXPECT_EQ(::tcgetattr(slave_.get(), &now), 0);
        return now;
    }
    void set(const termios& to) const { EXPECT_EQ(::tcsetattr(slave_.get(), TCSANOW, &to), 0); }
    void make_raw() const {
        termios raw = settings();
        ::cfmakeraw(&raw);
        set(raw);
    }

    // Runs `inside` in a session of its own on this terminal.
    void start(const std::function<Answer(int tty)>& inside) {
        auto answer = sys::make_pipe();
        ASSERT_TRUE(answer);
        child_ = ::fork();
        ASSERT_GE(child_, 0);
        if (child_ == 0) {
            ::alarm(60);  // a hang is a failure
            ::setsid();
            const int tty = ::open(name_.c_str(), O_RDWR | O_CLOEXEC);
            const std::string word = tty < 0 ? "no terminal" : to_string(inside(tty));
            (void)sys::write_all(answer->write.get(), word);
            ::_exit(0);
        }
        answer_ = std::move(answer->read);
    }
    void ask(const ApprovalQuestion& question, const AskOptions& options = {}) {
        start([&](int tty) { return ask_on_terminal(question, tty, options); });
    }

    void type(std::string_view keys) const { ASSERT_TRUE(sys::write_all(master_.get(), keys)); }
    // Until what was typed can be read by a program.
    void settle() const {
        pollfd polled = {slave_.get(), POLLIN, 0};
        ASSERT_EQ(::poll(&polled, 1, 60'000), 1);
    }
    // What is shown until `text` is, without carriage returns.
    std::string expect(std::string_view text) {
        std::string seen;
        for (;;) {
            if (const std::size_t at = shown_.find(text); at != std::string::npos) {
                seen = shown_.substr(0, at + text.size());
                shown_.erase(0, at + text.size());
                return seen;
            }
            if (!read_more(60'000)) {
                ADD_FAILURE() << "'" << text << "' is not among\n" << shown_;
                return std::exchange(shown_, {});
            }
        }
    }
    // The answer, and the end of the child.
    std::string answer() {
        const auto word = sys::read_to_end(answer_.get(), 100);
        EXPECT_EQ(::waitpid(child_, &status_, 0), child_);
        child_ = 0;
        return word.value_or("no answer");
    }
    // What was shown at the end.
    std::string rest() {
        while (read_more(0)) {
        }
        return std::exchange(shown_, {});
    }
    int status() const { return status_; }
    pid_t child() const { return child_; }
    int fd() const { return slave_.get(); }
    const std::string& name() const { return name_; }

  private:
    bool read_more(int wait_ms) {
        pollfd polled = {master_.get(), POLLIN, 0};
        char bytes[4096];
        if (::poll(&polled, 1, wait_ms) != 1) return false;
        const auto n = sys::read_some(master_.get(), bytes);
        if (!n || *n == 0) return false;
        for (const char c : std::string_view(bytes, *n))
            if (c != '\r') shown_ += c;
        return true;
    }

    sys::UniqueFd master_, slave_, answer_;
    std::string name_, shown_;
    pid_t child_ = 0;
    int status_ = -1;
};

bool same(const termios& a, const termios& b) {
    return a.c_iflag == b.c_iflag && a.c_oflag == b.c_oflag && a.c_lflag == b.c_lflag &&
           a.c_cflag == b.c_cflag && std::memcmp(a.c_cc, b.c_cc, sizeof a.c_cc) == 0;
}

TEST(AskOnTerminal, EveryAnswer) {
    const struct {
        std::string_view keys, answer, shown;
    } cases[] = {
        {"o\n", "once", "substrate: approved, once\n"},
        {"once\r", "once", "substrate: approved, once\n"},
        {"s\n", "session", "substrate: approved for this session\n"},
        {" Session \n", "session", "substrate: approved for this session\n"},
        {"a\n", "always", "substrate: approved always; 'substrate policy approvals' takes it back\n"},
        {"ALWAYS\n", "always", "substrate: approved always"},
        {"d\n", "deny", "substrate: denied\n"},
        {"deny\n", "deny", "substrate: denied\n"},
        {"\n", "deny", "substrate: denied\n"},
        {"\x04", "deny", "substrate: denied: the input ended\n"},
        {"a\x04", "deny", "substrate: denied: the input ended\n"},
        {"\x03", "deny", "substrate: denied: interrupted\n"},
        {"a\x03", "deny", "substrate: denied: interrupted\n"},
        {"a\x1c", "deny", "substrate: denied: interrupted\n"},
        {"x\x15"
         "a\n",
         "always", "substrate: approved always"},
        {"a\x7f\n", "deny", "substrate: denied\n"}};
    for (const auto& one : cases) {
        SCOPED_TRACE(one.keys);
        Terminal terminal;
        const termios before = terminal.settings();
        terminal.ask(simple_question());
        const std::string text = terminal.expect(kPrompt);
        EXPECT_TRUE(text.starts_with(render_question(simple_question(), 60, false))) << text;
        EXPECT_TRUE(text.ends_with("[o]nce  [s]ession  [a]lways  [d]eny  [v]iew all (Enter denies): "))
            << text;
        terminal.type(one.keys);
        EXPECT_EQ(terminal.answer(), one.answer);
        EXPECT_EQ(terminal.status(), 0);
        terminal.expect("\n" + std::string(one.shown));
        EXPECT_TRUE(same(terminal.settings(), before));
    }
}

TEST(AskOnTerminal, WhatIsNoAnswerIsAskedAgainThreeTimes) {
    Terminal terminal;
    terminal.ask(simple_question());
    for (const char* keys : {"y\n", "al\n", "o o x\n", "\x1b[A\n"}) {
        terminal.expect(kPrompt);
        terminal.type(keys);
    }
    EXPECT_EQ(terminal.answer(), "deny");
    terminal.expect("substrate: denied: no answer was clear\n");

    Terminal other;
    other.ask(simple_question());
    for (const char* keys : {"y\n", "yes\n", "sa\n", "s\n"}) {
        other.expect(kPrompt);
        other.type(keys);
    }
    EXPECT_EQ(other.answer(), "session");
}

TEST(AskOnTerminal, WhatWasTypedBeforeApprovesNothing) {
    {
        Terminal terminal;
        terminal.type("a\na\na\na\na\n");
        terminal.settle();
        terminal.ask(simple_question());
        terminal.expect(kPrompt);
        terminal.type("\n");
        EXPECT_EQ(terminal.answer(), "deny");
        terminal.expect("substrate: denied\n");
    }
    // Half a line from a program that had the terminal raw.
    Terminal terminal;
    terminal.make_raw();
    const termios before = terminal.settings();
    terminal.type("alway");
    terminal.settle();
    terminal.ask(simple_question());
    terminal.expect(kPrompt);
    terminal.type("s\n");
    EXPECT_EQ(terminal.answer(), "session");
    EXPECT_TRUE(same(terminal.settings(), before));
}

TEST(AskOnTerminal, ThePromptTakesOneLineOfAPastedText) {
    Terminal terminal;
    terminal.ask(simple_question());
    terminal.expect(kPrompt);
    // Nothing can be written until the rest of the text waits behind its first line.
    ASSERT_EQ(::tcflow(terminal.fd(), TCOOFF), 0);
    terminal.type("what\na\n");
    int waiting = 0;
    for (int i = 0; i < 60'000 && waiting != 2; ++i) {
        ASSERT_EQ(::ioctl(terminal.fd(), FIONREAD, &waiting), 0);
        (void)::poll(nullptr, 0, 1);
    }
    ASSERT_EQ(waiting, 2);
    ASSERT_EQ(::tcflow(terminal.fd(), TCOON), 0);
    terminal.expect("Please type one of these letters and Enter.\n");
    terminal.expect(kPrompt);
    terminal.type("\n");
    EXPECT_EQ(terminal.answer(), "deny");
}

TEST(AskOnTerminal, KeysOfARawTerminal) {
    for (const std::string_view keys : {"\x03", "\x04", "\r", "d\r"}) {
        Terminal terminal;
        terminal.make_raw();
        const termios before = terminal.settings();
        terminal.ask(simple_question());
        terminal.expect(kPrompt);
        terminal.type(keys);
        EXPECT_EQ(terminal.answer(), "deny");
        EXPECT_TRUE(same(terminal.settings(), before));
    }
}

TEST(AskOnTerminal, AtTheTimeLimitItDenies) {
    Terminal terminal;
    const termios before = terminal.settings();
    ApprovalQuestion question = simple_question();
    question.timeout_ms = 50;
    terminal.ask(question);
    EXPECT_EQ(terminal.answer(), "deny");
    terminal.expect("\nsubstrate: denied: no answer within 1 s\n");
    EXPECT_TRUE(same(terminal.settings(), before));
}

TEST(AskOnTerminal, AStoppedTerminalDoesNotStopTheTimeLimit) {
    Terminal terminal;
    ASSERT_EQ(::tcflow(terminal.fd(), TCOOFF), 0);
    ApprovalQuestion question = simple_question();
    question.timeout_ms = 50;
    terminal.ask(question);
    EXPECT_EQ(terminal.answer(), "deny");
    EXPECT_EQ(terminal.status(), 0);
}

TEST(AskOnTerminal, AMebibyteIsShownOnDemand) {
    Terminal terminal;
    ApprovalQuestion question = simple_question();
    question.command = "echo " + std::string((1u << 20) - 8, 'a') + "END";
    question.scope_pattern.clear();
    terminal.ask(question);
    const std::string text = terminal.expect("[o]nce  [d]eny  [v]iew all (Enter denies): ");
    EXPECT_TRUE(text.contains(" more bytes, v shows them]\n"));
    EXPECT_LT(text.size(), 3000u);
    for (const char* keys : {"s\n", "a\n"}) {
        terminal.type(keys);  // not offered
        EXPECT_TRUE(terminal.expect(kPrompt).contains("Please type one of these letters"));
    }
    terminal.type("v\n");
    const std::string whole = terminal.expect(kPrompt);
    EXPECT_GT(whole.size(), question.command.size());
    EXPECT_TRUE(whole.contains("END\n"));
    terminal.type("o\n");
    EXPECT_EQ(terminal.answer(), "once");
}

TEST(AskOnTerminal, WhenNobodyWaitsItDenies) {
    auto pipe = sys::make_pipe();
    ASSERT_TRUE(pipe);
    Terminal terminal;
    terminal.start([&](int tty) {
        pipe->write.reset();
        return ask_on_terminal(simple_question(), tty, {.cancel_fd = pipe->read.get()});
    });
    terminal.expect(kPrompt);
    pipe->write.reset();
    EXPECT_EQ(terminal.answer(), "deny");
    terminal.expect("substrate: denied: nobody waits for the answer any more\n");
}

TEST(AskOnTerminal, ASignalThatEndsUsFindsTheTerminalRestored) {
    for (const int signal : {SIGTERM, SIGHUP}) {
        Terminal terminal;
        terminal.make_raw();
        const termios before = terminal.settings();
        terminal.ask(simple_question());
        terminal.expect(kPrompt);
        ASSERT_EQ(::kill(terminal.child(), signal), 0);
        EXPECT_EQ(terminal.answer(), "");
        EXPECT_TRUE(WIFSIGNALED(terminal.status()) && WTERMSIG(terminal.status()) == signal);
        EXPECT_TRUE(same(terminal.settings(), before));
    }
}

TEST(AskOnTerminal, SignalsThatTheCallerWaitsForStayItsOwn) {
    Terminal terminal;
    terminal.start([](int tty) {
        const auto waits = sys::open_signal_fd({SIGINT, SIGTERM, SIGTSTP});
        if (!waits) return Answer::always;
        const Answer answer = ask_on_terminal(simple_question(), tty);
        const auto pending = sys::read_signal(waits->get());
        sigset_t mask;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        const bool kept = ::sigismember(&mask, SIGTSTP) == 1 && ::sigismember(&mask, SIGHUP) == 0;
        return pending && *pending == SIGTERM && kept ? answer : Answer::always;
    });
    terminal.expect(kPrompt);
    ASSERT_EQ(::kill(terminal.child(), SIGTERM), 0);
    EXPECT_EQ(terminal.answer(), "deny");
    terminal.expect("substrate: denied: this process is to end\n");
}

TEST(AskOnTerminal, WithoutATerminalItDenies) {
    auto pipe = sys::make_pipe();
    ASSERT_TRUE(pipe);
    EXPECT_EQ(ask_on_terminal(simple_question(), pipe->read.get()), Answer::deny);
    EXPECT_EQ(ask_on_terminal(simple_question(), -1), Answer::deny);
    const sys::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    EXPECT_EQ(ask_on_terminal(simple_question(), null.get()), Answer::deny);
    // A terminal of somebody else.
    Terminal other;
    const sys::UniqueFd tty(::open(other.name().c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(ask_on_terminal(simple_question(), tty.get()), Answer::deny);
    EXPECT_FALSE(other.rest().contains(kPrompt));
}

// Runs `inside` in a process group of its own, with the terminal when `foreground`; what it
// answers is the exit code, and the parent's to wait for.
pid_t in_group(int tty, bool foreground, const std::function<Answer()>& inside) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::setpgid(0, 0);
        ::signal(SIGTTOU, SIG_IGN);
        if (foreground) ::tcsetpgrp(tty, ::getpgrp());
        ::signal(SIGTTOU, SIG_DFL);
        ::_exit(static_cast<int>(inside()));
    }
    ::setpgid(child, child);
    return child;
}

TEST(AskOnTerminal, InTheBackgroundItDenies) {
    Terminal terminal;
    const termios before = terminal.settings();
    terminal.start([](int tty) {
        const pid_t child = in_group(tty, false, [tty] { return ask_on_terminal(simple_question(), tty); });
        int status = 0;
        ::waitpid(child, &status, WUNTRACED);
        return WIFEXITED(status) ? static_cast<Answer>(WEXITSTATUS(status)) : Answer::always;
    });
    EXPECT_EQ(terminal.answer(), "deny");
    EXPECT_EQ(
        terminal.expect("\n"),
        "substrate: denied: there is nobody to ask: this process is not in the foreground of its terminal\n");
    EXPECT_TRUE(same(terminal.settings(), before));
}

TEST(AskOnTerminal, AfterCtrlZItAsksAgain) {
    Terminal terminal;
    terminal.start([](int tty) {
        ::signal(SIGTTOU, SIG_IGN);
        const pid_t child = in_group(tty, true, [tty] {
            // As a client does that passes such signals on to its command.
            const auto waits = sys::open_signal_fd({SIGTSTP, SIGCONT});
            return waits ? ask_on_terminal(simple_question(), tty) : Answer::always;
        });
        int status = 0;
        ::waitpid(child, &status, WUNTRACED);
        if (!WIFSTOPPED(status)) return Answer::always;
        // As a shell does: it takes the terminal, and gives it back raw.
        ::tcsetpgrp(tty, ::getpgrp());
        (void)sys::write_all(tty, "stopped\n");
        char line[16];
        if (!sys::read_some(tty, line)) return Answer::always;
        termios raw{};
        ::tcgetattr(tty, &raw);
        ::cfmakeraw(&raw);
        ::tcsetattr(tty, TCSANOW, &raw);
        ::tcsetpgrp(tty, child);
        ::kill(-child, SIGCONT);
        ::waitpid(child, &status, 0);
        return WIFEXITED(status) ? static_cast<Answer>(WEXITSTATUS(status)) : Answer::always;
    });
    terminal.expect(kPrompt);
    terminal.type("a\x1a");
    terminal.expect("stopped\n");
    terminal.type("x\n");
    terminal.expect(kPrompt);
    terminal.type("s\r");
    EXPECT_EQ(terminal.answer(), "session");
}

}  // namespace
}  // namespace substrate::shell
