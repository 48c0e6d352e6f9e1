#include "shell/recorded_command.hpp"

#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "codec/span_json.hpp"
#include "policy/wrapper_table.hpp"
#include "trace/redact.hpp"

namespace substrate::shell {
namespace {

// True when something was replaced.
bool mark_secrets(std::string& text) {
    bool any = false;
    for (std::size_t at = text.find(trace::kRedacted); at != std::string::npos;
         at = text.find(trace::kRedacted, at + kTakenOut.size())) {
        text.replace(at, trace::kRedacted.size(), kTakenOut);
        any = true;
    }
    return any;
}

}  // namespace

RecordedCommand recorded_command(const Span& span) {
    RecordedCommand made{.line = {}, .argv = span.replay.argv, .cwd = span.cwd, .project = span.project};
    // What a shell was given; a simple command that needed none is the same in all of them.
    const std::vector<std::string>& ran = span.argv;
    if (made.argv.empty() && ran.size() >= 3 && (ran[1] == "-c" || ran[1] == "-lc")) {
        const std::string_view shell = policy::base_name(ran[0]);
        if (shell == "sh" || shell == "dash") made.dialect = policy::Dialect::posix;
        // Another language is not ours to read: judged as what was executed.
        else if (shell != "bash" && policy::shell_family(shell) != policy::ShellFamily::none) made.argv = ran;
    }
    if (made.argv.empty()) made.line = span.cmd;
    made.redacted = mark_secrets(made.line);
    for (std::string& word : made.argv) made.redacted |= mark_secrets(word);
    return made;
}

std::string shown_line(const RecordedCommand& command) {
    return command.argv.empty() ? command.line : shell_join(command.argv);
}

policy::ParsedLine parse_recorded(const RecordedCommand& command, const std::string& home) {
    const policy::ParseOptions options{.dialect = command.dialect, .home = home};
    return command.argv.empty() ? policy::parse_command_line(command.line, options)
                                : policy::parse_arguments(command.argv, options);
}

Result<> each_recorded_span(const Console& console, trace::TraceFilter filter,
                            const std::function<void(Span&&)>& visit) {
    auto reader = trace::TraceReader::open(console.home.path);
    if (!reader)
        return fail(std::move(reader).error().hint("nothing was recorded yet: run substrate -c 'true'"));
    filter.event_type = event_type::kCommandComplete;
    std::uint64_t foreign = 0;
    SUB_TRY(reader->oldest_first(filter, [&](Json&& record) {
        record.erase("fs_diff");
        if (auto span = span_from_json(record)) visit(std::move(*span));
        else ++foreign;
        return true;
    }));
    for (const trace::Skipped& skipped : reader->skipped()) console.note("skipped " + skipped.describe());
    if (foreign > 0)
        console.note("skipped " + std::to_string(foreign) + " records that are no spans of this form");
    return {};
}

}  // namespace substrate::shell
