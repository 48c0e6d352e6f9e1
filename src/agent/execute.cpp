// What the API does to run a command: through the same gate and executor as control.sock.
#include <fcntl.h>

#include <algorithm>

#include "agent/api.hpp"
#include "agent/execute_answers.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "supervisor/gate.hpp"
#include "supervisor/granted_scopes.hpp"
#include "sys/file.hpp"

namespace substrate::agent {
namespace {

// Of a scope token: a command that was told to end may need it until it has.
constexpr std::int64_t kGraceNs = 10'000'000'000;
constexpr std::int64_t kLongestNs = 24 * 3'600'000'000'000;

Result<sys::UniqueFd> open_input(const std::string& bytes) {
    if (bytes.empty()) return sys::open_path("/dev/null", O_RDONLY);
    return sys::make_memfd("stdin", bytes);
}

}  // namespace

class Api::Within final : public supervisor::NestedAllowance {
  public:
    Within(Api& api, std::string agent_id, Budget budget)
        : api_(api), agent_id_(std::move(agent_id)), budget_(budget) {}
    Result<> take(const std::string& span_id) override {
        const auto refusal = api_.budgets_.count_within(agent_id_, budget_);
        if (!refusal) return {};
        // Recorded as any other; who asks in a world is told in one line.
        (void)api_.over_budget(agent_id_, *refusal, span_id);
        return fail(Error(Errc::denied, "the budget " + refusal->limit + " of " + printable(agent_id_) +
                                            " is used up: " + std::to_string(refusal->used) + " of " +
                                            std::to_string(refusal->maximum)));
    }

