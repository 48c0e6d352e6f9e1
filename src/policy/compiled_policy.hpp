#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "model/policy.hpp"
#include "policy/normal_form.hpp"
#include "policy/pattern.hpp"

namespace substrate::policy {

// The lists of patterns that a policy has, in the order of the flat form.
enum class RuleList : std::uint8_t { denied, allowed, isolated, direct, require, auto_approve };
inline constexpr std::size_t kRuleLists = 6;
// "commands.denied", "approval.require", …
std::string_view to_string(RuleList list);
// Patterns that hold back match broadly: further options and files do not
// take a command out of them. Patterns that give way match exactly.
constexpr bool is_broad(RuleList list) {
    return list == RuleList::denied || list == RuleList::isolated || list == RuleList::require;
}

inline constexpr std::size_t kMaxRules = 100'000;

// The commands part of a policy as flat bytes, for CompiledPolicy. Deterministic:
// equal input gives equal bytes. Errc::invalid names the first pattern that
// cannot be used. A pipeline pattern may only stand in a list that matches broadly.
Result<std::string> compile_policy(const Policy& policy, const PatternValues& values);

// What compile_policy made, read in place. Every reference is checked when it is
// opened, so bytes from a file that someone damaged cannot lead outside of them.
class CompiledPolicy {
  public:
    struct Hit {
        std::uint32_t rule;
        std::uint32_t stage;  // which part of a pipeline pattern, from 0
        bool operator==(const Hit&) const = default;
    };

    // `bytes` must outlive the object and be aligned to 8, as a mapped file is.
    // Errc::invalid when they are not whole and of this version.
    static Result<CompiledPolicy> open(std::string_view bytes);

    std::string_view policy_id() const;
    std::string_view policy_hash() const;
    PolicyMode mode() const;
    UnresolvedRule unresolved() const;
    bool allow_shell_operators() const;
    bool require_all() const;
    std::uint32_t count(RuleList list) const;

    RuleList list_of(std::uint32_t rule) const;
    std::uint32_t index_of(std::uint32_t rule) const;  // within its list, from 0
    std::string_view pattern_of(std::uint32_t rule) const;
    std::uint32_t stages_of(std::uint32_t rule) const;

    // Appends what matches `command` to `hits`, in no particular order, perhaps twice.
    // `only_denied`: other lists are left out.
    void match(const NormalCommand& command, bool only_denied, std::vector<Hit>& hits) const;
    // True when a denying pattern may match once file names have taken the place
    // of the command's unquoted * ? […].
    bool may_deny(const NormalCommand& command) const;

  private:
    struct Header;
    struct Rule;
    struct Stage;
    struct WordRef;
    struct Slot;
    friend class Compiler;

    template <class T>
    const T* at(std::uint32_t offset) const {
        return reinterpret_cast<const T*>(bytes_.data() + offset);
    }
    const Header& header() const;
    const Stage& stage(std::uint32_t index) const;
    std::string_view text(std::uint32_t offset, std::uint32_t size) const;
    bool valid() const;
    bool valid_content() const;
    void look_up(std::uint64_t key, const NormalCommand& command, bool only_denied,
                 std::vector<Hit>& hits) const;
    void verify(const std::uint32_t* first, std::uint32_t count, const NormalCommand& command,
                bool only_denied, std::vector<Hit>& hits) const;
    const Slot* find(std::uint64_t key) const;
    bool program_matches(const Stage& stage, const NormalCommand& command, bool broad) const;
    bool options_match(const Stage& stage, const NormalCommand& command, bool broad) const;
    bool operands_match(const Stage& stage, const NormalCommand& command, bool broad) const;
    bool may_match(const Stage& stage, const NormalCommand& command) const;

    std::string_view bytes_;
};

}  // namespace substrate::policy
