#include "policy/compiled_policy.hpp"

#include <xxhash.h>

#include <algorithm>

#include "policy/compiled_layout.hpp"

namespace substrate::policy {
namespace {

// A word that may be read in more than one way matches in any of them.
template <class Match>
bool any_reading(const Operand& operand, Match match) {
    return match(std::string_view(operand.text)) ||
           std::ranges::any_of(operand.readings,
                               [&](const std::string& reading) { return match(std::string_view(reading)); });
}

}  // namespace

Result<CompiledPolicy> CompiledPolicy::open(std::string_view bytes) {
    CompiledPolicy made;
    made.bytes_ = bytes;
    if (!made.valid())
        return fail(Error(Errc::invalid, "the compiled policy is damaged or of another version")
                        .hint("compile the policy again"));
    return made;
}

const CompiledPolicy::Header& CompiledPolicy::header() const { return *at<Header>(0); }
const CompiledPolicy::Stage& CompiledPolicy::stage(std::uint32_t index) const {
    return at<Stage>(header().stages.offset)[index];
}
std::string_view CompiledPolicy::text(std::uint32_t offset, std::uint32_t size) const {
    return bytes_.substr(header().texts.offset + offset, size);
}

bool CompiledPolicy::valid() const {
    // SAFETY: nothing is read through a reference before it was checked here.
    if (bytes_.size() < sizeof(Header) || reinterpret_cast<std::uintptr_t>(bytes_.data()) % 8 != 0)
        return false;
    const Header& head = header();
    if (head.magic != kCompiledMagic || head.version != kCompiledVersion || head.bytes != bytes_.size())
        return false;
    const auto fits = [this](FlatArray array, std::size_t each) {
        return array.offset <= bytes_.size() && array.size <= (bytes_.size() - array.offset) / each;
    };
    constexpr std::size_t kSummed = offsetof(Header, version);
    return fits(head.rules, sizeof(Rule)) && fits(head.stages, sizeof(Stage)) &&
           fits(head.words, sizeof(WordRef)) && fits(head.slots, sizeof(Slot)) && fits(head.postings, 4) &&
           fits(head.filter, 8) && fits(head.texts, 1) && head.rules.offset % 8 == 0 &&
           head.stages.offset % 8 == 0 && head.words.offset % 8 == 0 && head.slots.offset % 8 == 0 &&
           head.postings.offset % 4 == 0 && head.filter.offset % 8 == 0 &&
           XXH3_64bits(bytes_.data() + kSummed, bytes_.size() - kSummed) == head.checksum && valid_content();
}

bool CompiledPolicy::valid_content() const {
    const Header& head = header();
    const auto within = [](std::uint64_t first, std::uint64_t size, std::uint32_t all) {
        return first + size <= all;
    };
    const std::uint32_t texts = head.texts.size, slots = head.slots.size;
    if (slots < 8 || (slots & (slots - 1)) != 0 || head.filter.size != kFilterBits / 64) return false;
    if (!within(head.id.offset, head.id.size, texts) || !within(head.hash.offset, head.hash.size, texts) ||
        !within(head.always.offset, head.always.size, head.postings.size) ||
        !within(head.loose_programs.offset, head.loose_programs.size, head.postings.size) || head.mode > 1 ||
        head.unresolved > 2 || head.operators > 1 || head.require_all > 1)
        return false;
    bool ok = true, free_slot = false;
    for (std::uint32_t i = 0; i < head.rules.size; ++i) {
        const Rule& rule = at<Rule>(head.rules.offset)[i];
        ok = ok && rule.list < kRuleLists && rule.stages >= 1 && within(rule.text, rule.text_size, texts);
    }
    for (std::uint32_t i = 0; i < head.stages.size && ok; ++i) {
        const Stage& one = stage(i);
        ok = one.rule < head.rules.size && within(one.program, one.program_size, texts) &&
             within(one.first_word, std::uint64_t{one.longs} + one.operands, head.words.size) &&
             one.position < at<Rule>(head.rules.offset)[one.rule].stages;
    }
    for (std::uint32_t i = 0; i < head.words.size; ++i) {
        const WordRef& word = at<WordRef>(head.words.offset)[i];
        ok = ok && within(word.text, word.size, texts);
    }
    for (std::uint32_t i = 0; i < slots; ++i) {
        const Slot& slot = at<Slot>(head.slots.offset)[i];
        free_slot = free_slot || slot.key == 0;
        ok = ok && within(slot.first, slot.count, head.postings.size);
    }
    for (std::uint32_t i = 0; i < head.postings.size; ++i)
        ok = ok && at<std::uint32_t>(head.postings.offset)[i] < head.stages.size;
    return ok && free_slot;
}

std::string_view CompiledPolicy::policy_id() const { return text(header().id.offset, header().id.size); }
std::string_view CompiledPolicy::policy_hash() const {
    return text(header().hash.offset, header().hash.size);
}
PolicyMode CompiledPolicy::mode() const { return static_cast<PolicyMode>(header().mode); }
UnresolvedRule CompiledPolicy::unresolved() const { return static_cast<UnresolvedRule>(header().unresolved); }
bool CompiledPolicy::allow_shell_operators() const { return header().operators != 0; }
bool CompiledPolicy::require_all() const { return header().require_all != 0; }
std::uint32_t CompiledPolicy::count(RuleList list) const {
    return header().counts[static_cast<std::size_t>(list)];
}

RuleList CompiledPolicy::list_of(std::uint32_t rule) const {
    return static_cast<RuleList>(at<Rule>(header().rules.offset)[rule].list);
}
std::uint32_t CompiledPolicy::index_of(std::uint32_t rule) const {
    return at<Rule>(header().rules.offset)[rule].index;
}
std::string_view CompiledPolicy::pattern_of(std::uint32_t rule) const {
    const Rule& found = at<Rule>(header().rules.offset)[rule];
    return text(found.text, found.text_size);
}
std::uint32_t CompiledPolicy::stages_of(std::uint32_t rule) const {
    return at<Rule>(header().rules.offset)[rule].stages;
}

const CompiledPolicy::Slot* CompiledPolicy::find(std::uint64_t key) const {
    const std::size_t bit = key >> 1 & (kFilterBits - 1);
    if ((at<std::uint64_t>(header().filter.offset)[bit / 64] >> (bit % 64) & 1) == 0) return nullptr;
    const Slot* slots = at<Slot>(header().slots.offset);
    const std::size_t mask = header().slots.size - 1;
    for (std::size_t i = key >> 20 & mask; slots[i].key != 0; i = (i + 1) & mask)
        if (slots[i].key == key) return &slots[i];
    return nullptr;
}

void CompiledPolicy::look_up(std::uint64_t key, const NormalCommand& command, bool only_denied,
                             std::vector<Hit>& hits) const {
    if (const Slot* slot = find(key))
        verify(at<std::uint32_t>(header().postings.offset) + slot->first, slot->count, command, only_denied,
               hits);
}

void CompiledPolicy::match(const NormalCommand& command, bool only_denied, std::vector<Hit>& hits) const {
    const Header& head = header();
    const std::uint32_t* postings = at<std::uint32_t>(head.postings.offset);
    verify(postings + head.always.offset, head.always.size, command, only_denied, hits);
    if (command.known) {
        look_up(program_key(command.base, /*denying=*/false), command, only_denied, hits);
        if (command.shell && command.base != "sh")
            look_up(program_key("sh", /*denying=*/false), command, only_denied, hits);
    }
    std::vector<std::uint64_t> seen;  // a key that is there twice must not be verified twice
    std::string marked;
    const auto* const filter = at<std::uint64_t>(head.filter.offset);
    const auto grams = [&](std::string_view word) {
        marked.assign(1, kWordEnd).append(word).push_back(kWordEnd);
        std::uint64_t window = 0;  // the last eight bytes
        for (std::size_t end = 1; end <= marked.size(); ++end) {
            window = window << 8 | static_cast<unsigned char>(marked[end - 1]);
            for (const std::size_t size : kGrams) {
                if (end < size) continue;
                const std::uint64_t key = gram_key(size, window);
                const std::size_t bit = key >> 1 & (kFilterBits - 1);
                if ((filter[bit / 64] >> (bit % 64) & 1) == 0 || find(key) == nullptr ||
                    std::ranges::find(seen, key) != seen.end())
                    continue;
                seen.push_back(key);
                look_up(key, command, only_denied, hits);
            }
        }
        return false;
    };
    for (const Operand& operand : command.operands) any_reading(operand, grams);
}

void CompiledPolicy::verify(const std::uint32_t* first, std::uint32_t count, const NormalCommand& command,
                            bool only_denied, std::vector<Hit>& hits) const {
    for (std::uint32_t i = 0; i < count; ++i) {
        const Stage& one = stage(first[i]);
        const RuleList list = list_of(one.rule);
        if (only_denied && list != RuleList::denied) continue;
        const bool broad = is_broad(list);
        if (program_matches(one, command, broad) && options_match(one, command, broad) &&
            operands_match(one, command, broad))
            hits.push_back({one.rule, one.position});
    }
}

bool CompiledPolicy::program_matches(const Stage& stage, const NormalCommand& command, bool broad) const {
    const std::string_view program = text(stage.program, stage.program_size);
    if (program == "*" && (stage.flags & kLiteralProgram) == 0) return broad || command.known;
    if (!command.known) return false;
    if ((stage.flags & kShellProgram) != 0 && command.shell) return true;
    const std::string_view name = (stage.flags & kPathProgram) != 0 ? command.program : command.base;
    return (stage.flags & kLiteralProgram) != 0 ? program == name : glob_match(program, name);
}

bool CompiledPolicy::options_match(const Stage& stage, const NormalCommand& command, bool broad) const {
    const LetterSet letters{{stage.letters[0], stage.letters[1]}};
    if (!command.letters.contains(letters)) return false;
    const WordRef* words = at<WordRef>(header().words.offset) + stage.first_word;
    const auto matches = [&](const WordRef& word, std::string_view option) {
        const std::string_view wanted = text(word.text, word.size);
        if ((word.flags & kLiteralWord) == 0) return glob_match(wanted, option);
        // A name alone matches with any value too, where it holds back.
        return wanted == option ||
               (broad && option.starts_with(wanted) && option.substr(wanted.size()).starts_with('='));
    };
    for (std::uint32_t i = 0; i < stage.longs; ++i)
        if (std::ranges::none_of(command.longs,
                                 [&](const LongOption& option) { return matches(words[i], option.text); }))
            return false;
    if (broad || (stage.flags & kAnyWords) != 0) return true;
    if (letters != command.letters) return false;
    return std::ranges::all_of(command.longs, [&](const LongOption& option) {
        for (std::uint32_t i = 0; i < stage.longs; ++i)
            if (matches(words[i], option.text)) return true;
        return option.lettered;
    });
}

bool CompiledPolicy::operands_match(const Stage& stage, const NormalCommand& command, bool broad) const {
    const WordRef* words = at<WordRef>(header().words.offset) + stage.first_word + stage.longs;
    const auto matches = [&](const WordRef& word, const Operand& operand) {
        const std::string_view wanted = text(word.text, word.size);
        if ((word.flags & kStarWord) != 0) return true;
        if (!operand.known || (operand.glob && !broad)) return false;
        const auto same = [&](std::string_view value) {
            return (word.flags & kLiteralWord) != 0 ? wanted == value : glob_match(wanted, value);
        };
        return broad ? any_reading(operand, same) : same(operand.text);
    };
    const ToolForm& tool = *command.tool;
    if (broad && tool.files) {
        std::uint32_t first = 0;
        if (tool.mode_first && stage.operands > 0) {
            if ((words[0].flags & kStarWord) == 0 &&
                (command.operands.empty() || !matches(words[0], command.operands[0])))
                return false;
            first = 1;
        }
        for (std::uint32_t i = first; i < stage.operands; ++i) {
            if ((words[i].flags & kStarWord) != 0) continue;
            const bool found = std::any_of(
                command.operands.begin() + std::min<std::ptrdiff_t>(first, std::ssize(command.operands)),
                command.operands.end(), [&](const Operand& one) { return matches(words[i], one); });
            if (!found) return false;
        }
        return true;
    }
    // A "*" alone stands for any number of words.
    std::size_t w = 0, o = 0, star = std::string::npos, resume = 0;
    while (o < command.operands.size()) {
        if (w < stage.operands && (words[w].flags & kStarWord) != 0) {
            star = w++;
            resume = o;
        } else if (w < stage.operands && matches(words[w], command.operands[o])) {
            ++w;
            ++o;
        } else if (star != std::string::npos) {
            w = star + 1;
            o = ++resume;
        } else {
            // Over the line as a text, a "*" at the end would cover what follows.
            const bool open = broad && w == stage.operands && w > 0 &&
                              (words[w - 1].flags & kLiteralWord) == 0 &&
                              text(words[w - 1].text, words[w - 1].size).ends_with('*');
            return open;
        }
    }
    while (w < stage.operands && (words[w].flags & kStarWord) != 0) ++w;
    return w == stage.operands;
}

bool CompiledPolicy::may_deny(const NormalCommand& command) const {
    const Header& head = header();
    const std::uint32_t* postings = at<std::uint32_t>(head.postings.offset);
    const auto any = [&](std::uint32_t first, std::uint32_t count) {
        return std::any_of(postings + first, postings + first + count,
                           [&](std::uint32_t index) { return may_match(stage(index), command); });
    };
    if (any(head.loose_programs.offset, head.loose_programs.size)) return true;
    const auto by_name = [&](std::string_view name) {
        const Slot* slot = find(program_key(name, /*denying=*/true));
        return slot != nullptr && any(slot->first, slot->count);
    };
    return by_name(command.base) || (command.shell && command.base != "sh" && by_name("sh"));
}

bool CompiledPolicy::may_match(const Stage& stage, const NormalCommand& command) const {
    if (!program_matches(stage, command, /*broad=*/true)) return false;
    const LetterSet letters{{stage.letters[0], stage.letters[1]}};
    if (!command.loose_options && !command.letters.contains(letters)) return false;
    const WordRef* words = at<WordRef>(header().words.offset) + stage.first_word + stage.longs;
    for (std::uint32_t i = 0; i < stage.operands; ++i) {
        if ((words[i].flags & kStarWord) != 0) continue;
        const std::string_view wanted = text(words[i].text, words[i].size);
        const bool met = std::ranges::any_of(command.operands, [&](const Operand& operand) {
            return any_reading(operand, [&](std::string_view value) {
                if (operand.glob) return globs_may_meet(wanted, value);
                return (words[i].flags & kLiteralWord) != 0 ? wanted == value : glob_match(wanted, value);
            });
        });
        if (!met) return false;
    }
    return true;
}

}  // namespace substrate::policy
