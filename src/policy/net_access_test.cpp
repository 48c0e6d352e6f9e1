#include "policy/net_access.hpp"

#include <gtest/gtest.h>

namespace substrate::policy {
namespace {

using Texts = std::vector<std::string>;

NetAccess access(std::optional<Texts> allowed, Texts denied = {}, const PresetHosts& presets = {}) {
    Policy policy;
    policy.id = "p";
    policy.net.allowed = std::move(allowed);
    policy.net.denied = std::move(denied);
    return {policy, presets};
}

NetVerdict ask(const NetAccess& access, std::string_view host, std::uint16_t port = 443) {
    return access.decide(*read_host(host), port);
}

TEST(NetAccess, NothingIsOpenUnlessItIsNamed) {
    EXPECT_FALSE(ask(access(std::nullopt), "example.org").allowed);
    EXPECT_FALSE(ask(access(Texts{}), "example.org").allowed);
    EXPECT_TRUE(access(std::nullopt).closed());
    EXPECT_FALSE(access(std::nullopt).says_something());
    EXPECT_TRUE(access(Texts{}).says_something());
    const NetVerdict no = ask(access(Texts{"github.test"}), "example.org");
    EXPECT_FALSE(no.allowed);
    EXPECT_EQ(no.reason, "net.allowed does not name it");
}

TEST(NetAccess, ANameIsItselfAndNothingElse) {
    const NetAccess some = access(Texts{"Example.ORG", "*.wild.test",
                                        "b\xc3\xbc"
                                        "cher.test"});
    EXPECT_EQ(ask(some, "EXAMPLE.org.").rule, "net.allowed[0]");
    EXPECT_TRUE(ask(some, "xn--bcher-kva.test").allowed);
    EXPECT_FALSE(ask(some, "www.example.org").allowed);
    EXPECT_FALSE(ask(some, "notexample.org").allowed);
    EXPECT_TRUE(ask(some, "a.b.wild.test").allowed);
    EXPECT_FALSE(ask(some, "wild.test").allowed);
    EXPECT_FALSE(ask(some, "notwild.test").allowed);
    EXPECT_FALSE(ask(some, "10.0.0.1").allowed);
}

TEST(NetAccess, APortNarrowsAnEntry) {
    const NetAccess some =
        access(Texts{"a.test:443", "10.0.0.0/8:53", "[2001:db8::/32]:80", "a.test:8443", "*:22"});
    EXPECT_EQ(some.problems(), Texts{});
    EXPECT_TRUE(ask(some, "a.test", 443).allowed);
    EXPECT_EQ(ask(some, "a.test", 8443).rule, "net.allowed[3]");
    EXPECT_FALSE(ask(some, "a.test", 80).allowed);
    EXPECT_TRUE(ask(some, "10.1.2.3", 53).allowed);
    EXPECT_FALSE(ask(some, "10.1.2.3", 54).allowed);
    EXPECT_TRUE(ask(some, "2001:db8::1", 80).allowed);
    EXPECT_TRUE(ask(some, "anything.test", 22).allowed);
}

TEST(NetAccess, NamesAreAskedOverHttpsOnlyWhereAnEntryNamesTheService) {
    const NetAccess all = access(Texts{"*", "*.cloudflare-dns.com:443", "*.google"});
    for (const char* host : {"dns.google", "DNS.Google.", "cloudflare-dns.com", "mozilla.cloudflare-dns.com",
                             "abc123.dns.nextdns.io", "one.one.one.one"}) {
        const NetVerdict no = ask(all, host);
        EXPECT_FALSE(no.allowed) << host;
        EXPECT_EQ(no.reason, "it answers questions for names over HTTPS: net.allowed has to name it itself")
            << host;
        EXPECT_FALSE(all.decide_any_port(std::get<DomainName>(*read_host(host))).allowed) << host;
    }
    for (const char* host : {"google", "www.google", "notdns.google.test", "cloudflare.com"})
        EXPECT_TRUE(ask(all, host).allowed) << host;
    const NetAccess named = access(Texts{"*", "dns.google:443"});
    EXPECT_TRUE(ask(named, "dns.google", 443).allowed);
    EXPECT_FALSE(ask(named, "dns.google", 8443).allowed);
    EXPECT_TRUE(named.decide_any_port({"dns.google"}).allowed);
}

TEST(NetAccess, NameServersAreReachedByAnEntryWithTheirPortOnly) {
    const NetAccess some = access(Texts{"*", "a.test", "44.0.0.0/8", "dns.test:853", "44.1.0.0/16:53"});
    for (const std::uint16_t port : {std::uint16_t{53}, std::uint16_t{853}}) {
        EXPECT_EQ(ask(some, "a.test", port).reason, "a name server's port, which net.allowed has to name");
        EXPECT_FALSE(ask(some, "44.2.0.1", port).allowed);
        EXPECT_FALSE(some.decide_resolved({"a.test"}, *IpAddress::parse("44.2.0.1"), port).allowed);
    }
    EXPECT_TRUE(ask(some, "dns.test", 853).allowed);
    EXPECT_TRUE(ask(some, "44.1.0.1", 53).allowed);
    EXPECT_TRUE(ask(some, "a.test", 443).allowed);
    EXPECT_FALSE(ask(access(Texts{"*:53"}, {"a.test"}), "a.test", 53).allowed)
        << "a denial is for every port";
}

TEST(NetAccess, SomePortIsEnoughForAName) {
    const NetAccess some = access(Texts{"a.test:443", "b.test"}, {"b.test:25", "c.test"});
    EXPECT_EQ(some.decide_any_port({"a.test"}).rule, "net.allowed[0]");
    EXPECT_TRUE(some.decide_any_port({"b.test"}).allowed);
    EXPECT_FALSE(some.decide_any_port({"c.test"}).allowed);
    EXPECT_FALSE(some.decide_any_port({"d.test"}).allowed);
    EXPECT_FALSE(access(Texts{"*"}, {"*"}).decide_any_port({"a.test"}).allowed);
}

TEST(NetAccess, DenialsComeFirst) {
    const NetAccess some = access(Texts{"*"}, {"evil.test", "*.evil.test", "9.9.9.0/24", "*:25"});
    EXPECT_TRUE(ask(some, "example.org").allowed);
    EXPECT_EQ(ask(some, "evil.test").rule, "net.denied[0]");
    EXPECT_EQ(ask(some, "a.evil.test").rule, "net.denied[1]");
    EXPECT_EQ(ask(some, "9.9.9.9").rule, "net.denied[2]");
    EXPECT_EQ(ask(some, "example.org", 25).rule, "net.denied[3]");
    EXPECT_FALSE(some.decide_resolved({"example.org"}, *IpAddress::parse("9.9.9.9"), 443).allowed);
}

TEST(NetAccess, AStarOpensNoSpecialAddress) {
    const NetAccess all = access(Texts{"*"});
    EXPECT_TRUE(ask(all, "8.8.8.8").allowed);
    for (const char* address : {"127.0.0.1", "169.254.169.254", "10.0.0.1", "::1", "fd00::1", "0.0.0.0"})
        EXPECT_FALSE(ask(all, address).allowed) << address;
    const NetVerdict no = all.decide_resolved({"rebind.test"}, *IpAddress::parse("169.254.169.254"), 80);
    EXPECT_FALSE(no.allowed);
    EXPECT_NE(no.reason.find("link-local"), std::string::npos) << no.reason;
}

TEST(NetAccess, ANameMayLeadToANetworkThatIsAllowed) {
    const NetAccess some = access(Texts{"intern.test", "10.1.0.0/16:443"});
    EXPECT_TRUE(some.decide_resolved({"intern.test"}, *IpAddress::parse("10.1.2.3"), 443).allowed);
    EXPECT_FALSE(some.decide_resolved({"intern.test"}, *IpAddress::parse("10.1.2.3"), 80).allowed);
    EXPECT_FALSE(some.decide_resolved({"intern.test"}, *IpAddress::parse("10.2.0.1"), 443).allowed);
    EXPECT_TRUE(some.decide_resolved({"intern.test"}, *IpAddress::parse("8.8.8.8"), 443).allowed);
    EXPECT_FALSE(some.decide_resolved({"other.test"}, *IpAddress::parse("10.1.2.3"), 443).allowed);
    EXPECT_EQ(some.networks(), std::vector{*IpNetwork::parse("10.1.0.0/16")});
}

TEST(NetAccess, PresetsAreWhatTheToolsSay) {
    const NetAccess some =
        access(Texts{"preset:npm", "preset:go", "preset:none"}, {},
               {{"npm", {{"registry.test", "/a"}, {"cache.test:8080", "/b"}}}, {"go", {}}});
    EXPECT_EQ(ask(some, "registry.test").pattern, "preset:npm");
    EXPECT_EQ(ask(some, "registry.test").source, "/a");
    EXPECT_TRUE(ask(some, "cache.test", 8080).allowed);
    EXPECT_FALSE(ask(some, "cache.test", 80).allowed);
    ASSERT_EQ(some.problems().size(), 1U);
    EXPECT_NE(some.problems()[0].find("preset:none"), std::string::npos);
}

TEST(NetAccess, WhatCannotBeReadOpensNothingAndClosesAll) {
    const Texts broken = {"127.1",      "a..b",      "10.0.0.1/8",     "a.test:0", "a.test:https",
                          "*.10.0.0.0", "**.a.test", "https://a.test", ""};
    const NetAccess opened = access(broken);
    EXPECT_EQ(opened.problems().size(), broken.size());
    EXPECT_TRUE(opened.closed());
    const NetAccess closed = access(Texts{"*"}, {"a..b"});
    EXPECT_TRUE(closed.closed());
    EXPECT_FALSE(ask(closed, "example.org").allowed);
}

TEST(TcpPorts, AreThoseThatEveryEntryNames) {
    const auto ports = [](std::vector<std::string> allowed) {
        NetRules rules;
        rules.allowed = std::move(allowed);
        return tcp_ports(rules);
    };
    using Ports = std::vector<std::uint16_t>;
    EXPECT_EQ(tcp_ports({}), std::nullopt);
    EXPECT_EQ(ports({}), Ports{});
    EXPECT_EQ(ports({"a.example:443", "10.0.0.0/8:5432", "*.b.example:80", "*:443", "[2001:db8::1]:22"}),
              (Ports{22, 80, 443, 5432}));
    EXPECT_EQ(ports({"a.example:443", "b.example"}), std::nullopt);
    EXPECT_EQ(ports({"a.example:443", "preset:npm"}), std::nullopt);
    EXPECT_EQ(ports({"a.example:443", "b.example:99999"}), Ports{443}) << "what cannot be read opens nothing";
}

}  // namespace
}  // namespace substrate::policy
