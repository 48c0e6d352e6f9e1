#include "shell/policy_suggest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <set>
#include <unordered_set>

#include "base/text.hpp"
#include "codec/policy_yaml.hpp"
#include "policy/evaluate.hpp"
#include "policy/wrapper_table.hpp"
#include "shell/command_pattern.hpp"
#include "shell/recorded_command.hpp"

namespace substrate::shell {
namespace {

constexpr std::size_t kScopesPerSpan = 20;  // a span with so many may have written more
constexpr std::string_view kWriteScope = "fs.write:", kNetScope = "net:";

struct Observed {
    const Span* span = nullptr;
    RecordedCommand command;
    policy::ParsedLine parsed;
};

std::string shown(const std::string& line) {
    constexpr std::size_t kMost = 120;
    return printable(line.size() > kMost ? line.substr(0, kMost) + "…" : line);
}

// Those that an allowlist must name: see Judge::run in policy/evaluate.cpp.
bool must_be_named(const policy::SimpleCommand& command) {
    if (command.words.empty() || command.origin == policy::Origin::speculative) return false;
    if (command.transparent && command.unresolved == policy::Unknown::none) return false;
    return command.words[0].text != "((" && command.words[0].text != "[[";
}

// Runs its arguments, and is named though they are named too.
bool is_wrapper(const policy::SimpleCommand& command) {
    using policy::WrapperKind;
    switch (policy::wrapper_rule(policy::base_name(command.words[0].text)).kind) {
        case WrapperKind::none:
        case WrapperKind::callbacks:
        case WrapperKind::builtin:
        case WrapperKind::git:
        case WrapperKind::opaque_by_verb: return false;
        default: return true;
    }
}

// A few texts cannot stand in a policy, such as those that are too long.
bool fits_in_a_policy(const std::string& text) {
    const PolicyText read = parse_policy("id: a\nname: " + yaml_scalar(text) + "\n", "text");
    return read.ok() && read.policy.name == text;
}

class Suggester {
  public:
    Suggester(const std::vector<Span>& spans, const SuggestionGround& ground)
        : spans_(spans), ground_(ground) {}

    Result<Suggestion> run() {
        for (const Span& span : spans_) observe(span);
        made_ = allow_patterns(needed_);
        std::erase_if(made_.patterns, [](const std::string& pattern) { return !fits_in_a_policy(pattern); });
        leave_out_those_without();
        for (const Observed& one : observed_) take_scopes(*one.span);
        for (std::set<std::string>* texts : {&writes_, &hosts_})
            std::erase_if(*texts,
                          [](const std::string& text) { return is_utf8(text) && !fits_in_a_policy(text); });
        Suggestion suggestion;
        for (int round = 0;; ++round) {
            suggestion.yaml = yaml();
            SUB_TRY_ASSIGN(const bool all, check(suggestion.yaml));
            if (all) break;
            if (round > 2)
                return fail({Errc::internal, "the suggested policy does not allow what it was made from"});
        }
        if (observed_.empty())
            return fail(Error(Errc::not_found, "none of the commands of session " + ground_.session +
                                                   " can be allowed by a pattern")
                            .hint(left_out_.empty() ? "substrate trace lists sessions" : left_out_.front()));
        suggestion.covered = observed_.size();
        suggestion.left_out = std::move(left_out_);
        return suggestion;
    }

  private:
    void leave_out(const RecordedCommand& command, const std::string& why) {
        left_out_.push_back(shown(shown_line(command)) + ": " + printable(why));
    }

    void observe(const Span& span) {
        Observed one{.span = &span, .command = recorded_command(span), .parsed = {}};
        if (span.outcome == Outcome::denied) return leave_out(one.command, "it was denied and did not run");
        one.parsed = parse_recorded(one.command, ground_.home);
        if (!one.parsed.ok())
            return leave_out(one.command, "it cannot be read as a whole: " + one.parsed.refused);
        for (const policy::SimpleCommand& command : one.parsed.commands)
            if (must_be_named(command) && !command.words[0].exact())
                return leave_out(one.command, "the name of a program in it is not known before it runs");
        for (const policy::SimpleCommand& command : one.parsed.commands)
            if (must_be_named(command)) needed_.push_back(command);
        observed_.push_back(std::move(one));
    }

