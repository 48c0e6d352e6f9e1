#include "trace/writer.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>

#include "sys/append_file.hpp"
#include "sys/file.hpp"
#include "sys/file_lock.hpp"
#include "sys/tree_ops.hpp"
#include "trace/blob_store.hpp"
#include "trace/layout.hpp"

namespace substrate::trace {
namespace {

// Fields below this stay in the record: a reference is not much smaller.
constexpr std::size_t kSmallField = 1024;
// A blob is written before the record that names it, and may be reused by a later
// record; this keeps what the last hour of a dropped file used.
constexpr std::int64_t kBlobGraceNs = 3'600'000'000'000;
// Some records and their blobs: enough to say what filled the disk.
constexpr std::uint64_t kReserveBytes = 256u << 10;

bool is_disk_full(const Error& error) { return error.os_errno() == ENOSPC || error.os_errno() == EDQUOT; }

std::size_t text_size(const Json& field) {
    return field.is_string() ? field.get_ref<const std::string&>().size() : dump_json(field).size();
}

std::string line_of(const Json& record) {
    std::string line;
    line.reserve(4096);
    append_json(line, record);
    line += '\n';
    return line;
}

// Moves fields to blobs, the largest first, until the line is at most `limit`.
Result<std::string> shrink(Json& record, std::size_t limit, const BlobStore& blobs, bool sync) {
    std::vector<std::pair<std::size_t, std::string>> sizes;
    for (const auto& [key, field] : record.items()) sizes.emplace_back(text_size(field), key);
    std::ranges::sort(sizes, std::greater());
    for (const auto& [size, key] : sizes) {
        if (size < kSmallField) break;
        SUB_TRY_DURING(blobs.move_out(record[key], sync),
                       "moving the field '" + key + "' of a trace record to a blob");
        if (std::string line = line_of(record); line.size() <= limit) return line;
    }
    // Many small fields: the record as a whole, with what finds it left in place.
    Json rest = Json::object();
    for (const char* key : {"event_type", "trace_schema_version", "ts", "session_id", "span_id"})
        if (const auto it = record.find(key); it != record.end() && text_size(*it) < kSmallField)
            rest.emplace(key, *it);
    Json whole = std::move(record);
    SUB_TRY_DURING(blobs.move_out(whole, sync), "moving a trace record to a blob");
    rest.emplace("record", std::move(whole));
    record = std::move(rest);
    return line_of(record);
}

Result<sys::UniqueFd> open_directory(const std::string& path) {
    SUB_TRY(sys::make_dirs(path, 0700));
    auto opened = sys::open_private_dir(path);
    if (!opened) return fail(std::move(opened).error().during("opening the trace directory"));
    return opened;
}

}  // namespace

struct TraceWriter::State {
    WriterOptions options;
    sys::UniqueFd dir;
    sys::UniqueFd lock;
    BlobStore blobs{-1};
    std::mutex mutex;  // guards what follows; never held without `lock` for long
    sys::UniqueFd file;
    FileIdentity identity;
    std::uint64_t known_end = 0;  // the file ends there with a newline of ours, unless others appended

    Result<> open_file();
    Result<std::uint64_t> follow_rotation();
    Result<> rotate();
    Result<bool> is_torn(std::uint64_t size) const;
    Result<> write(std::string& line, bool sync);
    // Keeps space for later, where there is any: the next attempt is the next record's.
    void reserve() {
        reserved = sys::reserve_space_at(dir.get(), std::string(kReserveName), kReserveBytes).has_value();
    }
    // True: there is more space than before.
    bool give_up_reserve();

