#include "policy/net_access.hpp"

#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <utility>

#include "base/text.hpp"
#include "policy/name_services.hpp"

namespace substrate::policy {
namespace {

// Asked for instead of a port: any entry fits, or only one for all ports.
constexpr std::uint32_t kSomePort = 1u << 16, kAllPorts = kSomePort + 1;

// Name servers, also over TLS (RFC 7858). A world has its own; whoever wants another names its port.
bool is_name_port(std::uint32_t port) { return port == 53 || port == 853; }

struct Entry {
    std::string rule;
    std::string pattern;
    std::string source;
    bool opens = false;      // an entry of `allowed`
    std::uint16_t port = 0;  // 0: every
    bool fits(std::uint32_t asked) const {
        return port == 0 ? !(opens && is_name_port(asked)) : asked == kSomePort || port == asked;
    }
};

// The entries of one list, each kind where it is found without looking at the others.
struct Entries {
    std::unordered_map<std::string, std::vector<Entry>> names;
    std::unordered_map<std::string, std::vector<Entry>> below;
    std::vector<std::pair<IpNetwork, Entry>> networks;
    std::vector<Entry> any;

    Result<> add(std::string_view text, Entry entry);
    const Entry* find(const DomainName& name, std::uint32_t port) const;
    const Entry* find_exact(const DomainName& name, std::uint32_t port) const {
        return first(names, name.text, port);
    }
    const Entry* find(const IpAddress& address, std::uint32_t port) const;
    const Entry* find_any(std::uint32_t port) const { return first(any, port); }
    bool empty() const { return names.empty() && below.empty() && networks.empty() && any.empty(); }

  private:
    static const Entry* first(const std::vector<Entry>& entries, std::uint32_t port) {
        for (const Entry& entry : entries)
            if (entry.fits(port)) return &entry;
        return nullptr;
    }
    template <class Map>
    static const Entry* first(const Map& map, const std::string& key, std::uint32_t port) {
        const auto found = map.find(key);
        return found == map.end() ? nullptr : first(found->second, port);
    }
};

// Takes ":PORT" off the end of `text`, where there is one. An address of version 6 has one only
// behind brackets.
Result<std::uint16_t> take_port(std::string_view& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::uint16_t{0};
    const bool bracket = text.starts_with('[');
    if (bracket ? text[colon - 1] != ']' : text.find(':') != colon) return std::uint16_t{0};
    const std::string_view digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || port == 0)
        return fail({Errc::invalid, "'" + printable(digits) + "' is no port: 1 to 65535"});
    text = text.substr(0, colon);
    return port;
}

Result<> Entries::add(std::string_view text, Entry entry) {
    SUB_TRY_ASSIGN(entry.port, take_port(text));
    if (text == "*") {
        any.push_back(std::move(entry));
        return {};
    }
    std::string_view address = text;
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    if (const auto network = IpNetwork::parse(address)) {
        networks.emplace_back(*network, std::move(entry));
        return {};
    }
    if (text.find('/') != std::string_view::npos)
        return fail(
            {Errc::invalid, "no network: an address, '/' and how many bits of it count; the others are 0"});
    const bool wild = text.starts_with("*.");
    if (wild) text.remove_prefix(2);
    SUB_TRY_ASSIGN(const Host host, read_host(text));
    const auto* name = std::get_if<DomainName>(&host);
    if (name == nullptr) return fail({Errc::invalid, "nothing is below an address"});
    (wild ? below : names)[name->text].push_back(std::move(entry));
    return {};
}

const Entry* Entries::find(const DomainName& name, std::uint32_t port) const {
    if (const Entry* entry = find_exact(name, port)) return entry;
    for (std::size_t dot = name.text.find('.'); dot != std::string::npos; dot = name.text.find('.', dot + 1))
        if (const Entry* entry = first(below, name.text.substr(dot + 1), port)) return entry;
    return nullptr;
}

const Entry* Entries::find(const IpAddress& address, std::uint32_t port) const {
    for (const auto& [network, entry] : networks)
        if (entry.fits(port) && network.contains(address)) return &entry;
    return nullptr;
}

}  // namespace

