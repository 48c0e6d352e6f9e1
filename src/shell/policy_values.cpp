#include "shell/policy_values.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"

namespace substrate::shell {
namespace {

Json size_value(std::uint64_t bytes) {
    if (bytes == 0) return nullptr;
    constexpr std::pair<const char*, std::uint64_t> kUnits[] = {
        {"Ti", 1ull << 40}, {"Gi", 1ull << 30}, {"Mi", 1ull << 20}, {"Ki", 1ull << 10}};
    for (const auto& [unit, size] : kUnits)
        if (bytes % size == 0) return std::to_string(bytes / size) + unit;
    return bytes;
}

Json cpu_value(std::uint32_t millis) {
    if (millis == 0) return nullptr;
    return millis % 1000 == 0 ? std::to_string(millis / 1000) : std::to_string(millis) + "m";
}

Json number_value(std::uint64_t number) { return number == 0 ? Json(nullptr) : Json(number); }

Json word_value(const std::string& text) { return text.empty() ? Json(nullptr) : Json(escape_bytes(text)); }

Json list_value(const std::vector<std::string>& list) {
    Json made = Json::array();
    for (const std::string& item : list) made.push_back(is_utf8(item) ? item : escape_bytes(item));
    return made;
}

Json map_value(const std::map<std::string, std::string>& members) {
    Json made = Json::object();
    for (const auto& [name, text] : members) made[name] = is_utf8(text) ? text : escape_bytes(text);
    return made;
}

// A number or a word as it is; a text only in quotes where it would not show.
std::string text_of(const Json& value) {
    if (value.is_null()) return "none";
    if (value.is_string() && !value.get_ref<const std::string&>().empty())
        return printable(value.get_ref<const std::string&>());
    return printable(dump_json(value));
}

std::string with_place(std::string line, std::string_view place) {
    if (place.empty()) return line + "\n";
    constexpr std::size_t kColumn = 46;
    if (line.size() < kColumn) line.resize(kColumn, ' ');
    return line + "  " + std::string(place) + "\n";
}

template <class Place>
std::string render(const PolicyValue& value, Place place) {
    const std::string name = dotted(value.pointer);
    const bool list = value.value.is_array() && !value.value.empty();
    const bool map = value.value.is_object() && !value.value.empty();
    if (!list && !map)
        return with_place(fmt::format("{:<34} {}", name, text_of(value.value)), place(value.pointer));
    std::string text = with_place(name, place(value.pointer));
    if (map)
        for (auto it = value.value.begin(); it != value.value.end(); ++it)
            text += fmt::format("  {} = {}\n", printable(it.key()), text_of(it.value()));
    else
        for (std::size_t i = 0; i < value.value.size(); ++i)
            text += with_place(fmt::format("  [{}] {}", i, text_of(value.value[i])),
                               place(value.pointer + "/" + std::to_string(i)));
    return text;
}

}  // namespace

Json time_value(std::int64_t ms) {
    if (ms == 0) return nullptr;
    constexpr std::pair<const char*, std::int64_t> kUnits[] = {{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}};
    for (const auto& [unit, size] : kUnits)
        if (ms % size == 0) return std::to_string(ms / size) + unit;
    return std::to_string(ms) + "ms";
}

std::vector<PolicyValue> policy_values(const Policy& policy) {
    const WorldRules& world = policy.world;
    const ApprovalRules& approval = policy.approval;
    return {
        {"/id", policy.id},
        {"/name", word_value(policy.name)},
        {"/mode", to_string(policy.mode)},
        {"/fs/read", list_value(policy.fs.read)},
        {"/fs/write", list_value(policy.fs.write)},
        {"/fs/deny", list_value(policy.fs.deny)},
        {"/world_fs/mode", to_string(policy.world_fs.mode)},
        {"/world_fs/isolation", to_string(policy.world_fs.isolation)},
        {"/world_fs/read_allowlist", list_value(policy.world_fs.read_allowlist)},
        {"/world_fs/write_allowlist", list_value(policy.world_fs.write_allowlist)},
        {"/world_fs/require_world", policy.world_fs.require_world},
        {"/net/allowed", policy.net.allowed ? list_value(*policy.net.allowed) : Json(nullptr)},
        {"/net/denied", list_value(policy.net.denied)},
        {"/net/unix", policy.net.unix_sockets ? list_value(*policy.net.unix_sockets) : Json(nullptr)},
        {"/net/mode", policy.net.mode ? Json(to_string(*policy.net.mode)) : Json(nullptr)},
        {"/net/dns/pinned", policy.net.dns_pinned},
        {"/net/dns/refresh_secs", policy.net.dns_refresh_secs},
        {"/net/egress_budget/bytes_per_sec", size_value(policy.net.egress_bytes_per_sec)},
        {"/net/egress_budget/total_bytes", size_value(policy.net.egress_total_bytes)},
        {"/net/egress_budget/max_egress_bytes", size_value(policy.net.egress_command_bytes)},
        {"/commands/allowed", list_value(policy.commands.allowed)},
        {"/commands/denied", list_value(policy.commands.denied)},
        {"/commands/isolated", list_value(policy.commands.isolated)},
        {"/commands/direct", list_value(policy.commands.direct)},
        {"/commands/unresolved", to_string(policy.commands.unresolved)},
        {"/world/reuse_session", world.reuse_session},
        {"/world/enable_preload", world.enable_preload},
        {"/world/exec_tap", world.exec_tap},
        {"/world/isolate_network", world.isolate_network},
        {"/world/commit", to_string(world.commit)},
        {"/world/seccomp", to_string(world.seccomp)},
        {"/world/limits/cpu", cpu_value(world.limits.cpu_millis)},
        {"/world/limits/memory", size_value(world.limits.memory_bytes)},
        {"/world/limits/pids", number_value(world.limits.pids)},
        {"/world/limits/runtime", time_value(world.limits.runtime_ms)},
        {"/world/limits/io/read_bps", size_value(world.limits.io.read_bps)},
        {"/world/limits/io/write_bps", size_value(world.limits.io.write_bps)},
        {"/world/limits/io/read_iops", number_value(world.limits.io.read_iops)},
        {"/world/limits/io/write_iops", number_value(world.limits.io.write_iops)},
        {"/world/high_isolation/enabled", world.high_isolation.enabled},
        {"/world/high_isolation/provider", word_value(world.high_isolation.provider)},
        {"/world/high_isolation/microvm_memory", size_value(world.high_isolation.microvm_memory)},
        {"/world/high_isolation/microvm_vcpus", number_value(world.high_isolation.microvm_vcpus)},
        {"/world/backend", word_value(world.backend)},
        {"/world/publish", world.publish},
        {"/approval/interactive", approval.interactive},
        {"/approval/require", approval.require_all ? Json(true) : list_value(approval.require)},
        {"/approval/timeout", time_value(approval.timeout_ms)},
        {"/approval/auto_approve", list_value(approval.auto_approve)},
        {"/allow_shell_operators", policy.allow_shell_operators},
        {"/env/pass", list_value(policy.env.pass)},
        {"/env/set", map_value(policy.env.set)},
        {"/privacy/ignore_paths", list_value(policy.privacy.ignore_paths)},
        {"/privacy/hash_code_only", policy.privacy.hash_code_only},
        {"/privacy/index_user_docs", policy.privacy.index_user_docs},
    };
}

std::string dotted(std::string_view pointer) {
    std::string name(pointer.substr(pointer.starts_with('/') ? 1 : 0));
    std::ranges::replace(name, '/', '.');
    return name;
}

OriginLines origin_lines(const std::vector<PolicyOrigin>& origins) {
    OriginLines lines;
    for (const PolicyOrigin& origin : origins) lines.emplace(origin.pointer, origin.line);
    return lines;
}

std::string origin_text(std::string_view file, const OriginLines& lines, const std::string& pointer) {
    const auto found = lines.find(pointer);
    return found == lines.end() ? "default" : fmt::format("{}:{}", file, found->second);
}

std::string render_value(const PolicyValue& value) {
    return render(value, [](const std::string&) { return std::string(); });
}

std::string render_value(const PolicyValue& value, std::string_view file, const OriginLines& lines) {
    return render(value,
                  [&](const std::string& pointer) { return printable(origin_text(file, lines, pointer)); });
}

}  // namespace substrate::shell
