#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"
#include "broker/loader.hpp"
#include "model/exit_codes.hpp"
#include "shell/policy_commands.hpp"
#include "shell/policy_ground.hpp"
#include "shell/policy_values.hpp"
#include "supervisor/protocol.hpp"

namespace substrate::shell {
namespace {

using broker::Layer;

// What a running agent has in force; hash and id are empty where it has nothing.
struct AgentState {
    bool runs = false;
    std::string trouble;  // it runs and does not say
    std::string id, hash;
    std::vector<std::string> problems, notices;
};

AgentState agent_state(const Console& console, const PolicyGround& ground) {
    AgentState state;
    const auto reply = ask_running_agent(
        console, {{"type", "policy_state"}, {"cwd", ground.cwd}, {"project", ground.project}});
    if (!reply) {
        state.runs = true;
        state.trouble = reply.error().describe();
        return state;
    }
    if (!*reply) return state;
    const Json& json = **reply;
    state.runs = true;
    state.id = supervisor::text_of(json, "policy_id");
    state.hash = supervisor::text_of(json, "policy_hash");
    state.notices = supervisor::texts_of(json, "notices");
    if (const auto problems = json.find("problems"); problems != json.end() && problems->is_array())
        for (const Json& problem : *problems)
            state.problems.push_back(supervisor::text_of(problem, "file") + ": " +
                                     supervisor::text_of(problem, "message"));
    return state;
}

std::vector<PolicyValue> merged_values(const broker::PolicySet& set) {
    return {{"/mode", to_string(set.mode())},
            {"/world/commit", to_string(set.commit())},
            {"/world/reuse_session", set.reuse_session()},
            {"/world/isolate_network", set.isolate_network()},
            {"/world/publish", set.publish()},
            {"/world/limits/runtime", time_value(set.limits().runtime_ms)},
            {"/approval/interactive", set.interactive()},
            {"/approval/timeout", time_value(set.approval_timeout_ms())}};
}

std::string indented(std::string_view lines) {
    std::string text;
    while (!lines.empty()) {
        const std::size_t end = std::min(lines.find('\n') + 1, lines.size());
        text += "  " + std::string(lines.substr(0, end));
        lines.remove_prefix(end);
    }
    return text;
}

// Without `explain` only what the text says.
std::string layer_text(const Layer& layer, bool explain) {
    const OriginLines lines = origin_lines(layer.origins);
    std::string text;
    for (const PolicyValue& value : policy_values(layer.policy))
        if (explain) text += render_value(value, layer.file, lines);
        else if (lines.contains(value.pointer)) text += render_value(value);
    return indented(text);
}

Json layer_json(const Layer& layer, bool explain) {
    const OriginLines lines = origin_lines(layer.origins);
    Json json = {{"role", to_string(layer.role)},
                 {"id", layer.policy.id},
                 {"mode", to_string(layer.policy.mode)},
                 {"hash", layer.policy.hash},
                 {"values", Json::object()}};
    put_bytes(json, "file", layer.file);
    for (const PolicyValue& value : policy_values(layer.policy)) {
        json["values"][value.pointer] = value.value;
        if (explain)
            json["origins"][value.pointer] = printable(origin_text(layer.file, lines, value.pointer));
    }
    return json;
}

std::string line(std::string_view name, std::string_view value) {
    return fmt::format("{:<12}{}\n", name, value);
}

std::string chosen_by(const broker::Choice& choice) {
    if (choice.directory.empty()) return "nothing here: the default holds";
    const std::string directory = printable(choice.directory);
    if (choice.texts.empty())
        return fmt::format(
            "what was trusted for {0}, whose files are gone (substrate policy trust --revoke {0})",
            directory);
    std::string files;
    if (choice.texts.profile) files = broker::kProfileFile;
    if (choice.texts.policy)
        files += (files.empty() ? "" : " and ") + std::string(broker::kProjectPolicyFile);
    const std::string standing =
        choice.trusted ? "trusted" : "not trusted: only tightens; substrate policy trust " + directory;
    return fmt::format("{} in {} ({})", files, directory, standing);
}

// What is in force, where that is not simply what the files say.
std::string agent_text(const broker::Loaded& loaded, const AgentState& agent) {
    const bool broken = !loaded.problems.empty() || !agent.problems.empty();
    if (!agent.runs)
        return line("agent", broken ? "none runs: every command is denied until this is mended"
                                    : "none runs; the next command reads these files");
    if (!agent.trouble.empty())
        return line("agent", "does not say what it has in force: " + printable(agent.trouble));
    if (agent.hash.empty()) return line("agent", "has no policy in force: every command is denied");
    const std::string has = printable(agent.id) + " " + printable(agent.hash);
    if (broken) return line("in force", "the last good text stays: " + has);
    if (loaded.set && loaded.set->hash() == agent.hash) return line("agent", "has this in force");
    return line("agent", "has " + has + " in force; it reads these files at the next command");
}

std::string shown_text(const PolicyGround& ground, const broker::Loaded& loaded, const AgentState& agent,
                       bool explain) {
    std::string text = line("directory", printable(ground.cwd));
    if (ground.project != ground.cwd) text += line("project", printable(ground.project));
    if (loaded.set) {
        text += line("policy", loaded.set->id());
        text += line("mode", to_string(loaded.set->mode()));
        text += line("hash", loaded.set->hash());
    }
    text += line("chosen by", chosen_by(loaded.choice));
    for (const broker::LoadProblem& problem : loaded.problems)
        text += line("broken", printable(problem_text(problem)));
    text += agent_text(loaded, agent);
    for (const std::string& notice : loaded.notices) text += line("note", printable(notice));
    if (!loaded.set) return text;
    text += "\nlayers: a command may do what all of them permit\n";
    for (const Layer& layer : loaded.set->layers())
        text += fmt::format("  {:<9} {}  {}  {}  {}\n", to_string(layer.role), layer.policy.id,
                            to_string(layer.policy.mode), layer.policy.hash, printable(layer.file));
    text += "\ntogether\n";
    for (const PolicyValue& value : merged_values(*loaded.set)) text += indented(render_value(value));
    for (const Layer& layer : loaded.set->layers())
        text +=
            fmt::format("\n{} ({})\n{}", layer.policy.id, to_string(layer.role), layer_text(layer, explain));
    return text;
}

Json shown_json(const PolicyGround& ground, const broker::Loaded& loaded, const AgentState& agent,
                bool explain) {
    Json json = {{"policy_id", nullptr},      {"policy_hash", nullptr},
                 {"mode", nullptr},           {"trusted", loaded.choice.trusted},
                 {"layers", Json::array()},   {"merged", Json::object()},
                 {"problems", Json::array()}, {"notices", loaded.notices},
                 {"agent", nullptr}};
    put_bytes(json, "directory", ground.cwd);
    put_bytes(json, "project", ground.project);
    put_bytes(json, "chosen_in", loaded.choice.directory);
    for (const broker::LoadProblem& problem : loaded.problems) {
        Json one = {{"message", printable(problem.message)}, {"advice", printable(problem.advice)}};
        put_bytes(one, "file", problem.file);
        json["problems"].push_back(std::move(one));
    }
    if (agent.runs)
        json["agent"] = {{"policy_id", agent.id},
                         {"policy_hash", agent.hash},
                         {"problems", agent.problems},
                         {"notices", agent.notices},
                         {"trouble", agent.trouble}};
    if (!loaded.set) return json;
    json["policy_id"] = loaded.set->id();
    json["policy_hash"] = loaded.set->hash();
    json["mode"] = to_string(loaded.set->mode());
    for (const Layer& layer : loaded.set->layers()) json["layers"].push_back(layer_json(layer, explain));
    for (const PolicyValue& value : merged_values(*loaded.set)) json["merged"][value.pointer] = value.value;
    return json;
}

int show_named(const Console& console, const PolicyGround& ground, const PolicyShowOptions& options) {
    const auto layer = named_policy(ground.places, options.id);
    if (!layer) return console.fail_with(layer.error());
    if (options.json) {
        Json json = layer_json(*layer, options.explain);
        json.erase("role");
        console.out(dump_json_pretty(json) + "\n");
        return 0;
    }
    console.out(line("policy", layer->policy.id) + line("file", printable(layer->file)) +
                line("hash", layer->policy.hash) + "\n" + layer_text(*layer, options.explain));
    return 0;
}

}  // namespace

int policy_show(const Console& console, const PolicyShowOptions& options) {
    const auto ground = policy_ground(console);
    if (!ground) return console.fail_with(ground.error());
    if (!options.id.empty()) return show_named(console, *ground, options);
    const broker::Loaded loaded = broker::load_policies(ground->places, ground->cwd, ground->project);
    const AgentState agent = agent_state(console, *ground);
    if (options.json)
        console.out(dump_json_pretty(shown_json(*ground, loaded, agent, options.explain)) + "\n");
    else console.out(shown_text(*ground, loaded, agent, options.explain));
    return loaded.problems.empty() ? 0 : to_int(ExitCode::usage);
}

int policy_reload(const Console& console, const PolicyReloadOptions& options) {
    const auto ground = policy_ground(console);
    if (!ground) return console.fail_with(ground.error());
    const auto reply = ask_running_agent(console, {{"type", "policy_reload"}});
    if (!reply) return console.fail_with(reply.error());
    const bool runs = reply->has_value();
    bool broken = false;
    Json reloads = Json::array();
    if (runs) {
        if (const auto found = (*reply)->find("reloads"); found != (*reply)->end() && found->is_array())
            reloads = *found;
        for (const Json& reload : reloads) broken |= !supervisor::text_of(reload, "problem").empty();
    }
    // What is broken here is broken whether somebody has looked at it before or not.
    const broker::Loaded loaded = broker::load_policies(ground->places, ground->cwd, ground->project);
    for (const broker::LoadProblem& problem : loaded.problems) console.note(problem_text(problem));
    broken |= !loaded.problems.empty();
    if (options.json) {
        console.out(dump_json_pretty({{"agent", runs}, {"reloads", reloads}, {"broken", broken}}) + "\n");
    } else if (!runs) {
        console.out("no agent runs; the next command reads the files anyway\n");
    } else {
        for (const Json& reload : reloads) {
            const std::string problem = supervisor::text_of(reload, "problem");
            console.out(fmt::format("{}: {} {}\n", printable(supervisor::text_of(reload, "directory")),
                                    printable(supervisor::text_of(reload, "policy_id")),
                                    problem.empty()
                                        ? printable(supervisor::text_of(reload, "old_hash")) + " → " +
                                              printable(supervisor::text_of(reload, "new_hash"))
                                        : "stays as it was: " + printable(problem)));
        }
        if (reloads.empty()) console.out("nothing has changed\n");
    }
    return broken ? to_int(ExitCode::usage) : 0;
}

}  // namespace substrate::shell
