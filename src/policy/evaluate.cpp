#include "policy/evaluate.hpp"

#include <algorithm>
#include <limits>
#include <optional>
#include <span>

#include "base/text.hpp"
#include "policy/expand.hpp"
#include "policy/wrapper_table.hpp"

namespace substrate::policy {
namespace {

constexpr std::size_t kMaxDirectories = 8;
// Patterns are compared with words in time that grows with the word.
constexpr std::size_t kMaxWord = 64u << 10;

std::string text_of(const SimpleCommand& command) {
    std::vector<std::string> words;
    for (const Word& word : command.words) words.push_back(word.known() ? word.text : word.text + "…");
    // Enough to recognise it by.
    if (words.size() > 64) {
        words.resize(64);
        words.push_back("…");
    }
    std::string joined;
    for (const std::string& word : words) {
        if (!joined.empty()) joined += ' ';
        const bool plain = !word.empty() && word.find_first_of(" \t\n'\"\\$`;&|<>()#") == std::string::npos;
        joined += plain ? word : shell_join({word});
        if (joined.size() > 4096) break;
    }
    return joined;
}

// With the beginnings of its longest words only: enough to see what else stands in it.
SimpleCommand shortened(SimpleCommand command) {
    for (Word& word : command.words)
        if (word.text.size() > kMaxWord) word.text.resize(kMaxWord);
    return command;
}

// Judges one line; made anew for each.
class Judge {
  public:
    Judge(const CompiledPolicy& policy, const ParsedLine& line, const EvaluationContext& context)
        : policy_(policy), line_(line) {
        find_directories(context);
        made_.policy_id = policy.policy_id();
        made_.policy_hash = policy.policy_hash();
        made_.mode = policy.mode();
    }

    Decision run();

  private:
    struct Verdict {
        bool allowed = false, direct = false, approved = false;
        std::optional<std::uint32_t> isolated, require;
    };
    struct PartHit {
        std::uint32_t rule, stage, command;
    };

    void find_directories(const EvaluationContext& context);
    void look_at(std::uint32_t index);
    void take(const CompiledPolicy::Hit& hit, std::uint32_t index);
    void join_pipelines();
    bool chain(std::span<const PartHit> parts, std::uint32_t stages, std::uint32_t& last) const;
    Decision deny(std::string rule, std::string pattern, std::uint32_t command, std::string reason);
    Decision by_rule(DecisionAction action, std::uint32_t rule, std::uint32_t command, std::string_view what);
    Decision unresolved(std::string reason, std::uint32_t command);
    Decision permitted();
    bool counts(const SimpleCommand& command) const {
        return !command.words.empty() && command.origin != Origin::speculative;
    }

