#include "shell/render.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"

namespace substrate::shell {
namespace {

char mark_of(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::create: return '+';
        case ChangeKind::remove: return '-';
        case ChangeKind::modify:
        case ChangeKind::type_change:
        case ChangeKind::rename: return '~';
    }
    return '~';
}

std::string note_of(const FsEntry& entry) {
    if (entry.kind == ChangeKind::rename) return fmt::format(" (from {})", printable(entry.renamed_from));
    if (entry.kind == ChangeKind::type_change) return fmt::format(" (now a {})", to_string(entry.type));
    if (entry.type == FileType::symlink && entry.kind != ChangeKind::remove)
        return fmt::format(" -> {}", printable(entry.link_target));
    return {};
}

std::string enforcement_text(const Enforcement& layers) {
    std::string text;
    const auto add = [&](bool on, std::string_view name) {
        if (on) text += fmt::format("{}{}", text.empty() ? "" : ", ", name);
    };
    add(layers.user_namespace, "user namespace");
    add(layers.mount_namespace, "mounts");
    add(layers.pid_namespace, "pids");
    add(layers.netns == "loopback", "no network");
    add(layers.netns == "gateway", "network by the gateway");
    add(layers.capabilities_dropped, "no capabilities");
    add(layers.no_new_privs, "no_new_privs");
    if (!layers.seccomp.empty()) add(true, fmt::format("seccomp {}", layers.seccomp));
    if (layers.landlock_abi > 0) add(true, fmt::format("Landlock ABI {}", layers.landlock_abi));
    if (layers.tcp_ports)
        add(true, fmt::format("TCP to {}", layers.tcp_ports->empty()
                                               ? "no port"
                                               : fmt::format("ports {}", fmt::join(*layers.tcp_ports, " "))));
    if (layers.fs_guard > 0) add(true, fmt::format("{} denied by name", layers.fs_guard));
    add(layers.fs_rules > 0, "patterns of fs by name");
    add(!layers.cgroup.empty() || layers.limits.pids != 0, "limits");
    return text.empty() ? "none" : text;
}

}  // namespace

std::string render_changes(const FsDiff& diff) {
    std::string text;
    for (const FsEntry& entry : diff.entries)
        text += fmt::format("  {} {}{}\n", mark_of(entry.kind), printable(entry.path), note_of(entry));
    if (diff.truncated) text += fmt::format("  … {}\n", printable(diff.summary));
    return text;
}

std::string render_counts(const FsDiff& diff) {
    return fmt::format("{} created, {} modified, {} deleted", diff.created, diff.modified, diff.deleted);
}

std::string render_span_line(const Span& span) {
    return fmt::format("{}  {}  {:>3}  {:>9.1f} ms  {}\n", format_utc(span.ts_ns).substr(0, 19),
                       printable(span.span_id), span.exit, span.duration_ms, printable(span.cmd));
}

std::string render_span(const Span& span) {
    std::string text;
    const auto line = [&](std::string_view name, std::string_view value) {
        if (!value.empty()) text += fmt::format("{:<12}{}\n", name, printable(value));
    };
    line("span", span.span_id);
    line("command", printable(span.cmd));
    line("directory", printable(span.cwd));
    if (span.project != span.cwd) line("project", printable(span.project));
    line("when", fmt::format("{} ({:.1f} ms)", format_utc(span.started_ns), span.duration_ms));
    line("asked by", printable(span.agent_id));
    line("session", span.session_id);
    line("parent", span.parent_span);
    line("trace", span.traceparent);
    if (span.nested_depth != 0)
        line("nested", fmt::format("{} deep, in its parent's world: exit and output are what was said there; "
                                   "changes are its parent's",
                                   span.nested_depth));
    line("decision", fmt::format("{} ({})", span.decision.action, printable(span.decision.reason)));
    line("outcome", span.signal != 0 ? fmt::format("{}, signal {} (exit {})", to_string(span.outcome),
                                                   span.signal, span.exit)
                                     : fmt::format("{} (exit {})", to_string(span.outcome), span.exit));
    line("usage", fmt::format("{} ms CPU, {} KiB at most", span.usage.cpu_ms, span.usage.max_rss_kb));
    if (!span.world_id.empty())
        line("world", fmt::format("{} ({})", span.world_id, span.warm ? "warm" : "new"));
    line("enforced", enforcement_text(span.enforcement));
    line("capture",
         span.capture.fallback_reason.empty()
             ? std::string(to_string(span.capture.final))
             : fmt::format("{} instead of {}: {}", to_string(span.capture.final),
                           to_string(span.capture.primary), printable(span.capture.fallback_reason)));
    for (const Degradation& degradation : span.degraded)
        line("degraded", fmt::format("{}: {}{}", degradation.component, printable(degradation.reason),
                                     degradation.fix.empty() ? "" : fmt::format(" ({})", degradation.fix)));
    if (!span.output.stdout_hash.empty())
        line("output", fmt::format("{} bytes {}", span.output.stdout_bytes, span.output.stdout_hash));
    if (!span.output.stderr_hash.empty())
        line("errors", fmt::format("{} bytes {}", span.output.stderr_bytes, span.output.stderr_hash));
    line("changes",
         span.fs_diff.empty() ? "none" : fmt::format("{} ({})", render_counts(span.fs_diff), span.commit));
    text += render_changes(span.fs_diff);
    return text;
}

}  // namespace substrate::shell