    std::atomic<bool> reserved = false;
    std::mutex observer_mutex;
    Observer observer;
};

bool TraceWriter::State::give_up_reserve() {
    reserved = false;
    return sys::unlink_at(dir.get(), std::string(kReserveName).c_str()).has_value();
}

Result<> TraceWriter::State::open_file() {
    SUB_TRY_ASSIGN(file, sys::open_append_at(dir.get(), std::string(kTraceName)));
    SUB_TRY_ASSIGN(identity, identity_of(file.get()));
    known_end = 0;
    return {};
}

// Makes `file` the one that has the name now; its size.
Result<std::uint64_t> TraceWriter::State::follow_rotation() {
    struct ::statx st{};
    SUB_TRY_ASSIGN(bool found, sys::stat_entry(dir.get(), std::string(kTraceName).c_str(), st));
    if (found && FileIdentity{sys::device_of(st), st.stx_ino} == identity) return st.stx_size;
    SUB_TRY(open_file());
    SUB_TRY_ASSIGN(const auto opened, sys::stat_fd(file.get()));
    return opened.stx_size;
}

// trace.jsonl becomes .1, .1 becomes .2, …; the lock is held.
Result<> TraceWriter::State::rotate() {
    const std::string last = rotated_name(options.keep);
    SUB_TRY_ASSIGN(const auto dropped, sys::stat_at(dir.get(), last.c_str()));
    for (unsigned number = options.keep; number-- > 0;) {
        const std::string from = rotated_name(number);
        auto renamed = sys::rename_at(dir.get(), from.c_str(), dir.get(), rotated_name(number + 1).c_str());
        if (!renamed && renamed.error().os_errno() != ENOENT)
            return fail(std::move(renamed).error().during("rotating the trace"));
    }
    // Files that an earlier, larger `keep` left.
    for (unsigned number = options.keep + 1; number <= kMostKept; ++number)
        if (!sys::unlink_at(dir.get(), rotated_name(number).c_str())) break;
    if (dropped) blobs.prune(sys::to_ns(dropped->stx_mtime) - kBlobGraceNs);
    return open_file();
}

// True when the file does not end with a newline: a write was cut off by a crash.
Result<bool> TraceWriter::State::is_torn(std::uint64_t size) const {
    if (size == 0 || size == known_end) return false;
    std::array<char, 1> last{};
    SUB_TRY_ASSIGN(const std::size_t n, sys::read_at(file.get(), last, size - 1));
    return n == 1 && last[0] != '\n';
}

Result<> TraceWriter::State::write(std::string& line, bool sync) {
    const std::lock_guard guard(mutex);
    SUB_TRY_ASSIGN(const auto held, sys::FileLock::exclusive(lock.get()));
    SUB_TRY_ASSIGN(std::uint64_t size, follow_rotation());
    if (size > 0 && size + line.size() > options.max_bytes) {
        SUB_TRY(rotate());
        size = 0;
    }
    SUB_TRY_ASSIGN(const bool torn, is_torn(size));
    if (torn) line.insert(line.begin(), '\n');
    known_end = 0;
    SUB_TRY_DURING(sys::append_once(file.get(), line), "appending to the trace");
    known_end = size + line.size();
    if (sync) SUB_TRY(sys::sync_data(file.get()));
    return {};
}

TraceWriter::TraceWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
TraceWriter::TraceWriter(TraceWriter&&) noexcept = default;
TraceWriter& TraceWriter::operator=(TraceWriter&&) noexcept = default;
TraceWriter::~TraceWriter() = default;

Result<TraceWriter> TraceWriter::open(const std::string& directory, const WriterOptions& options) {
    auto state = std::make_unique<State>();
    state->options = options;
    state->options.keep = std::clamp(options.keep, 1u, kMostKept);
    state->options.max_record = std::max<std::size_t>(options.max_record, 8u << 10);
    SUB_TRY_ASSIGN(state->dir, open_directory(directory));
    state->blobs = BlobStore(state->dir.get());
    SUB_TRY_ASSIGN(state->lock, sys::open_append_at(state->dir.get(), std::string(kLockName)));
    SUB_TRY(state->open_file());
    state->reserve();
    return TraceWriter(std::move(state));
}

void TraceWriter::observe(Observer observer) {
    const std::scoped_lock lock(state_->observer_mutex);
    state_->observer = std::move(observer);
}

Result<> TraceWriter::append(const Event& event) {
    Record record = prepare(event);
    {
        const std::scoped_lock lock(state_->observer_mutex);
        if (state_->observer) state_->observer(event, record.json_);
    }
    return append(std::move(record));
}

Result<> TraceWriter::append(Record record) {
    const Fsync fsync = state_->options.fsync;
    const bool sync = fsync == Fsync::always || (fsync == Fsync::span && record.is_span());
    // One byte is left for the newline that ends a torn line before it.
    const std::size_t limit = state_->options.max_record - 1;
    const auto try_it = [&]() -> Result<> {
        std::string line = line_of(record.json_);
        if (line.size() > limit) {
            SUB_TRY_ASSIGN(line, shrink(record.json_, limit, state_->blobs, sync));
        }
        return state_->write(line, sync);
    };
    Result<> written = try_it();
    if (!written && is_disk_full(written.error()) && state_->give_up_reserve()) written = try_it();
    else if (written && !state_->reserved) state_->reserve();
    return written;
}

}  // namespace substrate::trace
