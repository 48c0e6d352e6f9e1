#include "agent/execute_answers.hpp"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>

#include "agent/problem.hpp"
#include "base/text.hpp"
#include "codec/fs_diff_json.hpp"
#include "sys/file.hpp"

namespace substrate::agent {
namespace {

struct SignalName {
    std::string_view name;
    int number;
};
constexpr SignalName kSignals[] = {{"HUP", SIGHUP},   {"INT", SIGINT},   {"QUIT", SIGQUIT},
                                   {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
                                   {"TERM", SIGTERM}, {"TSTP", SIGTSTP}, {"CONT", SIGCONT}};

}  // namespace

int signal_number(std::string_view name) {
    const auto* const signal = std::ranges::find(kSignals, name, &SignalName::name);
    return signal == std::end(kSignals) ? 0 : signal->number;
}

Result<std::string> real_directory(const std::string& path) {
    auto opened = sys::open_path(path, O_PATH | O_DIRECTORY);
    if (!opened)
        return fail(std::move(opened).error().as(Errc::invalid).hint("name a directory that exists, in cwd"));
    return sys::resolve_links(path);
}

Json result_json(const ExecResult& result) {
    const Span& span = result.span;
    Json decision = {{"action", span.decision.action}, {"policy_id", span.policy_id}};
    const auto add = [&](const char* key, const std::string& text) {
        if (!text.empty()) decision[key] = printable(text);
    };
    add("rule", span.decision.rule);
    add("pattern", span.decision.pattern);
    add("reason", span.decision.reason);
    if (!span.decision.restrictions.empty()) {
        decision["restrictions"] = Json::array();
        for (const std::string& restriction : span.decision.restrictions)
            decision["restrictions"].push_back(printable(restriction));
    }
    Json json = {{"exit", span.exit},
                 {"span_id", span.span_id},
                 {"fs_diff", to_json(span.fs_diff)},
                 {"outcome", to_string(span.outcome)},
                 {"policy_decision", std::move(decision)},
                 {"commit", span.commit},
                 {"notices", Json::array()}};
    put_bytes(json, "scopes_used", span.scopes_used);
    for (const std::string& notice : result.notices) json["notices"].push_back(printable(notice));
    return json;
}

HttpResponse denial(const supervisor::Passage& passage, const ExecResult& recorded) {
    const Span& span = recorded.span;
    Json more = {{"span_id", span.span_id}};
    const auto add = [&](const char* key, const std::string& text) {
        if (!text.empty()) more[key] = printable(text);
    };
    add("rule", passage.decision.rule);
    add("pattern", passage.decision.pattern);
    add("reason", passage.decision.reason);
    add("alternative", passage.judgement.verdict.decision.alternative);
    return problem(403, "denied",
                   passage.notices.empty() ? "denied by policy" : printable(passage.notices.back()),
                   std::move(more));
}

}  // namespace substrate::agent
