#include "broker/broker.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace substrate::broker {
namespace {

constexpr std::size_t kMaxKnown = 1024;
constexpr std::size_t kMaxReloads = 256;

bool unchanged(const Loaded& loaded) {
    return !loaded.unsettled && std::ranges::all_of(loaded.stamps, [](const auto& file) {
        return stamp_of(file.first) == file.second;
    });
}

std::string problems_of(const Loaded& loaded) {
    std::string text;
    for (const LoadProblem& problem : loaded.problems) {
        if (!text.empty()) text += "; ";
        text += problem.message.contains(printable(problem.file))
                    ? problem.message
                    : printable(problem.file) + ": " + problem.message;
    }
    return text;
}

// Without a policy nothing may run.
Verdict no_policy(const Loaded& loaded) {
    Verdict verdict;
    verdict.denied = true;
    Decision& decision = verdict.decision;
    decision.action = DecisionAction::deny;
    decision.mode = PolicyMode::enforce;
    decision.rule = "policy";
    decision.policy_id = "none";
    decision.reason = "no policy could be read: " + problems_of(loaded);
    for (const LoadProblem& problem : loaded.problems)
        if (decision.alternative.empty()) decision.alternative = problem.advice;
    return verdict;
}

std::vector<std::string> parts_of(const policy::ParsedLine& line) {
    std::vector<std::string> parts;
    for (const policy::SimpleCommand& command : line.commands) {
        std::string part;
        for (const policy::Word& word : command.words)
            part += (part.empty() ? "" : " ") + shell_join({word.text}) + (word.known() ? "" : "…");
        if (!part.empty() && command.origin != policy::Origin::speculative) parts.push_back(std::move(part));
    }
    return parts;
}

// Another shell may run the same text otherwise, so its name is part of what is approved.
std::string pattern_of(const Question& question, const policy::ParsedLine& line) {
    if (!question.argv.empty()) return scope_pattern(question.argv);
    if (question.dialect != policy::Dialect::bash) return scope_pattern({"sh", "-c", question.line});
    return scope_pattern(question.line, line);
}

}  // namespace

Broker::Broker(const Env& env, Places places)
    : env_(env),
      files_(std::move(places)),
      approvals_(env, files_.places.approvals_file),
      grants_(env, files_.places.home) {}

Broker::Known& Broker::current(const Key& key) {
    auto it = known_.find(key);
    if (it != known_.end() && unchanged(it->second.loaded)) return it->second;
    // What is good stays in files_, so that this forgets nothing that matters.
    if (it == known_.end() && known_.size() >= kMaxKnown) known_.clear();
    Loaded now = load_policies(files_, key.cwd, key.project, env_.monotonic_ns(), key.profile);
    if (it == known_.end()) return known_[key] = {.loaded = std::move(now), .told = {}};
    note_reload(key, it->second.loaded, now);
    it->second.loaded = std::move(now);
    return it->second;
}

void Broker::note_reload(const Key& key, const Loaded& before, const Loaded& now) {
    Reload reload{.directory = key.cwd,
                  .policy_id = now.set      ? now.set->id()
                               : before.set ? before.set->id()
                                            : "",
                  .old_hash = before.set ? before.set->hash() : "",
                  .new_hash = now.set ? now.set->hash() : "",
                  .problem = problems_of(now)};
    if (reload.old_hash == reload.new_hash && reload.problem == problems_of(before)) return;
    if (reloads_.size() < kMaxReloads) reloads_.push_back(std::move(reload));
    if (before.set && now.set && before.set->hash() != now.set->hash())
        (void)approvals_.drop_outdated(now.set->id(), now.set->hash());
}

Judgement Broker::judge(const Question& question) {
    Judgement made;
    const std::string& ground = question.governed_by.empty() ? question.cwd : question.governed_by;
    {
        const std::scoped_lock lock(mutex_);
        Known& known = current({ground, question.project, question.profile});
        made.policies = known.loaded.set;
        std::string notices;
        for (const std::string& notice : known.loaded.notices) notices += notice + '\n';
        // They are for a person: who asks from inside a world takes none away.
        if (question.governed_by.empty()) {
            if (notices != known.told) made.notices = known.loaded.notices;
            known.told = std::move(notices);
        }
        if (!made.policies) {
            made.verdict = no_policy(known.loaded);
            return made;
        }
    }
    made.grants = grants_.of(question.agent_id, question.project, made.policies->hash());
    const std::string& home = files_.places.home;
    const policy::ParseOptions options{.dialect = question.dialect, .home = home};
    const policy::ParsedLine line = question.argv.empty() ? policy::parse_command_line(question.line, options)
                                                          : policy::parse_arguments(question.argv, options);
    const policy::EvaluationContext context{.cwd = question.cwd, .home = home, .dialect = question.dialect};
    made.verdict = broker::judge(*made.policies, line, context);
    if (made.verdict.denied || !made.verdict.asks) return made;
    made.scope = {.policy_id = made.policies->id(),
                  .policy_hash = made.policies->hash(),
                  .directory = question.project,
                  .pattern = pattern_of(question, line)};
    made.parts = parts_of(line);
    std::string problem;
    // The directory of the command, not of the project: what was approved for one holds there only.
    ApprovalScope asked = made.scope;
    asked.directory = question.cwd;
    made.approved = approvals_.covers(asked, question.session, problem);
    if (made.approved && ground != question.cwd) {
        asked.directory = ground;
        made.approved = approvals_.covers(asked, question.session, problem);
    }
    if (!problem.empty()) made.notices.push_back(std::move(problem));
    for (const ScopeGrantPtr& grant : made.grants)
        made.approved = made.approved || covers_line(*grant, line, context);
    return made;
}

Result<> Broker::answer(const Judgement& judgement, Answer answer, const std::string& session) {
    return approvals_.keep(judgement.scope, answer, session);
}

Loaded Broker::in_force(const std::string& cwd, const std::string& project, const std::string& profile) {
    const std::scoped_lock lock(mutex_);
    return current({cwd, project, profile}).loaded;
}

void Broker::refresh() {
    const std::scoped_lock lock(mutex_);
    std::vector<Key> keys;
    for (const auto& [key, known] : known_) keys.push_back(key);
    for (const Key& key : keys) (void)current(key);
}

std::vector<Reload> Broker::take_reloads() {
    const std::scoped_lock lock(mutex_);
    return std::exchange(reloads_, {});
}

}  // namespace substrate::broker
