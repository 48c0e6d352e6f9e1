// Prints records as the encoders and the writer make them, one JSON text a line:
// "schema_samples trace DIR" those of the trace, "schema_samples fs_diff" diffs.
// tests/contract/validate_schemas.py reads them.
#include <cstdio>
#include <string_view>

#include "codec/fs_diff_json.hpp"
#include "sys/file.hpp"
#include "trace/writer.hpp"

using namespace substrate;

namespace {

FsDiff sample_diff(int entries) {
    FsDiff diff;
    for (int i = 0; i < entries; ++i)
        diff.entries.push_back({.path = "f" + std::to_string(i),
                                .kind = static_cast<ChangeKind>(i % 5),
                                .type = static_cast<FileType>(i % 7),
                                .mode = 0644,
                                .size = 1,
                                .mtime_ns = i,
                                .link_target = i % 7 == 2 ? "\xff" : "",
                                .renamed_from = i % 5 == 4 ? "old" : ""});
    if (entries > 0) diff.entries.push_back({.path = "g\xff", .mode = 04755});
    diff.files = diff.entries.size();
    diff.created = diff.files;
    diff.tree_hash = entries > 0 ? "xxh3:00000000000000000000000000000001" : "";
    return diff;
}

Span full_span() {
    Span span;
    span.session_id = "ses_1";
    span.span_id = "spn_1";
    span.parent_span = "spn_0";
    span.cwd = "/p\xff";
    span.cmd = "deploy --token abc";
    span.argv = {"deploy", "\xfe"};
    span.exit = 143;
    span.signal = 15;
    span.outcome = Outcome::timeout;
    span.duration_ms = 1.5;
    span.scopes_used = {"net:h:443"};
    span.fs_diff = sample_diff(36);
    span.commit = "applied";
    span.capture = {CaptureStrategy::overlay, CaptureStrategy::copy_diff, "no overlay"};
    span.degraded = {{"cgroup", "not delegated", "delegate"}};
    span.enforcement = {.user_namespace = true,
                        .mount_namespace = true,
                        .pid_namespace = true,
                        .netns = "loopback",
                        .seccomp = "enforce",
                        .seccomp_hash = "xxh3:1",
                        .no_new_privs = true,
                        .capabilities_dropped = true,
                        .landlock_abi = 6,
                        .tcp_ports = std::vector<std::uint16_t>{443},
                        .unix_sockets = {"/run/a.sock", "/run/\xff"},
                        .fs_guard = 3,
                        .fs_rules = 1,
                        .cgroup = "/c",
                        .limits = {}};
    span.decision = {"ask", "r", "p *", "why", {"ephemeral"}};
    span.replay.env = {{"A", "\xff"}, {"B_TOKEN", "x"}};
    span.replay.argv = {"deploy"};
    span.output = {"xxh3:1", "xxh3:2", 1, 2, true};
    span.nested_depth = 1;
    return span;
}

Result<> write_trace(const std::string& directory) {
    SUB_TRY_ASSIGN(trace::TraceWriter writer, trace::TraceWriter::open(directory));
    Span least;
    least.span_id = "spn_2";
    SUB_TRY(writer.append(least));
    Span full = full_span();
    SUB_TRY(writer.append(full));
    full.cmd = std::string(100'000, 'x');
    full.fs_diff = sample_diff(1000);
    SUB_TRY(writer.append(full));
    using namespace event_type;
    for (const std::string_view type :
         {kSessionStart, kSessionEnd, kCommandStart, kBuiltinCommand, kPolicyViolation, kApproval,
          kPolicyReload, kProcessExec, kProcessExit, kNetConnect, kDnsQuery, kRateLimit, kWorldStart,
          kWorldEnd, kReplayStart, kReplayComplete, kApply, kWarning}) {
        Event event{.type = std::string(type), .ts_ns = 1, .session_id = "ses_1", .span_id = "spn_1"};
        event.fields = {
            {"world_id", "wld_1"}, {"message", "m"}, {"cmd", "true"}, {"argv", {"true"}}, {"pid", 1}};
        SUB_TRY(writer.append(event));
        for (int i = 0; type == kWarning && i < 5000; ++i)
            event.fields["f" + std::to_string(i)] = "some value";
        SUB_TRY(writer.append(event));
    }
    SUB_TRY_ASSIGN(const std::string text, sys::read_file(directory + "/trace.jsonl"));
    std::fwrite(text.data(), 1, text.size(), stdout);
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::string_view(argv[1]) == "trace") {
        if (const auto written = write_trace(argv[2]); !written) {
            std::fprintf(stderr, "%s\n", written.error().describe().c_str());
            return 1;
        }
        return 0;
    }
    for (const int entries : {0, 3, 36}) std::puts(dump_json(to_json(sample_diff(entries))).c_str());
    return 0;
}