    const CompiledPolicy& policy_;
    const ParsedLine& line_;
    NormalContext normal_;
    std::vector<Verdict> verdicts_;
    std::vector<PartHit> parts_;
    std::vector<CompiledPolicy::Hit> hits_;
    std::uint32_t denied_rule_ = kNone, denied_command_ = kNone;
    std::uint32_t unknown_command_ = kNone;
    Unknown unknown_ = Unknown::none;
    Decision made_;
    static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();
};

// Where the line may be when a command runs: its directory and those it enters.
void Judge::find_directories(const EvaluationContext& context) {
    if (!context.cwd.starts_with('/')) return;
    normal_.directories.push_back(normal_path(context.cwd));
    for (const SimpleCommand& command : line_.commands) {
        if (command.words.size() < 2 || normal_.directories.size() >= kMaxDirectories) continue;
        const std::string& program = command.words[0].text;
        if (program != "cd" && program != "pushd" && program != "chdir") continue;
        const Word& target = command.words.back();
        if (!target.exact()) continue;
        const bool absolute = target.text.starts_with('/');
        std::string directory =
            normal_path(absolute ? target.text : normal_.directories.front() + "/" + target.text);
        if (std::ranges::find(normal_.directories, directory) == normal_.directories.end())
            normal_.directories.push_back(std::move(directory));
    }
}

void Judge::take(const CompiledPolicy::Hit& hit, std::uint32_t index) {
    if (policy_.stages_of(hit.rule) > 1) {
        parts_.push_back({hit.rule, hit.stage, index});
        return;
    }
    Verdict& verdict = verdicts_[index];
    const auto earlier = [&](std::optional<std::uint32_t>& rule) {
        if (!rule || hit.rule < *rule) rule = hit.rule;
    };
    switch (policy_.list_of(hit.rule)) {
        case RuleList::denied:
            if (denied_rule_ == kNone || index < denied_command_ ||
                (index == denied_command_ && hit.rule < denied_rule_)) {
                denied_rule_ = hit.rule;
                denied_command_ = index;
            }
            break;
        case RuleList::allowed: verdict.allowed = true; break;
        case RuleList::isolated: earlier(verdict.isolated); break;
        case RuleList::direct: verdict.direct = true; break;
        case RuleList::require: earlier(verdict.require); break;
        case RuleList::auto_approve: verdict.approved = true; break;
    }
}

void Judge::look_at(std::uint32_t index) {
    const SimpleCommand& command = line_.commands[index];
    Unknown why = command.unresolved;
    if (command.words.empty()) {
        // Assignments alone may store what a shell runs later.
    } else {
        const bool huge =
            std::ranges::any_of(command.words, [](const Word& word) { return word.text.size() > kMaxWord; });
        if (huge) why = Unknown::too_many;
        const NormalCommand normal = normal_form(huge ? shortened(command) : command, normal_);
        hits_.clear();
        policy_.match(normal, command.origin == Origin::speculative, hits_);
        for (const CompiledPolicy::Hit& hit : hits_) take(hit, index);
        const bool globs = std::ranges::any_of(command.words, &Word::glob);
        if (why == Unknown::none && globs && policy_.may_deny(normal)) why = Unknown::file_names;
    }
    if (why == Unknown::none || command.origin == Origin::speculative || unknown_ != Unknown::none) return;
    unknown_ = why;
    unknown_command_ = index;
}

// A pattern over a pipeline matches when commands for all of its parts feed one
// another. Each part remembers the best command so far for every pipeline.
bool Judge::chain(std::span<const PartHit> parts, std::uint32_t stages, std::uint32_t& last) const {
    struct Place {
        std::uint32_t pipeline, position;
    };
    std::vector<Place> reached;  // lowest positions that the earlier parts reach
    for (std::uint32_t stage = 0; stage < stages; ++stage) {
        std::vector<Place> next;
        bool any = false;
        for (const PartHit& part : parts) {
            if (part.stage != stage) continue;
            bool fed = stage == 0;
            for (std::uint32_t at = line_.commands[part.command].stage; at != 0 && !fed;
                 at = line_.stages[at].outer) {
                const Stage& here = line_.stages[at];
                const auto place = std::ranges::lower_bound(reached, here.pipeline, {}, &Place::pipeline);
                fed = place != reached.end() && place->pipeline == here.pipeline &&
                      place->position < here.position;
            }
            if (!fed) continue;
            any = true;
            last = part.command;
            for (std::uint32_t at = line_.commands[part.command].stage; at != 0; at = line_.stages[at].outer)
                next.push_back({line_.stages[at].pipeline, line_.stages[at].position});
        }
        if (!any) return false;
        std::ranges::sort(next, [](const Place& a, const Place& b) {
            return a.pipeline != b.pipeline ? a.pipeline < b.pipeline : a.position < b.position;
        });
        const auto rest = std::ranges::unique(next, {}, &Place::pipeline);
        next.erase(rest.begin(), rest.end());
        reached = std::move(next);
    }
    return true;
}

void Judge::join_pipelines() {
    std::ranges::stable_sort(parts_, {}, &PartHit::rule);
    for (std::size_t first = 0; first < parts_.size();) {
        std::size_t until = first;
        while (until < parts_.size() && parts_[until].rule == parts_[first].rule) ++until;
        const std::uint32_t rule = parts_[first].rule;
        std::uint32_t last = 0;
        if (chain(std::span(parts_).subspan(first, until - first), policy_.stages_of(rule), last)) {
            Verdict& verdict = verdicts_[last];
            const RuleList list = policy_.list_of(rule);
            if (list == RuleList::denied && denied_rule_ == kNone) {
                denied_rule_ = rule;
                denied_command_ = last;
            }
            if (list == RuleList::isolated && !verdict.isolated) verdict.isolated = rule;
            if (list == RuleList::require && !verdict.require) verdict.require = rule;
        }
        first = until;
    }
}

Decision Judge::deny(std::string rule, std::string pattern, std::uint32_t command, std::string reason) {
    made_.action = DecisionAction::deny;
    made_.rule = std::move(rule);
    made_.pattern = std::move(pattern);
    made_.reason = std::move(reason);
    if (command != kNone) made_.command = text_of(line_.commands[command]);
    return std::move(made_);
}

Decision Judge::by_rule(DecisionAction action, std::uint32_t rule, std::uint32_t command,
                        std::string_view what) {
    made_.action = action;
    made_.rule =
        std::string(to_string(policy_.list_of(rule))) + "[" + std::to_string(policy_.index_of(rule)) + "]";
    made_.pattern = policy_.pattern_of(rule);
    made_.command = text_of(line_.commands[command]);
    made_.reason = std::string(what) + " by the pattern \"" + made_.pattern + "\"";
    return std::move(made_);
}

Decision Judge::unresolved(std::string reason, std::uint32_t command) {
    made_.rule = "commands.unresolved";
    made_.reason = std::move(reason);
    made_.alternative = "write its words out, or run its parts one by one";
    if (command != kNone) made_.command = text_of(line_.commands[command]);
    switch (policy_.unresolved()) {
        case UnresolvedRule::ask: made_.action = DecisionAction::ask; break;
        case UnresolvedRule::deny: made_.action = DecisionAction::deny; break;
        case UnresolvedRule::isolate:
            made_.action = DecisionAction::allow_with_restrictions;
            made_.restrictions.emplace_back("isolate");
            break;
    }
    return std::move(made_);
}

Decision Judge::run() {
    verdicts_.resize(line_.commands.size());
    for (std::uint32_t index = 0; index < line_.commands.size(); ++index) look_at(index);
    join_pipelines();
    made_.isolated =
        std::ranges::any_of(verdicts_, [](const Verdict& verdict) { return verdict.isolated.has_value(); });
    if (denied_rule_ != kNone) return by_rule(DecisionAction::deny, denied_rule_, denied_command_, "denied");
    if (line_.over_limit)
        return deny("limits", {}, kNone, "the line cannot be judged as a whole: " + line_.refused);
    if (line_.operators && !policy_.allow_shell_operators())
        return deny("allow_shell_operators", {}, kNone, "the line uses operators of the shell");
    if (line_.ok() && policy_.count(RuleList::allowed) > 0)
        for (std::uint32_t index = 0; index < line_.commands.size(); ++index) {
            const SimpleCommand& command = line_.commands[index];
            const bool pseudo =
                counts(command) && (command.words[0].text == "((" || command.words[0].text == "[[");
            // A wrapper is judged by what it runs, unless that is not known.
            const bool transparent = command.transparent && command.unresolved == Unknown::none;
            if (counts(command) && !transparent && !pseudo && !verdicts_[index].allowed)
                return deny("commands.allowed", {}, index, "no pattern of the allowlist matches it");
        }
    if (!line_.ok()) {
        // An unreadable line meets no allowlist, whatever `unresolved` says.
        if (policy_.count(RuleList::allowed) > 0)
            return deny("commands.allowed", {}, kNone,
                        "the line cannot be read as a whole: " + line_.refused);
        return unresolved("the line cannot be read as a whole: " + line_.refused, kNone);
    }
    if (unknown_ != Unknown::none)
        return unresolved("it depends on " + std::string(to_string(unknown_)), unknown_command_);
    return permitted();
}

Decision Judge::permitted() {
    bool direct = policy_.count(RuleList::direct) > 0, any = false;
    std::uint32_t isolated = kNone, asked = kNone;
    for (std::uint32_t index = 0; index < line_.commands.size(); ++index) {
        const Verdict& verdict = verdicts_[index];
        const SimpleCommand& command = line_.commands[index];
        if (verdict.isolated && isolated == kNone) isolated = index;
        if (!counts(command)) continue;
        if (!command.transparent) {
            any = true;
            direct = direct && verdict.direct;
        }
        const bool needs = verdict.require || (policy_.require_all() && !command.transparent);
        if (needs && !verdict.approved && asked == kNone) asked = index;
    }
    if (isolated != kNone) made_.restrictions.emplace_back("isolate");
    else if (direct && any) made_.restrictions.emplace_back("direct");
    if (asked != kNone) {
        if (verdicts_[asked].require)
            return by_rule(DecisionAction::ask, *verdicts_[asked].require, asked, "approval is asked for");
        made_.action = DecisionAction::ask;
        made_.rule = "approval.require";
        made_.command = text_of(line_.commands[asked]);
        made_.reason = "every command that is not approved beforehand needs approval";
        return std::move(made_);
    }
    if (isolated != kNone)
        return by_rule(DecisionAction::allow_with_restrictions, *verdicts_[isolated].isolated, isolated,
                       "isolated");
    if (!made_.restrictions.empty()) {
        made_.action = DecisionAction::allow_with_restrictions;
        made_.rule = "commands.direct";
        made_.reason = "every command of it works on the project directly";
        return std::move(made_);
    }
    made_.reason = policy_.count(RuleList::allowed) > 0 ? "the allowlist has it" : "no rule is against it";
    return std::move(made_);
}

}  // namespace

Decision judge(const CompiledPolicy& policy, const ParsedLine& line, const EvaluationContext& context) {
    return Judge(policy, line, context).run();
}

Decision evaluate(const CompiledPolicy& policy, std::string_view line, const EvaluationContext& context) {
    return judge(policy, parse_command_line(line, {.dialect = context.dialect, .home = context.home}),
                 context);
}

Decision evaluate(const CompiledPolicy& policy, const std::vector<std::string>& argv,
                  const EvaluationContext& context) {
    return judge(policy, parse_arguments(argv, {.dialect = context.dialect, .home = context.home}), context);
}

Decision quick_check(const CompiledPolicy& policy, const std::vector<std::string>& argv,
                     const EvaluationContext& context) {
    Decision made{.policy_id = std::string(policy.policy_id()),
                  .policy_hash = std::string(policy.policy_hash()),
                  .mode = policy.mode()};
    if (argv.empty()) return made;
    const WrapperKind kind = wrapper_rule(base_name(argv[0])).kind;
    const bool runs_others = kind == WrapperKind::git ? git_may_run_others(argv) : kind != WrapperKind::none;
    if (runs_others) {
        Decision whole = evaluate(policy, argv, context);
        const bool denied = whole.action == DecisionAction::deny &&
                            (whole.rule.starts_with("commands.denied") || whole.rule == "limits");
        return denied ? whole : made;
    }
    SimpleCommand command;
    command.words.reserve(argv.size());
    for (const std::string& word : argv) command.words.push_back({.text = word.substr(0, kMaxWord)});
    NormalContext normal;
    if (context.cwd.starts_with('/')) normal.directories.push_back(normal_path(context.cwd));
    std::vector<CompiledPolicy::Hit> hits;
    policy.match(normal_form(command, normal), /*only_denied=*/true, hits);
    std::erase_if(hits, [&](const CompiledPolicy::Hit& hit) { return policy.stages_of(hit.rule) > 1; });
    if (hits.empty()) return made;
    const std::uint32_t rule = std::ranges::min_element(hits, {}, &CompiledPolicy::Hit::rule)->rule;
    made.action = DecisionAction::deny;
    made.rule = "commands.denied[" + std::to_string(policy.index_of(rule)) + "]";
    made.pattern = policy.pattern_of(rule);
    made.command = text_of(command);
    made.reason = "denied by the pattern \"" + made.pattern + "\"";
    return made;
}

std::string denial_text(const Decision& decision) {
    const char* what = decision.mode == PolicyMode::observe ? "command would be denied by policy: "
                                                            : "command denied by policy: ";
    std::string text = what + printable(decision.command.empty() ? decision.reason : decision.command);
    text += " (policy " + printable(decision.policy_id) + ", " + printable(decision.rule);
    if (!decision.pattern.empty()) text += " \"" + printable(decision.pattern) + "\"";
    return text + ")";
}

}  // namespace substrate::policy
