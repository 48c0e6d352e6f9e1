#include <fmt/format.h>

#include <iterator>
#include <map>
#include <set>

#include "base/text.hpp"
#include "broker/broker.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

using policy::ParsedLine;
using policy::SimpleCommand;
using policy::Unknown;
using policy::Word;

std::string_view origin_text(policy::Origin origin) {
    switch (origin) {
        case policy::Origin::line: return "line";
        case policy::Origin::wrapped: return "wrapped";
        case policy::Origin::nested: return "nested";
        case policy::Origin::speculative: return "speculative";
    }
    return "?";
}

std::string_view kind_text(policy::RedirectKind kind) {
    switch (kind) {
        case policy::RedirectKind::input: return "<";
        case policy::RedirectKind::output: return ">";
        case policy::RedirectKind::append: return ">>";
        case policy::RedirectKind::duplicate: return ">&";
        case policy::RedirectKind::here_document: return "<<";
        case policy::RedirectKind::here_string: return "<<<";
    }
    return "?";
}

// As a shell would have to be given it; what is not known is an ellipsis.
std::string word_text(const Word& word) {
    if (word.process) return "<(…)";
    std::string text = word.glob && word.known() ? word.text : shell_join({word.text});
    if (!word.known()) text = (word.text.empty() ? "" : text) + "…";
    return printable(text);
}

std::string words_text(const std::vector<Word>& words) {
    std::string text;
    for (const Word& word : words) text += (text.empty() ? "" : " ") + word_text(word);
    return text;
}

// The pipelines of a line that join commands, numbered as they appear. The parser knows more:
// each command has one, and where it reads from and writes to counts as parts.
class Pipelines {
  public:
    struct Place {
        std::size_t pipeline, part, parts;  // from 1
    };

    explicit Pipelines(const ParsedLine& line) : line_(line) {
        for (const SimpleCommand& command : line.commands)
            for (std::uint32_t at = command.stage; at != 0; at = line.stages[at].outer)
                positions_[line.stages[at].pipeline].insert(line.stages[at].position);
        std::erase_if(positions_, [](const auto& one) { return one.second.size() < 2; });
    }

    // From the innermost outwards.
    std::vector<Place> places_of(const SimpleCommand& command) const {
        std::vector<Place> made;
        for (std::uint32_t at = command.stage; at != 0; at = line_.stages[at].outer) {
            const auto found = positions_.find(line_.stages[at].pipeline);
            if (found == positions_.end()) continue;
            const auto number = std::distance(positions_.begin(), found) + 1;
            const auto part =
                std::distance(found->second.begin(), found->second.find(line_.stages[at].position)) + 1;
            made.push_back(
                {static_cast<std::size_t>(number), static_cast<std::size_t>(part), found->second.size()});
        }
        return made;
    }

  private:
    const ParsedLine& line_;
    std::map<std::uint32_t, std::set<std::uint32_t>> positions_;
};

std::string how_found(const SimpleCommand& command) {
    switch (command.origin) {
        case policy::Origin::line: return {};
        case policy::Origin::wrapped: return fmt::format("run by [{}]", command.parent);
        case policy::Origin::nested:
            return command.parent == policy::kNoParent
                       ? "in a text that is run"
                       : fmt::format("in a text that [{}] runs", command.parent);
        case policy::Origin::speculative:
            return fmt::format("[{}] may run it: looked at for denials only", command.parent);
    }
    return {};
}

