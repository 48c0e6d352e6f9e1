#include "shell/approval_prompt.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>

#include "sys/file.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

using broker::Answer;
using Clock = std::chrono::steady_clock;

constexpr int kMostUnclear = 4;  // answers that are none

// What a line that was typed means.
enum class Reply { deny, once, session, always, view, unclear };

Reply reply_of(std::string_view line, bool can_be_kept) {
    std::string word;
    for (const char c : line)
        if (c != ' ' && c != '\t' && c != '\n') word += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (word.empty() || word == "d" || word == "deny") return Reply::deny;
    if (word == "o" || word == "once") return Reply::once;
    if (word == "v" || word == "view") return Reply::view;
    if (can_be_kept && (word == "s" || word == "session")) return Reply::session;
    if (can_be_kept && (word == "a" || word == "always")) return Reply::always;
    return Reply::unclear;
}

// While it lives: the signals that end a question can be waited for, those that would
// stop or fail us at the terminal are held, and Ctrl-Z stops the process.
class Signals {
  public:
    static Result<Signals> open() {
        Signals made;
        if (const int failed = ::pthread_sigmask(SIG_SETMASK, nullptr, &made.mask_); failed != 0)
            return fail(Error::from_os(failed, "pthread_sigmask"));
        made.saved_ = true;
        SUB_TRY_ASSIGN(made.keys_, sys::open_signal_fd({SIGINT, SIGQUIT}));
        SUB_TRY_ASSIGN(made.ends_, sys::open_signal_fd({SIGTERM, SIGHUP}));
        SUB_TRY_ASSIGN(made.back_, sys::open_signal_fd({SIGCONT}));
        sigset_t change;
        ::sigemptyset(&change);
        for (const int signal : {SIGTTIN, SIGTTOU}) ::sigaddset(&change, signal);
        (void)::pthread_sigmask(SIG_BLOCK, &change, nullptr);
        ::sigemptyset(&change);
        ::sigaddset(&change, SIGTSTP);
        (void)::pthread_sigmask(SIG_UNBLOCK, &change, nullptr);
        return made;
    }
    Signals(Signals&& other) noexcept
        : keys_(std::move(other.keys_)),
          ends_(std::move(other.ends_)),
          back_(std::move(other.back_)),
          mask_(other.mask_),
          saved_(std::exchange(other.saved_, false)) {}
    Signals& operator=(Signals&&) = delete;
    ~Signals() {
        if (saved_) (void)::pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
    }

    int keys() const { return keys_.get(); }  // Ctrl-C and Ctrl-\: they answer, so they are taken
    int ends() const { return ends_.get(); }  // these stay pending for whoever waits for them
    int back() const { return back_.get(); }  // the process was stopped and goes on
    static void take(int fd) {
        while (sys::read_signal(fd).value_or(std::nullopt)) {
        }
    }

  private:
    Signals() = default;
    sys::UniqueFd keys_, ends_, back_;
    sigset_t mask_{};
    bool saved_ = false;
};

// The terminal reads lines and shows what is typed; as it was before in the end.
class LineMode {
  public:
    explicit LineMode(int fd) : fd_(fd) {
        if (::tcgetattr(fd_, &before_) != 0) return;
        lines_ = before_;
        lines_.c_iflag |= ICRNL;
        lines_.c_iflag &= ~static_cast<tcflag_t>(IGNCR | INLCR);
        lines_.c_oflag |= OPOST | ONLCR;
        lines_.c_lflag |= ICANON | ECHO | ECHOE | ECHOK | ISIG;
        lines_.c_lflag &= ~static_cast<tcflag_t>(NOFLSH);
        if ((before_.c_lflag & ICANON) == 0) {
            // These may have meant something else, or nothing, to who left it so.
            lines_.c_cc[VEOF] = 4;
            lines_.c_cc[VEOL] = lines_.c_cc[VEOL2] = _POSIX_VDISABLE;
        }
        if ((before_.c_lflag & ISIG) == 0) {
            lines_.c_cc[VINTR] = 3;
            lines_.c_cc[VQUIT] = 28;
            lines_.c_cc[VSUSP] = 26;
        }
        set_ = apply();
    }
    LineMode(const LineMode&) = delete;
    LineMode& operator=(const LineMode&) = delete;
    ~LineMode() {
        if (set_) (void)::tcsetattr(fd_, TCSANOW, &before_);
    }
    bool set() const { return set_; }
    bool apply() const { return ::tcsetattr(fd_, TCSANOW, &lines_) == 0; }

