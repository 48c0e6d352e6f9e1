#include "shell/repl.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <utility>

#include "base/text.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/line_editor.hpp"
#include "shell/line_history.hpp"
#include "shell/policy_commands.hpp"
#include "shell/run.hpp"
#include "shell/shell_link.hpp"
#include "shell/terminal_relay.hpp"
#include "shell/unfinished.hpp"
#include "shell/word_completion.hpp"
#include "supervisor/home.hpp"
#include "sys/process.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

constexpr const char* kHelp =
    ":diff [ID]     what waits for a decision here, or what a span has changed\n"
    ":apply [ID]    bring it to the host\n"
    ":discard [ID]  drop it\n"
    ":why [ID]      what was decided about the last line, or a span, and why\n"
    ":policy        what governs this directory\n"
    ":world         the agent and its worlds\n"
    ":host LINE     run a line on the host, unconfined, where the policy allows it\n"
    ":restart       a new shell in its place, in a world as the policies want it now\n"
    ":quit          leave, as Ctrl-D does\n"
    "Everything else is a line of bash. Each is judged by the policy before it runs, and is a span.\n";

std::vector<std::string> own_commands() {
    return {":apply",  ":diff", ":discard", ":help", ":host",
            ":policy", ":quit", ":restart", ":why",  ":world"};
}

class Repl {
  public:
    Repl(const Console& console, ExecRequest request) : console_(console), request_(std::move(request)) {}
    int run();

  private:
    Result<> prepare();
    bool open();
    std::optional<std::string> read_command();
    void run_line(const std::string& line);
    bool run_own(const std::string& line);
    void run_on_host_line(const std::string& line);
    void decide(const std::string& word, const std::string& target);
    int show_changes(const std::string& target);
    void lose_shell(const Error& error);
    void start_from_here();
    void close_shell();
    std::string prompt() const;
    std::string directory() const;

    const Console& console_;
    ExecRequest request_;
    sys::UniqueFd signals_;
    std::unique_ptr<LineEditor> editor_;
    std::optional<LineHistory> history_;
    std::optional<ShellLink> link_;
    ShellState known_;  // as it was last
    std::string last_span_;
    int exit_ = 0;
    std::optional<int> other_status_;  // of what was run outside of the shell since its last line
    bool leaving_ = false;
    bool by_signal_ = false;
    bool colour_ = false;
};

Result<> Repl::prepare() {
    SUB_TRY_ASSIGN(signals_, sys::open_signal_fd({SIGINT, SIGWINCH, SIGTERM, SIGHUP}));
    // As shells do; what runs in the world has a terminal and signals of its own.
    SUB_TRY(sys::ignore_signals({SIGQUIT, SIGTSTP, SIGPIPE}));
    SUB_TRY_ASSIGN(editor_, LineEditor::make(signals_.get()));
    editor_->complete_by([this](std::string_view before) {
        return complete_word(
            before, own_commands(), [this](const std::string& kind, const std::string& word) {
                return link_ ? link_->complete(kind, word).value_or(std::vector<std::string>())
                             : std::vector<std::string>();
            });
    });
    editor_->on_resize([this] {
        if (link_) copy_window_size(link_->terminal());
    });
    const auto term = console_.env.variable("TERM");
    const auto no_colour = console_.env.variable("NO_COLOR");
    colour_ = term && !term->empty() && *term != "dumb" && (!no_colour || no_colour->empty());
    SUB_TRY(supervisor::create_home(console_.home));
    history_.emplace(console_.home.path + "/history");
    const auto lines = history_->load();
    if (!lines) console_.complain(lines.error());
    else
        for (const std::string& line : *lines) editor_->remember(line);
    return {};
}

// A shell is there afterwards; false: it was said why not.
bool Repl::open() {
    if (link_) return true;
    auto link = ShellLink::open(console_, request_, signals_.get());
    if (!link) {
        console_.complain(link.error());
        exit_ = to_int(exit_code_for(link.error().code()));
        return false;
    }
    link_.emplace(std::move(*link));
    request_.session_id = link_->session();
    known_ = link_->state();
    for (const std::string& notice : link_->notices()) console_.note(notice);
    editor_->watch(link_->terminal(), [this] { return link_ && show_pending_output(link_->terminal()); });
    return true;
}

// The directory, as short as a person would say it.
std::string Repl::directory() const {
    std::string dir = known_.cwd.empty() ? request_.cwd : known_.cwd;
    const std::string home = console_.env.variable("HOME").value_or("");
    if (!home.empty() && home != "/" && (dir == home || dir.starts_with(home + "/")))
        dir.replace(0, home.size(), "~");
    return printable(dir);
}

std::string Repl::prompt() const {
    const auto styled = [this](const char* style, const std::string& text) {
        return colour_ ? fmt::format("\1\033[{}m\1{}\1\033[0m\1", style, text) : text;
    };
    std::string world = link_ ? printable(known_.policy_id) + " " + known_.mode : "no shell";
    if (known_.pending > 0) world += fmt::format(", {} pending", known_.pending);
    const bool enforced = link_ && known_.mode == "enforce";
    return styled("1", directory()) + " " + styled(enforced ? "32" : "33", "(" + world + ")") +
           (::geteuid() == 0 ? " # " : " $ ");
}

// What was typed, to its end; nullopt: nothing, or there will be nothing more.
std::optional<std::string> Repl::read_command() {
    std::string text;
    for (bool more = false;; more = true) {
        const LineEditor::Read read = editor_->read(more ? "> " : prompt());
        by_signal_ = read.end == LineEditor::End::signalled;
        leaving_ = by_signal_ || (read.end == LineEditor::End::closed && !more);
        if (read.end == LineEditor::End::interrupted) exit_ = 128 + SIGINT;
        if (read.end != LineEditor::End::line) return std::nullopt;
        text += (more ? "\n" : "") + read.text;
        if (text.find_first_not_of(" \t\n") == std::string::npos) return std::nullopt;
        if (!more && text.front() == ':') return text;
        // Where it cannot be told, the policy says what is wrong with the line.
        if (!is_unfinished(request_.shell, text).value_or(false)) return text;
    }
}

