#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "broker/policy_file.hpp"
#include "broker/policy_reader.hpp"
#include "broker/shipped_policies.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"

namespace substrate::shell {
namespace {

struct Checked {
    std::string file;
    PolicyText read;
    std::optional<Error> unreadable;
    bool ok() const { return !unreadable && read.ok(); }
};

// `id`: what the file's name says the policy is called; empty: nothing.
Checked check(const broker::Places& places, const std::string& file, const std::string& id,
              const Result<std::string>& text) {
    Checked made{.file = file, .read = {}, .unreadable = {}};
    if (!text) {
        made.unreadable = text.error();
        return made;
    }
    made.read = broker::check_policy_text(*text, file, places);
    if (made.read.ok() && !id.empty() && made.read.policy.id != id) {
        const auto origin = std::ranges::find(made.read.origins, "/id", &PolicyOrigin::pointer);
        made.read.problems.push_back(
            {file, origin == made.read.origins.end() ? 1 : origin->line, 1, "/id",
             "is '" + made.read.policy.id + "', but the file's name says '" + id + "'"});
    }
    return made;
}

std::vector<Checked> check_known(const broker::Places& places) {
    std::vector<Checked> made;
    for (const broker::KnownPolicy& known : broker::known_policies(places)) {
        const auto shipped =
            known.file == broker::shipped_name(known.id) ? broker::shipped_policy(known.id) : std::nullopt;
        const Result<std::string> text =
            shipped ? Result<std::string>(std::string(*shipped)) : read_named_file(places, known.file);
        made.push_back(check(places, known.file, known.id, text));
    }
    auto managed = broker::read_policy_file(places.managed_policy, broker::Ground::system, places.uid);
    if (!managed) made.push_back(check(places, places.managed_policy, {}, fail(managed.error())));
    else if (*managed) made.push_back(check(places, places.managed_policy, {}, std::move((*managed)->text)));
    return made;
}

Json to_json(const Checked& checked) {
    Json json = {{"ok", checked.ok()}, {"problems", Json::array()}};
    put_bytes(json, "file", checked.file);
    if (checked.ok()) {
        json["id"] = checked.read.policy.id;
        json["mode"] = to_string(checked.read.policy.mode);
        json["hash"] = checked.read.policy.hash;
    }
    if (checked.unreadable)
        json["problems"].push_back({{"message", printable(checked.unreadable->describe())}});
    for (const PolicyProblem& problem : checked.read.problems)
        json["problems"].push_back({{"line", std::max(problem.line, 1)},
                                    {"column", std::max(problem.column, 1)},
                                    {"pointer", printable(problem.pointer)},
                                    {"message", printable(problem.message)}});
    return json;
}

}  // namespace

int policy_validate(const Console& console, const PolicyValidateOptions& options) {
    const auto ground = policy_ground(console, "/");
    if (!ground) return console.fail_with(ground.error());
    std::vector<Checked> all;
    if (options.files.empty()) all = check_known(ground->places);
    for (const std::string& file : options.files)
        all.push_back(check(ground->places, file, {}, read_named_file(ground->places, file)));

    Json report = Json::array();
    for (const Checked& checked : all) {
        if (options.json) {
            report.push_back(to_json(checked));
            continue;
        }
        if (checked.unreadable) console.complain(*checked.unreadable);
        for (PolicyProblem problem : checked.read.problems) {
            problem.line = std::max(problem.line, 1);
            console.out(printable(problem.text()) + "\n");
        }
        if (checked.ok())
            console.out(fmt::format("{}: ok, {} ({})\n", printable(checked.file), checked.read.policy.id,
                                    to_string(checked.read.policy.mode)));
    }
    if (options.json) console.out(dump_json_pretty(report) + "\n");
    return std::ranges::all_of(all, &Checked::ok) ? 0 : to_int(ExitCode::usage);
}

}  // namespace substrate::shell