  private:
    int fd_;
    termios before_{}, lines_{};
    bool set_ = false;
};

class Dialogue {
  public:
    Dialogue(const ApprovalQuestion& question, int given, const AskOptions& options)
        : question_(question), options_(options), given_(given) {
        if (question.timeout_ms > 0) {
            const auto limit =
                std::chrono::milliseconds(std::min<std::int64_t>(question.timeout_ms, kMostMs));
            deadline_ = Clock::now() + limit;
        }
        // Of its own, so that a terminal that is stopped (Ctrl-S) or read by another
        // blocks nothing here and the caller's descriptor stays as it is.
        if (auto own = sys::open_path(fmt::format("/proc/self/fd/{}", given), O_RDWR | O_NONBLOCK | O_NOCTTY))
            own_ = std::move(*own);
    }

    Answer run();

  private:
    enum class Event { typed, again, denied };
    static constexpr std::int64_t kMostMs = 1'000'000'000;  // a fortnight

    int tty() const { return own_ ? own_.get() : given_; }
    bool in_foreground() const { return ::tcgetpgrp(given_) == ::getpgrp(); }
    Event wait(const Signals& signals, short events);
    bool say(const Signals& signals, std::string_view text);
    std::optional<Reply> read_reply(const Signals& signals, const LineMode& mode);
    Answer ask(const Signals& signals, const LineMode& mode);
    Answer finish(Answer answer);
    void deny(std::string why) {
        if (why_.empty()) why_ = std::move(why);
    }

    const ApprovalQuestion& question_;
    const AskOptions& options_;
    int given_;
    sys::UniqueFd own_;
    std::optional<Clock::time_point> deadline_;
    std::string why_;         // of a denial that was not typed
    bool line_open_ = false;  // the cursor stands behind the prompt
};

// Until the terminal is ready for `events`; denied has said why, again: ask once more.
Dialogue::Event Dialogue::wait(const Signals& signals, short events) {
    for (;;) {
        int limit = -1;
        if (deadline_) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now()).count();
            limit = static_cast<int>(std::clamp<std::int64_t>(left, 0, kMostMs));
        }
        std::array<pollfd, 5> polled = {{{tty(), events, 0},
                                         {signals.keys(), POLLIN, 0},
                                         {signals.ends(), POLLIN, 0},
                                         {signals.back(), POLLIN, 0},
                                         {options_.cancel_fd, POLLIN, 0}}};
        const int ready = ::poll(polled.data(), polled.size(), limit);
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) deny("the terminal cannot be waited for");
        else if (polled[1].revents != 0) {
            Signals::take(signals.keys());
            deny("interrupted");
        } else if (polled[2].revents != 0) deny("this process is to end");
        else if (polled[4].revents != 0) deny("nobody waits for the answer any more");
        else if (ready == 0) {
            deny(fmt::format("no answer within {} s", (question_.timeout_ms + 999) / 1000));
        } else if (!in_foreground()) deny("the terminal was given to another program");
        else if (polled[3].revents != 0) {
            Signals::take(signals.back());
            return Event::again;
        } else if ((polled[0].revents & events) != 0) return Event::typed;
        else if (polled[0].revents != 0) deny("the terminal is gone");
        else continue;
        return Event::denied;
    }
}

bool Dialogue::say(const Signals& signals, std::string_view text) {
    while (!text.empty()) {
        const ssize_t n = ::write(tty(), text.data(), std::min<std::size_t>(text.size(), 1024));
        if (n > 0) {
            text.remove_prefix(static_cast<std::size_t>(n));
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            deny("the terminal cannot be written");
            return false;
        } else if (wait(signals, POLLOUT) == Event::denied) {
            return false;
        }
    }
    return true;
}

