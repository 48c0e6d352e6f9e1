#include "supervisor/settings.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "base/text.hpp"
#include "codec/policy_yaml.hpp"
#include "codec/yaml_value.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"

namespace substrate::supervisor {
namespace {

constexpr std::int64_t kMaxMs = 366LL * 24 * 3600 * 1000;
constexpr std::size_t kMaxFile = 64u << 10;

constexpr SettingKind kKinds[] = {
    {"agent-idle", "SUBSTRATE_AGENT_IDLE_SECS", "The agent ends after so long without a request", 1000,
     &Settings::agent_idle_ms},
    {"world-idle", "SUBSTRATE_WORLD_IDLE_SECS", "A warm world ends after so long without a command", 1000,
     &Settings::world_idle_ms},
    {"standby", "SUBSTRATE_STANDBY", "Whether fresh worlds are made ahead", 0, nullptr, &Settings::standby},
    {"api-read-timeout", "SUBSTRATE_API_READ_MS", "How long a client of the API may take for a request", 1,
     &Settings::api_read_timeout_ms},
    {"api-write-timeout", "SUBSTRATE_API_WRITE_MS", "How long it may take to accept a piece of an answer", 1,
     &Settings::api_write_timeout_ms},
    {"api-detached", "SUBSTRATE_API_DETACHED_MS", "How long a terminal without a client is kept", 1,
     &Settings::api_detached_ms},
    {"api-session-idle", "SUBSTRATE_API_SESSION_IDLE_MS", "How long a session without a line is kept", 1,
     &Settings::api_session_idle_ms},
    {"listen", "SUBSTRATE_LISTEN", "Loopback address and port for the API over TCP, too", 0, nullptr, nullptr,
     &Settings::listen},
};

Error wrong(const std::string& where, const std::string& what) {
    return {Errc::invalid, printable(where) + ": " + what};
}

Result<> set_time(Settings& settings, const SettingKind& kind, std::int64_t ms, const std::string& where) {
    if (ms < 1 || ms > kMaxMs) return fail(wrong(where, "must be more than nothing and at most 366 days"));
    settings.*kind.time = ms;
    return {};
}

Result<> set_address(Settings& settings, const SettingKind& kind, const std::string& text,
                     const std::string& where) {
    if (!text.empty())
        if (auto read = read_listen(text); !read) {
            Error error = wrong(where, read.error().message());
            return fail(std::move(error).hint(read.error().advice()));
        }
    settings.*kind.address = text;
    settings.sources[std::string(kind.key)] = where;
    return {};
}

// As agent.yaml and flags write it.
Result<> set_from_text(Settings& settings, const SettingKind& kind, const std::string& text,
                       const std::string& where) {
    if (kind.address != nullptr) return set_address(settings, kind, text, where);
    if (kind.time != nullptr) {
        const auto ms = parse_duration_ms(text);
        if (!ms) return fail(wrong(where, "must be a time, such as 90s, 10m or 2h"));
        SUB_TRY(set_time(settings, kind, *ms, where));
    } else {
        if (text != "true" && text != "false") return fail(wrong(where, "must be true or false"));
        settings.*kind.flag = text == "true";
    }
    settings.sources[std::string(kind.key)] = where;
    return {};
}

Result<> set_from_variable(Settings& settings, const SettingKind& kind, const std::string& text) {
    const std::string where(kind.variable);
    if (kind.address != nullptr) return set_address(settings, kind, text, where);
    if (kind.time != nullptr) {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
        const bool whole = error == std::errc() && end == text.data() + text.size() && !text.empty();
        if (!whole)
            return fail(wrong(where, kind.variable_unit_ms == 1 ? "must be a whole number of milliseconds"
                                                                : "must be a whole number of seconds"));
        // What is out of range stays so, without an overflow.
        SUB_TRY(set_time(settings, kind,
                         std::clamp<std::int64_t>(number, -1, kMaxMs + 1) * kind.variable_unit_ms, where));
    } else {
        if (text != "0" && text != "1") return fail(wrong(where, "must be 0 or 1"));
        settings.*kind.flag = text == "1";
    }
    settings.sources[std::string(kind.key)] = where;
    return {};
}

const SettingKind* find_kind(std::string_view key) {
    const auto* const kind = std::ranges::find(kKinds, key, &SettingKind::key);
    return kind == std::end(kKinds) ? nullptr : kind;
}

std::string known_keys() {
    std::string known;
    for (const SettingKind& kind : kKinds) known += (known.empty() ? "" : ", ") + std::string(kind.key);
    return known;
}

Result<> read_text(Settings& settings, std::string_view text, const std::string& path) {
    const auto document = parse_yaml(text, {.max_bytes = kMaxFile, .max_depth = 4, .max_nodes = 256});
    const auto place = [&](int line, int column) {
        return path + ":" + std::to_string(std::max(line, 1)) + ":" + std::to_string(std::max(column, 1));
    };
    if (!document)
        return fail(wrong(place(document.error().line, document.error().column), document.error().message));
    if (document->kind == YamlNode::Kind::null) return {};
    if (document->kind != YamlNode::Kind::map)
        return fail(wrong(place(document->line, document->column), "must be a mapping of settings"));
    for (std::size_t i = 0; i < document->members.size(); ++i) {
        const auto& [key, value] = document->members[i];
        const SettingKind* kind = find_kind(key);
        if (kind == nullptr)
            return fail(wrong(place(document->member_lines[i], 1),
                              "'" + printable(key) + "' is no setting; known are " + known_keys()));
        const std::string where = place(value.line, value.column) + ": " + key;
        if (value.kind != YamlNode::Kind::scalar) return fail(wrong(where, "must be one value"));
        SUB_TRY(set_from_text(settings, *kind, value.text, where));
    }
    return {};
}

}  // namespace

std::span<const SettingKind> setting_kinds() { return kKinds; }

Result<sys::Endpoint> read_listen(std::string_view text) {
    const auto refuse = [](const std::string& why) {
        return fail(Error(Errc::invalid, why)
                        .hint("write 127.0.0.1:PORT or [::1]:PORT; port 0 takes one that is free. Nothing "
                              "is encrypted here: for other machines put a proxy with TLS in front"));
    };
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos) return refuse("must be an address and a port");
    std::string_view host = text.substr(0, colon), digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
        return refuse("'" + printable(digits) + "' is no port");
    const bool bracketed = host.size() > 2 && host.starts_with('[') && host.ends_with(']');
    if (bracketed) host = host.substr(1, host.size() - 2);
    const auto address = IpAddress::parse(host);
    if (!address || address->is_v4() == bracketed)
        return refuse("'" + printable(host) + "' is no address in digits");
    if (special_purpose(*address) != "loopback")
        return refuse(address->text() + " can be reached by other machines, or is none of ours");
    return sys::Endpoint{*address, port};
}

