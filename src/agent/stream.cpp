// What /v1/stream does: terminals in worlds, one command or a session of lines on each.
#include <poll.h>

#include <array>

#include "agent/api.hpp"
#include "agent/execute_answers.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/gate.hpp"

namespace substrate::agent {
namespace {

constexpr const char* kTerm = "xterm-256color";

// A refusal before there is a terminal: the connection ends with it.
std::string refuse(StreamLink& link, const Json& frame, std::uint16_t code = 1008) {
    link.send_text(dump_json(frame));
    link.close({code, frame.value("error", "refused")});
    return {};
}

// What POST /v1/execute would have been asked for.
std::expected<ExecuteRequest, HttpResponse> read_start(const Json& start, const Peer& peer,
                                                       const std::map<std::string, std::string>& base) {
    Json body = Json::object();
    for (const char* member : {"agent_id", "cmd", "cwd", "env", "timeout_ms", "isolate", "budget",
                               "traceparent", "profile", "world_id"})
        if (const auto it = start.find(member); it != start.end()) body[member] = *it;
    // What judges the place where a session's lines will run.
    if (!body.contains("cmd")) body["cmd"] = ":";
    auto request = read_execute(body, peer, base);
    if (!request) return request;
    request->exec.env.try_emplace("TERM", kTerm);
    request->exec.terminal = TerminalSize{.columns = start.value("cols", std::uint16_t{80}),
                                          .rows = start.value("rows", std::uint16_t{24})};
    return request;
}

}  // namespace

void Api::stream(Call& call) {
    if (call.upgrade) return call.exchange->respond({.status = 101});
    HttpResponse answer = problem(426, "upgrade_required", "this is a WebSocket: ask for an upgrade to it");
    answer.headers.emplace_back("Upgrade", "websocket");
    answer.headers.emplace_back("Connection", "Upgrade");
    call.exchange->respond(std::move(answer));
}

std::shared_ptr<TerminalStream> Api::find_terminal(const std::string& id) {
    const std::scoped_lock lock(mutex_);
    const auto it = streams_.find(id);
    return it == streams_.end() ? nullptr : it->second;
}

bool Api::signal_terminal(const std::string& span_id, int signal) {
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, terminal] : streams_)
        if (terminal->running_span() == span_id) {
            terminal->send_signal(signal);
            return true;
        }
    return false;
}

// By id.
Json Api::describe_sessions() {
    Json all = Json::array();
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, terminal] : streams_) {
        if (!terminal->options().stays) continue;
        Json session = {{"session", id},
                        {"agent_id", terminal->options().agent_id},
                        {"persistent", terminal->options().shell},
                        {"attached", terminal->attached()}};
        if (const std::string span = terminal->running_span(); !span.empty()) session["span_id"] = span;
        all.push_back(std::move(session));
    }
    return all;
}

// In the server's thread: must not wait.
std::string Api::begin_stream(std::shared_ptr<StreamLink> link, const StreamMessage& message,
                              const Peer& peer) {
    if (message.binary)
        return refuse(*link, error_frame("invalid", "the first message is to be a start frame"), 1003);
    auto frame = read_client_frame(document_->json(), message.bytes);
    if (!frame) return refuse(*link, frame.error());
    if (frame->type != "start")
        return refuse(*link, error_frame("invalid", "the first message is to be a start frame"));
    const Json& start = frame->body;
    const auto agent_id = start.at("agent_id").get<std::string>();
    if (const auto session = start.find("session"); session != start.end()) {
        const auto terminal = find_terminal(session->get<std::string>());
        if (!terminal || !terminal->options().stays || terminal->options().agent_id != agent_id)
            return refuse(*link, error_frame("not_found", "there is no such session of this agent_id"));
        std::optional<std::uint64_t> received;
        if (const auto it = start.find("received"); it != start.end()) received = it->get<std::uint64_t>();
        terminal->attach(std::move(link), received);
        return terminal->options().id;
    }
    const bool shell = start.value("persistent", false);
    TerminalStream::Options options{.id = make_session_id(agent_.machine().env),
                                    .agent_id = agent_id,
                                    .shell = shell,
                                    .stays = shell || start.value("detach", false),
                                    .detached_ms = agent_.options().settings.api_detached_ms,
                                    .idle_ms = agent_.options().settings.api_session_idle_ms,
                                    .columns = start.value("cols", std::uint16_t{80}),
                                    .rows = start.value("rows", std::uint16_t{24})};
    auto made = TerminalStream::make(options, agent_.machine().env, document_->json(), link);
    if (!made) return refuse(*link, error_frame(problem(made.error())), 1011);
    {
        const std::scoped_lock lock(mutex_);
        if (closing_) return refuse(*link, error_frame("unavailable", "the agent is stopping"), 1001);
        streams_.emplace(options.id, *made);
    }
    agent_.begin_request();
    const bool taken = terminals_.post([this, terminal = *made, start, peer] {
        open_terminal(terminal, start, peer);
        {
            const std::scoped_lock lock(mutex_);
            streams_.erase(terminal->options().id);
        }
        agent_.end_request();
    });
    if (taken) return options.id;
    {
        const std::scoped_lock lock(mutex_);
        streams_.erase(options.id);
    }
    agent_.end_request();
    return refuse(*link, error_frame("busy", "too many terminals are open already"), 1013);
}