  private:
    Api& api_;
    std::string agent_id_;
    Budget budget_;
};

std::shared_ptr<supervisor::NestedAllowance> Api::allowance_for(const ExecuteRequest& request) {
    return std::make_shared<Within>(*this, request.exec.agent_id, request.budget);
}

void Api::execute(Call& call) { run(call, ApiCaller::Answer::whole); }
void Api::execute_stream(Call& call) { run(call, ApiCaller::Answer::pieces); }

void Api::run(Call& call, ApiCaller::Answer answer) {
    auto request = read_execute(call.body, call.peer, base_environment_);
    if (!request) return call.exchange->respond(std::move(request).error());
    call.body = nullptr;
    const std::string span_id = make_span_id(agent_.machine().env);
    auto caller = ApiCaller::make(call.exchange, answer, span_id);
    if (!caller) return call.exchange->respond(problem(caller.error()));
    const auto forget = [this, &span_id] {
        const std::scoped_lock lock(mutex_);
        running_.erase(span_id);
        listening_.erase(span_id);
    };
    if (answer == ApiCaller::Answer::pieces) {
        const std::scoped_lock lock(mutex_);
        listening_.emplace(span_id, caller->get());
    }
    (*caller)->on_end([this, &forget](const ExecResult& result) {
        agent_.count_command(result.span.warm);
        forget();
    });
    // Whatever happens: nobody else keeps it alive.
    const std::shared_ptr<void> at_end(nullptr, [&forget](void*) { forget(); });
    const auto done = run_command(std::move(*request), **caller, span_id, call.exchange);
    if (!done) (*caller)->fail_with(done.error());
}

Result<> Api::run_command(ExecuteRequest request, ApiCaller& caller, const std::string& span_id,
                          const std::shared_ptr<Exchange>& exchange) {
    ExecRequest& exec = request.exec;
    const supervisor::Machine& machine = agent_.machine();
    SUB_TRY_ASSIGN(exec.cwd, real_directory(exec.cwd));
    SUB_TRY_ASSIGN(const auto project,
                   agent_.project(supervisor::find_project(exec.cwd, machine.facts.home)));
    if (auto refusal = check_named(exec, *project)) {
        exchange->respond(std::move(*refusal));
        return {};
    }
    sys::UniqueFd input;
    if (exec.terminal) {
        caller.use_terminal(std::move(request.stdin_bytes));
    } else {
        SUB_TRY_ASSIGN(input, open_input(request.stdin_bytes));
    }
    Budgets::Entry entry = budgets_.enter(exec.agent_id, request.budget, [exchange] { exchange->wake(); });
    if (!entry.ticket) {
        exchange->respond(over_budget(exec.agent_id, entry.refusal, span_id));
        return {};
    }
    SUB_TRY(caller.use_ticket(std::move(entry.ticket)));
    caller.use_approvals(approvals_, exec.agent_id);
    caller.use_allowance(allowance_for(request));
    SUB_TRY_ASSIGN(
        supervisor::Passage passage,
        supervisor::pass_gate(machine, agent_.trace(), agent_.broker(), project->path(),
                              project->session_id(), exec, supervisor::Where::world, span_id, caller));
    if (passage.denied) {
        caller.ticket()->refund();
        caller.refuse(denial(passage, supervisor::record_denial(machine, agent_.trace(), project->path(),
                                                                project->session_id(), passage, span_id)));
        return {};
    }
    caller.use_token(issue_token(passage, *project, span_id));
    {
        const std::scoped_lock lock(mutex_);
        running_.emplace(span_id, &caller);
    }
    auto done = supervisor::execute(machine, agent_.trace(), agent_.broker(), *project, passage, span_id,
                                    {input.get(), caller.stdout_fd(), caller.stderr_fd()}, caller);
    supervisor::scrub(passage.request.scope_token);
    // It has not started.
    if (!done && caller.ticket() != nullptr) caller.ticket()->refund();
    return done;
}

std::unique_ptr<supervisor::ScopeTokens::Live> Api::issue_token(supervisor::Passage& passage,
                                                                const supervisor::Project& project,
                                                                const std::string& span_id) {
    const supervisor::Machine& machine = agent_.machine();
    if (!machine.scope_tokens) return nullptr;
    ExecRequest& exec = passage.request;
    const std::int64_t longest_ns = exec.timeout_ms > 0 ? exec.timeout_ms * 1'000'000 + kGraceNs : kLongestNs;
    auto token = machine.scope_tokens->issue(
        {.span_id = span_id,
         .session = exec.session_id.empty() ? project.session_id() : exec.session_id,
         .agent_id = exec.agent_id,
         .scopes = supervisor::granted_scopes(passage, project.path()),
         .expires_ns = machine.env.realtime_ns() + std::min(longest_ns, kLongestNs),
         .mac = {}});
    exec.scope_token = token->text();
    return token;
}

std::optional<HttpResponse> Api::check_named(const ExecRequest& exec, supervisor::Project& project) {
    if (!exec.profile.empty()) {
        const broker::Loaded loaded = agent_.broker().in_force(exec.cwd, project.path(), exec.profile);
        if (std::ranges::find(loaded.unknown, exec.profile) != loaded.unknown.end())
            return problem(
                404, "not_found", "there is no policy '" + exec.profile + "'",
                {{"pointer", "/profile"}, {"advice", "substrate policy validate lists those there are"}});
    }
    if (exec.world_id.empty() || project.has_world(exec.world_id)) return std::nullopt;
    const Json more = {{"pointer", "/world_id"}};
    for (const auto& other : agent_.projects())
        if (other->path() != project.path() && other->has_world(exec.world_id))
            return problem(
                409, "conflict",
                "the world " + exec.world_id + " is not of the project " + printable(project.path()), more);
    return problem(404, "not_found",
                   "there is no session world " + exec.world_id + ": GET /v1/worlds lists them", more);
}

HttpResponse Api::over_budget(const std::string& agent_id, const Budgets::Refusal& refusal,
                              const std::string& span_id) {
    ++rate_limited_;
    Event event{.type = std::string(event_type::kRateLimit),
                .ts_ns = agent_.machine().env.realtime_ns(),
                .session_id = {},
                .span_id = span_id,
                .fields = {{"agent_id", agent_id},
                           {"limit", refusal.limit},
                           {"maximum", refusal.maximum},
                           {"used", refusal.used}}};
    // The refusal stands, recorded or not.
    (void)agent_.trace().append(event);
    HttpResponse answer = problem(429, "budget_exhausted",
                                  "the budget " + refusal.limit + " of " + agent_id + " is used up: " +
                                      std::to_string(refusal.used) + " of " + std::to_string(refusal.maximum),
                                  {{"limit", refusal.limit}, {"span_id", span_id}});
    answer.headers.emplace_back("Retry-After", std::to_string(refusal.retry_after_s));
    return answer;
}

void Api::list_approvals(Call& call) { call.exchange->respond(json_response(approvals())); }

void Api::decide_approval(Call& call) {
    const auto id = call.body.at("approval_id").get<std::string>();
    const auto answer = broker::parse_answer(call.body.at("decision").get<std::string>());
    if (!answer) return call.exchange->respond(problem(400, "invalid", "that is no decision"));
    if (auto decided = decide(id, *answer, call.body.at("token").get<std::string>()); !decided)
        return call.exchange->respond(problem(decided.error()));
    call.exchange->respond(json_response({{"approval_id", id}, {"decision", broker::to_string(*answer)}}));
}

void Api::cancel(Call& call) {
    const auto span_id = call.body.at("span_id").get<std::string>();
    const auto name = call.body.at("signal").get<std::string>();
    const int signal = signal_number(name);
    if (signal == 0)
        return call.exchange->respond(problem(500, "internal", "the signal " + name + " has no number"));
    {
        const std::scoped_lock lock(mutex_);
        const auto it = running_.find(span_id);
        if (it != running_.end()) {
            it->second->send_signal(signal);
            return call.exchange->respond(json_response(call.body));
        }
    }
    if (signal_terminal(span_id, signal)) return call.exchange->respond(json_response(call.body));
    call.exchange->respond(
        problem(404, "not_found", "no command with the span " + printable(span_id) + " runs here"));
}

}  // namespace substrate::agent
