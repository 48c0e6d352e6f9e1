#include "shell/shell_link.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "base/text.hpp"
#include "shell/approval_answer.hpp"
#include "shell/run.hpp"
#include "shell/terminal_relay.hpp"
#include "supervisor/protocol.hpp"
#include "sys/file.hpp"
#include "sys/signals.hpp"
#include "sys/terminal.hpp"

namespace substrate::shell {

namespace message = supervisor::message;

Result<ShellLink> ShellLink::open(const Console& console, const ExecRequest& request, int signals) {
    SUB_TRY_ASSIGN(supervisor::Client client, supervisor::Client::connect(console.env, console.home));
    ShellLink link(std::move(client), signals);
    Json open = supervisor::to_json(request);
    open["type"] = message::kShellOpen;
    winsize size{};
    if (::ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0) {
        open["columns"] = size.ws_col;
        open["rows"] = size.ws_row;
    }
    SUB_TRY(link.client_.send(std::move(open)));
    SUB_TRY_ASSIGN(const Json opened, link.client_.receive());
    std::vector<sys::UniqueFd> fds = link.client_.channel().take_fds();
    if (supervisor::text_of(opened, "type") != message::kShellOpened || fds.size() != 1)
        return fail({Errc::internal, "unexpected reply to the opening of a shell"});
    link.terminal_ = std::move(fds.front());
    link.session_ = supervisor::text_of(opened, "session_id");
    link.project_ = unescape_bytes(supervisor::text_of(opened, "project"));
    link.notices_ = supervisor::texts_of(opened, "notices");
    link.take_state(opened);
    return link;
}

void ShellLink::take_state(const Json& message) {
    state_.cwd = unescape_bytes(supervisor::text_of(message, "cwd"));
    state_.policy_id = supervisor::text_of(message, "policy_id");
    state_.mode = supervisor::text_of(message, "mode");
    state_.undecided = supervisor::text_of(message, "undecided");
    state_.pending = static_cast<std::uint64_t>(supervisor::number_of(message, "pending"));
    state_.alive = supervisor::flag_of(message, "alive");
}

// One line's conversation with the agent.
class ShellLink::Line {
  public:
    explicit Line(ShellLink& link) : link_(link), channel_(link.client_.channel()) {}
    Result<Json> run();

  private:
    Result<Json> wait_for_message();
    Result<> hear_signals();
    Result<> start(const Json& started);
    Result<> end();

    ShellLink& link_;
    supervisor::Channel& channel_;
    std::unique_ptr<TerminalRelay> relay_;  // while it runs in the shell
    bool elsewhere_ = false;                // it runs with our descriptors
};

Result<> ShellLink::Line::hear_signals() {
    for (;;) {
        SUB_TRY_ASSIGN(const auto signal, sys::read_signal(link_.signals_));
        if (!signal) return {};
        if (*signal == SIGTERM || *signal == SIGHUP)
            return fail({Errc::unavailable, "the shell ends with the signal that ends this program"});
        if (*signal == SIGWINCH && relay_) copy_window_size(link_.terminal());
        if (*signal == SIGINT && relay_) (void)sys::signal_foreground(link_.terminal(), SIGINT);
        if (elsewhere_) SUB_TRY(channel_.send({{"type", message::kSignal}, {"signal", *signal}}));
    }
}

Result<Json> ShellLink::Line::wait_for_message() {
    for (;;) {
        if (channel_.has_buffered()) return link_.client_.receive();
        std::vector<pollfd> polled = {{channel_.fd(), POLLIN, 0}, {link_.signals_, POLLIN, 0}};
        if (relay_) relay_->add_to(polled);
        if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
            return fail(Error::last_os("poll"));
        if (polled[1].revents != 0) SUB_TRY(hear_signals());
        if (relay_ && (polled[2].revents != 0 || polled[3].revents != 0) && !relay_->move())
            return fail({Errc::unavailable, "the terminal is gone"});
        if (polled[0].revents != 0) return link_.client_.receive();
    }
}

Result<> ShellLink::Line::start(const Json& started) {
    elsewhere_ = supervisor::text_of(started, "place") != "shell";
    if (elsewhere_) return {};
    SUB_TRY_ASSIGN(relay_, TerminalRelay::begin(link_.terminal()));
    return {};
}

Result<> ShellLink::Line::end() {
    OutputRecord output;
    if (relay_) {
        output = relay_->finish();
        link_.typed_ahead_ += relay_->take_unread();
        const bool open = relay_->line_open();
        relay_.reset();
        if (open) (void)sys::write_all(STDOUT_FILENO, "\n");
    }
    elsewhere_ = false;
    Json answer = supervisor::to_json(output);
    answer["type"] = message::kOutput;
    return channel_.send(answer);
}

Result<Json> ShellLink::Line::run() {
    for (;;) {
        SUB_TRY_ASSIGN(Json reply, wait_for_message());
        const std::string type = supervisor::text_of(reply, "type");
        if (type == message::kStarted) {
            SUB_TRY(start(reply));
        } else if (type == message::kEnded) {
            SUB_TRY(end());
        } else if (type == message::kAskCommit) {
            SUB_TRY_ASSIGN(const bool now, ask_commit_on_terminal(reply));
            SUB_TRY(channel_.send({{"type", message::kCommit}, {"now", now}}));
        } else if (type == message::kAskApproval) {
            SUB_TRY_ASSIGN(const std::string answer, answer_approval(reply, channel_.fd()));
            SUB_TRY(channel_.send({{"type", message::kApproval}, {"answer", answer}}));
        } else if (type == message::kDone) {
            return reply;
        } else {
            return fail({Errc::internal, "unexpected reply '" + type + "'"});
        }
    }
}

Result<ShellLink::LineEnd> ShellLink::run(const std::string& line, std::optional<int> status) {
    Json message = {{"type", message::kShellLine}, {"cmd", line}};
    if (status) message["status"] = *status;
    constexpr std::array kStreams = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
    // What has become of the shell shows when something is asked of it.
    if (!client_.channel().send(message, kStreams))
        return fail({Errc::unavailable, "the agent closed the connection"});
    SUB_TRY_ASSIGN(const Json done, Line(*this).run());
    take_state(done);
    return LineEnd{.exit = static_cast<int>(supervisor::number_of(done, "exit")),
                   .signal = static_cast<int>(supervisor::number_of(done, "signal")),
                   .span_id = supervisor::text_of(done, "span_id"),
                   .notices = supervisor::texts_of(done, "notices"),
                   .error = supervisor::text_of(done, "error")};
}

Result<std::vector<std::string>> ShellLink::complete(const std::string& kind, const std::string& word) {
    SUB_TRY(client_.channel().send(
        {{"type", message::kShellComplete}, {"kind", kind}, {"word", escape_bytes(word)}}));
    SUB_TRY_ASSIGN(const Json done, client_.receive());
    std::vector<std::string> words = supervisor::texts_of(done, "words");
    for (std::string& one : words) one = unescape_bytes(one);
    return words;
}

Result<ShellState> ShellLink::close() {
    SUB_TRY(client_.channel().send({{"type", message::kShellClose}}));
    SUB_TRY_ASSIGN(const Json done, client_.receive());
    take_state(done);
    return state_;
}

}  // namespace substrate::shell
