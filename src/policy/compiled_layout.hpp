#pragma once

#include <cstdint>

#include "policy/compiled_policy.hpp"

// The flat form: a header, then arrays of these, then the texts. Offsets count
// from the first byte, sizes are in elements. Native byte order: a cache is for the
// machine that wrote it.
namespace substrate::policy {

inline constexpr std::uint64_t kCompiledMagic = 0x31594c4f50425553;  // "SUBPOLY1"
inline constexpr std::uint32_t kCompiledVersion = 1;
inline constexpr std::uint32_t kFilterBits = 1u << 16;

struct FlatArray {
    std::uint32_t offset = 0;
    std::uint32_t size = 0;
};

struct CompiledPolicy::Header {
    std::uint64_t magic = kCompiledMagic;
    std::uint64_t checksum = 0;  // XXH3 of everything behind this field
    std::uint32_t version = kCompiledVersion;
    std::uint32_t bytes = 0;
    FlatArray rules, stages, words, slots, postings, filter, texts;
    FlatArray always;          // postings of stages that have no key
    FlatArray loose_programs;  // postings of denying stages whose program is a glob
    FlatArray id, hash;        // texts
    std::uint32_t counts[kRuleLists] = {};
    std::uint8_t mode = 0, unresolved = 0, operators = 0, require_all = 0;
    std::uint32_t reserved = 0;
};

struct CompiledPolicy::Rule {
    std::uint32_t text = 0, text_size = 0;
    std::uint32_t index = 0;
    std::uint8_t list = 0, stages = 0;
    std::uint16_t reserved = 0;
};

struct CompiledPolicy::Stage {
    std::uint64_t letters[2] = {};
    std::uint32_t rule = 0;
    std::uint32_t program = 0, program_size = 0;  // a glob, or, with kLiteralProgram, the base name itself
    std::uint32_t first_word = 0;                 // long options, then operands
    std::uint16_t longs = 0, operands = 0;
    std::uint8_t flags = 0, position = 0;
    std::uint16_t reserved = 0;
};

struct CompiledPolicy::WordRef {
    std::uint32_t text = 0, size = 0;
    std::uint32_t flags = 0;
    std::uint32_t reserved = 0;
};

struct CompiledPolicy::Slot {
    std::uint64_t key = 0;  // 0: free
    std::uint32_t first = 0, count = 0;
};

inline constexpr std::uint8_t kLiteralProgram = 1, kShellProgram = 2, kPathProgram = 4, kAnyWords = 8;
inline constexpr std::uint32_t kStarWord = 1, kLiteralWord = 2;

// Keys of the prefilter: a program's name, or a few bytes that a word must have.
// A word's ends are marked, so that "rm" is not found in "form".
constexpr std::uint64_t mix(std::uint64_t value) {
    value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15;
    return value ^ (value >> 29);
}
constexpr std::uint64_t program_key(std::string_view base, bool denying) {
    std::uint64_t hash = denying ? 0xcbf29ce484222325 : 0x84222325cbf29ce4;
    for (const char c : base) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return mix(hash) | 1;
}
inline constexpr std::size_t kGrams[] = {3, 5};
// Of the last `size` bytes of `window`, at most seven, the last one lowest.
constexpr std::uint64_t gram_key(std::size_t size, std::uint64_t window) {
    const std::uint64_t mask = (std::uint64_t{1} << (8 * size)) - 1;
    return mix(std::uint64_t{size} << (8 * size) | (window & mask)) | 1;
}
constexpr std::uint64_t gram_key(std::string_view bytes) {
    std::uint64_t window = 0;
    for (const char c : bytes) window = window << 8 | static_cast<unsigned char>(c);
    return gram_key(bytes.size(), window);
}
inline constexpr char kWordEnd = '\x01';

}  // namespace substrate::policy
