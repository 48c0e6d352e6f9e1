// What redact() promises for any text: a fixed point after one pass.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "trace/redact.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate::trace;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const std::string once = redact(text);
    if (redact(once) != once) std::abort();
    std::vector<std::string> argv(1);
    for (const char c : text) {
        if (c == '\n') argv.emplace_back();
        else argv.back() += c;
    }
    const auto hidden = redact_argv(argv);
    if (hidden.size() != argv.size() || redact_argv(hidden) != hidden) std::abort();
    return 0;
}
