#pragma once

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/fs_diff.hpp"

namespace substrate {

// The form of schemas/fs_diff.schema.json. writes[], mods[] and deletes[] are
// derived from the entries: a rename is a write of the new and a deletion of the
// old path, a type change is a modification.
Json to_json(const FsDiff& diff);

// Errc::invalid names the JSON pointer of what is wrong. The derived lists are
// not read. A schema version above ours is refused.
Result<FsDiff> fs_diff_from_json(const Json& value, std::string pointer = {});

}  // namespace substrate
