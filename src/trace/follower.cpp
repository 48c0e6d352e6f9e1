#include "trace/follower.hpp"

#include <algorithm>

#include "sys/file.hpp"

namespace substrate::trace {

Result<TraceFollower> TraceFollower::open(const std::string& directory, From from, TraceFilter filter,
                                          int stop_fd) {
    auto opened = sys::open_path(directory, O_RDONLY | O_DIRECTORY);
    if (!opened && opened.error().os_errno() == ENOENT)
        return fail({Errc::not_found, "there is no trace in '" + directory + "'"});
    SUB_TRY_ASSIGN(sys::UniqueFd dir, std::move(opened));
    // The watch comes before the first look, so that nothing falls between them.
    SUB_TRY_ASSIGN(sys::DirWatch watch, sys::DirWatch::open({directory}));
    TraceFollower follower(std::move(dir), std::move(watch), std::move(filter), stop_fd);
    SUB_TRY(follower.start(from));
    return follower;
}

void TraceFollower::use(TraceFile file, std::uint64_t offset) {
    lines_.emplace(file.fd.get(), offset);
    file_ = std::move(file);
}

Result<> TraceFollower::start(From from) {
    SUB_TRY_ASSIGN(auto files, open_set(dir_.get()));
    if (files.empty()) return {};
    TraceFile& file = from == From::oldest ? files.front() : files.back();
    std::uint64_t offset = 0;
    if (from == From::now) {
        SUB_TRY_ASSIGN(const auto st, sys::stat_fd(file.fd.get()));
        offset = st.stx_size;
    }
    use(std::move(file), offset);
    return {};
}

std::optional<Json> TraceFollower::take(const Line& line) {
    Decoded decoded = decode(line);
    if (!decoded.problem.empty())
        skipped_.push_back({file_->name, 0, line.offset, std::move(decoded.problem)});
    if (!decoded.record || !filter_.accepts(*decoded.record)) return std::nullopt;
    std::string problem;
    if (!restore_record(dir_.get(), *decoded.record, problem))
        skipped_.push_back({file_->name, 0, line.offset, std::move(problem)});
    return std::move(decoded.record);
}

// Goes on to the file after the current one; false when there is none.
Result<bool> TraceFollower::advance() {
    SUB_TRY_ASSIGN(auto files, open_set(dir_.get()));
    if (files.empty()) return false;
    if (!file_) {
        use(std::move(files.front()), 0);
        return true;
    }
    const auto current = std::ranges::find(files, file_->identity, &TraceFile::identity);
    if (current == files.end()) {
        skipped_.push_back({file_->name, 0, 0, "rotated away before all of it was read"});
        use(std::move(files.front()), 0);
        return true;
    }
    const auto following = current + 1;
    if (following == files.end()) return false;
    use(std::move(*following), 0);
    return true;
}

Result<std::optional<Json>> TraceFollower::poll() {
    for (;;) {
        while (lines_) {
            SUB_TRY_ASSIGN(const auto line, lines_->next());
            if (!line) break;
            if (auto record = take(*line)) return record;
        }
        // Whether the file has been rotated is asked before its end is read for
        // the last time: after a rotation nothing is appended to it.
        SUB_TRY_ASSIGN(const auto name, sys::stat_at(dir_.get(), std::string(kTraceName).c_str()));
        if (!name) return std::nullopt;
        if (file_ && FileIdentity{sys::device_of(*name), name->stx_ino} == file_->identity)
            return std::nullopt;
        if (lines_) {
            SUB_TRY_ASSIGN(const auto line, lines_->next());
            if (line) {
                if (auto record = take(*line)) return record;
                continue;
            }
            if (const auto rest = lines_->take_rest())
                if (auto record = take(*rest)) return record;
        }
        SUB_TRY_ASSIGN(const bool moved, advance());
        if (!moved) return std::nullopt;
    }
}

Result<std::optional<Json>> TraceFollower::next() {
    for (;;) {
        SUB_TRY_ASSIGN(auto record, poll());
        if (record) return record;
        SUB_TRY_ASSIGN(const auto wake, watch_.wait(stop_fd_));
        if (wake == sys::DirWatch::Wake::stopped) return std::nullopt;
    }
}

}  // namespace substrate::trace
