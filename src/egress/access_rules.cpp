#include "egress/access_rules.hpp"

#include <algorithm>
#include <array>

#include "codec/object_reader.hpp"

namespace substrate::egress {
namespace {

// As a JSON value that every name survives.
Json layer_json(const Policy& layer) {
    Json json{{"policy", layer.id}};
    if (layer.net.allowed) put_bytes(json, "allowed", *layer.net.allowed);
    put_bytes(json, "denied", layer.net.denied);
    return json;
}

IpAddress before_of(const IpAddress& address) {
    std::array<std::uint8_t, 16> bytes{};
    std::copy_n(address.bytes(), address.bits() / 8, bytes.begin());
    for (auto at = static_cast<std::size_t>(address.bits() / 8); at-- > 0;)
        if (bytes[at]-- != 0) break;
    if (!address.is_v4()) return IpAddress::v6(bytes);
    return IpAddress::v4(address.v4_value() - 1);
}

// The lowest of the limits; 0 is none.
std::uint64_t lowest(std::uint64_t a, std::uint64_t b) {
    return a == 0 || b == 0 ? std::max(a, b) : std::min(a, b);
}

}  // namespace

std::string AccessRules::write(const std::vector<Policy>& layers, const policy::PresetHosts& presets) {
    Json json{{"layers", Json::array()}, {"presets", Json::array()}};
    std::uint64_t total = 0, command = 0, rate = 0;
    NameRefresh refresh{.pinned = false, .secs = ~std::uint32_t{0}};
    for (const Policy& layer : layers) {
        json["layers"].push_back(layer_json(layer));
        total = lowest(total, layer.net.egress_total_bytes);
        command = lowest(command, layer.net.egress_command_bytes);
        rate = lowest(rate, layer.net.egress_bytes_per_sec);
        refresh.pinned = refresh.pinned || layer.net.dns_pinned;
        refresh.secs = std::min(refresh.secs, layer.net.dns_refresh_secs);
    }
    for (const auto& [name, hosts] : presets) {
        Json preset{{"name", name}, {"hosts", Json::array()}};
        for (const policy::PresetHost& host : hosts) {
            Json one{{"entry", host.entry}};
            put_bytes(one, "source", host.source);
            preset["hosts"].push_back(std::move(one));
        }
        json["presets"].push_back(std::move(preset));
    }
    json["total_bytes"] = total;
    json["command_bytes"] = command;
    json["bytes_per_sec"] = rate;
    json["dns_pinned"] = refresh.pinned;
    json["dns_refresh_secs"] = refresh.secs;
    return dump_json(json);
}

Result<AccessRules> AccessRules::read(std::string_view text) {
    SUB_TRY_ASSIGN(const Json json, parse_json(text));
    AccessRules rules;
    policy::PresetHosts presets;
    ObjectReader reader(json);
    reader.objects("presets", [&](ObjectReader& preset) {
        std::string name;
        preset.require("name");
        preset.string("name", name);
        std::vector<policy::PresetHost>& hosts = presets[name];
        preset.objects("hosts", [&](ObjectReader& host) {
            policy::PresetHost& one = hosts.emplace_back();
            host.require("entry");
            host.string("entry", one.entry);
            host.bytes("source", one.source);
        });
    });
    reader.require("layers");
    reader.objects("layers", [&](ObjectReader& layer) {
        Policy policy;
        layer.require("policy");
        layer.string("policy", policy.id);
        if (layer.find("allowed") != nullptr) layer.bytes("allowed", policy.net.allowed.emplace());
        layer.bytes("denied", policy.net.denied);
        rules.layers_.emplace_back(policy, presets);
    });
    reader.integer("total_bytes", rules.total_bytes_);
    reader.integer("command_bytes", rules.command_bytes_);
    reader.integer("bytes_per_sec", rules.bytes_per_sec_);
    reader.boolean("dns_pinned", rules.refresh_.pinned);
    reader.integer("dns_refresh_secs", rules.refresh_.secs);
    SUB_TRY(reader.finish());
    rules.port_bounds_ = {1};
    for (const policy::NetAccess& layer : rules.layers_)
        for (const std::uint16_t port : layer.named_ports()) {
            rules.port_bounds_.push_back(port);
            if (port < 0xffff) rules.port_bounds_.push_back(static_cast<std::uint16_t>(port + 1));
        }
    std::ranges::sort(rules.port_bounds_);
    rules.port_bounds_.erase(std::ranges::unique(rules.port_bounds_).begin(), rules.port_bounds_.end());
    if (rules.layers_.empty()) return fail({Errc::invalid, "network rules of no policy"});
    return rules;
}

policy::NetVerdict AccessRules::decide(const policy::Host& host, std::uint16_t port) const {
    policy::NetVerdict verdict;
    for (const policy::NetAccess& layer : layers_) {
        verdict = layer.decide(host, port);
        if (!verdict.allowed) break;
    }
    return verdict;
}

policy::NetVerdict AccessRules::decide_resolved(const policy::DomainName& name, const IpAddress& address,
                                                std::uint16_t port) const {
    policy::NetVerdict verdict;
    for (const policy::NetAccess& layer : layers_) {
        verdict = layer.decide_resolved(name, address, port);
        if (!verdict.allowed) break;
    }
    return verdict;
}

policy::NetVerdict AccessRules::decide_name(const policy::DomainName& name) const {
    policy::NetVerdict verdict;
    for (const policy::NetAccess& layer : layers_) {
        verdict = layer.decide_any_port(name);
        if (!verdict.allowed) break;
    }
    return verdict;
}

bool AccessRules::may_lead_to(const IpAddress& address) const {
    const auto opens = [&](const policy::NetAccess& layer) {
        return std::ranges::any_of(layer.networks(),
                                   [&](const IpNetwork& network) { return network.contains(address); });
    };
    return special_purpose(address).empty() || std::ranges::all_of(layers_, opens);
}

template <class Allows>
std::vector<AccessRules::Ports> AccessRules::ports_where(Allows allows) const {
    std::vector<Ports> ports;
    for (std::size_t i = 0; i < port_bounds_.size(); ++i) {
        const std::uint16_t first = port_bounds_[i];
        if (!allows(first)) continue;
        const bool end = i + 1 == port_bounds_.size();
        const auto last = static_cast<std::uint16_t>(end ? 0xffff : port_bounds_[i + 1] - 1);
        if (!ports.empty() && ports.back().last + 1 == first) ports.back().last = last;
        else ports.push_back({first, last});
    }
    return ports;
}

std::vector<AccessRules::Ports> AccessRules::open_ports(const policy::DomainName& name,
                                                        const IpAddress& address) const {
    return ports_where([&](std::uint16_t port) { return decide_resolved(name, address, port).allowed; });
}

// One address speaks for all up to where the next network begins or behind the last of one.
std::vector<sys::NftRange> AccessRules::open_ranges(bool ipv6) const {
    std::vector<IpAddress> bounds = {*IpAddress::parse(ipv6 ? "::" : "0.0.0.0")};
    const auto add = [&](const IpNetwork& network) {
        if (network.first.is_v4() == ipv6) return;
        bounds.push_back(network.first);
        if (const auto behind = network.last().next()) bounds.push_back(*behind);
    };
    std::ranges::for_each(special_networks(), add);
    for (const policy::NetAccess& layer : layers_) std::ranges::for_each(layer.named_networks(), add);
    std::ranges::sort(bounds);
    bounds.erase(std::ranges::unique(bounds).begin(), bounds.end());
    const IpAddress end = IpNetwork::parse(ipv6 ? "::/0" : "0.0.0.0/0")->last();
    std::vector<sys::NftRange> ranges;
    std::vector<Ports> before;
    for (std::size_t i = 0; i < bounds.size(); ++i) {
        const std::vector<Ports> ports =
            ports_where([&](std::uint16_t port) { return decide(policy::Host(bounds[i]), port).allowed; });
        // An address whose successor begins the next range.
        IpAddress last = end;
        if (i + 1 < bounds.size()) last = before_of(bounds[i + 1]);
        if (!ports.empty() && ports == before)
            for (std::size_t back = 1; back <= ports.size(); ++back) ranges[ranges.size() - back].last = last;
        else
            for (const Ports& part : ports) ranges.push_back({bounds[i], last, part.first, part.last});
        before = ports;
    }
    return ranges;
}

bool AccessRules::closed() const {
    return std::ranges::any_of(layers_, [](const policy::NetAccess& layer) { return layer.closed(); });
}

std::vector<std::string> AccessRules::problems() const {
    std::vector<std::string> problems;
    for (const policy::NetAccess& layer : layers_)
        problems.insert(problems.end(), layer.problems().begin(), layer.problems().end());
    return problems;
}

std::vector<IpNetwork> AccessRules::networks() const {
    // What one layer opens and another does not, the gateway refuses.
    return layers_.front().networks();
}

}  // namespace substrate::egress