void Api::open_terminal(const std::shared_ptr<TerminalStream>& terminal, const Json& start,
                        const Peer& peer) {
    auto request = read_start(start, peer, base_environment_);
    if (!request) {
        terminal->send_error(error_frame(request.error()));
        return terminal->close({1008, "refused"});
    }
    terminal->use_allowance(allowance_for(*request));
    terminal->use_approvals(approvals_);
    Result<> done;
    try {
        done =
            terminal->options().shell ? run_session(*terminal, *request) : run_terminal(*terminal, *request);
    } catch (const std::exception& thrown) {
        done = fail({Errc::internal, thrown.what()});
    }
    if (!done) terminal->send_error(error_frame(problem(done.error())));
    terminal->close(done ? StreamClose{1000, "the terminal has ended"} : StreamClose{1011, "failed"});
}

Result<> Api::run_terminal(TerminalStream& terminal, ExecuteRequest& request) {
    ExecRequest& exec = request.exec;
    const supervisor::Machine& machine = agent_.machine();
    SUB_TRY_ASSIGN(exec.cwd, real_directory(exec.cwd));
    SUB_TRY_ASSIGN(const auto project,
                   agent_.project(supervisor::find_project(exec.cwd, machine.facts.home)));
    if (auto refusal = check_named(exec, *project)) {
        terminal.send_error(error_frame(*refusal));
        terminal.close({1008, "refused"});
        return {};
    }
    const std::string span_id = make_span_id(machine.env);
    Budgets::Entry entry = budgets_.enter(exec.agent_id, request.budget, [&terminal] { terminal.wake(); });
    if (!entry.ticket) {
        terminal.send_error(error_frame(over_budget(exec.agent_id, entry.refusal, span_id)));
        return {};
    }
    terminal.begin_command(span_id, {}, std::move(entry.ticket));
    SUB_TRY_ASSIGN(
        supervisor::Passage passage,
        supervisor::pass_gate(machine, agent_.trace(), agent_.broker(), project->path(),
                              project->session_id(), exec, supervisor::Where::world, span_id, terminal));
    if (passage.denied) {
        terminal.refuse_command(
            error_frame(denial(passage, supervisor::record_denial(machine, agent_.trace(), project->path(),
                                                                  project->session_id(), passage, span_id))));
        terminal.close({1008, "denied"});
        return {};
    }
    terminal.use_token(issue_token(passage, *project, span_id));
    auto done = supervisor::execute(machine, agent_.trace(), agent_.broker(), *project, passage, span_id,
                                    {-1, -1, -1}, terminal);
    supervisor::scrub(passage.request.scope_token);
    terminal.end_command();
    return done;
}

