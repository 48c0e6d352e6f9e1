// A command on the bare host: only ever because the person asked for it.
#include <fcntl.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "base/trace_context.hpp"
#include "capture/diff_builder.hpp"
#include "capture/snapshot.hpp"
#include "codec/span_json.hpp"
#include "shell/approval_answer.hpp"
#include "shell/local_run.hpp"
#include "shell/run.hpp"
#include "supervisor/client.hpp"
#include "supervisor/command_line.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "sys/file.hpp"
#include "trace/writer.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

// What the agent says of it, as of any command: denied, or the span's policy part.
Result<ExecResult> judge(const Console& console, ExecRequest& request) {
    SUB_TRY_ASSIGN(supervisor::Client client, supervisor::Client::connect(console.env, console.home));
    Json question = supervisor::to_json(request);
    question["type"] = supervisor::message::kJudge;
    SUB_TRY(client.send(std::move(question)));
    for (;;) {
        SUB_TRY_ASSIGN(const Json reply, client.receive());
        if (supervisor::text_of(reply, "type") == supervisor::message::kAskApproval) {
            SUB_TRY_ASSIGN(const std::string answer, answer_approval(reply, client.channel().fd()));
            SUB_TRY(client.channel().send({{"type", supervisor::message::kApproval}, {"answer", answer}}));
            continue;
        }
        ExecResult judged;
        SUB_TRY_ASSIGN(judged.span, span_from_json(reply.at("span")));
        judged.notices = supervisor::texts_of(reply, "notices");
        if (reply.contains("timeout_ms")) request.timeout_ms = supervisor::number_of(reply, "timeout_ms");
        return judged;
    }
}

// Ours; what the command calls is called by its span.
std::vector<std::string> environment_of(const Console& console, const ExecRequest& request,
                                        const std::string& span_id) {
    std::vector<std::string> environment = console.environment;
    if (request.traceparent.empty()) return environment;
    std::erase_if(environment,
                  [](const std::string& variable) { return variable.starts_with("TRACEPARENT="); });
    environment.push_back("TRACEPARENT=" + traceparent_of_span(request.traceparent, span_id));
    return environment;
}

}  // namespace

Result<ExecResult> run_on_host(const Console& console, const RunOptions& options) {
    ExecRequest request = options.request;
    if (request.session_id.empty()) request.session_id = make_session_id(console.env);
    SUB_TRY_ASSIGN(ExecResult result, judge(console, request));
    Span& span = result.span;
    if (span.outcome == Outcome::denied) return result;
    const bool would_deny = span.outcome == Outcome::would_deny;
    console.note("no world: the command runs on the host with all of your rights");
    span.started_ns = console.env.realtime_ns();
    span.component = "shell";
    span.session_id = request.session_id;
    span.parent_span = request.parent_span;
    span.traceparent = request.traceparent;
    span.agent_id = request.agent_id;
    span.cmd = request.cmd.empty() ? shell_join(request.argv) : request.cmd;
    span.cwd = request.cwd;
    span.project = supervisor::find_project(request.cwd, world::home_of(console.env, ::geteuid()));
    span.capture = {CaptureStrategy::direct, CaptureStrategy::direct, {}};
    span.degraded.push_back(
        {"world", "the command ran on the host because that was asked for", "leave out --no-world"});

    SUB_TRY(supervisor::create_home(console.home));
    SUB_TRY_ASSIGN(trace::TraceWriter trace, trace::TraceWriter::open(console.home.path));
    SUB_TRY_ASSIGN(const sys::UniqueFd project, sys::open_path(span.project, O_RDONLY | O_DIRECTORY));
    SUB_TRY_ASSIGN(const capture::Snapshot before, capture::Snapshot::take(project.get()));
    std::vector<std::string> argv =
        request.argv.empty() ? std::vector<std::string>{request.shell.substr(request.shell.rfind('/') + 1),
                                                        request.login_shell ? "-lc" : "-c", request.cmd}
                             : request.argv;
    span.argv = argv;
    if (!request.argv.empty()) argv.insert(argv.begin(), "env");
    SUB_TRY_ASSIGN(const LocalEnd ended,
                   run_locally(console.env,
                               {.program = request.argv.empty() ? request.shell : "/usr/bin/env",
                                .argv = std::move(argv),
                                .environment = environment_of(console, request, span.span_id),
                                .cwd = request.cwd,
                                .timeout_ms = request.timeout_ms},
                               nullptr));
    span.ts_ns = console.env.realtime_ns();
    span.duration_ms = static_cast<double>(span.ts_ns - span.started_ns) / 1e6;
    span.signal = ended.signal;
    span.exit = ended.exit;
    span.outcome = ended.timed_out    ? Outcome::timeout
                   : span.signal != 0 ? Outcome::killed
                   : span.exit == 0   ? Outcome::ok
                                      : Outcome::failed;
    if (would_deny && (span.outcome == Outcome::ok || span.outcome == Outcome::failed))
        span.outcome = Outcome::would_deny;
    capture::DiffBuilder builder;
    SUB_TRY(
        before.compare(project.get(), [&](const capture::Change& change) { return builder.add(change); }));
    span.fs_diff = builder.finish();
    span.commit = span.fs_diff.empty() ? "none" : "applied";
    span.replay = {.path = {},
                   .env = request.env,
                   .env_hash = request.env_hash,
                   .umask = request.umask,
                   .locale = {},
                   .cwd = request.cwd,
                   .policy_id = span.policy_id,
                   .policy_hash = span.policy_hash,
                   .policy_commit = {},
                   .world_image_version = SUBSTRATE_VERSION,
                   .root_provider = "host",
                   .hostname = {},
                   .argv = request.argv,
                   .tool_path = {},
                   .tool_hash = {}};
    if (auto written = trace.append(span); !written)
        result.notices.push_back("the span was not recorded: " + written.error().describe());
    return result;
}

}  // namespace substrate::shell
