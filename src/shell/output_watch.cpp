#include "shell/output_watch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "sys/file.hpp"
#include "sys/pipe.hpp"
#include "sys/socket.hpp"

namespace substrate::shell {

struct OutputWatch::Stream {
    using Kind = start::StreamKind;
    struct HashState {
        HashState() { XXH3_128bits_reset(state); }
        ~HashState() { XXH3_freeState(state); }
        HashState(const HashState&) = delete;
        HashState& operator=(const HashState&) = delete;
        XXH3_state_t* state = XXH3_createState();
    };

    explicit Stream(const start::StreamEnds& ends)
        : target(ends.target),
          kind(ends.kind),
          target_is_pipe(ends.target_is_pipe),
          pipe{sys::UniqueFd(ends.read_end), sys::UniqueFd(ends.write_end)},
          file_start(ends.file_start),
          file_goes_on(ends.file_goes_on) {}

    int target;
    Kind kind;
    bool target_is_pipe;
    bool target_gone = false;
    bool target_full = false;
    sys::Pipe pipe;
    off_t file_start;
    bool file_goes_on;
    std::string unsent;  // hashed, but a target that does not block was full
    std::uint64_t bytes = 0;
    HashState hash;

    Result<bool> move_some();
    void send_unsent();
    Result<> hash_bytes(std::size_t count);
    Result<> hash_file();
    std::string digest() const;
};

Result<> OutputWatch::Stream::hash_bytes(std::size_t count) {
    std::array<char, 64 * 1024> buffer;
    while (count > 0) {
        SUB_TRY_ASSIGN(
            const std::size_t n,
            sys::read_some(pipe.read.get(), std::span(buffer).first(std::min(count, buffer.size()))));
        if (n == 0) return fail({Errc::internal, "a pipe lost what was in it"});
        XXH3_128bits_update(hash.state, buffer.data(), n);
        bytes += n;
        count -= n;
    }
    return {};
}

void OutputWatch::Stream::send_unsent() {
    std::size_t sent = 0;
    while (sent < unsent.size() && !target_gone && !target_full) {
        const ssize_t n = ::write(target, unsent.data() + sent, unsent.size() - sent);
        if (n >= 0) sent += static_cast<std::size_t>(n);
        else if (errno == EAGAIN) target_full = true;
        else if (errno != EINTR) target_gone = true;
    }
    if (target_gone) unsent.clear();
    else unsent.erase(0, sent);
}

// False when there is nothing to move now: empty, ended, or the target is full.
Result<bool> OutputWatch::Stream::move_some() {
    target_full = false;
    if (!unsent.empty()) {
        send_unsent();
        if (target_full) return false;
    }
    if (kind != Kind::relayed || !pipe.read) return false;
    if (target_is_pipe && !target_gone) {
        const sys::TeeResult teed = sys::tee_pipe(pipe.read.get(), target, 1 << 20);
        if (teed.moved > 0) {
            SUB_TRY(hash_bytes(teed.moved));
            return true;
        }
        if (teed.os_errno == EAGAIN) {
            SUB_TRY_ASSIGN(const bool waiting, sys::wait_readable(pipe.read.get(), 0));
            target_full = waiting;
            return false;
        }
        if (teed.os_errno == 0) {  // every writer is gone
            pipe.read.reset();
            return false;
        }
        target_gone = true;
    }
    if (target_gone) {
        pipe.read.reset();  // the command's next write meets the same end
        return false;
    }
    std::array<char, 64 * 1024> buffer;
    auto n = sys::read_some(pipe.read.get(), buffer);
    if (!n) {
        if (n.error().os_errno() == EAGAIN) return false;
        return fail(std::move(n).error());
    }
    if (*n == 0) {
        pipe.read.reset();
        return false;
    }
    XXH3_128bits_update(hash.state, buffer.data(), *n);
    bytes += *n;
    unsent.assign(buffer.data(), *n);
    send_unsent();
    return true;
}

Result<> OutputWatch::Stream::hash_file() {
    struct ::stat st{};
    if (::fstat(target, &st) != 0) return fail(Error::last_os("fstat"));
    // What was there before and was not written over is no output.
    const off_t end = file_goes_on ? std::min(st.st_size, ::lseek(target, 0, SEEK_CUR)) : st.st_size;
    if (end <= file_start) return {};
    // The descriptor may be open for writing only, and the file closed to its writer.
    auto opened = sys::open_path("/proc/self/fd/" + std::to_string(target), O_RDONLY);
    if (!opened && (opened.error().os_errno() == EACCES || opened.error().os_errno() == EPERM)) {
        kind = Kind::untouched;
        return {};
    }
    SUB_TRY_ASSIGN(const sys::UniqueFd file, std::move(opened));
    if (::lseek(file.get(), file_start, SEEK_SET) < 0) return fail(Error::last_os("lseek"));
    std::array<char, 64 * 1024> buffer;
    for (auto left = static_cast<std::uint64_t>(end - file_start); left > 0;) {
        SUB_TRY_ASSIGN(const std::size_t n,
                       sys::read_some(file.get(),
                                      std::span(buffer).first(std::min<std::uint64_t>(left, buffer.size()))));
        if (n == 0) break;
        XXH3_128bits_update(hash.state, buffer.data(), n);
        bytes += n;
        left -= n;
    }
    return {};
}

std::string OutputWatch::Stream::digest() const {
    const XXH128_hash_t value = XXH3_128bits_digest(hash.state);
    return fmt::format("xxh3:{:016x}{:016x}", value.high64, value.low64);
}

OutputWatch::OutputWatch(const start::OutputEnds& ends)
    : out_(std::make_unique<Stream>(ends.out)),
      err_(std::make_unique<Stream>(ends.err)),
      command_out_(ends.stdout_fd()),
      command_err_(ends.stderr_fd()),
      merged_(ends.merged) {}
OutputWatch::OutputWatch(OutputWatch&&) noexcept = default;
OutputWatch::~OutputWatch() = default;

Result<OutputWatch> OutputWatch::make(Terminals terminals, bool force_merged) {
    start::OutputEnds ends;
    if (const long opened = start::open_output(terminals == Terminals::relay, force_merged, ends);
        opened != 0)
        return fail(Error::from_os(static_cast<int>(-opened), "making pipes for the output"));
    return OutputWatch(ends);
}

OutputWatch OutputWatch::adopt(const start::OutputEnds& ends) { return OutputWatch(ends); }

bool OutputWatch::observes() const {
    return out_->kind != Stream::Kind::untouched || err_->kind != Stream::Kind::untouched;
}

void OutputWatch::close_command_ends() {
    out_->pipe.write.reset();
    err_->pipe.write.reset();
}

void OutputWatch::add_to(std::vector<pollfd>& polled) const {
    for (const Stream* stream : {out_.get(), err_.get()}) {
        if (!stream->pipe.read && stream->unsent.empty()) continue;
        if (stream->target_full) polled.push_back({stream->target, POLLOUT, 0});
        else polled.push_back({stream->pipe.read.get(), POLLIN, 0});
    }
}

Result<> OutputWatch::move() {
    for (Stream* stream : {out_.get(), err_.get()}) SUB_TRY(stream->move_some());
    return {};
}

Result<OutputRecord> OutputWatch::finish() {
    for (Stream* stream : {out_.get(), err_.get()}) {
        for (;;) {
            SUB_TRY_ASSIGN(const bool moved, stream->move_some());
            if (moved) continue;
            if (!stream->target_full) break;
            pollfd target{stream->target, POLLOUT, 0};
            (void)::poll(&target, 1, -1);
        }
        if (stream->kind == Stream::Kind::file) SUB_TRY(stream->hash_file());
    }
    OutputRecord record;
    record.merged = merged_;
    if (out_->kind != Stream::Kind::untouched) record.stdout_hash = out_->digest();
    if (err_->kind != Stream::Kind::untouched) record.stderr_hash = err_->digest();
    record.stdout_bytes = out_->bytes;
    record.stderr_bytes = err_->bytes;
    return record;
}

std::vector<OutputWatch::Leftover> OutputWatch::leftovers() const {
    std::vector<Leftover> left;
    for (const Stream* stream : {out_.get(), err_.get()})
        if (stream->pipe.read) left.push_back({stream->pipe.read.get(), stream->target});
    return left;
}

}  // namespace substrate::shell
