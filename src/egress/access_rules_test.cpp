#include "egress/access_rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "egress/name_table.hpp"

namespace substrate::egress {
namespace {

Policy layer(const std::string& id, std::optional<std::vector<std::string>> allowed,
             std::vector<std::string> denied = {}) {
    Policy policy;
    policy.id = id;
    policy.net.allowed = std::move(allowed);
    policy.net.denied = std::move(denied);
    return policy;
}

AccessRules rules(const std::vector<Policy>& layers, const policy::PresetHosts& presets = {}) {
    auto read = AccessRules::read(AccessRules::write(layers, presets));
    EXPECT_TRUE(read) << read.error().message();
    return std::move(*read);
}

TEST(AccessRules, AllLayersMustAgree) {
    const AccessRules both = rules({layer("mine", std::vector<std::string>{"*.test"}),
                                    layer("machine", std::vector<std::string>{"*"}, {"evil.test"})});
    EXPECT_TRUE(both.decide(policy::DomainName{"a.test"}, 443).allowed);
    EXPECT_EQ(both.decide(policy::DomainName{"evil.test"}, 443).policy_id, "machine");
    EXPECT_EQ(both.decide(policy::DomainName{"a.example"}, 443).policy_id, "mine");
    EXPECT_FALSE(both.decide_name({"evil.test"}).allowed);
    EXPECT_FALSE(both.may_lead_to(*IpAddress::parse("10.0.0.1")));
    EXPECT_TRUE(both.may_lead_to(*IpAddress::parse("8.8.8.8")));
    EXPECT_FALSE(rules({layer("none", std::nullopt)}).decide(policy::DomainName{"a.test"}, 443).allowed);
}

TEST(AccessRules, TravelWithTheirPresetsAndLimits) {
    Policy limited = layer("mine", std::vector<std::string>{"preset:npm", "10.0.0.0/8"});
    limited.net.egress_total_bytes = 1000;
    Policy lower = layer("machine", std::vector<std::string>{"*", "10.0.0.0/8"});
    lower.net.egress_total_bytes = 100;
    limited.net.dns_pinned = true;
    lower.net.dns_refresh_secs = 20;
    const AccessRules both = rules({limited, lower}, {{"npm", {{"registry.test:443", "/etc/npmrc"}}}});
    EXPECT_TRUE(both.decide(policy::DomainName{"registry.test"}, 443).allowed);
    EXPECT_EQ(rules({limited}, {{"npm", {{"registry.test:443", "/etc/npmrc"}}}})
                  .decide(policy::DomainName{"registry.test"}, 443)
                  .source,
              "/etc/npmrc");
    EXPECT_TRUE(both.may_lead_to(*IpAddress::parse("10.0.0.1")));
    EXPECT_EQ(both.total_bytes(), 100U);
    EXPECT_TRUE(both.name_refresh().pinned) << "one is enough";
    EXPECT_EQ(both.name_refresh().secs, 20U) << "the shortest";
    EXPECT_FALSE(rules({lower}).name_refresh().pinned);
    EXPECT_EQ(both.networks().size(), 1U);
}

TEST(AccessRules, RefusesWhatIsNone) {
    for (const char* text : {"", "{}", "[]", "{\"layers\": []}", "{\"layers\": [{}]}",
                             "{\"layers\": [{\"policy\": \"p\", \"allowed\": 7}]}"})
        EXPECT_FALSE(AccessRules::read(text)) << text;
}

TEST(NameTable, GivesEachNameOneAddress) {
    NameTable table({*IpNetwork::parse("198.18.0.0/15"), *IpNetwork::parse("fd00:1::/111")}, 2);
    const auto first = table.address_of("a.test", /*ipv6=*/false);
    EXPECT_EQ(first, IpAddress::parse("198.18.0.1"));
    EXPECT_EQ(table.address_of("b.test", /*ipv6=*/true), IpAddress::parse("fd00:1::2"));
    EXPECT_EQ(table.address_of("b.test", /*ipv6=*/false), IpAddress::parse("198.18.0.2"));
    EXPECT_EQ(table.address_of("a.test", /*ipv6=*/false), first);
    EXPECT_EQ(table.address_of("c.test", /*ipv6=*/false), std::nullopt) << "full";
    EXPECT_EQ(table.name_of(*first), "a.test");
    EXPECT_EQ(table.name_of(*IpAddress::parse("fd00:1::1")), "a.test") << "of both kinds";
    EXPECT_EQ(table.name_of(*IpAddress::parse("fd00:1::2:1")), std::nullopt) << "not of the network";
    EXPECT_EQ(table.name_of(*IpAddress::parse("198.18.0.3")), std::nullopt);
    EXPECT_EQ(table.name_of(*IpAddress::parse("8.8.8.8")), std::nullopt);
}

// "first-last:ports", for reading.
std::string text_of(const std::vector<sys::NftRange>& ranges) {
    std::string text;
    for (const sys::NftRange& range : ranges)
        text += range.first.text() + "-" + range.last.text() + ":" + std::to_string(range.port_first) + "-" +
                std::to_string(range.port_last) + " ";
    return text;
}

AccessRules rules_of(const std::vector<std::string>& allowed, const std::vector<std::string>& denied = {}) {
    Policy policy;
    policy.id = "p";
    policy.net.allowed = allowed;
    policy.net.denied = denied;
    return *AccessRules::read(AccessRules::write({policy}, {}));
}

TEST(AccessRules, SaysWhatTheKernelCanHold) {
    const AccessRules rules = rules_of({"10.0.0.0/8", "192.0.2.7:443", "[2001:db8::]:80", "a.test"},
                                       {"10.1.0.0/16", "10.2.0.0/16:22"});
    EXPECT_EQ(text_of(rules.open_ranges(/*ipv6=*/false)),
              "10.0.0.0-10.0.255.255:1-65535 10.2.0.0-10.2.255.255:1-21 10.2.0.0-10.2.255.255:23-65535 "
              "10.3.0.0-10.255.255.255:1-65535 192.0.2.7-192.0.2.7:443-443 ");
    EXPECT_EQ(text_of(rules.open_ranges(/*ipv6=*/true)), "2001:db8::-2001:db8:::80-80 ");
    EXPECT_EQ(text_of(rules_of({"a.test"}).open_ranges(/*ipv6=*/false)), "");
}

TEST(AccessRules, EveryAddressIsNoSpecialOne) {
    const auto ranges = rules_of({"*"}).open_ranges(/*ipv6=*/false);
    for (const char* closed : {"127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.255.255", "0.0.0.0",
                               "255.255.255.255", "224.0.0.1"})
        for (const sys::NftRange& range : ranges) {
            const IpAddress address = *IpAddress::parse(closed);
            EXPECT_FALSE(range.first <= address && address <= range.last) << closed;
        }
    const IpAddress open = *IpAddress::parse("8.8.8.8");
    EXPECT_TRUE(std::ranges::any_of(
        ranges, [&](const auto& range) { return range.first <= open && open <= range.last; }));
    for (std::size_t i = 1; i < ranges.size(); ++i) EXPECT_LT(ranges[i - 1].last, ranges[i].first);
}

TEST(AccessRules, SaysThePortsOfAName) {
    const AccessRules rules = rules_of({"a.test", "b.test:443", "b.test:80"}, {"a.test:25"});
    const IpAddress address = *IpAddress::parse("44.0.0.1");
    using Ports = std::vector<AccessRules::Ports>;
    EXPECT_EQ(rules.open_ports({"a.test"}, address), (Ports{{1, 24}, {26, 0xffff}}));
    EXPECT_EQ(rules.open_ports({"b.test"}, address), (Ports{{80, 80}, {443, 443}}));
    EXPECT_EQ(rules.open_ports({"c.test"}, address), Ports{});
    EXPECT_EQ(rules.open_ports({"a.test"}, *IpAddress::parse("127.0.0.1")), Ports{});
}

}  // namespace
}  // namespace substrate::egress
