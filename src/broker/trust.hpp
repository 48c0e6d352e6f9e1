#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "broker/places.hpp"

namespace substrate::broker {

// What the files of one directory said: nullopt for a file that is not there.
struct GroundTexts {
    std::optional<std::string> profile;  // of .substrate-profile, whole
    std::optional<std::string> policy;   // of .substrate-policy.yaml, whole
    bool empty() const { return !profile && !policy; }
    // SHA-256 over both, as 64 hexadecimal digits.
    std::string hash() const;
    bool operator==(const GroundTexts&) const = default;
};

// What a person has looked at and accepted for a directory. The texts themselves are
// kept: when the directory's files change or go, what was accepted still holds.
struct TrustRecord {
    std::string directory;  // absolute, without links
    GroundTexts texts;
    std::string hash;  // of the texts, for people and the trace
    std::int64_t at_ns = 0;
    bool operator==(const TrustRecord&) const = default;
};

using TrustRecords = std::map<std::string, TrustRecord>;  // by directory

// Reads what is trusted; empty where there is no file. A file that does not parse, or
// whose hashes do not fit, is an error: nothing in it is believed.
Result<TrustRecords> load_trust(const Places& places);
// The records in the text of such a file.
Result<TrustRecords> parse_trust(const std::string& text);
// Adds or replaces one record; `record.hash` is computed.
Result<> add_trust(const Places& places, TrustRecord record);
// False when there was none for the directory.
Result<bool> remove_trust(const Places& places, const std::string& directory);

// Reads both files of a directory as they are. Errors as read_policy_file.
Result<GroundTexts> read_ground(const std::string& directory, std::uint32_t uid);

}  // namespace substrate::broker