struct NetAccess::Rules {
    std::string policy_id;
    bool has_allowed = false;
    bool denied_unreadable = false;
    Entries allowed, denied;
    std::vector<IpNetwork> networks;
    std::vector<std::string> problems;

    NetVerdict verdict(bool yes, const Entry* entry, std::string reason) const {
        return {yes,
                entry != nullptr ? entry->rule : std::string(),
                entry != nullptr ? entry->pattern : std::string(),
                policy_id,
                std::move(reason),
                entry != nullptr ? entry->source : std::string()};
    }
    // An entry of `allowed` that opens the name. Services that answer questions for names are opened by their
    // own name only.
    NetVerdict opening(const DomainName& name, std::uint32_t port) const {
        const Entry* entry = allowed.find(name, port);
        if (entry == nullptr) entry = allowed.find_any(port);
        if (entry == nullptr) return nothing_matches(port);
        if (is_name_service(name) && allowed.find_exact(name, port) == nullptr)
            return verdict(false, entry,
                           "it answers questions for names over HTTPS: net.allowed has to name it itself");
        return verdict(true, entry, "");
    }
    NetVerdict nothing_matches(std::uint32_t port) const {
        if (!has_allowed) return verdict(false, nullptr, "the policy opens no host (net.allowed is absent)");
        if (is_name_port(port))
            return verdict(false, nullptr, "a name server's port, which net.allowed has to name");
        return verdict(false, nullptr, "net.allowed does not name it");
    }
    template <class Where>
    std::optional<NetVerdict> denial(const Where& where, std::uint32_t port) const {
        if (denied_unreadable)
            return verdict(false, nullptr, "an entry of net.denied cannot be read, so all is denied");
        const Entry* entry = denied.find(where, port);
        if (entry == nullptr) entry = denied.find_any(port);
        if (entry != nullptr) return verdict(false, entry, "it is denied by name");
        return std::nullopt;
    }
};

NetAccess::NetAccess(const Policy& policy, const PresetHosts& presets) : rules_(std::make_unique<Rules>()) {
    Rules& rules = *rules_;
    rules.policy_id = policy.id;
    rules.has_allowed = policy.net.allowed.has_value();
    const auto add = [&](Entries& entries, const Entry& entry, std::string_view text) {
        auto added = entries.add(text, entry);
        if (!added)
            rules.problems.push_back(entry.rule + " \"" + printable(entry.pattern) +
                                     "\": " + added.error().message());
        return added.has_value();
    };
    if (rules.has_allowed) {
        for (std::size_t i = 0; i < policy.net.allowed->size(); ++i) {
            const std::string& text = (*policy.net.allowed)[i];
            Entry entry{"net.allowed[" + std::to_string(i) + "]", text, {}, /*opens=*/true};
            if (!text.starts_with(kPreset)) {
                add(rules.allowed, entry, text);
                continue;
            }
            const auto preset = presets.find(text.substr(kPreset.size()));
            if (preset == presets.end())
                rules.problems.push_back(entry.rule + " \"" + printable(text) +
                                         "\": no preset of this name is known");
            else
                for (const PresetHost& host : preset->second) {
                    entry.source = host.source;
                    add(rules.allowed, entry, host.entry);
                }
        }
    }
    for (std::size_t i = 0; i < policy.net.denied.size(); ++i)
        if (!add(rules.denied, {"net.denied[" + std::to_string(i) + "]", policy.net.denied[i], {}},
                 policy.net.denied[i]))
            rules.denied_unreadable = true;
    for (const auto& [network, entry] : rules.allowed.networks) rules.networks.push_back(network);
}

