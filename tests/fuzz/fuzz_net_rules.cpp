// Host names and rules of access: one form for one host, whoever reads it; what a policy says travels to the
// gateway and back unchanged; a broken form of the rules is refused. Lines of the input: an entry of
// `allowed`, one of `denied`, a host that is asked for.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "egress/access_rules.hpp"
#include "policy/host_name.hpp"

namespace {

using namespace substrate;

std::string_view take_line(std::string_view& text) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    return line;
}

void check_host(std::string_view text) {
    const auto host = policy::read_host(text);
    if (!host) return;
    const std::string form = policy::to_text(*host);
    const auto again = policy::read_host(form);
    if (!again || *again != *host || policy::to_text(*again) != form) std::abort();
    const auto* name = std::get_if<policy::DomainName>(&*host);
    if (name == nullptr) return;
    if (name->text.empty() || name->text.size() > 253 || IpAddress::parse(name->text)) std::abort();
    for (const char c : name->text)
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            std::abort();
    // The dot at the end makes no other name.
    if (const auto dotted = policy::read_host(name->text + "."); !dotted || *dotted != *host) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)egress::AccessRules::read(text);
    check_host(text);
    Policy policy;
    policy.id = "fuzz";
    policy.net.allowed.emplace().emplace_back(take_line(text));
    if (const auto denied = take_line(text); !denied.empty()) policy.net.denied.emplace_back(denied);
    const std::string_view asked = take_line(text);
    check_host(policy.net.allowed->front());
    check_host(asked);
    const policy::NetAccess access(policy, {});
    const auto rules = egress::AccessRules::read(egress::AccessRules::write({policy}, {}));
    if (!rules || rules->closed() != access.closed() || rules->problems() != access.problems()) std::abort();
    const auto host = policy::read_host(asked);
    if (!host) return 0;
    const policy::NetVerdict verdict = access.decide(*host, 443);
    if (rules->decide(*host, 443) != verdict) std::abort();
    if (verdict.allowed && access.closed()) std::abort();
    // A name that has a port is worth an address.
    if (const auto* name = std::get_if<policy::DomainName>(&*host)) {
        if (verdict.allowed && !access.decide_any_port(*name).allowed) std::abort();
        const IpAddress loopback = IpAddress::v4(0x7f000001);
        if (access.decide_resolved(*name, loopback, 443).allowed && !access.decide(loopback, 443).allowed)
            std::abort();
    }
    return 0;
}