    void leave_out_those_without() {
        std::vector<policy::SimpleCommand> without;
        for (const std::size_t index : made_.without) without.push_back(needed_[index]);
        if (without.empty()) return;
        std::erase_if(observed_, [&](const Observed& one) {
            const bool out =
                std::ranges::any_of(one.parsed.commands, [&](const policy::SimpleCommand& command) {
                    return must_be_named(command) && std::ranges::find(without, command) != without.end();
                });
            if (out) leave_out(one.command, "no pattern can name a command in it");
            return out;
        });
    }

    void take_scopes(const Span& span) {
        const auto under = [](const std::string& path, const std::string& base) {
            return base.size() > 1 && path.starts_with(base) &&
                   (path.size() == base.size() || path[base.size()] == '/');
        };
        std::size_t writes = 0;
        for (const std::string& scope : span.scopes_used) {
            if (scope.starts_with(kNetScope)) hosts_.insert(scope.substr(kNetScope.size()));
            if (!scope.starts_with(kWriteScope)) continue;
            ++writes;
            const std::string path = scope.substr(kWriteScope.size());
            if (under(path, span.project)) writes_.insert("$PROJECT" + path.substr(span.project.size()));
            else if (under(path, ground_.home)) writes_.insert("$HOME" + path.substr(ground_.home.size()));
            else writes_.insert(path);
        }
        if (writes >= kScopesPerSpan) writes_.insert("$PROJECT");
        host_network_ |= span.enforcement.netns == "host";
    }

    // False when some spans are not allowed: they are left out, or the policy is to isolate
    // what is not known, and the text is to be made anew.
    Result<bool> check(const std::string& text) {
        const PolicyText read = parse_policy(text, "suggested");
        if (!read.ok())
            return fail({Errc::internal, "the suggested policy is not valid: " + read.problems[0].text()});
        SUB_TRY_ASSIGN(const std::string bytes,
                       policy::compile_policy(read.policy, {.project = "/project", .home = ground_.home}));
        SUB_TRY_ASSIGN(const policy::CompiledPolicy compiled, policy::CompiledPolicy::open(bytes));
        const std::size_t before = observed_.size();
        const bool known = more_unresolved_;
        std::erase_if(observed_, [&](const Observed& one) {
            const Decision decision =
                policy::judge(compiled, one.parsed,
                              {.cwd = one.command.cwd, .home = ground_.home, .dialect = one.command.dialect});
            // What is looked at in part only: see evaluate.cpp.
            const bool unknown =
                decision.action == DecisionAction::deny && decision.rule == "commands.unresolved";
            more_unresolved_ |= unknown;
            if (unknown) return false;
            const bool allowed = decision.action == DecisionAction::allow ||
                                 decision.action == DecisionAction::allow_with_restrictions;
            if (!allowed) leave_out(one.command, decision.reason);
            return !allowed;
        });
        return observed_.size() == before && more_unresolved_ == known;
    }

    std::string yaml() const {
        bool unresolved = more_unresolved_, operators = false;
        for (const Observed& one : observed_) {
            operators |= one.parsed.operators;
            unresolved |= std::ranges::any_of(one.parsed.commands, is_unresolved);
        }
        std::string text = fmt::format(
            "# The least that {} of {} commands of session {} needed. Look at it, then keep it as\n"
            "# $SUBSTRATE_HOME/policies/{}.yaml. In a pattern ?* is one word that is no option, *.c one that "
            "ends so,\n"
            "# and * alone any words and options.\nid: {}\nname: {}\nmode: enforce\n",
            observed_.size(), spans_.size(), printable(ground_.session), ground_.id, yaml_scalar(ground_.id),
            yaml_scalar("Suggested from " + ground_.session));
        text += "\nfs:" + list("write", writes());
        text += "\nnet:";
        if (host_network_)
            text += "\n  # Some commands had the host's network: what they reached is not known.";
        text += list("allowed", {hosts_.begin(), hosts_.end()});
        // An empty list would allow everything.
        const bool none = made_.patterns.empty();
        text += "\ncommands:" + list("allowed", none ? std::vector<std::string>{":"} : made_.patterns);
        text += wrappers();
        if (unresolved) text += unresolved_lines();
        text += fmt::format("  unresolved: {}\nallow_shell_operators: {}\n", unresolved ? "isolate" : "deny",
                            operators ? "true" : "false");
        if (!left_out_.empty()) text += "\n# Not covered:\n";
        for (const std::string& line : left_out_) text += "#   " + line + "\n";
        return text;
    }

