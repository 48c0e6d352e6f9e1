#include "shell/run.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#include <array>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "base/trace_context.hpp"
#include "codec/fs_diff_json.hpp"
#include "codec/span_json.hpp"
#include "plan/command.hpp"
#include "shell/approval_answer.hpp"
#include "shell/local_run.hpp"
#include "shell/nested_run.hpp"
#include "shell/render.hpp"
#include "shell/terminal_relay.hpp"
#include "supervisor/client.hpp"
#include "supervisor/protocol.hpp"
#include "sys/file.hpp"
#include "sys/process.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

namespace message = supervisor::message;

// One command's conversation with the agent.
class Conversation {
  public:
    Conversation(const Console& console, RunOptions& options, supervisor::Client client, OutputWatch watch,
                 const start::TerminalSettings& terminal)
        : console_(console),
          options_(options),
          client_(std::move(client)),
          watch_(std::move(watch)),
          terminal_(terminal) {}

    // `sent`: the request is on its way already.
    Result<ExecResult> run(bool sent);

  private:
    Result<> begin(bool sent);
    Result<Json> wait_for_message();
    Result<> pass_on(int signal);
    Result<> stop_for_a_while();
    Result<> begin_terminal();
    void end_terminal();
    Result<> answer_ended();
    Result<> answer_commit(const Json& question);
    Result<> answer_approval(const Json& question);

    const Console& console_;
    RunOptions& options_;
    supervisor::Client client_;
    OutputWatch watch_;
    start::TerminalSettings terminal_;
    sys::UniqueFd signals_;
    sys::UniqueFd master_;  // of the command's terminal, where it has one of its own
    sys::UniqueFd tty_;     // ours, where no standard stream leads there
    std::unique_ptr<TerminalRelay> relay_;
};

Result<> Conversation::begin(bool sent) {
    SUB_TRY_ASSIGN(signals_, sys::open_signal_fd(start::kPassedSignals));
    options_.request.observes_output = watch_.observes();
    Json request = supervisor::to_json(options_.request);
    request["type"] = message::kExec;
    request["want_span"] = options_.want_span;
    const std::array stdio = {STDIN_FILENO, watch_.stdout_fd(), watch_.stderr_fd()};
    if (!sent) return client_.send(std::move(request), stdio);
    client_.remember(std::move(request), stdio);
    return {};
}

// The agent has sent the other end of the command's terminal.
Result<> Conversation::begin_terminal() {
    std::vector<sys::UniqueFd> fds = client_.channel().take_fds();
    if (fds.size() != 1) return fail({Errc::internal, "a terminal without its descriptor"});
    master_ = std::move(fds.front());
    if (::fcntl(master_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) return fail(Error::last_os("fcntl"));
    const bool keys = ::isatty(STDIN_FILENO) == 1, screen = ::isatty(STDOUT_FILENO) == 1;
    if (!keys || !screen) {
        SUB_TRY_ASSIGN(tty_, sys::open_path("/dev/tty", O_RDWR));
    }
    // Where the command's output goes elsewhere, it may be to programs that write to this terminal.
    SUB_TRY_ASSIGN(relay_,
                   TerminalRelay::begin(master_.get(), {.keys = keys ? STDIN_FILENO : tty_.get(),
                                                        .screen = screen ? STDOUT_FILENO : tty_.get(),
                                                        .shared = !screen && ::isatty(STDERR_FILENO) != 1}));
    relay_->note_stop_keys();
    return {};
}

void Conversation::end_terminal() {
    if (!relay_) return;
    (void)relay_->finish();
    relay_.reset();
    master_.reset();
}

// As a shell's job: stopped until it is continued.
Result<> Conversation::stop_for_a_while() {
    SUB_TRY(client_.channel().send({{"type", message::kSignal}, {"signal", SIGSTOP}}));
    if (relay_) relay_->pause();
    (void)::raise(SIGSTOP);
    // The SIGCONT that we get is passed on as any other.
    return relay_ ? relay_->resume() : Result<>{};
}

Result<> Conversation::pass_on(int signal) {
    if (signal == SIGPIPE) return {};
    if (signal == SIGWINCH && relay_) {
        relay_->copy_size();
        return {};
    }
    // The command's process group is nobody's foreground job in the world, so the
    // kernel would ignore its SIGTSTP.
    if (signal == SIGTSTP) return stop_for_a_while();
    return client_.channel().send({{"type", message::kSignal}, {"signal", signal}});
}

Result<Json> Conversation::wait_for_message() {
    for (;;) {
        if (client_.channel().has_buffered()) return client_.receive();
        std::vector<pollfd> polled = {{client_.channel().fd(), POLLIN, 0}, {signals_.get(), POLLIN, 0}};
        watch_.add_to(polled);
        const std::size_t relayed = polled.size();
        if (relay_) relay_->add_to(polled);
        if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR)
            return fail(Error::last_os("poll"));
        if (polled[1].revents != 0) {
            SUB_TRY_ASSIGN(const auto signal, sys::read_signal(signals_.get()));
            if (signal) SUB_TRY(pass_on(*signal));
        }
        for (std::size_t i = 2; i < relayed; ++i)
            if (polled[i].revents != 0) SUB_TRY(watch_.move());
        for (std::size_t i = relayed; relay_ && i < polled.size(); ++i)
            if (polled[i].revents != 0 && !relay_->move())
                return fail({Errc::unavailable, "the terminal is gone"});
        if (relay_ && relay_->take_stop_key()) SUB_TRY(stop_for_a_while());
        if (polled[0].revents != 0) return client_.receive();
    }
}