Result<Settings> read_settings(const Env& env, std::span<const std::pair<std::string, std::string>> flags,
                               std::string_view text, const std::string& path) {
    Settings settings;
    SUB_TRY(read_text(settings, text, path));
    for (const SettingKind& kind : kKinds)
        if (const auto value = env.variable(kind.variable))
            SUB_TRY(set_from_variable(settings, kind, *value));
    for (const auto& [key, value] : flags) {
        const SettingKind* kind = find_kind(key);
        if (kind == nullptr) return fail(wrong("--" + key, "is no setting; known are " + known_keys()));
        SUB_TRY(set_from_text(settings, *kind, value, "--" + key));
    }
    return settings;
}

Result<Settings> load_settings(const Env& env, std::span<const std::pair<std::string, std::string>> flags,
                               const std::string& path) {
    auto file = sys::open_path(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    if (!file && file.error().os_errno() == ENOENT) return read_settings(env, flags, {}, path);
    if (!file) return fail(std::move(file).error().during("reading the agent's settings"));
    struct ::stat st{};
    if (::fstat(file->get(), &st) != 0) return fail(Error::last_os("fstat", path));
    if (!S_ISREG(st.st_mode))
        return fail(Error(Errc::invalid, "'" + printable(path) + "' is no regular file").hint("remove it"));
    const bool ours = st.st_uid == 0 || st.st_uid == sys::effective_uid();
    if (!ours || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return fail(Error(Errc::denied, "'" + printable(path) + "' can be written by others")
                        .hint("chown it to yourself and chmod go-w it"));
    SUB_TRY_ASSIGN(const std::string text, sys::read_to_end(file->get(), kMaxFile));
    return read_settings(env, flags, text, path);
}

Json to_json(const Settings& settings) {
    Json all = Json::array();
    for (const SettingKind& kind : kKinds) {
        const std::string key(kind.key);
        const auto source = settings.sources.find(key);
        Json one = {{"key", key}, {"source", source == settings.sources.end() ? "default" : source->second}};
        if (kind.time != nullptr) one["value_ms"] = settings.*kind.time;
        else if (kind.flag != nullptr) one["value"] = settings.*kind.flag;
        else one["value"] = settings.*kind.address;
        all.push_back(std::move(one));
    }
    return all;
}

}  // namespace substrate::supervisor
