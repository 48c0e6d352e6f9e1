#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "codec/json_value.hpp"

namespace substrate::trace {

// The content-addressed files in blobs/ below a trace directory, and the
// references to them in records: {"blob": "xxh3:<32 hex digits>", "bytes": N,
// "head": its first 256 bytes, "encoding": "json" unless it is a string's text}.
class BlobStore {
  public:
    // `dir` must outlive the store.
    explicit BlobStore(int dir) : dir_(dir) {}

    // Writes `content` under the name of its hash (temporary file and rename,
    // 0600), unless it is there already; returns that "xxh3:…".
    Result<std::string> put(std::string_view content, bool sync) const;
    // Errc::invalid when the content does not match `name`.
    Result<std::string> get(std::string_view name) const;
    // Replaces a field by a reference to its content.
    Result<> move_out(Json& field, bool sync) const;
    // Replaces references among the members of `record` by their content. Where a
    // blob is missing or damaged, a string becomes its head and anything else is
    // taken out; false then, and `problem` says what is wrong.
    bool resolve(Json& record, std::string& problem) const;
    // Removes blobs last written or reused before `ns`. Best effort.
    void prune(std::int64_t ns) const;

  private:
    int dir_;
};

}  // namespace substrate::trace
