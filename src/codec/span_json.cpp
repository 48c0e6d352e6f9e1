#include "codec/span_json.hpp"

#include <optional>

#include "codec/fs_diff_json.hpp"
#include "codec/object_reader.hpp"
#include "codec/time_text.hpp"

namespace substrate {
namespace {

constexpr std::string_view kEventType = "command_complete";

std::optional<Outcome> parse_outcome(std::string_view text) {
    for (const auto outcome : {Outcome::ok, Outcome::failed, Outcome::denied, Outcome::would_deny,
                               Outcome::timeout, Outcome::killed, Outcome::budget})
        if (text == to_string(outcome)) return outcome;
    return std::nullopt;
}

void put_unless_empty(Json& object, std::string_view key, std::string_view text) {
    if (!text.empty()) put_bytes(object, key, text);
}

Json capture_json(const CaptureRecord& capture) {
    Json object = Json::object();
    object.emplace("primary", to_string(capture.primary));
    object.emplace("final", to_string(capture.final));
    object.emplace("fallback_reason",
                   capture.fallback_reason.empty() ? Json() : Json(capture.fallback_reason));
    return object;
}

Json limits_json(const EnforcedLimits& limits) {
    Json object = Json::object();
    if (limits.cpu_millis != 0) object.emplace("cpu_millis", limits.cpu_millis);
    if (limits.memory_bytes != 0) object.emplace("memory_bytes", limits.memory_bytes);
    if (limits.pids != 0) object.emplace("pids", limits.pids);
    if (limits.tmp_bytes != 0) object.emplace("tmp_bytes", limits.tmp_bytes);
    if (limits.memory_is_default) object.emplace("memory_is_default", true);
    if (limits.pids_is_default) object.emplace("pids_is_default", true);
    if (!limits.io.any()) return object;
    Json io = Json::object();
    for (const auto& [name, value] : {std::pair{"read_bps", limits.io.read_bps},
                                      {"write_bps", limits.io.write_bps},
                                      {"read_iops", limits.io.read_iops},
                                      {"write_iops", limits.io.write_iops}})
        if (value != 0) io.emplace(name, value);
    object.emplace("io", std::move(io));
    return object;
}

Json enforcement_json(const Enforcement& layers) {
    Json object = Json::object();
    object.emplace("user_namespace", layers.user_namespace);
    object.emplace("mount_namespace", layers.mount_namespace);
    object.emplace("pid_namespace", layers.pid_namespace);
    object.emplace("netns", layers.netns);
    object.emplace("seccomp", layers.seccomp);
    put_unless_empty(object, "seccomp_hash", layers.seccomp_hash);
    object.emplace("no_new_privs", layers.no_new_privs);
    object.emplace("capabilities_dropped", layers.capabilities_dropped);
    object.emplace("landlock_abi", layers.landlock_abi);
    if (layers.tcp_ports) object.emplace("landlock_tcp_ports", *layers.tcp_ports);
    if (!layers.unix_sockets.empty()) put_bytes(object, "unix_sockets", layers.unix_sockets);
    if (layers.fs_guard != 0) object.emplace("fs_guard", layers.fs_guard);
    if (layers.fs_rules != 0) object.emplace("fs_rules", layers.fs_rules);
    put_unless_empty(object, "cgroup", layers.cgroup);
    if (layers.limits != EnforcedLimits{}) object.emplace("limits", limits_json(layers.limits));
    return object;
}

Json decision_json(const PolicyDecision& decision) {
    Json object = Json::object();
    object.emplace("action", decision.action);
    put_unless_empty(object, "rule", decision.rule);
    put_unless_empty(object, "pattern", decision.pattern);
    put_unless_empty(object, "reason", decision.reason);
    put_bytes(object, "restrictions", decision.restrictions);
    return object;
}

Json replay_json(const ReplayContext& replay) {
    Json object = Json::object();
    put_bytes(object, "path", replay.path);
    put_bytes(object, "env", replay.env);
    put_unless_empty(object, "env_hash", replay.env_hash);
    object.emplace("umask", replay.umask);
    put_unless_empty(object, "locale", replay.locale);
    put_bytes(object, "cwd", replay.cwd);
    object.emplace("policy_id", replay.policy_id);
    object.emplace("policy_hash", replay.policy_hash);
    put_unless_empty(object, "policy_commit", replay.policy_commit);
    put_unless_empty(object, "world_image_version", replay.world_image_version);
    put_unless_empty(object, "root_provider", replay.root_provider);
    put_unless_empty(object, "hostname", replay.hostname);
    if (!replay.argv.empty()) put_bytes(object, "argv", replay.argv);
    put_unless_empty(object, "tool_path", replay.tool_path);
    put_unless_empty(object, "tool_hash", replay.tool_hash);
    return object;
}

Json output_json(const OutputRecord& output) {
    Json object = Json::object();
    put_unless_empty(object, "stdout_hash", output.stdout_hash);
    put_unless_empty(object, "stderr_hash", output.stderr_hash);
    object.emplace("stdout_bytes", output.stdout_bytes);
    object.emplace("stderr_bytes", output.stderr_bytes);
    object.emplace("merged", output.merged);
    return object;
}

Json nested_json(const Span& span) {
    Json object = Json::object();
    object.emplace("depth", span.nested_depth);
    Json told = {"cwd", "exit", "output", "replay_context"};
    if (!span.traceparent.empty()) told.push_back("traceparent");
    object.emplace("told_by_world", std::move(told));
    return object;
}

void put_degradations(Json& object, const std::vector<Degradation>& degraded) {
    Json names = Json::array();
    Json details = Json::array();
    for (const Degradation& item : degraded) {
        names.push_back(item.component);
        Json detail = Json::object();
        detail.emplace("component", item.component);
        detail.emplace("reason", item.reason);
        detail.emplace("fix", item.fix);
        details.push_back(std::move(detail));
    }
    object.emplace("degraded_components", std::move(names));
    object.emplace("degradations", std::move(details));
}

void read_capture(ObjectReader& reader, CaptureRecord& capture) {
    reader.word("primary", capture.primary, parse_capture_strategy);
    reader.word("final", capture.final, parse_capture_strategy);
    reader.string("fallback_reason", capture.fallback_reason);
}

void read_enforcement(ObjectReader& reader, Enforcement& layers) {
    reader.boolean("user_namespace", layers.user_namespace);
    reader.boolean("mount_namespace", layers.mount_namespace);
    reader.boolean("pid_namespace", layers.pid_namespace);
    reader.string("netns", layers.netns);
    reader.string("seccomp", layers.seccomp);
    reader.bytes("seccomp_hash", layers.seccomp_hash);
    reader.boolean("no_new_privs", layers.no_new_privs);
    reader.boolean("capabilities_dropped", layers.capabilities_dropped);
    reader.integer("landlock_abi", layers.landlock_abi);
    reader.integers("landlock_tcp_ports", layers.tcp_ports);
    reader.bytes("unix_sockets", layers.unix_sockets);
    reader.integer("fs_guard", layers.fs_guard);
    reader.integer("fs_rules", layers.fs_rules);
    reader.bytes("cgroup", layers.cgroup);
    reader.object("limits", [&](ObjectReader& item) {
        item.integer("cpu_millis", layers.limits.cpu_millis);
        item.integer("memory_bytes", layers.limits.memory_bytes);
        item.integer("pids", layers.limits.pids);
        item.integer("tmp_bytes", layers.limits.tmp_bytes);
        item.boolean("memory_is_default", layers.limits.memory_is_default);
        item.boolean("pids_is_default", layers.limits.pids_is_default);
        item.object("io", [&](ObjectReader& most) {
            most.integer("read_bps", layers.limits.io.read_bps);
            most.integer("write_bps", layers.limits.io.write_bps);
            most.integer("read_iops", layers.limits.io.read_iops);
            most.integer("write_iops", layers.limits.io.write_iops);
        });
    });
}

void read_decision(ObjectReader& reader, PolicyDecision& decision) {
    reader.string("action", decision.action);
    reader.bytes("rule", decision.rule);
    reader.bytes("pattern", decision.pattern);
    reader.bytes("reason", decision.reason);
    reader.bytes("restrictions", decision.restrictions);
}

void read_replay(ObjectReader& reader, ReplayContext& replay) {
    reader.bytes("path", replay.path);
    reader.bytes("env", replay.env);
    reader.bytes("env_hash", replay.env_hash);
    reader.integer("umask", replay.umask);
    reader.bytes("locale", replay.locale);
    reader.bytes("cwd", replay.cwd);
    reader.string("policy_id", replay.policy_id);
    reader.string("policy_hash", replay.policy_hash);
    reader.bytes("policy_commit", replay.policy_commit);
    reader.bytes("world_image_version", replay.world_image_version);
    reader.bytes("root_provider", replay.root_provider);
    reader.bytes("hostname", replay.hostname);
    reader.bytes("argv", replay.argv);
    reader.bytes("tool_path", replay.tool_path);
    reader.bytes("tool_hash", replay.tool_hash);
}

void read_output(ObjectReader& reader, OutputRecord& output) {
    reader.bytes("stdout_hash", output.stdout_hash);
    reader.bytes("stderr_hash", output.stderr_hash);
    reader.integer("stdout_bytes", output.stdout_bytes);
    reader.integer("stderr_bytes", output.stderr_bytes);
    reader.boolean("merged", output.merged);
}

void read_identity(ObjectReader& reader, Span& span) {
    std::string event_type;
    reader.require("event_type");
    reader.require("span_id");
    reader.string("event_type", event_type);
    if (event_type != kEventType) reader.problem("event_type", "is not command_complete");
    reader.string("span_id", span.span_id);
    if (span.span_id.empty()) reader.problem("span_id", "is empty");
    reader.string("session_id", span.session_id);
    reader.string("parent_span", span.parent_span);
    reader.string("traceparent", span.traceparent);
    reader.string("component", span.component);
    reader.string("world_id", span.world_id);
    reader.string("policy_id", span.policy_id);
    reader.string("policy_hash", span.policy_hash);
    reader.bytes("agent_id", span.agent_id);
    reader.time("ts", span.ts_ns);
    reader.time("started_at", span.started_ns);
}

}  // namespace

Json to_json(const Span& span) {
    Json object = beginning_json(span);
    put_ending(object, span);
    return object;
}

Json beginning_json(const Span& span) {
    Json object = Json::object();
    object.emplace("event_type", kEventType);
    object.emplace("trace_schema_version", kTraceSchemaVersion);
    object.emplace("started_at", format_rfc3339(span.started_ns));
    object.emplace("session_id", span.session_id);
    object.emplace("span_id", span.span_id);
    if (!span.parent_span.empty()) object.emplace("parent_span", span.parent_span);
    if (!span.traceparent.empty()) object.emplace("traceparent", span.traceparent);
    object.emplace("component", span.component);
    object.emplace("world_id", span.world_id);
    object.emplace("policy_id", span.policy_id);
    object.emplace("policy_hash", span.policy_hash);
    put_bytes(object, "agent_id", span.agent_id);
    put_bytes(object, "project", span.project);
    put_bytes(object, "cwd", span.cwd);
    put_bytes(object, "cmd", span.cmd);
    if (!span.argv.empty()) put_bytes(object, "argv", span.argv);
    object.emplace("world_fs_strategy", capture_json(span.capture));
    object.emplace("enforcement", enforcement_json(span.enforcement));
    object.emplace("policy_decision", decision_json(span.decision));
    object.emplace("replay_context", replay_json(span.replay));
    object.emplace("warm", span.warm);
    if (span.nested_depth != 0) object.emplace("nested", nested_json(span));
    if (span.pty) object.emplace("pty", true);
    return object;
}

void put_ending(Json& object, const Span& span) {
    object.emplace("ts", format_rfc3339(span.ts_ns));
    object.emplace("exit", span.exit);
    if (span.signal != 0) object.emplace("signal", span.signal);
    object.emplace("outcome", to_string(span.outcome));
    put_unless_empty(object, "outcome_reason", span.outcome_reason);
    object.emplace("duration_ms", span.duration_ms);
    Json usage = Json::object();
    usage.emplace("cpu_ms", span.usage.cpu_ms);
    usage.emplace("max_rss", span.usage.max_rss_kb);
    object.emplace("usage", std::move(usage));
    put_bytes(object, "scopes_used", span.scopes_used);
    object.emplace("fs_diff", to_json(span.fs_diff));
    put_unless_empty(object, "commit", span.commit);
    put_degradations(object, span.degraded);
    object.emplace("output", output_json(span.output));
}

Result<Span> span_from_json(const Json& value) {
    ObjectReader reader(value);
    Span span;
    read_identity(reader, span);
    reader.bytes("project", span.project);
    reader.bytes("cwd", span.cwd);
    reader.bytes("cmd", span.cmd);
    reader.bytes("argv", span.argv);
    reader.integer("exit", span.exit);
    reader.integer("signal", span.signal);
    reader.word("outcome", span.outcome, parse_outcome);
    reader.string("outcome_reason", span.outcome_reason);
    reader.number("duration_ms", span.duration_ms);
    reader.object("usage", [&](ObjectReader& usage) {
        usage.integer("cpu_ms", span.usage.cpu_ms);
        usage.integer("max_rss", span.usage.max_rss_kb);
    });
    reader.bytes("scopes_used", span.scopes_used);
    reader.bytes("commit", span.commit);
    reader.object("world_fs_strategy", [&](ObjectReader& r) { read_capture(r, span.capture); });
    reader.objects("degradations", [&](ObjectReader& item) {
        Degradation& degradation = span.degraded.emplace_back();
        item.string("component", degradation.component);
        item.string("reason", degradation.reason);
        item.string("fix", degradation.fix);
    });
    reader.object("enforcement", [&](ObjectReader& r) { read_enforcement(r, span.enforcement); });
    reader.object("policy_decision", [&](ObjectReader& r) { read_decision(r, span.decision); });
    reader.object("replay_context", [&](ObjectReader& r) { read_replay(r, span.replay); });
    reader.object("output", [&](ObjectReader& r) { read_output(r, span.output); });
    reader.boolean("warm", span.warm);
    reader.object("nested", [&](ObjectReader& nested) { nested.integer("depth", span.nested_depth); });
    reader.boolean("pty", span.pty);
    const Json* diff = reader.find("fs_diff");
    SUB_TRY(reader.finish());
    if (diff != nullptr) {
        SUB_TRY_ASSIGN(span.fs_diff, fs_diff_from_json(*diff, "/fs_diff"));
    }
    return span;
}

}  // namespace substrate
