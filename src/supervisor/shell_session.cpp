#include "supervisor/shell_session.hpp"

#include <poll.h>

#include <memory>
#include <vector>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "model/exit_codes.hpp"
#include "supervisor/channel_caller.hpp"
#include "supervisor/executor.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/live_shell.hpp"
#include "supervisor/protocol.hpp"

namespace substrate::supervisor {
namespace {

// No command: what is judged when a shell is opened is the place.
constexpr const char* kNoCommand = "# a shell";
constexpr int kDoorMs = 100;  // while somebody is at the door

// Keeps the result, which is told with what follows from it.
class LineCaller final : public ChannelCaller {
  public:
    LineCaller(Agent& agent, Channel& channel)
        : ChannelCaller(agent, channel, /*want_span=*/false), agent_(agent) {}
    void conclude(const ExecResult& result) override {
        agent_.count_command(result.span.warm);
        result_ = result;
    }
    const std::optional<ExecResult>& result() const { return result_; }

  private:
    Agent& agent_;
    std::optional<ExecResult> result_;
};

class Session {
  public:
    Session(Agent& agent, Channel& channel) : agent_(agent), channel_(channel) {}
    Result<> open(const Json& request);
    void serve();
    void end() { shell_->end(agent_.machine(), agent_.trace(), *project_); }

  private:
    enum class Next : std::uint8_t { line, completion, closed, gone };
    Next wait(Json& message);
    Json run_line(const Json& message);
    Json complete(const Json& message);
    Result<> execute_line(const std::string& line, const std::vector<sys::UniqueFd>& fds, LineCaller& caller,
                          Json& done);
    Json state() const;
    void note_policy(const Passage& passage);

