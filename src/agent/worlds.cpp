// Worlds as resources: what they are, and what becomes of the changes that were made in them.
#include <expected>

#include "agent/api.hpp"
#include "agent/execute_answers.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/made_worlds.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/requests.hpp"

namespace substrate::agent {

namespace {

bool is_world_id(const std::string& text) { return is_id(text, "wld") || is_id(text, "snp"); }

HttpResponse no_world_id() {
    return problem(400, "invalid", "that is no world id: wld_ or snp_, and a UUID");
}

// What is known of a world that was made by a request.
void add_branch(Json& world, const supervisor::Branch& branch) {
    world["agent_id"] = branch.agent_id;
    world["snapshot"] = branch.is_snapshot();
    world["forked"] = branch.own_line();
    if (!branch.name.empty()) world["name"] = branch.name;
    if (!branch.from.empty()) world["from"] = branch.from;
}

// Who asks, and the name that a world is to have.
std::expected<supervisor::MadeFor, HttpResponse> read_made_for(const Json& body) {
    supervisor::MadeFor made_for{.agent_id = body.at("agent_id").get<std::string>(),
                                 .name = body.value("name", "")};
    if (printable(made_for.name) == made_for.name) return made_for;
    return std::unexpected(
        problem(400, "invalid", "/name: has characters that are not for showing", {{"pointer", "/name"}}));
}

}  // namespace

// By project: the worlds that are idle, those of which only changes are left, and those that were made.
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
        const auto known = [&](const std::string& id) -> Json& {
            Json& world = found[id];
            if (world.is_null())
                world = {{"world_id", id}, {"project", path}, {"idle", false}, {"kept", Json::array()}};
            return world;
        };
        for (const supervisor::Branch& branch : project->branches()) {
            add_branch(known(branch.id), branch);
        }
        SUB_TRY_ASSIGN(const auto manifests, project->store().list());
        for (const supervisor::Manifest& manifest : manifests) {
            if (manifest.state == supervisor::KeptState::applied || manifest.world_id.empty()) continue;
            known(manifest.world_id)["kept"].push_back(
                {{"span_id", manifest.span_id}, {"state", to_string(manifest.state)}});
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
    if (!is_world_id(call.parameter)) return call.exchange->respond(no_world_id());
    const auto all = describe_worlds();
    if (!all) return call.exchange->respond(problem(all.error()));
    for (const Json& world : *all)
        if (world.at("world_id") == call.parameter) return call.exchange->respond(json_response(world));
    call.exchange->respond(
        problem(404, "not_found", "no world " + call.parameter + " is idle, and no changes are kept for it"));
}

// By a request of the control protocol, with these members of its answer.
void Api::decide_changes(Call& call, const char* request, std::initializer_list<const char*> members) {
    if (!is_world_id(call.parameter)) return call.exchange->respond(no_world_id());
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

// The same of a port, of a world that lives.
void Api::move_port(Call& call, bool end) {
    if (!is_id(call.parameter, "wld"))
        return call.exchange->respond(problem(400, "invalid", "that is no world id: wld_ and a UUID"));
    const Json request = {
        {"type", "publish"}, {"world", call.parameter}, {"port", call.body.at("port")}, {"end", end}};
    const auto done = supervisor::answer_plain(agent_, request);
    if (!done) return call.exchange->respond(problem(done.error()));
    call.exchange->respond(
        json_response({{"world_id", call.parameter}, {"port", call.body.at("port")}, {"published", !end}}));
}

void Api::world_publish(Call& call) { move_port(call, /*end=*/false); }
void Api::world_unpublish(Call& call) { move_port(call, /*end=*/true); }

void Api::world_diff(Call& call) { decide_changes(call, "diff", {"changes"}); }
void Api::world_apply(Call& call) { decide_changes(call, "apply", {"applied", "notices"}); }
void Api::world_discard(Call& call) { decide_changes(call, "discard", {"discarded"}); }

std::shared_ptr<supervisor::Project> Api::project_with(const std::string& world_id) {
    for (const auto& project : agent_.projects())
        if (project->has_world(world_id)) return project;
    return nullptr;
}

// Without a look at the others, of which there may be many.
void Api::answer_made(Call& call, const std::string& world_id) {
    const auto project = project_with(world_id);
    const auto branch = project ? project->branch(world_id) : std::nullopt;
    if (!branch)
        return call.exchange->respond(
            problem(500, "internal", "the new world " + world_id + " is gone already"));
    Json world = {{"world_id", world_id},
                  {"project", escape_bytes(project->path())},
                  {"idle", !branch->is_snapshot()},
                  {"kept", Json::array()}};
    add_branch(world, *branch);
    const auto manifests = project->store().list();
    if (!manifests) return call.exchange->respond(problem(manifests.error()));
    for (const supervisor::Manifest& manifest : *manifests)
        if (manifest.branch == world_id)
            world["kept"].push_back({{"span_id", manifest.span_id}, {"state", to_string(manifest.state)}});
    HttpResponse answer = json_response(world);
    answer.status = 201;
    answer.headers.emplace_back("Location", "/v1/worlds/" + world_id);
    call.exchange->respond(std::move(answer));
}

void Api::make_world(Call& call) {
    const auto made_for = read_made_for(call.body);
    if (!made_for) return call.exchange->respond(made_for.error());
    std::string cwd = call.body.value("cwd", call.peer.cwd);
    if (!cwd.starts_with('/') || cwd.contains('\0'))
        return call.exchange->respond(
            problem(400, "invalid", "/cwd: is not an absolute path", {{"pointer", "/cwd"}}));
    auto real = real_directory(cwd);
    if (!real) return call.exchange->respond(problem(real.error()));
    auto made = supervisor::make_world(agent_, *real, *made_for);
    if (!made) return call.exchange->respond(problem(made.error()));
    answer_made(call, made->id);
}

void Api::branch_off(Call& call, bool snapshot) {
    if (!is_world_id(call.parameter)) return call.exchange->respond(no_world_id());
    const auto project = project_with(call.parameter);
    if (!project)
        return call.exchange->respond(problem(404, "not_found", "there is no world " + call.parameter));
    const auto made_for = read_made_for(call.body);
    if (!made_for) return call.exchange->respond(made_for.error());
    auto made = snapshot ? supervisor::take_snapshot(agent_, *project, call.parameter, *made_for)
                         : supervisor::fork_world(agent_, *project, call.parameter, *made_for);
    if (!made) return call.exchange->respond(problem(made.error()));
    answer_made(call, made->id);
}

void Api::world_fork(Call& call) { branch_off(call, /*snapshot=*/false); }
void Api::world_snapshot(Call& call) { branch_off(call, /*snapshot=*/true); }

void Api::world_delete(Call& call) {
    if (!is_world_id(call.parameter)) return call.exchange->respond(no_world_id());
    const auto project = project_with(call.parameter);
    if (!project)
        return call.exchange->respond(problem(404, "not_found", "there is no world " + call.parameter));
    if (auto removed = supervisor::remove_world(agent_, *project, call.parameter); !removed)
        return call.exchange->respond(problem(removed.error()));
    call.exchange->respond(json_response({{"deleted", call.parameter}}));
}

}  // namespace substrate::agent
