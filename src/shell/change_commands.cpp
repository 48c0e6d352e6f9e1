#include <fmt/format.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "codec/span_json.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/patch.hpp"
#include "shell/render.hpp"
#include "supervisor/client.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "trace/reader.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

namespace message = supervisor::message;

// The project that a target belongs to: the recorded one of a span, else that
// of the current directory.
Result<std::string> project_for(const Console& console, const std::string& target) {
    if (is_id(target, "spn")) {
        auto reader = trace::TraceReader::open(console.home.path);
        if (reader)
            if (auto span = reader->load_span(target); span && !span->project.empty()) return span->project;
    } else if (!target.empty() && !is_id(target, "wld") && !is_id(target, "snp")) {
        return fail(
            Error(Errc::invalid, "'" + printable(target) + "' is the id of no span, no world and no snapshot")
                .hint("substrate trace lists spans"));
    }
    ExecRequest here;
    SUB_TRY(fill_from_process(console, here));
    return supervisor::find_project(here.cwd, world::home_of(console.env, ::geteuid()));
}

Result<Json> ask(const Console& console, std::string_view type, const ChangeOptions& options) {
    SUB_TRY_ASSIGN(const std::string project, project_for(console, options.target));
    SUB_TRY_ASSIGN(supervisor::Client client, supervisor::Client::connect(console.env, console.home));
    return client.request({{"type", type},
                           {"project", project},
                           {"target", options.target},
                           {"paths", options.paths},
                           {"force", options.force}});
}

// An applied or discarded change is no longer kept: the trace knows it.
int diff_from_trace(const Console& console, const ChangeOptions& options) {
    auto reader = trace::TraceReader::open(console.home.path);
    if (!reader) return console.fail_with(reader.error());
    auto span = reader->load_span(options.target);
    if (!span) return console.fail_with(span.error());
    if (options.json) console.out(dump_json_pretty(to_json(span->fs_diff)) + "\n");
    else if (options.stat) console.out(render_counts(span->fs_diff) + "\n");
    else console.out(render_changes(span->fs_diff));
    if (options.patch)
        console.note("contents are shown of changes that are kept; this one is " + span->commit);
    return 0;
}

}  // namespace

int diff_command(const Console& console, const ChangeOptions& options) {
    auto reply = ask(console, message::kDiff, options);
    if (!reply && reply.error().code() == Errc::not_found && is_id(options.target, "spn"))
        return diff_from_trace(console, options);
    if (!reply) return console.fail_with(reply.error());
    const Json& changes = reply->at("changes");
    if (changes.size() == 1 && !changes.front().contains("fs_diff")) return diff_from_trace(console, options);
    Json all = Json::array();
    for (const Json& change : changes) {
        auto diff = fs_diff_from_json(change.at("fs_diff"));
        if (!diff) return console.fail_with(diff.error());
        if (options.json) {
            all.push_back(change);
            continue;
        }
        console.out(fmt::format("{} ({})\n", supervisor::text_of(change, "span_id"),
                                supervisor::text_of(change, "state")));
        if (options.stat) console.out("  " + render_counts(*diff) + "\n");
        else console.out(render_changes(*diff));
        if (options.patch) {
            const auto shown = show_patch(console, *diff, supervisor::text_of(change, "captured"),
                                          supervisor::text_of(*reply, "project"));
            if (!shown) return console.fail_with(shown.error());
        }
    }
    if (options.json) console.out(dump_json_pretty(options.target.empty() ? all : all.front()) + "\n");
    else if (changes.empty()) console.note("nothing is pending here");
    return 0;
}

int apply_command(const Console& console, const ChangeOptions& options) {
    auto reply = ask(console, message::kApply, options);
    if (!reply) return console.fail_with(reply.error());
    for (const std::string& notice : supervisor::texts_of(*reply, "notices")) console.note(notice);
    for (const Json& applied : reply->at("applied"))
        console.out(fmt::format("{} {}\n", supervisor::text_of(applied, "span_id"),
                                supervisor::text_of(applied, "state")));
    if (reply->at("applied").empty() && options.target.empty()) console.note("nothing is pending here");
    return static_cast<int>(supervisor::number_of(*reply, "exit"));
}

int discard_command(const Console& console, const ChangeOptions& options) {
    auto reply = ask(console, message::kDiscard, options);
    if (!reply) return console.fail_with(reply.error());
    const auto discarded = supervisor::texts_of(*reply, "discarded");
    for (const std::string& span : discarded) console.out(span + " discarded\n");
    if (discarded.empty()) console.note("nothing is pending here");
    return 0;
}

}  // namespace substrate::shell
