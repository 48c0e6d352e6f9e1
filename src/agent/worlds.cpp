// Worlds as resources: what they are, and what becomes of the changes that were made in them.
#include "agent/api.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/requests.hpp"

namespace substrate::agent {

// By project: the worlds that are idle, then those of which only changes are left.
Result<Json> Api::describe_worlds() {
    const std::int64_t now = agent_.machine().env.realtime_ns();
    std::map<std::string, Json> found;
    for (const auto& project : agent_.projects()) {
        const std::string path = escape_bytes(project->path());
        project->for_each_idle([&](const supervisor::SessionWorld& world) {
            found[world.id()] = {{"world_id", world.id()},
                                 {"project", path},
                                 {"idle", true},
                                 {"capture", to_string(world.plan.capture.strategy)},
                                 {"network", to_string(world.plan.network)},
                                 {"commands", world.commands},
                                 {"background", world.background},
                                 {"age_ms", (now - world.started_ns) / 1'000'000},
                                 {"kept", Json::array()}};
        });
        SUB_TRY_ASSIGN(const auto manifests, project->store().list());
        for (const supervisor::Manifest& manifest : manifests) {
            if (manifest.state == supervisor::KeptState::applied || manifest.world_id.empty()) continue;
            Json& world = found[manifest.world_id];
            if (world.is_null())
                world = {{"world_id", manifest.world_id},
                         {"project", path},
                         {"idle", false},
                         {"kept", Json::array()}};
            world["kept"].push_back({{"span_id", manifest.span_id}, {"state", to_string(manifest.state)}});
        }
    }
    Json all = Json::array();
    for (auto& [id, world] : found) all.push_back(std::move(world));
    return all;
}

void Api::worlds(Call& call) {
    auto all = describe_worlds();
    if (!all) return call.exchange->respond(problem(all.error()));
    call.exchange->respond(json_response({{"worlds", std::move(*all)}, {"sessions", describe_sessions()}}));
}

void Api::world(Call& call) {
    if (!is_id(call.parameter, "wld"))
        return call.exchange->respond(problem(400, "invalid", "that is no world id: wld_ and a UUID"));
    const auto all = describe_worlds();
    if (!all) return call.exchange->respond(problem(all.error()));
    for (const Json& world : *all)
        if (world.at("world_id") == call.parameter) return call.exchange->respond(json_response(world));
    call.exchange->respond(
        problem(404, "not_found", "no world " + call.parameter + " is idle, and no changes are kept for it"));
}

// By a request of the control protocol, with these members of its answer.
void Api::decide_changes(Call& call, const char* request, std::initializer_list<const char*> members) {
    if (!is_id(call.parameter, "wld"))
        return call.exchange->respond(problem(400, "invalid", "that is no world id: wld_ and a UUID"));
    const auto all = describe_worlds();
    if (!all) return call.exchange->respond(problem(all.error()));
    std::string project;
    for (const Json& world : *all)
        if (world.at("world_id") == call.parameter && !world.at("kept").empty())
            project = unescape_bytes(world.at("project").get<std::string>());
    if (project.empty())
        return call.exchange->respond(problem(404, "not_found", "no changes are kept for " + call.parameter));
    const bool force = call.body.is_object() && call.body.value("force", false);
    auto done = supervisor::answer_plain(
        agent_, {{"type", request}, {"project", project}, {"target", call.parameter}, {"force", force}});
    if (!done) return call.exchange->respond(problem(done.error()));
    Json answer = Json::object();
    for (const char* member : members) answer[member] = std::move((*done)[member]);
    // Where the capture lies is the agent's own business.
    if (answer.contains("changes"))
        for (Json& change : answer["changes"]) change.erase("captured");
    call.exchange->respond(json_response(answer));
}

void Api::world_diff(Call& call) { decide_changes(call, "diff", {"changes"}); }
void Api::world_apply(Call& call) { decide_changes(call, "apply", {"applied", "notices"}); }
void Api::world_discard(Call& call) { decide_changes(call, "discard", {"discarded"}); }

}  // namespace substrate::agent