Result<> Conversation::answer_ended() {
    watch_.close_command_ends();
    SUB_TRY_ASSIGN(const OutputRecord output, watch_.finish());
    Json answer = supervisor::to_json(output);
    answer["type"] = message::kOutput;
    return client_.channel().send(answer);
}

Result<> Conversation::answer_commit(const Json& question) {
    SUB_TRY_ASSIGN(const bool now, ask_commit_on_terminal(question));
    return client_.channel().send({{"type", message::kCommit}, {"now", now}});
}

Result<> Conversation::answer_approval(const Json& question) {
    SUB_TRY_ASSIGN(const std::string answer, shell::answer_approval(question, client_.channel().fd()));
    return client_.channel().send({{"type", message::kApproval}, {"answer", answer}});
}

Result<ExecResult> Conversation::run(bool sent) {
    SUB_TRY(begin(sent));
    for (;;) {
        SUB_TRY_ASSIGN(const Json reply, wait_for_message());
        const std::string type = supervisor::text_of(reply, "type");
        if (type == message::kTerminal) {
            SUB_TRY(begin_terminal());
            continue;
        }
        // Whatever comes now comes after the command.
        end_terminal();
        if (type == message::kEnded) {
            SUB_TRY(answer_ended());
        } else if (type == message::kAskCommit) {
            SUB_TRY(answer_commit(reply));
        } else if (type == message::kAskApproval) {
            SUB_TRY(answer_approval(reply));
        } else if (type == message::kDone) {
            ExecResult result;
            if (reply.contains("span")) {
                SUB_TRY_ASSIGN(result.span, span_from_json(reply.at("span")));
            } else {
                result.span.span_id = supervisor::text_of(reply, "span_id");
                result.span.exit = static_cast<int>(supervisor::number_of(reply, "exit"));
            }
            result.notices = supervisor::texts_of(reply, "notices");
            for (const std::string& path : supervisor::texts_of(reply, "changed_paths"))
                result.changed_paths.push_back(unescape_bytes(path));
            if (result.span.exit > 128) start::restore_terminal(terminal_);
            if (auto relayed = relay_leftovers(watch_); !relayed) console_.complain(relayed.error());
            return result;
        } else {
            return fail({Errc::internal, "unexpected reply '" + type + "'"});
        }
    }
}

}  // namespace

Result<bool> ask_commit_on_terminal(const Json& question) {
    const sys::UniqueFd terminal(::open("/dev/tty", O_RDWR | O_CLOEXEC));
    if (!terminal) return false;
    SUB_TRY_ASSIGN(const FsDiff diff, fs_diff_from_json(question.at("fs_diff")));
    (void)sys::write_all(terminal.get(), render_changes(diff) + "Apply these changes? [y/N] ");
    std::array<char, 16> line{};
    const auto n = sys::read_some(terminal.get(), line);
    return n && *n > 0 && (line[0] == 'y' || line[0] == 'Y');
}

