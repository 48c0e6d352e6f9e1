#include "supervisor/live_shell.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <charconv>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/captured.hpp"
#include "supervisor/idle_worlds.hpp"
#include "supervisor/span_facts.hpp"
#include "supervisor/world_network.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "sys/terminal.hpp"

namespace substrate::supervisor {
namespace {

constexpr int kStartMs = 10'000;
constexpr int kTakeMs = 5'000;  // for a line that bash does not read
constexpr std::size_t kMostReport = 65'536;

// Before the first line. Descriptor 3 is the terminal: the input of what the lines run. Aliases and
// history would make another line of the one that was judged.
constexpr std::string_view kSetUp =
    "PS1= PS2=; unset HISTFILE PS0 PROMPT_COMMAND MAILCHECK; set +o history +H; "
    "shopt -u expand_aliases; exec 250<&3 3<&-\n";

constexpr int kCompleteMs = 1'000;
constexpr std::size_t kMostAnswer = 1u << 20;  // of words that are offered

std::string quoted(const std::string& text) {
    std::string made = "'";
    for (const char c : text) {
        if (c == '\'') made += "'\\''";
        else made += c;
    }
    return made + '\'';
}

// `eval` with redirections: while the line runs, bash keeps the socket at a number above 10 that is closed
// on exec, and the line's own programs have the terminal alone.
std::string line_for(const std::string& line, std::uint64_t number, int status) {
    // The report of the line before has left 0. A condition, because neither `set -e` nor a trap of ERR looks
    // at one.
    std::string text = status == 0 ? "" : "if (builtin exit " + std::to_string(status) + "); then :; else ";
    text += "builtin eval " + quoted(line) + " <&250 250<&-";
    text += status == 0 ? "\n" : "; fi\n";
    // A line of its own: it is read even when an interrupt has thrown the one before away. DIRSTACK, because
    // nobody can assign to its first element.
    text += "builtin printf '%d %d %s\\0' " + std::to_string(number) + " \"$?\" \"${DIRSTACK[0]-}\" >&0\n";
    return text;
}

}  // namespace

LiveShell::LiveShell(std::unique_ptr<SessionWorld> world, Project::Wanted wanted, CommitMode commit,
                     sys::UniqueFd socket)
    : world_(std::move(world)),
      world_id_(world_->id()),
      wanted_(std::move(wanted)),
      commit_(commit),
      socket_(std::move(socket)) {}

LiveShell::~LiveShell() = default;

void LiveShell::fill_order(world::ExecOrder& order, const ExecRequest& request) {
    order.program = request.shell;
    order.argv = {"bash", "--noprofile", "--norc", "--noediting", "-i"};
    order.fallback_program.clear();
    order.fallback_argv.clear();
    // One environment for all its lines: none of them is the caller of what the others run.
    for (std::string& variable : order.environment)
        if (variable.starts_with("TRACEPARENT=") && !request.traceparent.empty())
            variable = "TRACEPARENT=" + request.traceparent;
}

Result<> LiveShell::await_start(const Machine& machine, ExecResult& result) {
    const timeval most{.tv_sec = kTakeMs / 1000, .tv_usec = 0};
    if (::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &most, sizeof most) != 0)
        return fail(Error::last_os("setsockopt SO_SNDTIMEO"));
    SUB_TRY(sys::send_message(socket_.get(), std::string(kSetUp) + line_for(":", ++number_, 0)));
    for (;;) {
        std::array<pollfd, 2> polled = {pollfd{world_fd(), POLLIN, 0}, pollfd{fd(), POLLIN, 0}};
        const int n = ::poll(polled.data(), polled.size(), kStartMs);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail(Error::last_os("poll"));
        if (n == 0) return fail({Errc::unavailable, "the session's shell does not answer"});
        if (polled[0].revents != 0) {
            SUB_TRY_ASSIGN(const bool lives, hear_world());
            if (!lives) return fail({Errc::unavailable, "the session's shell has ended at once"});
            // With a veth pair the shell waits for its other end.
            if (world_->world.has_uplink() && world_->plan.network == plan::NetworkMode::veth)
                open_uplink(machine, *world_, result);
        } else {
            SUB_TRY_ASSIGN(const auto report, receive());
            if (report) break;
        }
    }
    if (!terminal_) return fail({Errc::internal, "the session's shell has no terminal"});
    if (::fcntl(terminal_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) return fail(Error::last_os("fcntl"));
    // The prompt that was there before it was told to have none.
    std::array<char, 4096> prompt{};
    while (sys::read_some(terminal_.get(), prompt).value_or(0) > 0) continue;
    return {};
}

Result<bool> LiveShell::hear_world() {
    auto event = world_->world.receive();
    if (!event && !world_->world.ready()) return fail(std::move(event).error().during("starting a world"));
    if (!event) return false;
    if (const auto* failed = std::get_if<world::Failed>(&*event))
        return fail(world_->world.describe(*failed));
    if (std::holds_alternative<world::TerminalOpened>(*event)) terminal_ = world_->world.take_terminal();
    return !std::holds_alternative<world::Exited>(*event);
}

std::string LiveShell::misfit(const Passage& passage) const {
    const ExecRequest& request = passage.request;
    if (passage.preview || (request.ephemeral && !wanted_.fresh))
        return "the policy wants this command to run in a world of its own";
    const bool same = request.fs == wanted_.fs && request.seccomp == wanted_.seccomp &&
                      request.host_network == wanted_.host_network &&
                      request.tcp_ports == wanted_.tcp_ports &&
                      plan::limits_of(request.limits) == wanted_.limits;
    return same ? "" : "the policy wants another world for this command than this session has";
}

Result<> LiveShell::run(const std::string& line) {
    received_.clear();
    return sys::send_message(socket_.get(), line_for(line, ++number_, status_));
}

Result<std::optional<LiveShell::Report>> LiveShell::receive() {
    std::array<char, 4096> buffer{};
    SUB_TRY_ASSIGN(const std::size_t n, sys::read_some(socket_.get(), buffer));
    if (n == 0) return fail({Errc::unavailable, "the session's shell has ended"});
    received_.append(buffer.data(), n);
    for (std::size_t end = 0; (end = received_.find('\0')) != std::string::npos;) {
        const std::string text = received_.substr(0, end);
        received_.erase(0, end + 1);
        std::uint64_t number = 0;
        int exit = 0;
        const char* const last = text.data() + text.size();
        const auto [after, bad] = std::from_chars(text.data(), last, number);
        if (bad != std::errc() || after == last || number != number_) continue;
        const auto [rest, worse] = std::from_chars(after + 1, last, exit);
        if (worse != std::errc() || rest == last) continue;
        const std::string_view cwd(rest + 1, last);
        if (cwd.starts_with('/')) cwd_ = cwd;
        status_ = exit & 0xff;
        return Report{.exit = exit & 0xff, .cwd = cwd_};
    }
    // What no report begins with is the line's own doing.
    if (received_.size() > kMostReport) received_.clear();
    return std::nullopt;
}

Result<std::vector<std::string>> LiveShell::complete(const std::string& kind, const std::string& word) {
    received_.clear();
    const std::string end = std::string("\0", 1) + std::to_string(++number_) + " 0 /" + std::string("\0", 1);
    const std::string of = " -- " + quoted(word) + " >&0\n";
    std::string text;
    if (kind == "file") text = "builtin compgen -A directory -S /" + of;
    else if (kind != "command" && kind != "variable")
        return fail({Errc::invalid, "words of an unknown kind"});
    text += "builtin compgen -A " + kind + of;
    // As after a line, so that an answer that comes too late is dropped by its number.
    text += "builtin printf '\\0%d 0 /\\0' " + std::to_string(number_) + " >&0\n";
    SUB_TRY(sys::send_message(socket_.get(), text));
    std::array<char, 16 * 1024> buffer{};
    std::string answer;
    while (!answer.ends_with(end)) {
        SUB_TRY_ASSIGN(const bool more, sys::wait_readable(socket_.get(), kCompleteMs));
        if (!more || answer.size() > kMostAnswer) return std::vector<std::string>();
        SUB_TRY_ASSIGN(const std::size_t n, sys::read_some(socket_.get(), buffer));
        if (n == 0) return fail({Errc::unavailable, "the session's shell has ended"});
        answer.append(buffer.data(), n);
    }
    answer.resize(answer.size() - end.size());
    std::vector<std::string> words;
    for (std::size_t begin = 0; begin < answer.size() && words.size() < kMostWords;) {
        const std::size_t line = std::min(answer.find('\n', begin), answer.size());
        if (line > begin) words.push_back(answer.substr(begin, line - begin));
        begin = line + 1;
    }
    return words;
}

void LiveShell::interrupt() const { (void)sys::signal_foreground(terminal_.get(), SIGINT); }

// As a span of its own that a person decides about.
Result<> LiveShell::keep_changes(const Machine& machine, Project& project) {
    SessionWorld& world = *world_;
    Captured captured;
    captured.dir = world.live_slot;
    captured.strategy = world.plan.capture.strategy;
    captured.user_xattrs = world.plan.capture.user_xattrs;
    captured.captured_ns = world.live_since_ns;
    if (captured.strategy == CaptureStrategy::direct) return {};
    SUB_TRY_ASSIGN(captured.excluded, excluded_from(project.store(), captured.dir));
    const std::scoped_lock lock(project.commit_mutex());
    SUB_TRY_ASSIGN(const FsDiff diff, diff_captured(project.store(), captured));
    if (!diff.empty()) {
        SUB_TRY(keep_captured(project.store(), machine.env, captured, world.background_span, world.id(),
                              KeptState::pending));
        project.reload_pending();
    }
    return world.retire_slot(project.store(), captured.dir);
}

void LiveShell::end(const Machine& machine, trace::TraceWriter& trace, Project& project) {
    socket_.reset();
    terminal_.reset();
    if (!world_) return;
    if (commit_ != CommitMode::automatic && world_->background) {
        // The processes first: only then is the capture what it will stay.
        world_->world = world::World::ended();
        world_->background = false;
        if (auto kept = keep_changes(machine, project); !kept)
            (void)trace.append(warning_event(
                machine, project,
                "the changes of a session in " + world_id_ + " were not kept: " + kept.error().describe()));
    }
    end_world(machine, trace, project, std::move(world_));
}

}  // namespace substrate::supervisor
