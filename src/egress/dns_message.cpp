#include "egress/dns_message.hpp"

#include <ldns/ldns.h>

#include <array>
#include <cstdlib>
#include <initializer_list>
#include <utility>
#include <vector>

namespace substrate::egress {
namespace {

constexpr std::size_t kHeader = 12;  // RFC 1035 section 4.1.1
constexpr std::uint16_t kUdpSize = 1232;

struct FreePacket {
    void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;

struct FreeText {
    void operator()(char* text) const { std::free(text); }
};
using OwnedText = std::unique_ptr<char, FreeText>;

DnsType kind_of(ldns_rr_type type) {
    switch (static_cast<int>(type)) {
        case LDNS_RR_TYPE_A: return DnsType::address4;
        case LDNS_RR_TYPE_AAAA: return DnsType::address6;
        case LDNS_RR_TYPE_CNAME: return DnsType::alias;
        case LDNS_RR_TYPE_PTR: return DnsType::pointer;
        case 64:  // SVCB, RFC 9460: newer than the library's names
        case 65: return DnsType::service;
        default: return DnsType::other;
    }
}

}  // namespace

struct DnsQuery::Message {
    Packet query;

    ldns_rr* question() const { return ldns_rr_list_rr(ldns_pkt_question(query.get()), 0); }
    // With `answers`, which it takes.
    std::string reply(ldns_pkt_rcode code, std::initializer_list<ldns_rr*> answers = {}) const {
        return reply(code, std::span(answers.begin(), answers.size()));
    }
    std::string reply(ldns_pkt_rcode code, std::span<ldns_rr* const> answers) const;
    ldns_rr* record(ldns_rr_type type, std::uint32_t ttl_secs, ldns_rdf* value) const;
};

std::string DnsQuery::Message::reply(ldns_pkt_rcode code, std::span<ldns_rr* const> answers) const {
    const Packet packet(ldns_pkt_new());
    ldns_pkt_set_id(packet.get(), ldns_pkt_id(query.get()));
    ldns_pkt_set_qr(packet.get(), true);
    ldns_pkt_set_rd(packet.get(), ldns_pkt_rd(query.get()));
    ldns_pkt_set_ra(packet.get(), true);
    ldns_pkt_set_rcode(packet.get(), static_cast<std::uint8_t>(code));
    if (ldns_pkt_edns(query.get())) ldns_pkt_set_edns_udp_size(packet.get(), kUdpSize);
    ldns_pkt_push_rr(packet.get(), LDNS_SECTION_QUESTION, ldns_rr_clone(question()));
    for (ldns_rr* answer : answers) ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ANSWER, answer);
    std::uint8_t* wire = nullptr;
    std::size_t size = 0;
    if (ldns_pkt2wire(&wire, packet.get(), &size) != LDNS_STATUS_OK) return {};
    std::string bytes(reinterpret_cast<const char*>(wire), size);
    std::free(wire);
    return bytes;
}

ldns_rr* DnsQuery::Message::record(ldns_rr_type type, std::uint32_t ttl_secs, ldns_rdf* value) const {
    ldns_rr* made = ldns_rr_new();
    ldns_rr_set_owner(made, ldns_rdf_clone(ldns_rr_owner(question())));
    ldns_rr_set_type(made, type);
    ldns_rr_set_class(made, LDNS_RR_CLASS_IN);
    ldns_rr_set_ttl(made, ttl_secs);
    ldns_rr_push_rdf(made, value);
    return made;
}

DnsQuery::DnsQuery(std::unique_ptr<Message> message) : message_(std::move(message)) {
    const ldns_rr* question = message_->question();
    const ldns_rr_type type = ldns_rr_get_type(question);
    type_ = kind_of(type);
    const OwnedText name(ldns_rdf2str(ldns_rr_owner(question)));
    if (name) name_ = name.get();
    const OwnedText text(ldns_rr_type2str(type));
    type_text_ = text ? text.get() : "?";
}
DnsQuery::DnsQuery(DnsQuery&&) noexcept = default;
DnsQuery& DnsQuery::operator=(DnsQuery&&) noexcept = default;
DnsQuery::~DnsQuery() = default;

Result<DnsQuery> DnsQuery::parse(std::string_view message) {
    ldns_pkt* parsed = nullptr;
    const ldns_status status =
        ldns_wire2pkt(&parsed, reinterpret_cast<const std::uint8_t*>(message.data()), message.size());
    if (status != LDNS_STATUS_OK)
        return fail({Errc::invalid, std::string("no DNS message: ") + ldns_get_errorstr_by_id(status)});
    auto made = std::make_unique<Message>(Message{Packet(parsed)});
    if (ldns_pkt_qr(parsed) || ldns_pkt_get_opcode(parsed) != LDNS_PACKET_QUERY)
        return fail({Errc::invalid, "no DNS query"});
    if (ldns_pkt_qdcount(parsed) != 1 || ldns_rr_get_class(made->question()) != LDNS_RR_CLASS_IN)
        return fail({Errc::invalid, "no DNS query for one name of the Internet"});
    return DnsQuery(std::move(made));
}

std::string DnsQuery::format_error(std::string_view message) {
    if (message.size() < kHeader || (static_cast<std::uint8_t>(message[2]) & 0x80) != 0) return {};
    std::string reply(kHeader, '\0');
    reply[0] = message[0];
    reply[1] = message[1];
    reply[2] =
        static_cast<char>(0x80 | (static_cast<std::uint8_t>(message[2]) & 0x79));  // opcode and RD stay
    const bool is_query = (static_cast<std::uint8_t>(message[2]) & 0x78) == 0;
    reply[3] = static_cast<char>(is_query ? LDNS_RCODE_FORMERR : LDNS_RCODE_NOTIMPL);
    return reply;
}

std::string DnsQuery::refused() const { return message_->reply(LDNS_RCODE_REFUSED); }
std::string DnsQuery::failed() const { return message_->reply(LDNS_RCODE_SERVFAIL); }
std::string DnsQuery::no_such_name() const { return message_->reply(LDNS_RCODE_NXDOMAIN); }
std::string DnsQuery::no_data() const { return message_->reply(LDNS_RCODE_NOERROR); }

std::string DnsQuery::addresses(std::span<const IpAddress> all, std::uint32_t ttl_secs) const {
    std::vector<ldns_rr*> answers;
    for (const IpAddress& address : all) {
        const bool v4 = address.is_v4();
        ldns_rdf* value =
            ldns_rdf_new_frm_data(v4 ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                                  static_cast<std::size_t>(address.bits() / 8), address.bytes());
        answers.push_back(message_->record(v4 ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA, ttl_secs, value));
    }
    return message_->reply(LDNS_RCODE_NOERROR, answers);
}

std::string DnsQuery::pointer(const std::string& to, std::uint32_t ttl_secs) const {
    ldns_rdf* value = ldns_dname_new_frm_str(to.c_str());
    if (value == nullptr) return failed();
    return message_->reply(LDNS_RCODE_NOERROR, {message_->record(LDNS_RR_TYPE_PTR, ttl_secs, value)});
}

std::optional<IpAddress> reverse_address(std::string_view name) {
    constexpr std::string_view kSuffix = ".in-addr.arpa";
    if (name.ends_with('.')) name.remove_suffix(1);
    if (!name.ends_with(kSuffix)) return std::nullopt;
    name.remove_suffix(kSuffix.size());
    const auto reversed = IpAddress::parse(name);
    if (!reversed || !reversed->is_v4()) return std::nullopt;
    return IpAddress::v4(__builtin_bswap32(reversed->v4_value()));
}

std::string_view served_host(std::string_view name) {
    while (name.starts_with('_')) {
        const std::size_t dot = name.find('.');
        if (dot == std::string_view::npos || dot + 1 == name.size()) break;
        name.remove_prefix(dot + 1);
    }
    return name;
}

}  // namespace substrate::egress
