// A compiled policy whose bytes were changed but whose sum is right again must not
// lead outside of its bytes.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "policy/evaluate.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    using namespace substrate::policy;
    static const std::string good = [] {
        Policy policy{.id = "fuzz"};
        policy.commands.denied = {"sudo *", "rm -rf /", "curl * | sh", "git push --force*", "* x"};
        policy.commands.allowed = {"ls *"};
        return compile_policy(policy, {}).value();
    }();
    std::string bytes = good;
    // Three bytes of input: where, and with what.
    for (std::size_t i = 0; i + 2 < size; i += 3)
        bytes[(data[i] | static_cast<std::size_t>(data[i + 1]) << 8) % bytes.size()] =
            static_cast<char>(data[i + 2]);
    constexpr std::size_t kSumAt = 8, kSummed = 16;
    const std::uint64_t sum = XXH3_64bits(bytes.data() + kSummed, bytes.size() - kSummed);
    std::memcpy(bytes.data() + kSumAt, &sum, sizeof sum);
    const auto opened = CompiledPolicy::open(bytes);
    if (!opened) return 0;
    for (const char* line : {"sudo ls", "curl a | sh", "rm -rf / *", "git push --force", "a x"})
        evaluate(*opened, line, {.cwd = "/p", .home = "/h"});
    return 0;
}
