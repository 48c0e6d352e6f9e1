#include "shell/policy_cases.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "codec/yaml_value.hpp"
#include "policy/command_line.hpp"
#include "policy/normal_form.hpp"

namespace substrate::shell {
namespace {

constexpr std::size_t kMostProblems = 100;

class TableReader {
  public:
    TableReader(std::string_view file, PolicyTable& out) : file_(file), out_(out) {}

    void table(const YamlNode& node) {
        if (node.kind != YamlNode::Kind::map) return problem(node, {}, "must be a mapping with `cases`");
        for (std::size_t i = 0; i < node.members.size(); ++i) {
            const auto& [key, value] = node.members[i];
            if (key == "policy") text(value, "/policy", out_.policy);
            else if (key == "cases") cases(value);
            else unknown(node.member_lines[i], "/" + key, "policy, cases");
        }
        if (node.find("cases") == nullptr) problem(node, "/cases", "is missing");
    }

    void problem(int line, int column, std::string pointer, std::string message) {
        if (out_.problems.size() < kMostProblems)
            out_.problems.push_back({std::string(file_), std::max(line, 1), std::max(column, 1),
                                     std::move(pointer), std::move(message)});
    }

  private:
    void problem(const YamlNode& node, std::string pointer, std::string message) {
        problem(node.line, node.column, std::move(pointer), std::move(message));
    }
    void unknown(int line, std::string pointer, const char* known) {
        problem(line, 1, std::move(pointer), std::string("is not a known key; known here: ") + known);
    }
    void text(const YamlNode& node, const std::string& pointer, std::string& into) {
        if (node.kind == YamlNode::Kind::scalar && !node.text.empty()) into = node.text;
        else problem(node, pointer, "must be a text that is not empty");
    }
    void cases(const YamlNode& node) {
        if (node.kind != YamlNode::Kind::sequence || node.items.empty())
            return problem(node, "/cases", "must be a list of cases");
        for (std::size_t i = 0; i < node.items.size(); ++i)
            one_case(node.items[i], "/cases/" + std::to_string(i));
    }
    void one_case(const YamlNode& node, const std::string& pointer) {
        if (node.kind != YamlNode::Kind::map) return problem(node, pointer, "must be a mapping");
        PolicyCase made{.line = node.line};
        for (std::size_t i = 0; i < node.members.size(); ++i) {
            const auto& [key, value] = node.members[i];
            const std::string inner = pointer + "/" + key;
            if (key == "command") text(value, inner, made.command);
            else if (key == "argv") words(value, inner, made.argv);
            else if (key == "cwd") directory(value, inner, made.cwd);
            else if (key == "expect") verdict(value, inner, made.expect);
            else if (key == "rule") text(value, inner, made.rule);
            else if (key == "pattern") text(value, inner, made.pattern);
            else unknown(node.member_lines[i], inner, "command, argv, cwd, expect, rule, pattern");
        }
        const bool line = node.find("command") != nullptr, argv = node.find("argv") != nullptr;
        if (line == argv) problem(node, pointer, "needs either `command` or `argv`");
        if (node.find("expect") == nullptr) problem(node, pointer + "/expect", "is missing");
        out_.cases.push_back(std::move(made));
    }
    void words(const YamlNode& node, const std::string& pointer, std::vector<std::string>& into) {
        if (node.kind != YamlNode::Kind::sequence || node.items.empty())
            return problem(node, pointer, "must be a list of words");
        for (std::size_t i = 0; i < node.items.size(); ++i) {
            if (node.items[i].kind != YamlNode::Kind::scalar)
                problem(node.items[i], pointer + "/" + std::to_string(i), "must be a word");
            into.push_back(node.items[i].text);
        }
    }
    void directory(const YamlNode& node, const std::string& pointer, std::string& into) {
        text(node, pointer, into);
        const bool known = into.starts_with('/') || into == "$PROJECT" || into.starts_with("$PROJECT/") ||
                           into == "$HOME" || into.starts_with("$HOME/");
        if (!into.empty() && !known)
            problem(node, pointer, "must be an absolute path, or begin with $PROJECT or $HOME");
    }
    void verdict(const YamlNode& node, const std::string& pointer, std::string& into) {
        const bool known = node.kind == YamlNode::Kind::scalar &&
                           std::ranges::find(kVerdicts, node.text) != std::end(kVerdicts);
        if (known) into = node.text;
        else problem(node, pointer, "must be one of allow, deny, ask, isolate, direct");
    }

    std::string_view file_;
    PolicyTable& out_;
};

std::string directory_of(const PolicyCase& expected, const CaseGround& ground) {
    for (const auto& [name, value] :
         {std::pair<std::string_view, const std::string*>{"$PROJECT", &ground.project},
          {"$HOME", &ground.home}})
        if (expected.cwd.starts_with(name))
            return policy::normal_path(*value + expected.cwd.substr(name.size()));
    return expected.cwd.empty() ? ground.cwd : policy::normal_path(expected.cwd);
}

}  // namespace

PolicyTable read_policy_table(std::string_view text, std::string_view file) {
    PolicyTable table;
    TableReader reader(file, table);
    const auto tree = parse_yaml(text);
    if (tree) reader.table(*tree);
    else reader.problem(tree.error().line, tree.error().column, {}, tree.error().message);
    return table;
}

std::string_view verdict_word(std::string_view action, const std::vector<std::string>& restrictions) {
    if (action == "deny") return "deny";
    if (action == "ask") return "ask";
    for (const std::string_view word : {"isolate", "direct"})
        if (std::ranges::find(restrictions, word) != restrictions.end()) return word;
    return "allow";
}

CaseOutcome try_case(const broker::PolicySet& policies, const PolicyCase& expected,
                     const CaseGround& ground) {
    const policy::ParseOptions options{.dialect = policy::Dialect::bash, .home = ground.home};
    const policy::ParsedLine parsed = expected.argv.empty()
                                          ? policy::parse_command_line(expected.command, options)
                                          : policy::parse_arguments(expected.argv, options);
    CaseOutcome made;
    made.verdict =
        broker::judge(policies, parsed, {.cwd = directory_of(expected, ground), .home = ground.home});
    const Decision& decision = made.verdict.decision;
    made.got = verdict_word(to_string(decision.action), decision.restrictions);
    const auto differs = [&](std::string_view what, std::string_view wanted, std::string_view got) {
        if (!made.failure.empty()) return;
        made.failure = fmt::format("{} {} expected, but it is {}{}", what, printable(wanted),
                                   got.empty() ? "none" : printable(got),
                                   decision.reason.empty() ? "" : " (" + printable(decision.reason) + ")");
    };
    if (made.got != expected.expect) differs("verdict", expected.expect, made.got);
    if (!expected.rule.empty() && expected.rule != decision.rule)
        differs("rule", expected.rule, decision.rule);
    if (!expected.pattern.empty() && expected.pattern != decision.pattern)
        differs("pattern", expected.pattern, decision.pattern);
    return made;
}

}  // namespace substrate::shell
