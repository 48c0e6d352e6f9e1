#include "policy/name_services.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace substrate::policy {
namespace {

// Sorted. From the lists of browsers and operating systems, and of the operators themselves.
constexpr auto kHosts = std::to_array<std::string_view>({
    "basic.rethinkdns.com",
    "chrome.cloudflare-dns.com",
    "cloudflare-dns.com",
    "cloudflare-gateway.com",
    "dns.aa.net.uk",
    "dns.adguard-dns.com",
    "dns.adguard.com",
    "dns.alidns.com",
    "dns.cloudflare.com",
    "dns.controld.com",
    "dns.digitale-gesellschaft.ch",
    "dns.google",
    "dns.google.com",
    "dns.mullvad.net",
    "dns.nextdns.io",
    "dns.njal.la",
    "dns.quad9.net",
    "dns.sb",
    "dns.switch.ch",
    "dns.twnic.tw",
    "dns0.eu",
    "dns10.quad9.net",
    "dns11.quad9.net",
    "dns12.quad9.net",
    "dns64.dns.google",
    "dns9.quad9.net",
    "dnsforge.de",
    "doh.360.cn",
    "doh.applied-privacy.net",
    "doh.cleanbrowsing.org",
    "doh.dns.sb",
    "doh.familyshield.opendns.com",
    "doh.li",
    "doh.libredns.gr",
    "doh.mullvad.net",
    "doh.opendns.com",
    "doh.pub",
    "doh.sb",
    "doh.umbrella.com",
    "doh.xfinity.com",
    "dot.pub",
    "family.adguard-dns.com",
    "family.cloudflare-dns.com",
    "firefox.dns.nextdns.io",
    "freedns.controld.com",
    "max.rethinkdns.com",
    "mozilla.cloudflare-dns.com",
    "odvr.nic.cz",
    "one.one.one.one",
    "ordns.he.net",
    "private.canadianshield.cira.ca",
    "public.dns.iij.jp",
    "security.cloudflare-dns.com",
    "sky.rethinkdns.com",
    "unfiltered.adguard-dns.com",
    "wikimedia-dns.org",
    "zero.dns0.eu",
});
static_assert(std::ranges::is_sorted(kHosts));

}  // namespace

bool is_name_service(const DomainName& name) {
    for (std::string_view at = name.text;;) {
        if (std::ranges::binary_search(kHosts, at)) return true;
        const std::size_t dot = at.find('.');
        if (dot == std::string_view::npos) return false;
        at.remove_prefix(dot + 1);
    }
}

}  // namespace substrate::policy