Result<> fill_from_process(const Console& console, ExecRequest& request) {
    std::array<char, 4096> cwd{};
    if (::getcwd(cwd.data(), cwd.size()) == nullptr) {
        Error error = Error::last_os("getcwd");
        return fail(std::move(error)
                        .as(Errc::invalid)
                        .during("finding the current directory")
                        .hint("change to a directory that exists"));
    }
    if (cwd[0] != '/') return fail({Errc::invalid, "the current directory is not reachable from the root"});
    request.cwd = cwd.data();
    const plan::SelectedEnvironment selected = plan::select_environment(console.environment);
    for (const auto& [name, value] : selected.passed) request.env.emplace(name, value);
    std::string withheld;
    for (const std::string& variable : selected.withheld) withheld += variable + '\n';
    const XXH128_hash_t hash = XXH3_128bits(withheld.data(), withheld.size());
    request.env_hash = fmt::format("xxh3:{:016x}{:016x}", hash.high64, hash.low64);
    request.umask = sys::current_umask();
    if (const auto session = console.env.variable("SUBSTRATE_SESSION_ID"); session && is_id(*session, "ses"))
        request.session_id = *session;
    if (const auto parent = console.env.variable("SUBSTRATE_SPAN_ID"); parent && is_id(*parent, "spn"))
        request.parent_span = *parent;
    if (const auto agent = console.env.variable("SUBSTRATE_AGENT_ID");
        agent && !agent->empty() && agent->size() <= 128)
        request.agent_id = printable(*agent);
    return {};
}

namespace {

// In the place of those of our streams that lead to a terminal.
Result<TerminalSize> terminal_like_ours() {
    TerminalSize terminal;
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        winsize size{};
        if (::ioctl(fd, TIOCGWINSZ, &size) != 0) continue;
        terminal.streams |= static_cast<std::uint8_t>(1u << static_cast<unsigned>(fd));
        if (size.ws_col != 0 && size.ws_row != 0) {
            terminal.columns = size.ws_col;
            terminal.rows = size.ws_row;
        }
    }
    if (terminal.streams != 0) return terminal;
    return fail(Error(Errc::invalid, "--pty: none of standard input, output and error is a terminal")
                    .hint("run it at a terminal, or leave out --pty"));
}

}  // namespace

Result<ExecResult> run_in_world(const Console& console, RunOptions options) {
    if (options.terminal) {
        SUB_TRY_ASSIGN(options.request.terminal, terminal_like_ours());
    }
    SUB_TRY_ASSIGN(supervisor::Client client, supervisor::Client::connect(console.env, console.home));
    SUB_TRY_ASSIGN(OutputWatch watch, OutputWatch::make(options.terminals, options.merge_output));
    start::TerminalSettings terminal;
    start::save_terminal(terminal);
    return Conversation(console, options, std::move(client), std::move(watch), terminal).run(false);
}

namespace {

int show_notices(const Console& console, const ExecResult& result) {
    for (const std::string& notice : result.notices) console.note(notice);
    return result.span.exit;
}

}  // namespace

int run_started(const Console& console, const start::HeadStart& begun) {
    RunOptions options;
    options.request.cmd = begun.line;
    options.request.ephemeral = begun.ephemeral;
    auto client = supervisor::Client::adopt(console.env, console.home, sys::UniqueFd(begun.socket));
    Conversation conversation(console, options, std::move(client), OutputWatch::adopt(begun.output),
                              begun.terminal);
    if (auto filled = fill_from_process(console, options.request); !filled)
        return console.fail_with(filled.error());
    auto result = conversation.run(true);
    return result ? show_notices(console, *result) : console.fail_with(result.error());
}

void take_traceparent(const Console& console, ExecRequest& request) {
    const auto given = console.env.variable("TRACEPARENT");
    if (!given || given->empty()) return;
    if (auto traceparent = read_traceparent(*given)) request.traceparent = std::move(*traceparent);
    else console.note("TRACEPARENT is ignored: it is not of the form of W3C Trace Context");
}

int run_command(const Console& console, RunOptions options, bool on_host) {
    take_traceparent(console, options.request);
    const bool quiet = options.quiet;
    if (options.terminal && inside_world()) return console.fail_with(only_outside("--pty"));
    if (options.terminal && on_host)
        return console.fail_with(
            Error(Errc::invalid, "--pty is a world's terminal, and --no-world makes none")
                .hint("leave out --pty"));
    auto result = inside_world() ? run_nested(console, std::move(options), on_host)
                  : on_host      ? run_on_host(console, options)
                                 : run_in_world(console, std::move(options));
    if (!result) return console.fail_with(result.error());
    return quiet ? result->span.exit : show_notices(console, *result);
}

}  // namespace substrate::shell