    Agent& agent_;
    Channel& channel_;
    std::shared_ptr<Project> project_;
    std::unique_ptr<LiveShell> shell_;
    ExecRequest request_;  // what every line has in common
    std::string policy_id_, mode_;
    std::string undecided_;  // the span that lists what the shell's own capture holds; empty: nothing
};

void Session::note_policy(const Passage& passage) {
    policy_id_ = passage.policy_id;
    const auto& policies = passage.judgement.policies;
    mode_ = policies && policies->mode() == PolicyMode::enforce ? "enforce" : "observe";
}

Json Session::state() const {
    return {{"cwd", escape_bytes(shell_->cwd())},
            {"alive", shell_->alive()},
            {"policy_id", policy_id_},
            {"mode", mode_},
            {"undecided", undecided_},
            {"pending", project_->pending_layers().size() + (undecided_.empty() ? 0 : 1)}};
}

Result<> Session::open(const Json& request) {
    Json exec = request;
    exec["cmd"] = kNoCommand;
    SUB_TRY_ASSIGN(request_, exec_request_from_json(exec));
    const auto size = [&](const char* key, std::uint16_t otherwise) {
        const std::int64_t value = number_of(request, key);
        return value > 0 && value <= UINT16_MAX ? static_cast<std::uint16_t>(value) : otherwise;
    };
    request_.terminal = TerminalSize{.columns = size("columns", 80), .rows = size("rows", 24)};
    if (request_.session_id.empty()) request_.session_id = make_session_id(agent_.machine().env);
    SUB_TRY_ASSIGN(project_, agent_.project(find_project(request_.cwd, agent_.machine().facts.home)));
    LineCaller caller(agent_, channel_);
    const std::string span_id = make_span_id(agent_.machine().env);
    SUB_TRY_ASSIGN(const Passage passage,
                   pass_gate(agent_.machine(), agent_.trace(), agent_.broker(), project_->path(),
                             request_.session_id, request_, Where::world, span_id, caller));
    note_policy(passage);
    if (passage.denied) {
        const ExecResult denial = record_denial(agent_.machine(), agent_.trace(), project_->path(),
                                                request_.session_id, passage, span_id);
        return fail({Errc::denied, denial.notices.empty() ? "denied by policy" : denial.notices.back()});
    }
    SUB_TRY_ASSIGN(shell_, open_shell(agent_.machine(), agent_.trace(), agent_.broker(), *project_, passage,
                                      span_id, caller));
    request_.terminal.reset();
    Json opened = state();
    opened["type"] = message::kShellOpened;
    opened["session_id"] = request_.session_id;
    opened["project"] = escape_bytes(project_->path());
    opened["world_id"] = shell_->world_id();
    opened["notices"] = passage.notices;
    const int terminal = shell_->terminal();
    if (auto sent = channel_.send(opened, {&terminal, 1}); !sent) {
        end();
        return sent;
    }
    return {};
}

// Between two lines. While nothing is asked, a stop of the agent ends the reading side.
Session::Next Session::wait(Json& message) {
    if (!agent_.begin_listening(channel_.fd())) return Next::gone;
    bool heard = channel_.has_buffered();
    while (!heard && shell_->alive()) {
        const std::int64_t now = agent_.machine().env.monotonic_ns();
        std::vector<pollfd> polled = {{channel_.fd(), POLLIN, 0}, {shell_->world_fd(), POLLIN, 0}};
        shell_->door().add_to(polled, now);
        if (::poll(polled.data(), polled.size(), shell_->door().anybody_in() ? kDoorMs : -1) < 0 &&
            errno != EINTR)
            break;
        heard = polled[0].revents != 0;
        if (polled[1].revents != 0) {
            const auto lives = shell_->hear_world();
            if (!lives || !*lives) break;
        } else if (!heard) {
            shell_->door().serve(agent_.machine(), agent_.trace(), agent_.broker());
        }
    }
    agent_.end_listening(channel_.fd());
    if (!heard) return Next::gone;
    auto received = channel_.receive();
    if (!received || !*received) return Next::gone;
    message = std::move(**received);
    const std::string type = text_of(message, "type");
    if (type == message::kShellClose) return Next::closed;
    if (type == message::kSignal) return wait(message);  // its command has ended
    if (type == message::kShellComplete) return Next::completion;
    return type == message::kShellLine ? Next::line : Next::gone;
}

void Session::serve() {
    Json message;
    while (shell_->alive()) {
        const Next next = wait(message);
        if (next == Next::line || next == Next::completion) {
            if (!channel_.send(next == Next::line ? run_line(message) : complete(message))) break;
            continue;
        }
        end();
        if (next == Next::closed) {
            undecided_.clear();  // kept by now, as the project's
            Json done = state();
            done["type"] = message::kDone;
            done["exit"] = 0;
            (void)channel_.send(done);
        }
        return;
    }
    end();
}

// What is wrong leaves nothing to offer.
Json Session::complete(const Json& message) {
    Json done = {{"type", message::kDone}, {"words", Json::array()}};
    const std::string word = unescape_bytes(text_of(message, "word"));
    if (word.contains('\0')) return done;
    if (const auto words = shell_->complete(text_of(message, "kind"), word))
        for (const std::string& one : *words) done["words"].push_back(escape_bytes(one));
    return done;
}

Json Session::run_line(const Json& message) {
    const std::vector<sys::UniqueFd> fds = channel_.take_fds();
    LineCaller caller(agent_, channel_);
    // Something else was run in between.
    if (message.contains("status")) shell_->set_status(static_cast<int>(number_of(message, "status")));
    Json done = {{"exit", 0}, {"notices", Json::array()}};
    if (auto run = execute_line(text_of(message, "cmd"), fds, caller, done); !run) {
        done["exit"] = to_int(exit_code_for(run.error().code()));
        done["error"] = run.error().describe();
        if (shell_->alive()) shell_->set_status(static_cast<int>(number_of(done, "exit")));
    }
    if (const auto& result = caller.result()) {
        done["exit"] = result->span.exit;
        done["signal"] = result->span.signal;
        done["span_id"] = result->span.span_id;
        done["notices"] = result->notices;
    }
    done.update(state());
    done["type"] = message::kDone;
    return done;
}

Result<> Session::execute_line(const std::string& line, const std::vector<sys::UniqueFd>& fds,
                               LineCaller& caller, Json& done) {
    if (fds.size() != 3) return fail({Errc::invalid, "three descriptors are needed"});
    if (line.empty() || line.contains('\0')) return fail({Errc::invalid, "a line that no shell can read"});
    const Machine& machine = agent_.machine();
    ExecRequest exec = request_;
    exec.cmd = line;
    exec.cwd = shell_->cwd();
    const std::string span_id = make_span_id(machine.env);
    SUB_TRY_ASSIGN(Passage passage, pass_gate(machine, agent_.trace(), agent_.broker(), project_->path(),
                                              exec.session_id, exec, Where::world, span_id, caller));
    note_policy(passage);
    if (passage.denied) {
        const ExecResult denial =
            record_denial(machine, agent_.trace(), project_->path(), exec.session_id, passage, span_id);
        shell_->set_status(denial.span.exit);
        done["exit"] = denial.span.exit;
        done["span_id"] = span_id;
        done["notices"] = denial.notices;
        return {};
    }
    const std::string misfit = shell_->misfit(passage);
    const bool here = misfit.empty();
    if (!here)
        passage.notices.push_back(misfit + ": without this shell's variables and functions" +
                                  (passage.request.ephemeral ? "" : " (:restart makes such a shell)"));
    passage.request.observes_output = here;
    SUB_TRY(channel_.send({{"type", message::kStarted}, {"place", here ? "shell" : "world"}}));
    if (here) {
        auto run = supervisor::run_line(machine, agent_.trace(), agent_.broker(), *project_, passage, span_id,
                                        *shell_, caller);
        if (const auto& result = caller.result())
            undecided_ = result->span.commit == "pending" ? result->span.span_id : "";
        return run;
    }
    SUB_TRY(execute(machine, agent_.trace(), agent_.broker(), *project_, passage, span_id,
                    {fds[0].get(), fds[1].get(), fds[2].get()}, caller));
    if (caller.result()) shell_->set_status(caller.result()->span.exit);
    return {};
}

}  // namespace

Result<Json> serve_shell(Agent& agent, Channel& channel, const Json& request) {
    Session session(agent, channel);
    SUB_TRY(session.open(request));
    session.serve();
    return Json();
}

}  // namespace substrate::supervisor
