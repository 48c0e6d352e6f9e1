#include "trace/reader.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include "base/text.hpp"
#include "codec/event_json.hpp"
#include "codec/span_json.hpp"
#include "codec/time_text.hpp"
#include "sys/append_file.hpp"
#include "sys/file.hpp"
#include "trace/blob_store.hpp"

namespace substrate::trace {
namespace {

constexpr std::size_t kMostSkippedKept = 100;
constexpr std::size_t kSearchChunk = 1u << 20;

bool member_is(const Json& record, const char* key, const std::string& wanted) {
    if (wanted.empty()) return true;
    const auto it = record.find(key);
    return it != record.end() && it->is_string() && it->get_ref<const std::string&>() == wanted;
}

// memmem(3): far faster than std::string_view::find on megabytes.
std::size_t find_bytes(std::string_view text, std::string_view needle, std::size_t from = 0) {
    if (from > text.size()) return std::string_view::npos;
    const void* hit = ::memmem(text.data() + from, text.size() - from, needle.data(), needle.size());
    return hit == nullptr ? std::string_view::npos
                          : static_cast<std::size_t>(static_cast<const char*>(hit) - text.data());
}

// An id that stands in a record as it is, without JSON escapes.
bool is_plain(std::string_view text) {
    return !text.empty() &&
           std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f' && c != '"' && c != '\\'; });
}

}  // namespace

bool TraceFilter::accepts(const Json& record) const {
    if (!member_is(record, "session_id", session_id) || !member_is(record, "agent_id", agent_id) ||
        !member_is(record, "outcome", outcome) || !member_is(record, "event_type", event_type))
        return false;
    if (!since_ns) return true;
    const auto ts = record.find("ts");
    if (ts == record.end() || !ts->is_string()) return false;
    const auto ns = parse_rfc3339(ts->get_ref<const std::string&>());
    return ns && *ns >= *since_ns;
}

bool TraceFilter::may_accept(std::string_view line) const {
    for (const std::string* wanted : {&session_id, &outcome, &event_type})
        if (is_plain(*wanted) && find_bytes(line, *wanted) == std::string_view::npos) return false;
    return true;
}

std::string Skipped::describe() const {
    std::string text = file;
    if (line > 0) text += ":" + std::to_string(line);
    return text + " (byte " + std::to_string(offset) + "): " + reason;
}

bool restore_record(int dir, Json& record, std::string& problem) {
    const bool whole = BlobStore(dir).resolve(record, problem);
    // A record of many small fields was moved out as a whole.
    const auto moved = record.find("record");
    if (moved != record.end() && moved->is_object() &&
        moved->value("event_type", Json()) == record["event_type"]) {
        Json inner = std::move(*moved);
        record = std::move(inner);
    }
    return whole;
}

Result<TraceReader> TraceReader::open(const std::string& directory) {
    auto dir = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
    if (!dir && dir.error().os_errno() == ENOENT)
        return fail({Errc::not_found, "there is no trace in '" + directory + "'"});
    SUB_TRY_ASSIGN(sys::UniqueFd fd, std::move(dir));
    return TraceReader(std::move(fd));
}

void TraceReader::skip(const std::string& file, const Line& line, std::string reason) {
    ++skipped_count_;
    if (skipped_.size() < kMostSkippedKept)
        skipped_.push_back({file, line.number, line.offset, std::move(reason)});
}

void TraceReader::resolve(const std::string& file, const Line& line, Json& record) {
    std::string problem;
    if (!restore_record(dir_.get(), record, problem)) skip(file, line, std::move(problem));
}

// False when the visitor wants no more.
bool TraceReader::visit_line(const TraceFile& file, const Line& line, const TraceFilter& filter,
                             const Visit& visit) {
    // Whether a line is damaged is known only by parsing it, so the filter looks
    // at the text first only for lines that are whole by their ends.
    const bool whole = line.terminated && line.text.starts_with('{') && line.text.ends_with('}');
    if (whole && !filter.may_accept(line.text)) return true;
    Decoded decoded = decode(line);
    if (!decoded.problem.empty()) skip(file.name, line, std::move(decoded.problem));
    if (!decoded.record || !filter.accepts(*decoded.record)) return true;
    resolve(file.name, line, *decoded.record);
    return visit(std::move(*decoded.record));
}

template <class Lines>
Result<bool> TraceReader::read_lines(const TraceFile& file, Lines& lines, const TraceFilter& filter,
                                     const Visit& visit) {
    for (;;) {
        SUB_TRY_ASSIGN(const auto line, lines.next());
        if (!line) return true;
        if (!visit_line(file, *line, filter, visit)) return false;
    }
}

Result<> TraceReader::oldest_first(const TraceFilter& filter, const Visit& visit) {
    SUB_TRY_ASSIGN(const auto files, open_set(dir_.get()));
    for (const TraceFile& file : files) {
        ForwardLines lines(file.fd.get());
        SUB_TRY_ASSIGN(bool more, read_lines(file, lines, filter, visit));
        if (const auto rest = more ? lines.take_rest() : std::nullopt)
            more = visit_line(file, *rest, filter, visit);
        if (!more) break;
    }
    return {};
}

Result<> TraceReader::newest_first(const TraceFilter& filter, const Visit& visit) {
    SUB_TRY_ASSIGN(const auto files, open_set(dir_.get()));
    for (auto file = files.rbegin(); file != files.rend(); ++file) {
        SUB_TRY_ASSIGN(const auto st, sys::stat_fd(file->fd.get()));
        BackwardLines lines(file->fd.get(), st.stx_size);
        SUB_TRY_ASSIGN(const bool more, read_lines(*file, lines, filter, visit));
        if (!more) break;
    }
    return {};
}

// The record whose line covers `offset`, if it is the span that is looked for.
Result<std::optional<Json>> TraceReader::record_around(const TraceFile& file, std::uint64_t offset,
                                                       std::uint64_t size, std::string_view span_id) {
    BackwardLines before(file.fd.get(), offset);
    SUB_TRY_ASSIGN(const auto head, before.next());
    const std::uint64_t start = head && !head->terminated ? head->offset : offset;
    if (start >= size) return std::nullopt;
    ForwardLines after(file.fd.get(), start);
    SUB_TRY_ASSIGN(auto line, after.next());
    if (!line) line = after.take_rest();
    if (!line || find_bytes(line->text, event_type::kCommandComplete) == std::string_view::npos)
        return std::nullopt;
    line->number = 0;
    Decoded decoded = decode(*line);
    if (!decoded.problem.empty()) skip(file.name, *line, std::move(decoded.problem));
    if (!decoded.record) return std::nullopt;
    const TraceFilter wanted{.event_type = std::string(event_type::kCommandComplete)};
    if (!wanted.accepts(*decoded.record) || !member_is(*decoded.record, "span_id", std::string(span_id)))
        return std::nullopt;
    resolve(file.name, *line, *decoded.record);
    return std::move(decoded.record);
}

// Searches the bytes for the id, without splitting them into lines first.
Result<std::optional<Json>> TraceReader::find_in(const TraceFile& file, std::string_view span_id) {
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(file.fd.get()));
    const std::uint64_t size = st.stx_size;
    std::string chunk;
    std::vector<std::uint64_t> hits;
    for (std::uint64_t end = size; end > 0;) {
        const std::uint64_t begin = end > kSearchChunk ? end - kSearchChunk : 0;
        // The chunks overlap, so that an id on their border is seen.
        const std::uint64_t stop = std::min(size, end + span_id.size() - 1);
        chunk.resize(static_cast<std::size_t>(stop - begin));
        SUB_TRY_ASSIGN(const std::size_t n, sys::read_at(file.fd.get(), chunk, begin));
        const std::string_view text(chunk.data(), n);
        hits.clear();
        for (std::size_t at = find_bytes(text, span_id); at != std::string_view::npos;
             at = find_bytes(text, span_id, at)) {
            hits.push_back(begin + at);
            // One hit in a line is enough.
            at = std::min(text.find('\n', at), text.size());
        }
        for (auto hit = hits.rbegin(); hit != hits.rend(); ++hit) {
            SUB_TRY_ASSIGN(auto record, record_around(file, *hit, size, span_id));
            if (record) return record;
        }
        end = begin;
    }
    return std::nullopt;
}

Result<std::optional<Json>> TraceReader::find_span(std::string_view span_id) {
    if (!is_plain(span_id)) return std::nullopt;
    SUB_TRY_ASSIGN(const auto files, open_set(dir_.get()));
    for (auto file = files.rbegin(); file != files.rend(); ++file) {
        SUB_TRY_ASSIGN(auto record, find_in(*file, span_id));
        if (record) return record;
    }
    return std::nullopt;
}

Result<Span> TraceReader::load_span(std::string_view span_id) {
    SUB_TRY_ASSIGN(const auto record, find_span(span_id));
    if (!record)
        return fail(Error(Errc::not_found, "no span '" + printable(span_id) + "' in the trace")
                        .hint("substrate trace lists the recent ones"));
    auto span = span_from_json(*record);
    if (!span) return fail(std::move(span).error().during("reading span '" + printable(span_id) + "'"));
    return span;
}

}  // namespace substrate::trace
