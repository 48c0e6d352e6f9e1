#include <fmt/format.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "codec/span_json.hpp"
#include "model/exit_codes.hpp"
#include "replay/compare.hpp"
#include "shell/commands.hpp"
#include "shell/render.hpp"
#include "shell/span_argument.hpp"
#include "supervisor/command_line.hpp"
#include "trace/reader.hpp"

namespace substrate::shell {
namespace {

// What ran, as it ran: the recorded argument vector, environment, directory and
// umask, over the project as it was when the recorded command started.
ExecRequest request_of(const Span& span) {
    ExecRequest request;
    request.cmd = span.cmd;
    request.argv = span.argv;
    request.cwd = span.cwd;
    request.env = span.replay.env;
    request.env_hash = span.replay.env_hash;
    request.umask = span.replay.umask;
    request.login_shell = span.argv.empty();
    request.ephemeral = true;
    request.commit = CommitMode::discard;
    request.host_network = span.enforcement.netns == "host";
    request.as_of_ns = span.started_ns;
    request.parent_span = span.span_id;
    // The limit itself is not recorded; what ran into it needs one again.
    if (span.outcome == Outcome::timeout)
        request.timeout_ms = static_cast<std::int64_t>(span.duration_ms) + 1;
    request.agent_id = span.agent_id;
    return request;
}

std::string mode_of(const Span& span) {
    if (span.argv.empty()) return "bash -lc";
    if (span.argv.size() == 3 && span.argv[1] == "-c") return span.argv[0] + " -c";
    return "exec";
}

replay::CurrentState state_now(const Span& recorded, const ExecResult& result) {
    const Span& replayed = result.span;
    replay::CurrentState now;
    now.policy_id = replayed.policy_id;
    now.policy_hash = replayed.policy_hash;
    now.world_image_version = SUBSTRATE_VERSION;
    now.tool_path = recorded.replay.tool_path;
    if (!recorded.replay.tool_path.empty())
        now.tool_hash = supervisor::program_identity(recorded.replay.tool_path);
    now.hostname = replayed.replay.hostname;
    now.changed_paths = result.changed_paths;
    return now;
}

class Report {
  public:
    Report(const Console& console, const ReplayOptions& options) : console_(console), options_(options) {}
    void step(const std::string& text) const {
        if (options_.verbose) line(text);
    }
    void line(const std::string& text) const { console_.err("[replay] " + printable(text) + "\n"); }

  private:
    const Console& console_;
    const ReplayOptions& options_;
};

void show_changes(const Console& console, const Report& report, const Span& span) {
    console.out(fmt::format("Exit code: {}\n", span.exit));
    if (!span.fs_diff.empty()) {
        console.out("Filesystem changes:\n" + render_changes(span.fs_diff));
        return;
    }
    console.out("Filesystem changes: none\n");
    report.step(span.capture.final == CaptureStrategy::copy_diff
                    ? "copy-diff compared the copy with the project: 0 entries"
                    : "upper entries: 0");
}

}  // namespace

int replay_command(const Console& console, const ReplayOptions& options) {
    const Report report(console, options);
    if (!is_id(options.span_id, "spn")) return console.fail_with(not_a_span(options.span_id));
    auto reader = trace::TraceReader::open(console.home.path);
    if (!reader) return console.fail_with(reader.error());
    auto recorded = reader->load_span(options.span_id);
    if (!recorded)
        return console.fail_with(std::move(recorded).error().hint("substrate trace lists the last ones"));
    if (recorded->cwd.empty())
        return console.fail_with({Errc::invalid, "the span does not say where it ran"});

    if (recorded->nested_depth != 0)
        return console.fail_with(
            Error(Errc::invalid, recorded->span_id + " ran inside another command's world")
                .hint("substrate replay " + recorded->parent_span));

    RunOptions run;
    run.request = request_of(*recorded);
    run.want_span = true;
    run.quiet = true;
    // What was hashed then is hashed now, on a terminal too.
    if (!recorded->output.stdout_hash.empty()) run.terminals = OutputWatch::Terminals::relay;
    run.merge_output = recorded->output.merged;
    report.step("span: " + recorded->span_id);
    report.step("mode: " + mode_of(*recorded));
    report.step("cwd: " + recorded->cwd);
    if (recorded->cmd.contains("[REDACTED]"))
        report.line("warn: the recorded command has redacted parts and cannot run as it did");
    auto result = options.no_world ? run_on_host(console, run) : run_in_world(console, std::move(run));
    if (!result) return console.fail_with(std::move(result).error().during("replaying " + options.span_id));

    const Span& replayed = result->span;
    report.step(fmt::format("world strategy: {}", to_string(replayed.capture.final)));
    for (const Degradation& degradation : replayed.degraded)
        report.line(fmt::format("warn: {}: {}", degradation.component, degradation.reason));
    for (const std::string& notice : result->notices) report.line(notice);
    for (const std::string& warning : replay::drift(*recorded, state_now(*recorded, *result)))
        report.line("warn: " + warning);
    if (options.verbose) show_changes(console, report, replayed);
    const replay::Comparison comparison = replay::compare(*recorded, replayed);
    if (!comparison.same() || options.verbose || options.verify)
        for (const std::string& text : comparison.lines()) report.line(text);
    if (options.json) {
        Json json = {{"span_id", recorded->span_id},
                     {"replay", to_json(replayed)},
                     {"same", comparison.same()},
                     {"differences", comparison.lines()}};
        console.out(dump_json_pretty(json) + "\n");
    }
    if (options.verify) return comparison.same() ? 0 : 1;
    return replayed.exit;
}

}  // namespace substrate::shell