NetAccess::NetAccess(NetAccess&&) noexcept = default;
NetAccess& NetAccess::operator=(NetAccess&&) noexcept = default;
NetAccess::~NetAccess() = default;

bool NetAccess::says_something() const { return rules_->has_allowed || !rules_->denied.empty(); }
bool NetAccess::closed() const { return rules_->allowed.empty() || rules_->denied_unreadable; }
const std::vector<IpNetwork>& NetAccess::networks() const { return rules_->networks; }
const std::vector<std::string>& NetAccess::problems() const { return rules_->problems; }

std::vector<std::uint16_t> NetAccess::named_ports() const {
    std::vector<std::uint16_t> ports;
    const auto add = [&](const Entry& entry) {
        if (entry.port != 0) ports.push_back(entry.port);
    };
    for (const Entries* entries : {&rules_->allowed, &rules_->denied}) {
        for (const auto* map : {&entries->names, &entries->below})
            for (const auto& [name, list] : *map) std::ranges::for_each(list, add);
        for (const auto& [network, entry] : entries->networks) add(entry);
        std::ranges::for_each(entries->any, add);
    }
    std::ranges::sort(ports);
    ports.erase(std::ranges::unique(ports).begin(), ports.end());
    return ports;
}

std::optional<std::vector<std::uint16_t>> tcp_ports(const NetRules& rules) {
    if (!rules.allowed) return std::nullopt;
    std::vector<std::uint16_t> ports;
    for (const std::string& text : *rules.allowed) {
        if (text.starts_with(kPreset)) return std::nullopt;
        std::string_view host = text;
        const auto port = take_port(host);
        if (!port) continue;  // it opens nothing
        if (*port == 0) return std::nullopt;
        ports.push_back(*port);
    }
    std::ranges::sort(ports);
    ports.erase(std::ranges::unique(ports).begin(), ports.end());
    return ports;
}

std::vector<IpNetwork> NetAccess::named_networks() const {
    std::vector<IpNetwork> networks;
    for (const Entries* entries : {&rules_->allowed, &rules_->denied})
        for (const auto& [network, entry] : entries->networks) networks.push_back(network);
    return networks;
}

NetVerdict NetAccess::decide(const Host& host, std::uint16_t port) const {
    if (const auto* name = std::get_if<DomainName>(&host)) {
        if (auto no = rules_->denial(*name, port)) return *no;
        return rules_->opening(*name, port);
    }
    const IpAddress& address = std::get<IpAddress>(host);
    if (auto no = rules_->denial(address, port)) return *no;
    if (const Entry* entry = rules_->allowed.find(address, port)) return rules_->verdict(true, entry, "");
    const Entry* any = rules_->allowed.find_any(port);
    if (any == nullptr) return rules_->nothing_matches(port);
    if (const std::string_view purpose = special_purpose(address); !purpose.empty())
        return rules_->verdict(
            false, any, "it is a " + std::string(purpose) + " address, which has to be allowed as a network");
    return rules_->verdict(true, any, "");
}

NetVerdict NetAccess::decide_any_port(const DomainName& name) const {
    // A denial for one port leaves the others.
    if (auto no = rules_->denial(name, kAllPorts)) return *no;
    return rules_->opening(name, kSomePort);
}

NetVerdict NetAccess::decide_resolved(const DomainName& name, const IpAddress& address,
                                      std::uint16_t port) const {
    NetVerdict named = decide(name, port);
    if (!named.allowed) return named;
    if (auto no = rules_->denial(address, port)) {
        no->reason = "it leads to " + address.text() + ", which is denied";
        return *no;
    }
    const std::string_view purpose = special_purpose(address);
    if (purpose.empty() || rules_->allowed.find(address, port) != nullptr) return named;
    named.allowed = false;
    named.reason = "it leads to " + address.text() + ", a " + std::string(purpose) +
                   " address, which has to be allowed as a network";
    return named;
}

}  // namespace substrate::policy
