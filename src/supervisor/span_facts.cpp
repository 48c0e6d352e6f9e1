#include "supervisor/span_facts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>

#include <set>

#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "supervisor/command_line.hpp"

namespace substrate::supervisor {
namespace {

std::string locale_of(const std::map<std::string, std::string>& env) {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"})
        if (const auto it = env.find(name); it != env.end() && !it->second.empty()) return it->second;
    return "C";
}

ReplayContext replay_context(const ExecRequest& request, const world::ExecOrder& order,
                             const plan::WorldPlan& plan) {
    ReplayContext context;
    if (const auto path = request.env.find("PATH"); path != request.env.end()) context.path = path->second;
    context.env = request.env;
    context.env_hash = request.env_hash;
    context.umask = request.umask;
    context.locale = locale_of(request.env);
    context.cwd = request.cwd;
    context.world_image_version = SUBSTRATE_VERSION;
    context.root_provider = "host";
    context.hostname = plan.hostname;
    context.argv = request.argv;
    context.tool_path = order.program;
    context.tool_hash = program_identity(order.program);
    return context;
}

}  // namespace

void fill_span(Span& span, const Machine& machine, const Project& project, const ExecRequest& request,
               const world::ExecOrder& order, const plan::WorldPlan& plan, bool warm) {
    span.session_id = request.session_id.empty() ? project.session_id() : request.session_id;
    span.parent_span = request.parent_span;
    span.traceparent = request.traceparent;
    span.world_id = plan.world_id;
    span.agent_id = request.agent_id;
    span.project = project.path();
    span.cwd = request.cwd;
    span.cmd = request.cmd.empty() ? shell_join(request.argv) : request.cmd;
    span.argv = order.argv;
    span.warm = warm;
    span.pty = request.terminal.has_value();
    span.capture = plan.capture_record;
    span.degraded.insert(span.degraded.end(), plan.degradations.begin(), plan.degradations.end());
    // Compiled when the world was made.
    const auto filter = machine.seccomp->of(plan.seccomp);
    span.enforcement = {
        .user_namespace = plan.user_namespace,
        .mount_namespace = true,
        .pid_namespace = true,
        .netns = to_string(plan.network),
        .seccomp = to_string(plan.seccomp),
        .seccomp_hash = filter ? (*filter)->hash : "",
        .no_new_privs = true,
        .capabilities_dropped = true,
        .landlock_abi = plan.landlock.abi,
        .tcp_ports = plan.landlock.tcp_ports,
        .unix_sockets = plan::named_sockets(plan),
        .fs_guard = static_cast<int>(plan.guard.patterns.size() + plan.guard.paths.size()),
        .fs_rules = static_cast<int>(plan.guard.write_rules.size() + plan.guard.read_rules.size()),
        .cgroup = {},  // by note_group
        .limits = {}};
    span.replay = replay_context(request, order, plan);
}

void note_group(Span& span, const SessionWorld& world) {
    span.enforcement.cgroup = fmt::format("{}", fmt::join(world.cgroup.directories(), " "));
    const plan::Limits& limits = world.plan.limits;
    const plan::Limits& held = world.cgroup.held();
    span.enforcement.limits = {.cpu_millis = held.cpu_millis,
                               .memory_bytes = held.memory_bytes,
                               .pids = limits.pids_by_user ? limits.pids : held.pids,
                               .tmp_bytes = plan::scratch_sizes(limits).tmp,
                               .memory_is_default = held.memory_bytes != 0 && limits.memory_is_default,
                               .pids_is_default = limits.pids_is_default,
                               .io = held.io};
    if (span.enforcement.limits.pids == 0) span.enforcement.limits.pids_is_default = false;
    const auto& missing = world.cgroup.missing_defaults();
    span.degraded.insert(span.degraded.end(), missing.begin(), missing.end());
}

void fill_outcome(Span& span, const std::optional<world::Exited>& exited, std::optional<Outcome> stopped_as) {
    if (!exited) {
        span.signal = 9;
        span.exit = 128 + span.signal;
        span.outcome = Outcome::killed;
        return;
    }
    if (WIFSIGNALED(exited->wait_status)) {
        span.signal = WTERMSIG(exited->wait_status);
        span.exit = 128 + span.signal;
    } else {
        span.exit = WEXITSTATUS(exited->wait_status);
    }
    span.usage = {.cpu_ms = exited->cpu_us / 1000, .max_rss_kb = exited->max_rss_kb};
    if (stopped_as) span.outcome = *stopped_as;
    else if (span.signal != 0) span.outcome = Outcome::killed;
    else span.outcome = span.exit == 0 ? Outcome::ok : Outcome::failed;
}

void note_limits(ExecResult& result, SessionWorld& world, const std::optional<world::Exited>& exited,
                 std::optional<Outcome> stopped_as) {
    Span& span = result.span;
    if (stopped_as == Outcome::timeout) span.outcome_reason = "runtime";
    if (exited)
        for (const std::string& place : exited->full) {
            if (span.outcome_reason.empty()) span.outcome_reason = kDiskReason;
            result.notices.push_back(
                fmt::format("the world's own {} is full: it is in memory, and ends with the world", place));
        }
    if (!world.plan.limits.any() || !world.cgroup.exists()) return;
    auto usage = world.cgroup.usage();
    if (!usage) return;  // it ended with its world, which the outcome says
    const auto grown = [](std::optional<std::uint64_t> now, std::optional<std::uint64_t> before) {
        return now.value_or(0) > before.value_or(0);
    };
    const auto whose = [](bool is_default) { return is_default ? "the default" : "the policy's"; };
    const bool memory = grown(usage->oom_kills, world.counted.oom_kills);
    const bool pids = grown(usage->pids_max_hits, world.counted.pids_max_hits);
    world.counted = *usage;
    if (memory) {
        span.outcome_reason = "memory";
        if (span.outcome == Outcome::failed) span.outcome = Outcome::killed;
        result.notices.push_back(fmt::format("out of memory: {} limit of {} bytes ended a process",
                                             whose(world.plan.limits.memory_is_default),
                                             world.plan.limits.memory_bytes));
    } else if (pids) {
        if (span.outcome_reason.empty()) span.outcome_reason = "pids";
        result.notices.push_back(fmt::format("no more processes: {} limit is {}",
                                             whose(world.plan.limits.pids_is_default),
                                             world.plan.limits.pids));
    }
}

std::vector<std::string> impact_of(const FsDiff& diff) {
    constexpr std::size_t kMost = 10;
    std::size_t executable = 0;
    std::vector<std::string> lines;
    for (const FsEntry& entry : diff.entries) {
        const bool hook = entry.path.starts_with(".git/hooks/") || entry.path.contains("/.git/hooks/");
        const bool file = entry.kind != ChangeKind::remove && entry.type == FileType::regular;
        if (!file || ((entry.mode & 0111) == 0 && !hook)) continue;
        if (++executable <= kMost) lines.push_back("executable: " + entry.path);
    }
    lines.insert(lines.begin(), fmt::format("writes {} paths, {}{} that the host would execute; removes {}",
                                            diff.created + diff.modified, diff.truncated ? "at least " : "",
                                            executable, diff.deleted));
    if (executable > kMost) lines.push_back(fmt::format("and {} more", executable - kMost));
    return lines;
}

std::vector<std::string> scopes_of(const FsDiff& diff, const std::string& project) {
    constexpr std::size_t kMost = 20;
    std::set<std::string> tops;
    for (const FsEntry& entry : diff.entries) {
        tops.insert(entry.path.substr(0, entry.path.find('/')));
        if (tops.size() >= kMost) break;
    }
    std::vector<std::string> scopes;
    for (const std::string& top : tops) scopes.push_back("fs.write:" + project + "/" + top);
    return scopes;
}

Event settled_event(const Machine& machine, const Project& project, const SessionWorld& world,
                    const std::string& span_id, const FsDiff& diff, const std::string& state) {
    Event event{.type = std::string(event_type::kApply),
                .ts_ns = machine.env.realtime_ns(),
                .session_id = project.session_id(),
                .span_id = span_id,
                .fields = Json::object()};
    event.fields["world_id"] = world.id();
    event.fields["of_span"] = world.background_span;
    event.fields["reason"] = "background processes ended";
    event.fields["commit"] = state;
    event.fields["fs_diff"] = to_json(diff);
    return event;
}

Event warning_event(const Machine& machine, const Project& project, const std::string& message) {
    Event event{.type = std::string(event_type::kWarning),
                .ts_ns = machine.env.realtime_ns(),
                .session_id = project.session_id(),
                .span_id = {},
                .fields = Json::object()};
    event.fields["message"] = message;
    return event;
}

}  // namespace substrate::supervisor
