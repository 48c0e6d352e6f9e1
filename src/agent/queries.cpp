// What the API tells about the agent and its machine.
#include <fmt/format.h>
#include <sys/utsname.h>

#include "agent/api.hpp"
#include "agent/problem.hpp"
#include "base/ids.hpp"
#include "base/text.hpp"
#include "supervisor/requests.hpp"
#include "trace/reader.hpp"

namespace substrate::agent {
namespace {

Json capability_json(const plan::Capability& capability) {
    Json json = {{"ok", capability.ok}};
    if (!capability.reason.empty()) json["reason"] = printable(capability.reason);
    if (!capability.fix.empty()) json["fix"] = printable(capability.fix);
    return json;
}

// One metric of the Prometheus text format.
void add_metric(std::string& out, std::string_view name, std::string_view type, std::string_view help,
                auto value) {
    out += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n{0} {3}\n", name, type, help, value);
}

void add_network_metrics(std::string& out, const supervisor::Network::Counts& net) {
    const auto counter = [&](std::string_view name, std::string_view help, std::uint64_t value) {
        add_metric(out, std::string("substrate_net_") + std::string(name), "counter", help, value);
    };
    counter("connections_total", "Connections of worlds that have ended.", net.connections);
    counter("connections_refused_total", "Those that the gateway refused or cut.", net.refused);
    counter("connections_failed_total", "Those that were allowed, and failed.", net.failed);
    counter("sent_bytes_total", "Bytes that worlds have sent.", net.sent);
    counter("received_bytes_total", "Bytes that worlds have received.", net.received);
    counter("dns_queries_total", "Questions for names.", net.names);
    counter("dns_cache_hits_total", "Those that no name server was asked for.", net.names_known);
    counter("dns_refused_total", "Those for names that are not allowed.", net.names_refused);
    counter("dns_failed_total", "Those that were allowed, and had no answer.", net.names_failed);
    counter("dropped_packets_total", "Packets that the kernel refused in worlds.", net.dropped);
    counter("dropped_bytes_total", "Their bytes.", net.dropped_bytes);
    counter("budgets_exhausted_total", "Budgets of bytes that were used up.", net.budgets);
    counter("published_connections_total", "Connections from this machine to published ports.",
            net.published);
    counter("published_bytes_total", "Their bytes, both directions.", net.published_bytes);
    counter("gateway_starts_total", "Gateways that were started.", net.gateways);
    add_metric(out, "substrate_net_worlds", "gauge", "Worlds that the gateway serves.", net.worlds);
}

}  // namespace

void Api::health(Call& call) {
    call.exchange->respond(json_response({{"status", "ok"}, {"version", SUBSTRATE_VERSION}}));
}

void Api::openapi(Call& call) { call.exchange->respond(json_response(document_->json())); }

void Api::capabilities(Call& call) {
    const plan::HostFacts& facts = agent_.machine().facts;
    Json capture = Json::array();
    if (facts.overlay.ok) capture.push_back("overlay");
    if (facts.fuse.ok) capture.push_back("fuse");
    capture.push_back("copy-diff");
    const Json features = {{"user_namespace", capability_json(facts.user_namespace)},
                           {"net_namespace", capability_json(facts.net_namespace)},
                           {"proc_mount", capability_json(facts.proc_mount)},
                           {"overlay", capability_json(facts.overlay)},
                           {"fuse", capability_json(facts.fuse)}};
    call.exchange->respond(json_response({{"version", SUBSTRATE_VERSION},
                                          {"backend", "local"},
                                          {"platform",
                                           {{"os", "linux"},
                                            {"kernel", facts.kernel_release},
                                            {"landlock_abi", facts.landlock_abi},
                                            {"uid", facts.uid}}},
                                          {"features", features},
                                          {"capture", capture}}));
}

void Api::doctor(Call& call) {
    const plan::HostFacts& facts = agent_.machine().facts;
    Json findings = Json::array();
    const auto add = [&](const char* what, const plan::Capability& capability, const char* otherwise) {
        Json finding = {{"what", what}, {"verdict", capability.ok ? "pass" : otherwise}};
        if (!capability.reason.empty()) finding["detail"] = printable(capability.reason);
        if (!capability.fix.empty()) finding["fix"] = printable(capability.fix);
        findings.push_back(std::move(finding));
    };
    // Root can do without; then worlds share the host's user ids, and their spans say so.
    add("user_namespace", facts.user_namespace, facts.is_root() ? "warn" : "fail");
    add("net_namespace", facts.net_namespace, "fail");
    add("proc_mount", facts.proc_mount, "warn");
    add("overlay", facts.overlay, "warn");
    add("fuse", facts.fuse, "warn");
    add("landlock",
        {.ok = facts.landlock_abi > 0,
         .reason = facts.landlock_abi > 0 ? fmt::format("ABI {}", facts.landlock_abi) : "the kernel has none",
         .fix = facts.landlock_abi > 0 ? "" : "boot a kernel with Landlock"},
        "warn");
    if (!tcp_.empty())
        findings.push_back({{"what", "tcp_listener"},
                            {"verdict", "warn"},
                            {"detail", "the API is open at " + tcp_ + " to whoever has its token"}});
    const bool usable = (facts.user_namespace.ok || facts.is_root()) && facts.net_namespace.ok;
    call.exchange->respond(json_response({{"ok", usable}, {"findings", std::move(findings)}}));
}

void Api::metrics(Call& call) {
    std::string out;
    const ServerCounts& counts = server_->counts();
    add_metric(out, "substrate_commands_total", "counter", "Commands that have run in worlds.",
               agent_.commands());
    add_metric(out, "substrate_commands_warm_total", "counter", "Those that found a world ready.",
               agent_.reused());
    add_metric(out, "substrate_session_reuse_ratio", "gauge",
               "The second as a part of the first; 1 before any.",
               agent_.commands() == 0
                   ? 1.0
                   : static_cast<double>(agent_.reused()) / static_cast<double>(agent_.commands()));
    add_metric(out, "substrate_rate_limited_total", "counter", "Calls over a budget.", rate_limited_.load());
    add_metric(out, "substrate_api_commands_running", "gauge", "Commands of this API that run now.",
               commands_.running());
    add_metric(out, "substrate_api_commands_waiting", "gauge", "Commands that wait for their turn.",
               commands_.waiting());
    add_metric(out, "substrate_api_connections", "gauge", "Open connections.", counts.open.load());
    add_metric(out, "substrate_api_connections_total", "counter", "Connections since the start.",
               counts.connections.load());
    add_metric(out, "substrate_api_terminals", "gauge", "Open terminals of /v1/stream.",
               terminals_.running());
    if (agent_.machine().network) add_network_metrics(out, agent_.machine().network->counts());
    if (agent_.machine().ports)
        add_metric(out, "substrate_net_ports_published", "gauge",
                   "Ports of worlds on this machine's loopback.", agent_.machine().ports->list().size());
    std::size_t worlds = 0;
    for (const auto& project : agent_.projects())
        project->for_each_idle([&](const supervisor::SessionWorld&) { ++worlds; });
    add_metric(out, "substrate_worlds_idle", "gauge", "Worlds that wait for a command.", worlds);
    const std::int64_t age_ns = agent_.machine().env.monotonic_ns() - agent_.started_ns();
    add_metric(out, "substrate_uptime_seconds", "gauge", "Since the agent has started.",
               static_cast<double>(age_ns) / 1e9);
    out +=
        "# HELP substrate_api_responses_total Answers by status.\n# TYPE substrate_api_responses_total "
        "counter\n";
    for (std::size_t status = 0; status < counts.answers.size(); ++status)
        if (const std::uint64_t n = counts.answers[status]; n > 0)
            out += fmt::format("substrate_api_responses_total{{status=\"{}\"}} {}\n", status, n);
    call.exchange->respond(
        {.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = std::move(out)});
}

void Api::gc(Call& call) {
    auto done =
        supervisor::answer_plain(agent_, {{"type", "gc"}, {"dry_run", call.body.value("dry_run", false)}});
    if (!done) return call.exchange->respond(problem(done.error()));
    call.exchange->respond(json_response({{"removed", std::move((*done)["removed"])},
                                          {"kept", std::move((*done)["kept"])},
                                          {"errors", std::move((*done)["errors"])}}));
}

void Api::trace(Call& call) {
    if (!is_id(call.parameter, "spn"))
        return call.exchange->respond(problem(400, "invalid", "that is no span id: spn_ and a UUID"));
    auto reader = trace::TraceReader::open(agent_.home().path);
    if (!reader) return call.exchange->respond(problem(reader.error()));
    auto span = reader->find_span(call.parameter);
    if (!span) return call.exchange->respond(problem(span.error()));
    if (!*span)
        return call.exchange->respond(
            problem(404, "not_found", "the trace has no finished command " + call.parameter));
    call.exchange->respond(json_response(**span));
}

}  // namespace substrate::agent