// A new shell is one of the same project, and begins where the last one was, if that is in it.
void Repl::start_from_here() {
    const std::string& project = link_->project();
    if (known_.cwd == project || known_.cwd.starts_with(project + "/")) request_.cwd = known_.cwd;
    known_.cwd = request_.cwd;
}

void Repl::lose_shell(const Error& error) {
    start_from_here();
    link_.reset();
    editor_->watch(-1, {});
    console_.complain(error);
    known_.pending = 0;
    known_.undecided.clear();
    console_.note(
        "this shell has ended with it, and its variables and background jobs are gone: the next line "
        "starts a new one in " +
        known_.cwd);
}

void Repl::run_line(const std::string& line) {
    if (!open()) return;
    auto end = link_->run(line, std::exchange(other_status_, std::nullopt));
    if (!end) {
        exit_ = to_int(exit_code_for(end.error().code()));
        return lose_shell(end.error());
    }
    exit_ = end->exit;
    known_ = link_->state();
    editor_->type_ahead(link_->take_typed_ahead());
    if (!end->span_id.empty()) last_span_ = end->span_id;
    for (const std::string& notice : end->notices) console_.note(notice);
    if (!end->error.empty()) console_.note(end->error);
    if (known_.alive) return;
    if (end->signal == 0 && end->error.empty()) {
        leaving_ = true;  // as the line has said
    } else {
        lose_shell(Error(Errc::unavailable,
                         end->signal == 0 ? "the shell does not answer"
                                          : fmt::format("the shell was ended by signal {}", end->signal)));
    }
}

void Repl::run_on_host_line(const std::string& line) {
    RunOptions options{.request = request_};
    options.request.cmd = line;
    options.request.cwd = known_.cwd.empty() ? request_.cwd : known_.cwd;
    const auto result = run_on_host(console_, options);
    if (!result) {
        exit_ = console_.fail_with(result.error());
    } else {
        for (const std::string& notice : result->notices) console_.note(notice);
        exit_ = result->span.exit;
        last_span_ = result->span.span_id;
    }
    other_status_ = exit_;
}

// What the shell's own capture holds can be decided about once the shell has ended.
void Repl::decide(const std::string& word, const std::string& target) {
    if (link_ && target.empty() && !known_.undecided.empty()) {
        console_.note(
            "the shell ends first: its variables and background jobs are gone, and the next line starts "
            "a new one");
        close_shell();
    }
    const ChangeOptions options{.target = target};
    exit_ = word == ":apply" ? apply_command(console_, options) : discard_command(console_, options);
    if (exit_ == 0) known_.pending = 0;
}

int Repl::show_changes(const std::string& target) {
    if (!target.empty() || known_.undecided.empty()) return diff_command(console_, {.target = target});
    const int shown = diff_command(console_, {.target = known_.undecided});
    return known_.pending > 1 ? diff_command(console_, {}) : shown;
}

// False: it is a line for the shell.
bool Repl::run_own(const std::string& line) {
    const std::size_t space = std::min(line.find_first_of(" \t"), line.size());
    const std::string word = line.substr(0, space);
    const std::size_t rest_at = std::min(line.find_first_not_of(" \t", space), line.size());
    std::string rest = line.substr(rest_at);
    while (rest.ends_with(' ') || rest.ends_with('\t')) rest.pop_back();
    if (word == ":" || word.size() < 2) return false;
    if (word == ":quit" || word == ":q") leaving_ = true;
    else if (word == ":restart") {
        close_shell();
        (void)open();
    } else if (word == ":help") console_.out(kHelp);
    else if (word == ":diff") exit_ = show_changes(rest);
    else if (word == ":apply" || word == ":discard") decide(word, rest);
    else if (word == ":why") {
        if (rest.empty()) rest = last_span_;
        if (rest.empty()) console_.note("nothing has run yet");
        else exit_ = trace_command(console_, {.span_id = rest});
    } else if (word == ":policy") exit_ = policy_show(console_, {});
    else if (word == ":world") exit_ = world_status(console_, {});
    else if (word == ":host" && !rest.empty()) run_on_host_line(rest);
    else if (word == ":host") console_.note(":host needs a line");
    else console_.note("there is no '" + word + "' (:help)");
    return true;
}

void Repl::close_shell() {
    if (!link_) return;
    editor_->watch(-1, {});
    const auto state = link_->close();
    if (!state) console_.complain(state.error());
    else known_ = *state;
    start_from_here();
    link_.reset();
}

int Repl::run() {
    if (auto prepared = prepare(); !prepared) return console_.fail_with(prepared.error());
    (void)open();
    while (!leaving_) {
        const auto line = read_command();
        if (!line) continue;
        editor_->remember(*line);
        if (auto kept = history_->add(*line); !kept) console_.complain(kept.error());
        if (line->front() != ':' || !run_own(*line)) run_line(*line);
    }
    if (link_ && known_.alive) close_shell();
    else link_.reset();
    if (known_.pending > 0 && !by_signal_)
        console_.note(fmt::format("{} {} for a decision: substrate diff, substrate apply, substrate discard",
                                  known_.pending, known_.pending == 1 ? "change waits" : "changes wait"));
    return exit_;
}

}  // namespace

int run_repl(const Console& console, ExecRequest request) {
    take_traceparent(console, request);
    return Repl(console, std::move(request)).run();
}

}  // namespace substrate::shell