Result<> Api::run_session(TerminalStream& terminal, const ExecuteRequest& start) {
    ExecuteRequest request = start;
    ExecRequest& exec = request.exec;
    const supervisor::Machine& machine = agent_.machine();
    SUB_TRY_ASSIGN(exec.cwd, real_directory(exec.cwd));
    exec.session_id = terminal.options().id;
    SUB_TRY_ASSIGN(const auto project,
                   agent_.project(supervisor::find_project(exec.cwd, machine.facts.home)));
    if (auto refusal = check_named(exec, *project)) {
        terminal.send_error(error_frame(*refusal));
        terminal.close({1008, "refused"});
        return {};
    }
    const std::string span_id = make_span_id(machine.env);
    terminal.begin_command(span_id, {}, nullptr);
    SUB_TRY_ASSIGN(const supervisor::Passage passage,
                   supervisor::pass_gate(machine, agent_.trace(), agent_.broker(), project->path(),
                                         exec.session_id, exec, supervisor::Where::world, span_id, terminal));
    if (passage.denied) {
        terminal.refuse_command(
            error_frame(denial(passage, supervisor::record_denial(machine, agent_.trace(), project->path(),
                                                                  exec.session_id, passage, span_id))));
        return {};
    }
    terminal.end_command();
    SUB_TRY_ASSIGN(const auto shell, supervisor::open_shell(machine, agent_.trace(), agent_.broker(),
                                                            *project, passage, span_id, terminal));
    terminal.borrow_terminal(shell->terminal());
    terminal.use_shell(shell.get());
    terminal.tell_ready();
    while (shell->alive() && !terminal.leaving()) {
        if (const auto line = terminal.take_line()) {
            run_line(terminal, *shell, *project, request, *line);
            // What the client has said meanwhile.
            terminal.wake();
            continue;
        }
        std::array<pollfd, 2> polled = {pollfd{terminal.fd(), POLLIN, 0},
                                        pollfd{shell->world_fd(), POLLIN, 0}};
        if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) break;
        if (polled[1].revents != 0) {
            const auto lives = shell->hear_world();
            if (!lives || !*lives) break;
        }
        if (polled[0].revents != 0 && !terminal.hear()) break;
    }
    (void)terminal.take_output();
    terminal.send_frame({{"type", "exit"}, {"session", terminal.options().id}});
    terminal.drop_terminal();
    shell->end(machine, agent_.trace(), *project);
    return {};
}

// One line of a session; what is wrong with it the client is told, and the session goes on.
void Api::run_line(TerminalStream& terminal, supervisor::LiveShell& shell, supervisor::Project& project,
                   const ExecuteRequest& request, const TerminalStream::Line& line) {
    const supervisor::Machine& machine = agent_.machine();
    const std::string span_id = make_span_id(machine.env);
    ExecRequest exec = request.exec;
    exec.cmd = line.cmd;
    exec.cwd = shell.cwd();
    exec.timeout_ms = line.timeout_ms;
    Budgets::Entry entry = budgets_.enter(exec.agent_id, request.budget, [&terminal] { terminal.wake(); });
    if (!entry.ticket)
        return terminal.send_error(error_frame(over_budget(exec.agent_id, entry.refusal, span_id)), line.seq);
    terminal.begin_command(span_id, line.seq, std::move(entry.ticket));
    auto passage = supervisor::pass_gate(machine, agent_.trace(), agent_.broker(), project.path(),
                                         exec.session_id, exec, supervisor::Where::world, span_id, terminal);
    if (!passage) return terminal.refuse_command(error_frame(problem(passage.error())));
    if (passage->denied)
        return terminal.refuse_command(
            error_frame(denial(*passage, supervisor::record_denial(machine, agent_.trace(), project.path(),
                                                                   exec.session_id, *passage, span_id))));
    if (const std::string misfit = shell.misfit(*passage); !misfit.empty())
        return terminal.refuse_command(error_frame("other_world", misfit + ": use POST /v1/execute"));
    const auto done = supervisor::run_line(machine, agent_.trace(), agent_.broker(), project, *passage,
                                           span_id, shell, terminal);
    terminal.end_command();
    agent_.count_command(/*warm=*/true);
    if (!done) terminal.send_error(error_frame(problem(done.error())), line.seq);
}

}  // namespace substrate::agent
