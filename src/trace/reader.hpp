#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "codec/json_value.hpp"
#include "model/span.hpp"
#include "sys/unique_fd.hpp"
#include "trace/layout.hpp"
#include "trace/line_scan.hpp"

namespace substrate::trace {

// Which records are wanted; an empty member accepts all. A record without the
// member in question is not wanted.
struct TraceFilter {
    std::string session_id;
    std::string agent_id;
    std::string outcome;
    std::string event_type;
    std::optional<std::int64_t> since_ns;  // ts at or after, since the epoch

    bool accepts(const Json& record) const;
    // False when the text of a line shows that it cannot be accepted.
    bool may_accept(std::string_view line) const;
};

// Something in the trace that could not be read and was passed over.
struct Skipped {
    std::string file;
    std::uint64_t line = 0;  // from 1; 0 when the file was read backwards
    std::uint64_t offset = 0;
    std::string reason;
    std::string describe() const;  // "trace.jsonl:12 (byte 3456): a torn last line: …"
};

// Reads a trace directory. Never changes it, takes no lock while reading, and
// never fails because of what the lines hold.
class TraceReader {
  public:
    // Errc::not_found when there is no such directory.
    static Result<TraceReader> open(const std::string& directory);

    // Gets each accepted record, blobs resolved; returns false to stop.
    using Visit = std::function<bool(Json&& record)>;
    Result<> oldest_first(const TraceFilter& filter, const Visit& visit);
    Result<> newest_first(const TraceFilter& filter, const Visit& visit);

    // The newest command_complete of that id, blobs resolved.
    Result<std::optional<Json>> find_span(std::string_view span_id);
    // The same as a Span; Errc::not_found when there is none.
    Result<Span> load_span(std::string_view span_id);

    // What was passed over since open(); the first 100 are kept.
    const std::vector<Skipped>& skipped() const { return skipped_; }
    std::uint64_t skipped_count() const { return skipped_count_; }

  private:
    explicit TraceReader(sys::UniqueFd dir) : dir_(std::move(dir)) {}
    template <class Lines>
    Result<bool> read_lines(const TraceFile& file, Lines& lines, const TraceFilter& filter,
                            const Visit& visit);
    bool visit_line(const TraceFile& file, const Line& line, const TraceFilter& filter, const Visit& visit);
    Result<std::optional<Json>> find_in(const TraceFile& file, std::string_view span_id);
    Result<std::optional<Json>> record_around(const TraceFile& file, std::uint64_t offset, std::uint64_t size,
                                              std::string_view span_id);
    void resolve(const std::string& file, const Line& line, Json& record);
    void skip(const std::string& file, const Line& line, std::string reason);

    sys::UniqueFd dir_;
    std::vector<Skipped> skipped_;
    std::uint64_t skipped_count_ = 0;
};

// Puts blobs back into a record; false and `problem` when one is missing.
bool restore_record(int dir, Json& record, std::string& problem);

}  // namespace substrate::trace
