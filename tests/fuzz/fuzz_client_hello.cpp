// The first bytes of a connection: what is read does not depend on the pieces in which they come, a verdict
// is final once it is there, and what is broken says so.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "egress/client_hello.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate::egress;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const ClientHello whole = read_client_hello(bytes);
    if ((whole.reading == Reading::bad) == whole.problem.empty()) std::abort();
    if (whole.reading != Reading::done && !whole.server_name.empty()) std::abort();
    if (whole.server_name.size() > size) std::abort();
    // Every beginning, where that is cheap; some of a long one.
    const std::size_t step = size < 256 ? 1 : size / 64;
    bool decided = false;
    ClientHello first;
    for (std::size_t some = 0; some <= size; some += step) {
        const ClientHello part = read_client_hello(bytes.substr(0, some));
        if (decided && (part.reading != first.reading || part.server_name != first.server_name ||
                        part.encrypted != first.encrypted))
            std::abort();
        if (part.reading != Reading::more) {
            decided = true;
            first = part;
        }
    }
    if (decided && (whole.reading != first.reading || whole.server_name != first.server_name)) std::abort();
    return 0;
}