    std::vector<std::string> writes() const {
        if (writes_.contains("$PROJECT")) {
            std::vector<std::string> others = {"$PROJECT"};
            for (const std::string& path : writes_)
                if (!path.starts_with("$PROJECT")) others.push_back(path);
            return others;
        }
        return {writes_.begin(), writes_.end()};
    }

    static bool is_unresolved(const policy::SimpleCommand& command) {
        return command.origin != policy::Origin::speculative && command.unresolved != policy::Unknown::none;
    }

    static std::string list(std::string_view key, const std::vector<std::string>& items) {
        if (items.empty()) return fmt::format("\n  {}: []\n", key);
        std::string text = fmt::format("\n  {}:\n", key);
        for (const std::string& item : items) text += "    - " + yaml_scalar(item) + "\n";
        return text;
    }

    std::string wrappers() const {
        std::set<std::string> programs;
        for (const policy::SimpleCommand& command : needed_)
            if (is_wrapper(command)) programs.insert(printable(policy::base_name(command.words[0].text)));
        if (programs.empty()) return {};
        std::string text =
            "  # These run other commands, which have patterns of their own where they are known:\n  #";
        for (const std::string& program : programs) text += " " + program;
        return text + "\n";
    }

    std::string unresolved_lines() const {
        std::string text = "  # Not known before they run, so they get a world of their own:\n";
        std::set<std::string> seen;
        for (const Observed& one : observed_)
            for (const policy::SimpleCommand& command : one.parsed.commands) {
                if (!is_unresolved(command)) continue;
                std::string comment =
                    fmt::format("  #   {} (it depends on {})\n", shown(shown_line(one.command)),
                                policy::to_string(command.unresolved));
                if (seen.insert(comment).second) text += comment;
                break;
            }
        return text;
    }

    const std::vector<Span>& spans_;
    const SuggestionGround& ground_;
    std::deque<Observed> observed_;
    std::vector<policy::SimpleCommand> needed_;
    AllowPatterns made_;
    std::set<std::string> writes_, hosts_;
    bool host_network_ = false;
    bool more_unresolved_ = false;  // found only when it was judged
    std::vector<std::string> left_out_;
};

}  // namespace

std::string yaml_scalar(std::string_view text) {
    // A plain word may mean a number or a truth value; two words never do.
    constexpr std::string_view kPlain = " _./@%+=~*?-$";
    const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
    const auto plain = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || kPlain.contains(c); };
    const bool starts = !text.empty() && (letter(text[0]) || text[0] == '/' || text[0] == '$');
    const bool telling = text.find_first_of(" /$") != std::string_view::npos || text.contains('-');
    if (starts && telling && !text.ends_with(' ') && std::ranges::all_of(text, plain))
        return std::string(text);
    std::string utf8(text);
    if (!is_utf8(text))
        for (char& c : utf8)
            if (static_cast<unsigned char>(c) >= 128) c = '?';
    std::string quoted = "\"";
    const bool harmless = printable(utf8) == utf8;
    for (std::size_t i = 0; i < utf8.size(); ++i) {
        const auto byte = static_cast<unsigned char>(utf8[i]);
        if (byte == '"' || byte == '\\') (quoted += '\\') += utf8[i];
        else if (byte < 0x20 || byte == 0x7f) quoted += fmt::format("\\x{:02x}", byte);
        else if (byte < 128 || harmless) quoted += utf8[i];
        else {
            const int more = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
            std::uint32_t code = byte & (0x3fu >> more);
            for (int k = 0; k < more; ++k) code = code << 6 | (static_cast<unsigned char>(utf8[++i]) & 0x3fu);
            quoted += code > 0xffff ? fmt::format("\\U{:08x}", code) : fmt::format("\\u{:04x}", code);
        }
    }
    return quoted + "\"";
}

Result<Suggestion> suggest_policy(const std::vector<Span>& spans, const SuggestionGround& ground) {
    if (spans.empty())
        return fail(
            Error(Errc::not_found, "session " + ground.session + " has no finished command in the trace")
                .hint("substrate trace --json shows sessions"));
    return Suggester(spans, ground).run();
}

}  // namespace substrate::shell
