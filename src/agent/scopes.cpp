// What an agent may have beyond its policies: POST /v1/request_scopes.
#include "agent/api.hpp"
#include "agent/execute_answers.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/time_text.hpp"
#include "supervisor/scope_request.hpp"

namespace substrate::agent {
namespace {

using Verdict = supervisor::ScopeAnswer::Verdict;

void put_reasons(Json& result, const supervisor::ScopeAnswer& answer) {
    const auto add = [&](const char* key, const std::string& text) {
        if (!text.empty()) result[key] = printable(text);
    };
    add("rule", answer.rule);
    add("pattern", answer.pattern);
    add("reason", answer.reason);
    result["policy_id"] = answer.policy_id;
    if (!answer.grant) return;
    result["grant_id"] = answer.grant->id;
    result["expires"] = format_rfc3339(answer.grant->expires_ns);
}

}  // namespace

Result<> Api::decide(const std::string& approval_id, broker::Answer answer, const std::string& token) {
    SUB_TRY(approvals_.decide(approval_id, answer, token));
    scope_requests_.settle(agent_.broker(), agent_.trace());
    return {};
}

Json Api::approvals() {
    scope_requests_.settle(agent_.broker(), agent_.trace());
    return approvals_.list();
}

Result<Json> Api::request_scope(const supervisor::Project& project, const supervisor::ScopeQuestion& question,
                                const Json& body) {
    broker::Broker& broker = agent_.broker();
    SUB_TRY_ASSIGN(const supervisor::ScopeAnswer answer,
                   supervisor::answer_scope(agent_.machine(), broker, project, question));
    Json result = {{"scope", printable(to_string(question.scope))}, {"status", "granted"}};
    put_reasons(result, answer);
    if (answer.verdict == Verdict::granted) return result;
    result["status"] = "denied";
    if (answer.verdict == Verdict::denied) return result;
    const broker::Loaded loaded = broker.in_force(question.cwd, project.path());
    if (!loaded.set) return fail({Errc::unavailable, "no policy could be read"});
    const std::int64_t timeout_ms = loaded.set->approval_timeout_ms();
    if (!loaded.set->interactive()) {
        result["rule"] = "approval.interactive";
        result["reason"] = "the policy lets nobody be asked";
        return result;
    }
    const ScopeRequests::State state =
        scope_requests_.ask({.scope = question.scope,
                             .agent_id = question.agent_id,
                             .project = project.path(),
                             .session = question.session,
                             .reason = body.value("reason", ""),
                             .policy_id = loaded.set->id(),
                             .policy_hash = loaded.set->hash(),
                             .ttl_ms = body.value("ttl_ms", ScopeRequests::kUsualMs),
                             .patience_ms = timeout_ms > 0 ? timeout_ms : ScopeRequests::kDecisionMs,
                             .why = answer.reason,
                             .rule = answer.rule,
                             .pattern = answer.pattern});
    if (state.full) return fail(Error(Errc::unavailable, "too many questions wait for a decision already"));
    if (state.refused) {
        result["reason"] = "a person has said no";
        return result;
    }
    result["status"] = "pending";
    result["approval_id"] = state.approval_id;
    return result;
}

void Api::request_scopes(Call& call) {
    const auto refuse = [&](HttpResponse refusal) { call.exchange->respond(std::move(refusal)); };
    const auto invalid = [&](const std::string& pointer, const Error& error) {
        Json more = {{"pointer", pointer}};
        if (!error.advice().empty()) more["advice"] = printable(error.advice());
        refuse(problem(400, "invalid", printable(error.message()), std::move(more)));
    };
    std::string cwd = call.body.value("cwd", call.peer.cwd);
    if (!cwd.starts_with('/') || cwd.contains('\0'))
        return invalid("/cwd", {Errc::invalid, "/cwd: is not an absolute path"});
    auto real = real_directory(cwd);
    if (!real) return invalid("/cwd", real.error());
    scope_requests_.settle(agent_.broker(), agent_.trace());
    const auto project = agent_.project(supervisor::find_project(*real, agent_.machine().facts.home));
    if (!project) return refuse(problem(project.error()));
    const policy::PatternValues values{.project = (*project)->path(), .home = agent_.broker().places().home};
    // All of them are read before anybody is asked about one.
    std::vector<broker::Scope> scopes;
    for (const Json& text : call.body.at("scopes")) {
        auto scope = broker::read_scope(text.get_ref<const std::string&>(), values);
        if (!scope) return invalid("/scopes/" + std::to_string(scopes.size()), scope.error());
        scopes.push_back(std::move(*scope));
    }
    Json results = Json::array();
    for (const broker::Scope& scope : scopes) {
        auto result = request_scope(**project,
                                    {.scope = scope,
                                     .agent_id = call.body.at("agent_id").get<std::string>(),
                                     .cwd = *real,
                                     .session = (*project)->session_id()},
                                    call.body);
        if (!result && result.error().code() == Errc::invalid)
            return invalid("/scopes/" + std::to_string(results.size()), result.error());
        if (!result) return refuse(problem(result.error()));
        results.push_back(std::move(*result));
    }
    call.exchange->respond(json_response({{"results", std::move(results)}}));
}

void Api::list_grants(Call& call) {
    scope_requests_.settle(agent_.broker(), agent_.trace());
    call.exchange->respond(json_response({{"grants", supervisor::describe_grants(agent_.broker())}}));
}

void Api::revoke_grant(Call& call) {
    if (!is_id(call.parameter, "grt"))
        return call.exchange->respond(problem(400, "invalid", "that is no grant id: grt_ and a UUID"));
    const auto gone =
        supervisor::revoke_grant(agent_.machine(), agent_.broker(), agent_.trace(), call.parameter);
    if (!gone) return call.exchange->respond(problem(gone.error()));
    call.exchange->respond(json_response({{"deleted", call.parameter}}));
}

}  // namespace substrate::agent
