#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "base/text.hpp"
#include "model/exit_codes.hpp"
#include "shell/commands.hpp"
#include "shell/doctor.hpp"
#include "supervisor/client.hpp"
#include "supervisor/protocol.hpp"
#include "supervisor/session_world.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/socket.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

namespace message = supervisor::message;

Result<Json> ask(const Console& console, Json request) {
    SUB_TRY_ASSIGN(supervisor::Client client, supervisor::Client::connect(console.env, console.home));
    return client.request(std::move(request));
}

std::string age_text(std::int64_t ms) {
    const std::int64_t seconds = ms / 1000;
    if (seconds < 120) return fmt::format("{} s", seconds);
    if (seconds < 7200) return fmt::format("{} min", seconds / 60);
    return fmt::format("{} h", seconds / 3600);
}

std::string status_text(const Json& status) {
    std::string text = fmt::format(
        "backend local, agent {} ({}, {} KiB), {} commands, {:.0f} % in warm worlds\n",
        supervisor::number_of(status, "agent_pid"), age_text(supervisor::number_of(status, "age_ms")),
        supervisor::number_of(status, "agent_rss_kb"), supervisor::number_of(status, "commands"),
        status.value("reused_share", 0.0) * 100);
    if (const std::string tcp = supervisor::text_of(status, "tcp"); !tcp.empty())
        text += fmt::format("http://{}/  is the API, for whoever has the token\n", printable(tcp));
    for (const Json& project : status.at("projects")) {
        text += fmt::format("{}\n", printable(supervisor::text_of(project, "project")));
        for (const Json& world : project.at("worlds"))
            text += fmt::format(
                "  {}  {}, {} network, seccomp {}, {} mounts, {} KiB, {} commands, {}{}\n",
                supervisor::text_of(world, "world_id"), supervisor::text_of(world, "capture"),
                supervisor::text_of(world, "network"), supervisor::text_of(world, "seccomp"),
                supervisor::number_of(world, "mounts"), supervisor::number_of(world, "rss_kb"),
                supervisor::number_of(world, "commands"), age_text(supervisor::number_of(world, "age_ms")),
                supervisor::flag_of(world, "background") ? ", background processes"
                : supervisor::flag_of(world, "standby")  ? ", made ahead"
                                                         : "");
        for (const Json& kept : project.at("kept"))
            text += fmt::format("  {}  {}\n", supervisor::text_of(kept, "span_id"),
                                supervisor::text_of(kept, "state"));
    }
    for (const Json& port : status.at("published"))
        text += fmt::format("http://localhost:{}/  leads to {} of {}\n", supervisor::number_of(port, "port"),
                            supervisor::text_of(port, "world_id"),
                            printable(supervisor::text_of(port, "project")));
    return text;
}

}  // namespace

int world_status(const Console& console, const WorldOptions& options) {
    auto client = supervisor::Client::connect_existing(console.home);
    if (!client && client.error().code() == Errc::unavailable) {
        if (options.json) console.out("{\"agent\":null,\"projects\":[]}\n");
        else console.out("no agent is running; the next command starts one\n");
        return 0;
    }
    if (!client) return console.fail_with(client.error());
    auto status = client->request({{"type", message::kStatus}});
    if (!status) return console.fail_with(status.error());
    if (options.json) {
        status->erase("type");
        status->erase("exit");
        console.out(dump_json_pretty(*status) + "\n");
    } else {
        console.out(status_text(*status));
    }
    return 0;
}

int world_warm(const Console& console, const WorldOptions& options) {
    ExecRequest here;
    if (auto filled = fill_from_process(console, here); !filled) return console.fail_with(filled.error());
    auto reply = ask(console, {{"type", message::kWarm}, {"cwd", here.cwd}});
    if (!reply) return console.fail_with(reply.error());
    if (options.json) console.out(dump_json({{"world_id", supervisor::text_of(*reply, "world_id")}}) + "\n");
    else console.out(supervisor::text_of(*reply, "world_id") + " is warm\n");
    return 0;
}

int world_publish(const Console& console, const PublishOptions& options) {
    ExecRequest here;
    if (auto filled = fill_from_process(console, here); !filled) return console.fail_with(filled.error());
    // An agent that would have to be started has no worlds.
    auto client = supervisor::Client::connect_existing(console.home);
    if (!client && client.error().code() == Errc::unavailable)
        return console.fail_with(
            Error(Errc::not_found, "no world is running").hint("start the server first"));
    if (!client) return console.fail_with(client.error());
    auto reply = client->request({{"type", message::kPublish},
                                  {"cwd", here.cwd},
                                  {"world", options.world},
                                  {"port", options.port},
                                  {"end", options.end}});
    if (!reply) return console.fail_with(reply.error());
    const std::string world = supervisor::text_of(*reply, "world_id");
    if (options.json) console.out(dump_json({{"world_id", world}, {"port", options.port}}) + "\n");
    else if (options.end) console.out(fmt::format("port {} of {} is closed\n", options.port, world));
    else console.out(fmt::format("http://localhost:{}/ leads to {}\n", options.port, world));
    return 0;
}

int world_stop(const Console& console) {
    {
        auto client = supervisor::Client::connect_existing(console.home);
        if (!client && client.error().code() == Errc::unavailable) return 0;
        if (!client) return console.fail_with(client.error());
        auto stopped = client->request({{"type", message::kStop}});
        if (!stopped) return console.fail_with(stopped.error());
    }
    // It holds its lock until its worlds have ended.
    auto lock = sys::open_path(console.home.agent_lock(), O_RDWR);
    if (!lock) return console.fail_with(lock.error());
    auto gone = sys::FileLock::exclusive(lock->get());
    return gone ? 0 : console.fail_with(gone.error());
}

int world_restart(const Console& console, const WorldOptions& options) {
    if (const int stopped = world_stop(console); stopped != 0) return stopped;
    return world_warm(console, options);
}

int world_gc(const Console& console, const WorldOptions& options) {
    auto reply = ask(console, {{"type", message::kGc}, {"dry_run", options.dry_run}});
    if (!reply) return console.fail_with(reply.error());
    const int exit = static_cast<int>(supervisor::number_of(*reply, "exit"));
    if (options.json) {
        reply->erase("type");
        reply->erase("exit");
        console.out(dump_json_pretty(*reply) + "\n");
        return exit;
    }
    for (const std::string& removed : supervisor::texts_of(*reply, "removed"))
        console.out(fmt::format("{} {}\n", options.dry_run ? "would remove" : "removed", printable(removed)));
    for (const Json& kept : reply->at("kept"))
        console.out(fmt::format("kept {}: {}\n", printable(supervisor::text_of(kept, "name")),
                                printable(supervisor::text_of(kept, "reason"))));
    for (const Json& error : reply->at("errors"))
        console.note(supervisor::text_of(error, "name") + ": " + supervisor::text_of(error, "message"));
    return exit;
}

int relay_command() {
    char buffer[64 * 1024];
    for (;;) {
        const auto n = sys::read_some(STDIN_FILENO, buffer);
        if (!n && n.error().os_errno() == EAGAIN) {
            (void)sys::wait_readable(STDIN_FILENO, -1);
            continue;
        }
        if (!n || *n == 0) return 0;
        if (!sys::write_all(STDOUT_FILENO, {buffer, *n})) return 0;
    }
}

}  // namespace substrate::shell