// One line that was typed after the prompt; nullopt: denied.
std::optional<Reply> Dialogue::read_reply(const Signals& signals, const LineMode& mode) {
    const std::string prompt = question_.can_be_kept()
                                   ? "[o]nce  [s]ession  [a]lways  [d]eny  [v]iew all (Enter denies): "
                                   : "[o]nce  [d]eny  [v]iew all (Enter denies): ";
    for (bool shown = false;;) {
        if (!shown) {
            // What is waiting was typed for something else.
            (void)::tcflush(tty(), TCIFLUSH);
            if (!say(signals, prompt)) return std::nullopt;
            shown = line_open_ = true;
        }
        const Event event = wait(signals, POLLIN);
        if (event == Event::denied) return std::nullopt;
        if (event == Event::again) {
            // A shell may have changed the settings while we were stopped.
            (void)mode.apply();
            if (!say(signals, "\n")) return std::nullopt;
            shown = false;
            continue;
        }
        std::array<char, 4096> line{};
        const ssize_t n = ::read(tty(), line.data(), line.size());
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        // Without a newline it was cut off by the end of input, and nobody has confirmed it.
        if (n <= 0 || line[static_cast<std::size_t>(n) - 1] != '\n') {
            deny("the input ended");
            return std::nullopt;
        }
        line_open_ = false;
        return reply_of({line.data(), static_cast<std::size_t>(n)}, question_.can_be_kept());
    }
}

Answer Dialogue::ask(const Signals& signals, const LineMode& mode) {
    winsize size{};
    if (::ioctl(given_, TIOCGWINSZ, &size) != 0) size = {};
    if (!say(signals, render_question(question_, size.ws_col, options_.colour))) return Answer::deny;
    for (int unclear = 0;;) {
        const auto reply = read_reply(signals, mode);
        if (!reply) return Answer::deny;
        switch (*reply) {
            case Reply::deny: return Answer::deny;
            case Reply::once: return Answer::once;
            case Reply::session: return Answer::session;
            case Reply::always: return Answer::always;
            case Reply::view:
                if (!say(signals, render_whole(question_, size.ws_col))) return Answer::deny;
                break;
            case Reply::unclear:
                if (++unclear == kMostUnclear) {
                    deny("no answer was clear");
                    return Answer::deny;
                }
                if (!say(signals, "Please type one of these letters and Enter.\n")) return Answer::deny;
        }
    }
}

// One line, if the terminal takes it at once.
Answer Dialogue::finish(Answer answer) {
    std::string text = line_open_ ? "\nsubstrate: " : "substrate: ";
    switch (answer) {
        case Answer::deny: text += why_.empty() ? "denied" : "denied: " + why_; break;
        case Answer::once: text += "approved, once"; break;
        case Answer::session: text += "approved for this session"; break;
        case Answer::always: text += "approved always; 'substrate policy approvals' takes it back"; break;
    }
    text += '\n';
    pollfd polled = {tty(), POLLOUT, 0};
    if (::poll(&polled, 1, 0) == 1 && (polled.revents & POLLOUT) != 0)
        (void)!::write(tty(), text.data(), text.size());
    return answer;
}

Answer Dialogue::run() {
    if (::isatty(given_) != 1) return Answer::deny;
    auto signals = Signals::open();
    if (!signals) return Answer::deny;
    if (!in_foreground()) {
        deny("there is nobody to ask: this process is not in the foreground of its terminal");
        return finish(Answer::deny);
    }
    const LineMode mode(given_);
    if (!mode.set()) {
        deny("the terminal cannot be set up");
        return finish(Answer::deny);
    }
    return finish(ask(*signals, mode));
}

}  // namespace

Answer ask_on_terminal(const ApprovalQuestion& question, int tty_fd, const AskOptions& options) {
    return Dialogue(question, tty_fd, options).run();
}

}  // namespace substrate::shell
