#include "egress/access_rules.hpp"

#include <gtest/gtest.h>

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
    NameTable table(*IpNetwork::parse("198.18.0.0/15"), 2);
    const auto first = table.address_of("a.test");
    EXPECT_EQ(first, IpAddress::parse("198.18.0.1"));
    EXPECT_EQ(table.address_of("b.test"), IpAddress::parse("198.18.0.2"));
    EXPECT_EQ(table.address_of("a.test"), first);
    EXPECT_EQ(table.address_of("c.test"), std::nullopt) << "full";
    EXPECT_EQ(table.name_of(*first), "a.test");
    EXPECT_EQ(table.name_of(*IpAddress::parse("198.18.0.3")), std::nullopt);
    EXPECT_EQ(table.name_of(*IpAddress::parse("8.8.8.8")), std::nullopt);
}

}  // namespace
}  // namespace substrate::egress
