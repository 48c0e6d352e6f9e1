#include "supervisor/status.hpp"

#include <unistd.h>

#include <charconv>

#include "base/text.hpp"
#include "supervisor/agent.hpp"
#include "supervisor/protocol.hpp"
#include "sys/file.hpp"

namespace substrate::supervisor {
namespace {

// VmRSS of /proc/PID/status, in KiB; 0 when it cannot be read.
std::int64_t resident_kb(pid_t pid) {
    const auto status = sys::read_file("/proc/" + std::to_string(pid) + "/status", 1 << 16);
    if (!status) return 0;
    const auto at = status->find("VmRSS:");
    if (at == std::string::npos) return 0;
    const auto digits = status->find_first_of("0123456789", at);
    std::int64_t value = 0;
    std::from_chars(status->data() + digits, status->data() + status->size(), value);
    return value;
}

Json world_json(const SessionWorld& world, std::int64_t now_ns) {
    return {{"world_id", world.id()},
            {"init_pid", world.world.init_pid()},
            {"rss_kb", resident_kb(world.world.init_pid())},
            {"capture", to_string(world.plan.capture.strategy)},
            {"root", "host"},
            {"network", to_string(world.plan.network)},
            {"seccomp", to_string(world.plan.seccomp)},
            {"user_namespace", world.plan.user_namespace},
            {"mounts", world.plan.mounts.size() + 1},
            {"commands", world.commands},
            {"standby", world.standby},
            {"background", world.background},
            {"age_ms", (now_ns - world.started_ns) / 1'000'000}};
}

}  // namespace

Result<Json> describe_status(Agent& agent) {
    const std::int64_t now = agent.machine().env.realtime_ns();
    Json projects = Json::array();
    for (const auto& project : agent.projects()) {
        Json worlds = Json::array();
        project->for_each_idle([&](const SessionWorld& world) { worlds.push_back(world_json(world, now)); });
        Json kept = Json::array();
        SUB_TRY_ASSIGN(const auto manifests, project->store().list());
        for (const Manifest& manifest : manifests)
            if (manifest.state != KeptState::applied)
                kept.push_back({{"span_id", manifest.span_id}, {"state", to_string(manifest.state)}});
        projects.push_back({{"project", escape_bytes(project->path())},
                            {"session_id", project->session_id()},
                            {"store", escape_bytes(project->store().path())},
                            {"worlds", std::move(worlds)},
                            {"kept", std::move(kept)}});
    }
    Json published = Json::array();
    for (const PublishedPorts::Entry& entry : agent.machine().ports->list())
        published.push_back(
            {{"world_id", entry.world}, {"project", escape_bytes(entry.project)}, {"port", entry.port}});
    const double share = agent.commands() == 0
                             ? 0
                             : static_cast<double>(agent.reused()) / static_cast<double>(agent.commands());
    const std::string tcp = agent.door() == nullptr ? "" : agent.door()->tcp_address();
    Json listens = tcp.empty() ? Json(nullptr) : Json(tcp);
    return Json{{"type", message::kDone},
                {"exit", 0},
                {"backend", "local"},
                {"version", SUBSTRATE_VERSION},
                {"agent_pid", ::getpid()},
                {"agent_rss_kb", resident_kb(::getpid())},
                {"age_ms", (agent.machine().env.monotonic_ns() - agent.started_ns()) / 1'000'000},
                {"commands", agent.commands()},
                {"reused_share", share},
                {"settings", to_json(agent.options().settings)},
                {"tcp", std::move(listens)},
                {"published", std::move(published)},
                {"projects", std::move(projects)}};
}

}  // namespace substrate::supervisor