std::string command_text(const ParsedLine& line, const Pipelines& pipelines, std::size_t index) {
    const SimpleCommand& command = line.commands[index];
    std::string text = fmt::format("  [{}] ", index);
    for (const policy::Assignment& set : command.assignments)
        text += printable(set.name) + "=" + word_text(set.value) + " ";
    text += command.words.empty() ? "(no program)" : words_text(command.words);
    text += "\n";
    const auto note = [&](const std::string& what) {
        if (!what.empty()) text += "        " + what + "\n";
    };
    note(how_found(command));
    for (const Pipelines::Place& place : pipelines.places_of(command))
        note(fmt::format("part {} of {} of pipeline {}", place.part, place.parts, place.pipeline));
    for (const policy::Redirection& redirection : command.redirections)
        note(fmt::format("redirection: {}{} {}",
                         redirection.descriptor >= 0 ? std::to_string(redirection.descriptor) : "",
                         kind_text(redirection.kind), word_text(redirection.target)));
    for (std::size_t i = 0; i < command.words.size(); ++i)
        if (!command.words[i].known())
            note(fmt::format("word {} is not known before it runs: {}", i,
                             policy::to_string(command.words[i].unknown)));
    if (command.unresolved != Unknown::none)
        note(fmt::format("not known in full: it depends on {}", policy::to_string(command.unresolved)));
    return text;
}

std::string parsed_text(const ParsedLine& line) {
    if (!line.ok()) return "  refused: it cannot be read as a whole: " + printable(line.refused) + "\n";
    const Pipelines pipelines(line);
    std::string text;
    for (std::size_t i = 0; i < line.commands.size(); ++i) text += command_text(line, pipelines, i);
    return text.empty() ? "  nothing is run\n" : text;
}

Json word_json(const Word& word) {
    Json json = Json::object();
    put_bytes(json, "text", word.text);
    if (!word.known()) json["unknown"] = policy::to_string(word.unknown);
    if (word.glob) json["glob"] = true;
    if (word.process) json["process_substitution"] = true;
    return json;
}

Json command_json(const Pipelines& pipelines, const SimpleCommand& command) {
    Json json = {{"origin", origin_text(command.origin)},
                 {"parent", nullptr},
                 {"words", Json::array()},
                 {"assignments", Json::array()},
                 {"redirections", Json::array()},
                 {"pipelines", Json::array()},
                 {"unresolved", nullptr}};
    if (command.parent != policy::kNoParent) json["parent"] = command.parent;
    for (const Word& word : command.words) json["words"].push_back(word_json(word));
    for (const policy::Assignment& set : command.assignments)
        json["assignments"].push_back({{"name", printable(set.name)}, {"value", word_json(set.value)}});
    for (const policy::Redirection& redirection : command.redirections)
        json["redirections"].push_back({{"descriptor", redirection.descriptor},
                                        {"operator", kind_text(redirection.kind)},
                                        {"target", word_json(redirection.target)}});
    for (const Pipelines::Place& place : pipelines.places_of(command))
        json["pipelines"].push_back(
            {{"pipeline", place.pipeline}, {"part", place.part}, {"parts", place.parts}});
    if (command.unresolved != Unknown::none) json["unresolved"] = policy::to_string(command.unresolved);
    return json;
}

const broker::Layer* layer_of(const broker::Judgement& judgement) {
    if (!judgement.policies) return nullptr;
    const Decision& decision = judgement.verdict.decision;
    for (const broker::Layer& layer : judgement.policies->layers())
        if (layer.policy.id == decision.policy_id && layer.policy.hash == decision.policy_hash) return &layer;
    return nullptr;
}

std::string run_text(const broker::Judgement& judgement) {
    const broker::Verdict& verdict = judgement.verdict;
    if (verdict.denied) return "no";
    if (verdict.asks)
        return judgement.approved ? "yes: it was approved earlier" : "only when a person approves it";
    std::string text = "yes";
    if (verdict.would_deny) text += ": the policy only observes, and records that it would deny";
    if (verdict.isolate) text += ", in a world of its own";
    if (verdict.direct) text += ", on the project itself";
    return text;
}

