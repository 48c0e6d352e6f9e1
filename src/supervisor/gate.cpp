#include "supervisor/gate.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "model/exit_codes.hpp"
#include "plan/command.hpp"
#include "policy/evaluate.hpp"

namespace substrate::supervisor {
namespace {

using broker::Answer;

Event event_of(const Machine& machine, std::string_view type, const std::string& session,
               const std::string& span_id) {
    return {.type = std::string(type),
            .ts_ns = machine.env.realtime_ns(),
            .session_id = session,
            .span_id = span_id,
            .fields = Json::object()};
}

// One request on its way through.
class Gate {
  public:
    Gate(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker, std::string project,
         std::string session, Where where, std::string span_id)
        : machine_(machine),
          trace_(trace),
          broker_(broker),
          project_(std::move(project)),
          session_(std::move(session)),
          where_(where),
          span_id_(std::move(span_id)) {}

    Result<Passage> run(const ExecRequest& request, Asker& asker);

  private:
    void judge(const ExecRequest& request);
    void check_environment();
    void check_network();
    void check_place();
    void refuse(std::string rule, std::string reason, std::string alternative, bool enforced);
    Result<> ask(Asker& asker);
    broker::ApprovalQuestion question() const;
    void deny(std::string reason);
    Result<> record_violation();

