#include "agent/execute_request.hpp"

#include "agent/problem.hpp"
#include "base/id_form.hpp"
#include "base/text.hpp"
#include "base/trace_context.hpp"
#include "codec/base64.hpp"

namespace substrate::agent {
namespace {

std::unexpected<HttpResponse> invalid(const std::string& pointer, const std::string& detail) {
    return std::unexpected(problem(400, "invalid", pointer + ": " + detail, {{"pointer", pointer}}));
}

bool has_nul(const std::string& text) { return text.contains('\0'); }

bool is_policy_id(const std::string& text) {
    return !text.empty() &&
           text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

std::optional<std::int64_t> number_in(const Json& object, const char* key) {
    const auto it = object.find(key);
    if (it == object.end()) return std::nullopt;
    return it->get<std::int64_t>();
}

}  // namespace

std::optional<HttpResponse> check_agent_id(const Json& body) {
    if (!body.is_object()) return std::nullopt;
    const Json more = {{"pointer", "/agent_id"}};
    const auto it = body.find("agent_id");
    if (it == body.end() || it->is_null() || (it->is_string() && it->get_ref<const std::string&>().empty()))
        return problem(400, "agent_id_required", "every call says who asks, in agent_id", more);
    // Any other problem of its form is its schema's.
    if (!it->is_string()) return std::nullopt;
    if (const auto& name = it->get_ref<const std::string&>(); printable(name) != name)
        return problem(400, "agent_id_invalid", "agent_id has characters that are not for showing", more);
    return std::nullopt;
}

std::expected<ExecuteRequest, HttpResponse> read_execute(const Json& body, const Peer& peer,
                                                         const std::map<std::string, std::string>& base) {
    ExecuteRequest request;
    ExecRequest& exec = request.exec;
    exec.agent_id = body.at("agent_id").get<std::string>();
    exec.cmd = body.at("cmd").get<std::string>();
    if (has_nul(exec.cmd)) return invalid("/cmd", "holds a NUL character");
    exec.cwd = body.value("cwd", peer.cwd);
    if (exec.cwd.empty()) return invalid("/cwd", "is required: your own directory cannot be told");
    if (!exec.cwd.starts_with('/')) return invalid("/cwd", "is not an absolute path");
    if (has_nul(exec.cwd)) return invalid("/cwd", "holds a NUL character");
    exec.env = base;
    if (const auto env = body.find("env"); env != body.end()) {
        for (const auto& [name, value] : env->items()) {
            if (name.empty() || name.contains('=') || has_nul(name))
                return invalid("/env", "a variable cannot be called '" + printable(name) + "'");
            exec.env[name] = value.get<std::string>();
            if (has_nul(exec.env[name]))
                return invalid("/env", "the value of " + printable(name) + " holds a NUL character");
        }
    }
    if (const auto input = body.find("stdin_b64"); input != body.end()) {
        auto bytes = from_base64(input->get_ref<const std::string&>());
        if (!bytes) return invalid("/stdin_b64", bytes.error().message());
        request.stdin_bytes = std::move(*bytes);
    }
    if (const auto given = body.find("traceparent"); given != body.end()) {
        auto traceparent = read_traceparent(given->get_ref<const std::string&>());
        if (!traceparent) return invalid("/traceparent", "is not of the form of W3C Trace Context");
        exec.traceparent = std::move(*traceparent);
    }
    exec.profile = body.value("profile", "");
    if (body.contains("profile") && !is_policy_id(exec.profile))
        return invalid("/profile", "is no policy's id: small letters, digits and hyphens");
    exec.world_id = body.value("world_id", "");
    if (body.contains("world_id") && !is_id(exec.world_id, "wld"))
        return invalid("/world_id", "is no world's id: wld_ and a UUID");
    if (!exec.world_id.empty() && body.value("isolate", false))
        return invalid("/world_id", "does not go with isolate, which is a world of its own");
    if (body.value("pty", false)) exec.terminal.emplace();
    exec.timeout_ms = number_in(body, "timeout_ms").value_or(0);
    // As a policy's `isolated`: nobody is here to be asked, so its changes are kept.
    if (body.value("isolate", false)) {
        exec.ephemeral = true;
        exec.commit = CommitMode::ask;
    }
    if (const auto budget = body.find("budget"); budget != body.end()) {
        request.budget.max_execs = number_in(*budget, "max_execs");
        request.budget.max_runtime_ms = number_in(*budget, "max_runtime_ms");
        // Counted where the bytes pass, in the gateway.
        if (const auto bytes = number_in(*budget, "max_egress_bytes"))
            exec.agent_egress_bytes = static_cast<std::uint64_t>(*bytes);
    }
    exec.observes_output = true;
    return request;
}

}  // namespace substrate::agent
