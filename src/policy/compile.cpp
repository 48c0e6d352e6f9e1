#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "policy/compiled_layout.hpp"
#include "policy/wrapper_table.hpp"

namespace substrate::policy {
namespace {

// The texts that every word matching `glob` contains, its ends marked.
std::vector<std::string> literal_parts(std::string_view glob) {
    std::vector<std::string> parts(1, std::string(1, kWordEnd));
    for (std::size_t i = 0; i < glob.size(); ++i) {
        if (glob[i] == '\\' && i + 1 < glob.size()) {
            parts.back() += glob[++i];
        } else if (glob[i] == '*' || glob[i] == '?') {
            parts.emplace_back();
        } else if (glob[i] == '[') {
            // What a bracket matches need not be looked for; its end may be anywhere.
            parts.emplace_back();
            return parts;
        } else {
            parts.back() += glob[i];
        }
    }
    parts.back() += kWordEnd;
    return parts;
}

}  // namespace

// Puts the arrays of the flat form together.
class Compiler {
  public:
    explicit Compiler(const PatternValues& values) : values_(values) {}
    Result<> add(RuleList list, const std::vector<std::string>& patterns);
    std::string finish(const Policy& policy);

  private:
    using Rule = CompiledPolicy::Rule;
    using Stage = CompiledPolicy::Stage;
    using WordRef = CompiledPolicy::WordRef;
    using Slot = CompiledPolicy::Slot;
    using Header = CompiledPolicy::Header;

    void add_stage(RuleList list, NormalPattern pattern, std::uint8_t position);
    void add_word(std::string_view glob);
    FlatArray text(std::string_view bytes);
    void choose_keys();
    void build_table();
    template <class T>
    FlatArray append(std::string& out, const std::vector<T>& items) const;

