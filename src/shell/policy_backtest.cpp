#include <fmt/format.h>

#include <map>
#include <utility>

#include "base/text.hpp"
#include "broker/loader.hpp"
#include "shell/policy_cases.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "shell/recorded_command.hpp"
#include "shell/since.hpp"

namespace substrate::shell {
namespace {

using SetPtr = std::shared_ptr<const broker::PolicySet>;

// The policies that recorded commands are judged by, one for each place.
class Policies {
  public:
    static Result<Policies> make(const PolicyGround& ground, const std::string& name) {
        Policies made(ground);
        if (!name.empty()) {
            SUB_TRY_ASSIGN(broker::Layer layer, named_policy(ground.places, name));
            made.layer_ = std::move(layer);
        }
        return made;
    }

    // Null, with `problem`, where none can be had.
    SetPtr at(const RecordedCommand& command, std::string& problem) {
        const std::string project = command.project.empty() ? command.cwd : command.project;
        const std::pair key(layer_ ? std::string() : command.cwd, project);
        auto found = known_.find(key);
        if (found == known_.end()) found = known_.emplace(key, load(command.cwd, project)).first;
        if (!found->second) problem = found->second.error().message();
        return found->second ? *found->second : nullptr;
    }

  private:
    explicit Policies(const PolicyGround& ground) : ground_(ground) {}

    Result<SetPtr> load(const std::string& cwd, const std::string& project) {
        if (layer_) return set_of(*layer_, ground_.places, project);
        broker::Loaded loaded = broker::load_policies(ground_.places, cwd, project);
        if (loaded.set) return SetPtr(std::move(loaded.set));
        return fail({Errc::invalid, loaded.problems.empty() ? "no policy could be read"
                                                            : problem_text(loaded.problems.front())});
    }

    const PolicyGround& ground_;
    std::optional<broker::Layer> layer_;
    std::map<std::pair<std::string, std::string>, Result<SetPtr>> known_;
};

struct Difference {
    std::string span_id, cmd, before, after;
    Decision decision;
    bool redacted = false;
};

// "deny", or "deny (observed)" where it ran all the same.
std::string decided(std::string_view word, bool denied, bool observed) {
    return std::string(word) + (denied && observed ? " (observed)" : "");
}

std::string recorded_decision(const Span& span) {
    const std::string_view word = verdict_word(span.decision.action, span.decision.restrictions);
    return decided(word, word == "deny", span.outcome != Outcome::denied);
}

std::string new_decision(const broker::Verdict& verdict) {
    const std::string_view word =
        verdict_word(to_string(verdict.decision.action), verdict.decision.restrictions);
    return decided(word, word == "deny", !verdict.denied);
}

// Refused for where it was to run or how, whatever the command was.
bool about_place(const Span& span) {
    for (const std::string_view rule :
         {"world.isolate_network", "world_fs.require_world", "commands.isolated"})
        if (span.decision.action == "deny" && span.decision.rule == rule) return true;
    return false;
}

struct Report {
    std::uint64_t spans = 0, redacted = 0, unjudged = 0, place = 0;
    std::vector<Difference> differences;
};

Json to_json(const Report& report) {
    Json json = {{"spans", report.spans},
                 {"redacted", report.redacted},
                 {"unjudged", report.unjudged},
                 {"refused_for_place", report.place},
                 {"differ", Json::array()}};
    for (const Difference& one : report.differences) {
        Json item = {{"span_id", one.span_id},
                     {"old", one.before},
                     {"new", one.after},
                     {"redacted", one.redacted},
                     {"policy_id", one.decision.policy_id}};
        put_bytes(item, "cmd", one.cmd);
        put_bytes(item, "rule", one.decision.rule);
        put_bytes(item, "pattern", one.decision.pattern);
        put_bytes(item, "reason", one.decision.reason);
        json["differ"].push_back(std::move(item));
    }
    return json;
}

std::string difference_text(const Difference& one) {
    std::string why = printable(one.decision.rule);
    if (!one.decision.pattern.empty()) why += " \"" + printable(one.decision.pattern) + "\"";
    return fmt::format("{}  {} → {}  {}{}{}\n", one.span_id, one.before, one.after, printable(one.cmd),
                       why.empty() ? "" : "  (" + why + ")",
                       one.redacted ? "  [judged without its secrets, which were not recorded]" : "");
}

}  // namespace

int policy_backtest(const Console& console, const PolicyBacktestOptions& options) {
    const auto ground = policy_ground(console);
    if (!ground) return console.fail_with(ground.error());
    trace::TraceFilter filter{
        .session_id = options.session, .agent_id = {}, .outcome = {}, .event_type = {}, .since_ns = {}};
    if (!options.since.empty()) {
        const auto since = parse_since(options.since, console.env.realtime_ns());
        if (!since) return console.fail_with(since.error());
        filter.since_ns = *since;
    }
    auto policies = Policies::make(*ground, options.policy);
    if (!policies) return console.fail_with(policies.error());

    Report report;
    std::map<std::string, std::uint64_t> problems;
    const auto read = each_recorded_span(console, filter, [&](Span&& span) {
        if (about_place(span)) {
            ++report.place;
            return;
        }
        const RecordedCommand command = recorded_command(span);
        ++report.spans;
        report.redacted += command.redacted ? 1 : 0;
        std::string problem;
        const SetPtr set = policies->at(command, problem);
        if (!set) {
            ++report.unjudged;
            ++problems[problem];
            return;
        }
        const std::string& home = ground->places.home;
        const broker::Verdict verdict =
            broker::judge(*set, parse_recorded(command, home),
                          {.cwd = command.cwd, .home = home, .dialect = command.dialect});
        const std::string before = recorded_decision(span), after = new_decision(verdict);
        if (before == after) return;
        report.differences.push_back(
            {span.span_id, span.cmd, before, after, verdict.decision, command.redacted});
        if (!options.json) console.out(difference_text(report.differences.back()));
    });
    if (!read) return console.fail_with(read.error());
    for (const auto& [problem, count] : problems)
        console.note(fmt::format("{} spans could not be judged: {}", count, problem));
    if (options.json) console.out(dump_json_pretty(to_json(report)) + "\n");
    else
        console.out(fmt::format("{} spans, {} differ{}{}\n", report.spans, report.differences.size(),
                                report.unjudged > 0 ? fmt::format(", {} not judged", report.unjudged) : "",
                                report.redacted > 0
                                    ? fmt::format("; {} were recorded without their secrets", report.redacted)
                                    : ""));
    return report.differences.empty() && report.unjudged == 0 ? 0 : 1;
}

}  // namespace substrate::shell