    const Machine& machine_;
    trace::TraceWriter& trace_;
    broker::Broker& broker_;
    std::string project_, session_;
    Where where_;
    std::string span_id_;
    Passage made_;
};

void Gate::judge(const ExecRequest& request) {
    made_.request = request;
    made_.judgement = broker_.judge(question_of(request, project_, session_));
    const broker::Judgement& judgement = made_.judgement;
    made_.notices = judgement.notices;
    made_.denied = judgement.verdict.denied;
    made_.would_deny = judgement.verdict.would_deny;
    made_.policy_id = judgement.policies ? judgement.policies->id() : "none";
    made_.policy_hash = judgement.policies ? judgement.policies->hash() : "";
}

// Whatever the mode: what nobody has seen cannot be judged.
void Gate::check_environment() {
    for (const auto& [name, value] : made_.request.env)
        if (plan::runs_code(name))
            refuse("environment",
                   "the variable " + name + " makes a shell run commands that nobody has judged",
                   "leave it out", /*enforced=*/true);
}

// To share the host's network is to loosen: only a policy may.
void Gate::check_network() {
    // A nested command has the network that there is.
    if (!made_.judgement.policies || where_ == Where::nested) return;
    if (!made_.judgement.policies->isolate_network()) {
        made_.request.host_network = true;
        return;
    }
    if (!made_.request.host_network || where_ == Where::host) return;
    refuse("world.isolate_network", "the policy keeps commands off the host's network",
           "leave out --share-network", made_.judgement.policies->mode() == PolicyMode::enforce);
}

// On the host nothing of what a policy says about worlds would hold; in another command's world, nothing
// that asks for one of its own.
void Gate::check_place() {
    if (!made_.judgement.policies || where_ == Where::world) return;
    const bool own_world = made_.request.ephemeral && made_.request.commit != CommitMode::automatic;
    if (where_ == Where::nested) {
        if (made_.judgement.verdict.isolate && !own_world)
            refuse("commands.isolated", "the policy lets this command run in a world of its own only",
                   "run it outside of this world", made_.judgement.policies->mode() == PolicyMode::enforce);
        return;
    }
    for (const broker::Layer& layer : made_.judgement.policies->layers()) {
        const bool enforced = layer.policy.mode == PolicyMode::enforce;
        if (layer.policy.world_fs.require_world)
            refuse("world_fs.require_world", "the policy lets commands run in worlds only",
                   "leave out --no-world", enforced);
    }
    if (made_.judgement.verdict.isolate)
        refuse("commands.isolated", "the policy lets this command run in a world of its own only",
               "leave out --no-world", made_.judgement.policies->mode() == PolicyMode::enforce);
}

void Gate::refuse(std::string rule, std::string reason, std::string alternative, bool enforced) {
    if (made_.denied) return;
    Decision& decision = made_.judgement.verdict.decision;
    decision.action = DecisionAction::deny;
    decision.mode = enforced ? PolicyMode::enforce : PolicyMode::observe;
    decision.rule = std::move(rule);
    decision.pattern.clear();
    decision.command.clear();
    decision.reason = std::move(reason);
    decision.alternative = std::move(alternative);
    if (enforced) made_.denied = true;
    else made_.would_deny = true;
}

broker::ApprovalQuestion Gate::question() const {
    const broker::Judgement& judgement = made_.judgement;
    const Decision& decision = judgement.verdict.decision;
    return {.command = made_.request.cmd.empty() ? shell_join(made_.request.argv) : made_.request.cmd,
            .parts = judgement.parts,
            .reason = decision.reason,
            .rule = decision.rule,
            .pattern = decision.pattern,
            .policy_id = judgement.policies->id(),
            .directory = judgement.scope.directory,
            .scope_pattern = judgement.scope.pattern,
            .impact = {},
            .timeout_ms = judgement.policies->approval_timeout_ms()};
}

void Gate::deny(std::string reason) {
    made_.denied = true;
    Decision& decision = made_.judgement.verdict.decision;
    decision.reason += ": " + std::move(reason);
}

Result<> Gate::ask(Asker& asker) {
    const broker::Judgement& judgement = made_.judgement;
    if (made_.denied || !judgement.verdict.asks || judgement.approved) return {};
    if (where_ == Where::nested) {
        deny("nobody can be asked from inside a world (run it outside)");
        return {};
    }
    if (!judgement.policies->interactive()) {
        deny("the policy lets nobody be asked (approval.interactive)");
        return {};
    }
    // A replay changes nothing and shows nothing new: it is asked about as what it repeats.
    const bool previewed = judgement.policies->commit() == CommitMode::ask && where_ == Where::world &&
                           made_.request.commit != CommitMode::discard;
    if (previewed) {
        SUB_TRY_ASSIGN(const bool possible, asker.can_ask());
        if (possible) made_.preview = question();
        else deny(asker.silence());
        return {};
    }
    SUB_TRY_ASSIGN(const std::optional<Answer> answer, asker.ask_approval(question()));
    if (std::string problem = note_answer(machine_, trace_, broker_, made_, session_, span_id_, answer);
        !problem.empty())
        made_.notices.push_back(std::move(problem));
    if (!answer) deny(asker.silence());
    else if (*answer == Answer::deny) deny("the answer was no");
    return {};
}

Result<> Gate::record_violation() {
    if (!made_.denied && !made_.would_deny) return {};
    Event event = event_of(machine_, event_type::kPolicyViolation, session_, span_id_);
    const Decision& decision = made_.judgement.verdict.decision;
    event.fields["outcome"] = made_.denied ? "denied" : "would_deny";
    put_bytes(event.fields, "cmd",
              made_.request.cmd.empty() ? shell_join(made_.request.argv) : made_.request.cmd);
    put_bytes(event.fields, "command", decision.command);
    event.fields["rule"] = decision.rule;
    put_bytes(event.fields, "pattern", decision.pattern);
    put_bytes(event.fields, "reason", decision.reason);
    event.fields["policy_id"] = made_.policy_id;
    event.fields["policy_hash"] = made_.policy_hash;
    event.fields["agent_id"] = made_.request.agent_id;
    return trace_.append(event);
}

Result<Passage> Gate::run(const ExecRequest& request, Asker& asker) {
    judge(request);
    check_environment();
    check_network();
    check_place();
    (void)trace_reloads(machine_, trace_, broker_);
    SUB_TRY(ask(asker));
    if (auto recorded = record_violation(); !recorded)
        made_.notices.push_back("the violation was not recorded: " + recorded.error().describe());
    const Decision& decision = made_.judgement.verdict.decision;
    made_.decision = {.action = to_string(decision.action),
                      .rule = decision.rule,
                      .pattern = decision.pattern,
                      .reason = decision.reason,
                      .restrictions = decision.restrictions};
    if (made_.denied) {
        std::string text = policy::denial_text(decision);
        if (decision.action != DecisionAction::deny) text += ": " + printable(decision.reason);
        if (!decision.alternative.empty()) text += "; instead: " + printable(decision.alternative);
        made_.notices.push_back(std::move(text));
        return std::move(made_);
    }
    if (made_.would_deny) made_.notices.push_back(policy::denial_text(decision));
    made_.request =
        tightened(std::move(made_.request), made_.judgement,
                  {.project = project_, .home = broker_.places().home}, made_.preview.has_value());
    return std::move(made_);
}

}  // namespace

ExecRequest tightened(ExecRequest request, const broker::Judgement& judgement,
                      const policy::PatternValues& ground, bool preview) {
    if (!judgement.policies) return request;
    const broker::PolicySet& policies = *judgement.policies;
    std::vector<std::string> granted;
    for (const broker::ScopeGrantPtr& grant : judgement.grants)
        if (grant->scope.kind == broker::ScopeKind::fs_write) granted.push_back(grant->scope.value);
    request.fs = policies.fs_access(ground, granted);
    request.commit = std::max(request.commit, policies.commit());
    if (!policies.reuse_session()) request.ephemeral = true;
    if (judgement.verdict.isolate) {
        request.ephemeral = true;
        request.commit = std::max(request.commit, CommitMode::ask);
    } else if (judgement.verdict.direct && !request.capture && request.commit == CommitMode::automatic &&
               !request.ephemeral) {
        request.capture = CaptureStrategy::direct;
    }
    if (preview) {
        request.ephemeral = true;
        request.host_network = false;
        request.capture.reset();
        request.commit = CommitMode::ask;
        // Who listens there would act on what nobody has consented to.
        request.fs.sockets.clear();
    }
    // Changes that are not to reach the host by themselves cannot be made in place.
    if (request.capture == CaptureStrategy::direct && request.commit != CommitMode::automatic)
        request.capture.reset();
    request.limits = policies.limits();
    request.tcp_ports = request.host_network ? policies.tcp_ports() : std::nullopt;
    request.seccomp = policies.seccomp();
    const std::int64_t limit = request.limits.runtime_ms;
    if (limit > 0) request.timeout_ms = request.timeout_ms == 0 ? limit : std::min(request.timeout_ms, limit);
    return request;
}

broker::Question question_of(const ExecRequest& request, const std::string& project,
                             const std::string& session) {
    broker::Question question{.cwd = request.cwd,
                              .governed_by = request.governed_by,
                              .project = project,
                              .session = session,
                              .profile = request.profile,
                              .agent_id = request.agent_id};
    question.argv = request.argv;
    if (!request.argv.empty()) return question;
    const std::string_view shell = policy::base_name(request.shell);
    question.line = request.cmd;
    if (shell == "bash") question.dialect = policy::Dialect::bash;
    else if (shell == "sh" || shell == "dash") question.dialect = policy::Dialect::posix;
    // Another program's language is not ours to read: judged as what is executed.
    else question.argv = {request.shell, "-c", request.cmd};
    return question;
}

Result<Passage> pass_gate(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker,
                          const std::string& project, const std::string& session, const ExecRequest& request,
                          Where where, const std::string& span_id, Asker& asker) {
    return Gate(machine, trace, broker, project, session, where, span_id).run(request, asker);
}

std::string note_answer(const Machine& machine, trace::TraceWriter& trace, broker::Broker& broker,
                        const Passage& passage, const std::string& session, const std::string& span_id,
                        std::optional<Answer> answer) {
    Event event = event_of(machine, event_type::kApproval, session, span_id);
    const broker::ApprovalScope& scope = passage.judgement.scope;
    event.fields["answer"] = answer ? broker::to_string(*answer) : "nobody";
    put_bytes(event.fields, "command", scope.pattern);
    put_bytes(event.fields, "directory", scope.directory);
    event.fields["policy_id"] = scope.policy_id;
    event.fields["policy_hash"] = scope.policy_hash;
    event.fields["agent_id"] = passage.request.agent_id;
    std::string problem;
    if (answer)
        if (auto kept = broker.answer(passage.judgement, *answer, session); !kept) {
            problem = "the answer holds for this once only: " + kept.error().describe();
            event.fields["problem"] = problem;
        }
    // The span says what was decided, whether or not this is written.
    (void)trace.append(event);
    return problem;
}

void fill_decision(Span& span, const Passage& passage) {
    span.policy_id = passage.policy_id;
    span.policy_hash = passage.policy_hash;
    span.decision = passage.decision;
    span.replay.policy_id = passage.policy_id;
    span.replay.policy_hash = passage.policy_hash;
}

void note_observed(Span& span, const Passage& passage) {
    const bool plain = span.outcome == Outcome::ok || span.outcome == Outcome::failed;
    if (passage.would_deny && plain) span.outcome = Outcome::would_deny;
}

Span denied_span(const Machine& machine, const std::string& project, const std::string& session,
                 const Passage& passage, const std::string& span_id) {
    const ExecRequest& request = passage.request;
    Span span;
    span.ts_ns = span.started_ns = machine.env.realtime_ns();
    span.span_id = span_id;
    span.session_id = session;
    span.parent_span = request.parent_span;
    span.traceparent = request.traceparent;
    span.nested_depth = request.nested_depth;
    span.component = "broker";
    span.agent_id = request.agent_id;
    span.project = project;
    span.cwd = request.cwd;
    span.cmd = request.cmd.empty() ? shell_join(request.argv) : request.cmd;
    span.argv = request.argv;
    // A refused line was read by its shell's rules.
    if (span.argv.empty()) span.argv = {request.shell, "-c", request.cmd};
    span.exit = to_int(ExitCode::denied);
    span.outcome = Outcome::denied;
    span.commit = "none";
    span.replay.env = request.env;
    span.replay.env_hash = request.env_hash;
    span.replay.umask = request.umask;
    span.replay.cwd = request.cwd;
    span.replay.argv = request.argv;
    span.replay.world_image_version = SUBSTRATE_VERSION;
    fill_decision(span, passage);
    return span;
}

ExecResult record_denial(const Machine& machine, trace::TraceWriter& trace, const std::string& project,
                         const std::string& session, const Passage& passage, const std::string& span_id) {
    ExecResult result;
    result.span = denied_span(machine, project, session, passage, span_id);
    result.notices = passage.notices;
    if (auto written = trace.append(result.span); !written)
        result.notices.push_back("the span was not recorded: " + written.error().describe());
    return result;
}

std::vector<broker::Reload> trace_reloads(const Machine& machine, trace::TraceWriter& trace,
                                          broker::Broker& broker) {
    std::vector<broker::Reload> reloads = broker.take_reloads();
    for (const broker::Reload& reload : reloads) {
        Event event = event_of(machine, event_type::kPolicyReload, {}, {});
        put_bytes(event.fields, "directory", reload.directory);
        event.fields["policy_id"] = reload.policy_id;
        event.fields["old_hash"] = reload.old_hash;
        event.fields["policy_hash"] = reload.new_hash;
        if (!reload.problem.empty()) put_bytes(event.fields, "problem", reload.problem);
        (void)trace.append(event);
    }
    return reloads;
}

}  // namespace substrate::supervisor