    PatternValues values_;
    std::vector<Rule> rules_;
    std::vector<Stage> stages_;
    std::vector<WordRef> words_;
    std::vector<std::vector<std::uint64_t>> keys_;  // per stage: those that could stand for it
    std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> lists_;
    std::vector<std::uint32_t> always_, loose_;
    std::vector<Slot> slots_;
    std::vector<std::uint32_t> postings_;
    std::vector<std::uint64_t> filter_;
    std::string texts_;
    Header header_;
};

Result<> Compiler::add(RuleList list, const std::vector<std::string>& patterns) {
    header_.counts[static_cast<std::size_t>(list)] = static_cast<std::uint32_t>(patterns.size());
    if (rules_.size() + patterns.size() > kMaxRules)
        return fail(Error(Errc::invalid, "the policy has more than 100000 patterns over commands"));
    for (std::uint32_t index = 0; index < patterns.size(); ++index) {
        const auto place = [&] { return std::string(to_string(list)) + "[" + std::to_string(index) + "]"; };
        auto parts = parse_pattern(patterns[index], values_);
        if (!parts) return fail(std::move(parts).error().during(place()));
        if (parts->size() > 1 && !is_broad(list))
            return fail(
                Error(Errc::invalid,
                      place() + ": a pattern over a pipeline can hold commands back, not let them through"));
        const FlatArray source = text(patterns[index]);
        rules_.push_back({.text = source.offset,
                          .text_size = source.size,
                          .index = index,
                          .list = static_cast<std::uint8_t>(list),
                          .stages = static_cast<std::uint8_t>(parts->size())});
        for (std::uint8_t position = 0; position < rules_.back().stages; ++position)
            add_stage(list, std::move((*parts)[position]), position);
    }
    return {};
}

void Compiler::add_stage(RuleList list, NormalPattern pattern, std::uint8_t position) {
    // "curl * | sh": a part that names a program only means it with any words.
    const bool bare = pattern.operands.empty() && pattern.longs.empty() && pattern.letters.empty();
    if (rules_.back().stages > 1 && bare) {
        pattern.operands.emplace_back("*");
        pattern.any_words = true;
    }
    Stage stage{.letters = {pattern.letters.bits[0], pattern.letters.bits[1]},
                .rule = static_cast<std::uint32_t>(rules_.size() - 1),
                .first_word = static_cast<std::uint32_t>(words_.size()),
                .longs = static_cast<std::uint16_t>(pattern.longs.size()),
                .operands = static_cast<std::uint16_t>(pattern.operands.size()),
                .flags = pattern.any_words ? kAnyWords : std::uint8_t{0},
                .position = position};
    const bool literal = is_literal(pattern.program);
    const bool path = !is_broad(list) && pattern.program.contains('/');
    std::string program = path ? pattern.program : std::string(base_name(pattern.program));
    if (literal) program = literal_of(program);
    if (path) stage.flags |= kPathProgram;
    if (literal) stage.flags |= kLiteralProgram;
    if (program == "sh") stage.flags |= kShellProgram;
    const FlatArray name = text(program);
    stage.program = name.offset;
    stage.program_size = name.size;
    for (const std::string& word : pattern.longs) add_word(word);
    for (const std::string& word : pattern.operands) add_word(word);

    const auto index = static_cast<std::uint32_t>(stages_.size());
    std::vector<std::uint64_t> keys;
    if (literal) keys.push_back(program_key(base_name(program), /*denying=*/false));
    for (const std::string& word : pattern.operands)
        for (const std::string& part : literal_parts(word))
            for (const std::size_t size : kGrams)
                for (std::size_t at = 0; at + size <= part.size(); ++at)
                    keys.push_back(gram_key(std::string_view(part).substr(at, size)));
    keys_.push_back(std::move(keys));
    if (list == RuleList::denied) {
        if (literal) lists_[program_key(base_name(program), /*denying=*/true)].push_back(index);
        else loose_.push_back(index);
    }
    stages_.push_back(stage);
}

void Compiler::add_word(std::string_view glob) {
    const bool literal = is_literal(glob);
    const FlatArray stored = text(literal ? literal_of(glob) : std::string(glob));
    words_.push_back({.text = stored.offset,
                      .size = stored.size,
                      .flags = (glob == "*" ? kStarWord : 0) | (literal ? kLiteralWord : 0)});
}

FlatArray Compiler::text(std::string_view bytes) {
    const FlatArray stored{static_cast<std::uint32_t>(texts_.size()),
                           static_cast<std::uint32_t>(bytes.size())};
    texts_ += bytes;
    return stored;
}

// Each stage is found by the rarest of its keys, so no key leads to many stages.
void Compiler::choose_keys() {
    // Counted by a part of the key: rare ones may look less so, which costs little.
    constexpr std::size_t kBuckets = 1u << 18;
    std::vector<std::uint32_t> counts(kBuckets);
    const auto uses = [&](std::uint64_t key) -> std::uint32_t& { return counts[key >> 8 & (kBuckets - 1)]; };
    for (const auto& keys : keys_)
        for (const std::uint64_t key : keys) ++uses(key);
    for (std::uint32_t index = 0; index < keys_.size(); ++index) {
        if (keys_[index].empty()) {
            always_.push_back(index);
            continue;
        }
        const std::uint64_t rarest =
            *std::ranges::min_element(keys_[index], {}, [&](std::uint64_t key) { return uses(key); });
        lists_[rarest].push_back(index);
    }
}

void Compiler::build_table() {
    std::size_t capacity = 8;
    while (capacity < lists_.size() * 2) capacity *= 2;
    slots_.resize(capacity);
    filter_.resize(kFilterBits / 64);
    std::vector<std::uint64_t> keys;
    for (const auto& [key, stages] : lists_) keys.push_back(key);
    std::ranges::sort(keys);
    for (const std::uint64_t key : keys) {
        std::size_t at = key >> 20 & (capacity - 1);
        while (slots_[at].key != 0) at = (at + 1) & (capacity - 1);
        const auto& stages = lists_[key];
        slots_[at] = {key, static_cast<std::uint32_t>(postings_.size()),
                      static_cast<std::uint32_t>(stages.size())};
        postings_.insert(postings_.end(), stages.begin(), stages.end());
        const std::size_t bit = key >> 1 & (kFilterBits - 1);
        filter_[bit / 64] |= 1ull << (bit % 64);
    }
    const auto list = [this](const std::vector<std::uint32_t>& stages) {
        const FlatArray made{static_cast<std::uint32_t>(postings_.size()),
                             static_cast<std::uint32_t>(stages.size())};
        postings_.insert(postings_.end(), stages.begin(), stages.end());
        return made;
    };
    header_.always = list(always_);
    header_.loose_programs = list(loose_);
}

template <class T>
FlatArray Compiler::append(std::string& out, const std::vector<T>& items) const {
    out.resize((out.size() + 7) / 8 * 8);
    const FlatArray made{static_cast<std::uint32_t>(out.size()), static_cast<std::uint32_t>(items.size())};
    out.append(reinterpret_cast<const char*>(items.data()), items.size() * sizeof(T));
    return made;
}

std::string Compiler::finish(const Policy& policy) {
    header_.mode = static_cast<std::uint8_t>(policy.mode);
    header_.unresolved = static_cast<std::uint8_t>(policy.commands.unresolved);
    header_.operators = policy.allow_shell_operators;
    header_.require_all = policy.approval.require_all;
    header_.id = text(policy.id);
    header_.hash = text(policy.hash);
    choose_keys();
    build_table();
    std::string out(sizeof(Header), '\0');
    header_.rules = append(out, rules_);
    header_.stages = append(out, stages_);
    header_.words = append(out, words_);
    header_.slots = append(out, slots_);
    header_.postings = append(out, postings_);
    header_.filter = append(out, filter_);
    header_.texts = {static_cast<std::uint32_t>(out.size()), static_cast<std::uint32_t>(texts_.size())};
    out += texts_;
    out.resize((out.size() + 7) / 8 * 8);
    header_.bytes = static_cast<std::uint32_t>(out.size());
    std::memcpy(out.data(), &header_, sizeof header_);
    constexpr std::size_t kSummed = offsetof(Header, version);
    header_.checksum = XXH3_64bits(out.data() + kSummed, out.size() - kSummed);
    std::memcpy(out.data(), &header_, sizeof header_);
    return out;
}

Result<std::string> compile_policy(const Policy& policy, const PatternValues& values) {
    Compiler compiler(values);
    SUB_TRY(compiler.add(RuleList::denied, policy.commands.denied));
    SUB_TRY(compiler.add(RuleList::allowed, policy.commands.allowed));
    SUB_TRY(compiler.add(RuleList::isolated, policy.commands.isolated));
    SUB_TRY(compiler.add(RuleList::direct, policy.commands.direct));
    SUB_TRY(compiler.add(RuleList::require, policy.approval.require));
    SUB_TRY(compiler.add(RuleList::auto_approve, policy.approval.auto_approve));
    return compiler.finish(policy);
}

std::string_view to_string(RuleList list) {
    switch (list) {
        case RuleList::denied: return "commands.denied";
        case RuleList::allowed: return "commands.allowed";
        case RuleList::isolated: return "commands.isolated";
        case RuleList::direct: return "commands.direct";
        case RuleList::require: return "approval.require";
        case RuleList::auto_approve: return "approval.auto_approve";
    }
    return "commands.denied";
}

}  // namespace substrate::policy
