// A question of a program in a world, as it comes from its socket: refused, or read and answered in every way
// there is. Every answer can be read again, carries the question's id, and none is longer than a name allows.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "egress/dns_message.hpp"
#include "policy/host_name.hpp"

namespace {

using namespace substrate;
using namespace substrate::egress;

constexpr std::size_t kHeader = 12, kLongestAnswer = 1232;

void check(std::string_view query, const std::string& answer) {
    if (answer.size() < kHeader || answer.size() > kLongestAnswer) std::abort();
    if (answer[0] != query[0] || answer[1] != query[1]) std::abort();
    if ((static_cast<std::uint8_t>(answer[2]) & 0x80) == 0) std::abort();
    // An answer is no question: two gateways would talk to each other for ever.
    if (DnsQuery::parse(answer) || !DnsQuery::format_error(answer).empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view message(reinterpret_cast<const char*>(data), size);
    const auto query = DnsQuery::parse(message);
    if (!query) {
        const std::string reply = DnsQuery::format_error(message);
        if (!reply.empty()) check(message, reply);
        return 0;
    }
    check(message, query->refused());
    check(message, query->failed());
    check(message, query->no_such_name());
    check(message, query->no_data());
    check(message, query->addresses(std::array{IpAddress::v4(0xc6120001), IpAddress::v4(0xc6120002)}, 60));
    check(message, query->pointer("a.test", 60));
    // What is asked for by a name that the rules can read is asked for by no other.
    if (const auto host = policy::read_host(query->name()))
        if (const auto* name = std::get_if<policy::DomainName>(&*host))
            if (const auto again = policy::read_host(name->text); !again || *again != *host) std::abort();
    (void)reverse_address(query->name());
    return 0;
}