std::string judged_text(const broker::Judgement& judgement) {
    const Decision& decision = judgement.verdict.decision;
    std::string text;
    const auto line = [&](std::string_view name, std::string_view value) {
        if (!value.empty()) text += fmt::format("{:<12}{}\n", name, value);
    };
    line("decision", to_string(decision.action));
    line("because", printable(decision.reason));
    line("command", printable(decision.command));
    if (!decision.rule.empty())
        line("rule", printable(decision.rule) +
                         (decision.pattern.empty() ? "" : " \"" + printable(decision.pattern) + "\""));
    if (const broker::Layer* layer = layer_of(judgement))
        line("policy",
             fmt::format("{} ({}), {}", layer->policy.id, to_string(layer->role), printable(layer->file)));
    line("mode", to_string(decision.mode));
    line("instead", printable(decision.alternative));
    line("would run", run_text(judgement));
    return text;
}

Json judged_json(const broker::Judgement& judgement) {
    const Decision& decision = judgement.verdict.decision;
    Json json = {{"action", to_string(decision.action)},
                 {"restrictions", decision.restrictions},
                 {"policy_id", decision.policy_id},
                 {"policy_hash", decision.policy_hash},
                 {"mode", to_string(decision.mode)},
                 {"layer", nullptr},
                 {"isolate", judgement.verdict.isolate},
                 {"direct", judgement.verdict.direct},
                 {"would_deny", judgement.verdict.would_deny},
                 {"asks", judgement.verdict.asks},
                 {"approved", judgement.approved},
                 {"would_run", judgement.may_run()}};
    put_bytes(json, "rule", decision.rule);
    put_bytes(json, "pattern", decision.pattern);
    put_bytes(json, "command", decision.command);
    put_bytes(json, "reason", decision.reason);
    put_bytes(json, "alternative", decision.alternative);
    if (const broker::Layer* layer = layer_of(judgement)) {
        json["layer"] = {{"role", to_string(layer->role)}, {"id", layer->policy.id}};
        put_bytes(json["layer"], "file", layer->file);
    }
    return json;
}

}  // namespace

int policy_explain(const Console& console, const PolicyExplainOptions& options) {
    if (options.line.empty() == options.argv.empty())
        return console.fail_with(
            Error(Errc::invalid, options.line.empty() ? "nothing to explain" : "two commands to explain")
                .hint("write substrate policy explain 'LINE', or explain -- PROGRAM ARGUMENTS"));
    const auto ground = policy_ground(console, options.cwd);
    if (!ground) return console.fail_with(ground.error());
    const policy::ParseOptions how{.dialect = policy::Dialect::bash, .home = ground->places.home};
    const ParsedLine parsed = options.argv.empty() ? policy::parse_command_line(options.line, how)
                                                   : policy::parse_arguments(options.argv, how);
    broker::Broker broker(console.env, ground->places);
    const broker::Judgement judgement = broker.judge({.line = options.line,
                                                      .argv = options.argv,
                                                      .dialect = policy::Dialect::bash,
                                                      .cwd = ground->cwd,
                                                      .project = ground->project,
                                                      .session = {}});
    const std::string line = options.argv.empty() ? options.line : shell_join(options.argv);
    if (options.json) {
        Json json = {{"decision", judged_json(judgement)},
                     {"commands", Json::array()},
                     {"refused", nullptr},
                     {"operators", parsed.operators},
                     {"notices", judgement.notices}};
        put_bytes(json, "line", line);
        put_bytes(json, "cwd", ground->cwd);
        if (!parsed.ok()) json["refused"] = printable(parsed.refused);
        const Pipelines pipelines(parsed);
        for (const SimpleCommand& command : parsed.commands)
            json["commands"].push_back(command_json(pipelines, command));
        console.out(dump_json_pretty(json) + "\n");
    } else {
        console.out(fmt::format("line        {}\ndirectory   {}\nread as\n{}{}", printable(line),
                                printable(ground->cwd), parsed_text(parsed), judged_text(judgement)));
        for (const std::string& notice : judgement.notices) console.note(notice);
    }
    return judgement.may_run() ? 0 : to_int(ExitCode::denied);
}

}  // namespace substrate::shell
