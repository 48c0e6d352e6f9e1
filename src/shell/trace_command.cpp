#include <fmt/format.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "base/text.hpp"
#include "codec/json_value.hpp"
#include "codec/span_json.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/render.hpp"
#include "shell/since.hpp"
#include "shell/span_argument.hpp"
#include "trace/follower.hpp"
#include "trace/reader.hpp"

namespace substrate::shell {
namespace {

void tell_skipped(const Console& console, const trace::TraceReader& reader) {
    for (const trace::Skipped& skipped : reader.skipped()) console.note("skipped " + skipped.describe());
}

std::string text_for(const Json& record, bool json) {
    if (json) return dump_json(record) + "\n";
    if (auto span = span_from_json(record)) return render_span_line(*span);
    return dump_json(record) + "\n";
}

int show_span(const Console& console, trace::TraceReader& reader, const TraceOptions& options) {
    if (!is_id(options.span_id, "spn")) return console.fail_with(not_a_span(options.span_id));
    auto record = reader.find_span(options.span_id);
    if (!record) return console.fail_with(record.error());
    if (!*record)
        return console.fail_with(Error(Errc::not_found, "no span " + options.span_id + " in the trace")
                                     .hint("substrate trace lists the last ones"));
    if (options.json) {
        console.out(dump_json_pretty(**record) + "\n");
        return 0;
    }
    auto span = span_from_json(**record);
    if (!span) return console.fail_with(span.error());
    console.out(render_span(*span));
    return 0;
}

}  // namespace

int trace_command(const Console& console, const TraceOptions& options) {
    auto reader = trace::TraceReader::open(console.home.path);
    if (!reader)
        return console.fail_with(
            std::move(reader).error().hint("nothing was recorded yet: run substrate -c 'true'"));
    if (!options.span_id.empty()) {
        const int exit = show_span(console, *reader, options);
        tell_skipped(console, *reader);
        return exit;
    }
    trace::TraceFilter filter{.session_id = options.session,
                              .agent_id = options.agent,
                              .outcome = options.outcome,
                              .event_type = "command_complete",
                              .since_ns = {}};
    if (!options.since.empty()) {
        const auto since = parse_since(options.since, console.env.realtime_ns());
        if (!since) return console.fail_with(since.error());
        filter.since_ns = *since;
    }
    if (options.follow) {
        auto follower =
            trace::TraceFollower::open(console.home.path, trace::TraceFollower::From::now, filter);
        if (!follower) return console.fail_with(follower.error());
        for (;;) {
            auto record = follower->next();
            if (!record) return console.fail_with(record.error());
            for (const trace::Skipped& skipped : follower->take_skipped())
                console.note("skipped " + skipped.describe());
            if (!*record) return 0;
            console.out(text_for(**record, options.json));
        }
    }
    std::vector<Json> records;
    const unsigned count = options.last ? 1 : options.count;
    const auto read = reader->newest_first(filter, [&](Json&& record) {
        records.push_back(std::move(record));
        return records.size() < count;
    });
    if (!read) return console.fail_with(read.error());
    tell_skipped(console, *reader);
    if (options.last) {
        if (records.empty()) return console.fail_with(Error(Errc::not_found, "no span was recorded yet"));
        if (options.json) {
            console.out(dump_json_pretty(records.front()) + "\n");
            return 0;
        }
        auto span = span_from_json(records.front());
        if (!span) return console.fail_with(span.error());
        console.out(render_span(*span));
        return 0;
    }
    for (auto it = records.rbegin(); it != records.rend(); ++it) console.out(text_for(*it, options.json));
    return 0;
}

}  // namespace substrate::shell
