// What a program sends on a connection to one host, in pieces whose sizes come from the input: nothing goes
// on that was not there, a problem is for good, and the pieces make no difference. A second, simpler reader
// must find no request for another host in what went on.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "egress/http_requests.hpp"

namespace {

using namespace substrate;
using namespace substrate::egress;

struct Outcome {
    std::string passed;
    bool problem = false;
};

Outcome feed(std::string_view stream, std::size_t step) {
    HttpRequests requests(policy::DomainName{"a.test"}, 80);
    Outcome outcome;
    std::string held;
    for (std::size_t at = 0; at < stream.size(); at += step) {
        held += stream.substr(at, step);
        const HttpRequests::Step done = requests.take(held);
        if (done.pass > held.size()) std::abort();
        outcome.passed += held.substr(0, done.pass);
        held.erase(0, done.pass);
        if (!done.problem.empty()) {
            outcome.problem = true;
            break;
        }
        if (held.size() > HttpRequests::kLongestHead + step) std::abort();
        if (requests.waits_for_answer()) break;
    }
    return outcome;
}

// The first head of what went on, for a reader that takes the last Host it finds.
void check_first_head(std::string_view passed) {
    const std::size_t end = passed.find("\r\n\r\n");
    if (end == std::string_view::npos) return;
    const std::string_view head = passed.substr(0, end);
    if (head.starts_with("CONNECT ")) std::abort();
    std::size_t hosts = 0;
    for (std::size_t at = head.find('\n'); at != std::string_view::npos; at = head.find('\n', at + 1)) {
        const std::string_view line = head.substr(at + 1, head.find('\r', at + 1) - at - 1);
        if (line.size() < 5 || (line[0] | 32) != 'h' || (line[1] | 32) != 'o' || (line[2] | 32) != 's' ||
            (line[3] | 32) != 't' || line[4] != ':')
            continue;
        ++hosts;
        if (line.find_first_of("aA") == std::string_view::npos) std::abort();
    }
    if (hosts != 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t step = 1 + data[0] % 128u;
    const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
    (void)begins_as_http(stream);
    const Outcome whole = feed(stream, stream.size() + 1), pieces = feed(stream, step);
    if (!stream.starts_with(whole.passed) || !stream.starts_with(pieces.passed)) std::abort();
    if (whole.problem != pieces.problem || whole.passed.size() != pieces.passed.size()) std::abort();
    check_first_head(whole.passed);
    HttpRequests answered(policy::DomainName{"a.test"}, 80);
    (void)answered.take("GET / HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\n\r\n");
    (void)answered.answer(stream);
    (void)answered.take(stream);
    return 0;
}
