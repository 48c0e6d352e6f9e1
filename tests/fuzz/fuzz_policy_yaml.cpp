// Any bytes are a policy's text: reading them ends, a policy that was read compiles
// or says why not, and what was compiled can be opened.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "codec/policy_yaml.hpp"
#include "policy/compiled_policy.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace substrate;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    const PolicyText read = parse_policy(text, "fuzz");
    for (const PolicyProblem& problem : read.problems)
        if (problem.line < 1 || problem.message.empty()) std::abort();
    if (!read.ok()) return 0;
    if (read.policy.id.empty()) std::abort();
    const auto compiled = policy::compile_policy(read.policy, {.project = "/p", .home = "/h"});
    if (!compiled) return 0;
    if (!policy::CompiledPolicy::open(*compiled)) std::abort();
    return 0;
}
