#include "trace/line_scan.hpp"

#include <algorithm>
#include <span>

#include "sys/append_file.hpp"

namespace substrate::trace {
namespace {

constexpr std::size_t kChunk = 256u << 10;

}  // namespace

Result<std::optional<Line>> ForwardLines::next() {
    for (;;) {
        const auto newline = buffer_.find('\n', scanned_);
        if (newline != std::string::npos) {
            Line line{.text = std::string_view(buffer_).substr(used_, newline - used_),
                      .offset = line_start(),
                      .number = ++number_};
            if (skipping_ || line.text.size() > kLongestLine) {
                if (skipping_) line.offset = skip_from_;
                line.text = {};
                line.too_long = true;
                skipping_ = false;
            }
            used_ = scanned_ = newline + 1;
            return line;
        }
        scanned_ = buffer_.size();
        if (!skipping_ && scanned_ - used_ > kLongestLine) {
            skipping_ = true;
            skip_from_ = line_start();
        }
        if (skipping_) used_ = scanned_;
        buffer_.erase(0, used_);
        scanned_ -= used_;
        used_ = 0;
        const std::size_t old = buffer_.size();
        buffer_.resize(old + kChunk);
        const auto n = sys::read_at(fd_, std::span(buffer_).subspan(old), read_to_);
        buffer_.resize(old + (n ? *n : 0));
        if (!n) return fail(n.error());
        if (*n == 0) return std::nullopt;
        read_to_ += *n;
    }
}

std::optional<Line> ForwardLines::take_rest() {
    if (!skipping_ && used_ == buffer_.size()) return std::nullopt;
    Line line{.text = std::string_view(buffer_).substr(used_),
              .offset = line_start(),
              .number = ++number_,
              .terminated = false};
    if (skipping_) {
        line.offset = skip_from_;
        line.text = {};
        line.too_long = true;
        skipping_ = false;
    }
    used_ = scanned_ = buffer_.size();
    return line;
}

Result<> BackwardLines::load_before() {
    const std::size_t size = static_cast<std::size_t>(std::min<std::uint64_t>(kChunk, window_at_));
    std::string chunk(size, '\0');
    SUB_TRY_ASSIGN(const std::size_t n, sys::read_at(fd_, chunk, window_at_ - size));
    // A file that shrank meanwhile lost what was last in it; zeros stand there.
    (void)n;
    window_.insert(0, chunk);
    window_at_ -= size;
    return {};
}

Result<std::optional<Line>> BackwardLines::next() {
    if (left_ == 0) return std::nullopt;
    window_.resize(static_cast<std::size_t>(left_ - window_at_));
    if (window_.empty()) SUB_TRY(load_before());
    Line line{.terminated = window_.back() == '\n'};
    std::size_t end = window_.size() - (line.terminated ? 1 : 0);
    std::size_t unsearched = end;
    for (;;) {
        const auto newline = unsearched == 0 ? std::string::npos : window_.rfind('\n', unsearched - 1);
        const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
        if (newline != std::string::npos || window_at_ == 0) {
            line.too_long = line.too_long || end - start > kLongestLine;
            line.offset = left_ = window_at_ + start;
            if (!line.too_long) line.text = std::string_view(window_).substr(start, end - start);
            return line;
        }
        if (end > kLongestLine) {
            line.too_long = true;
            window_.clear();
            end = 0;
        }
        const std::size_t before = window_.size();
        SUB_TRY(load_before());
        unsearched = window_.size() - before;
        end += unsearched;
    }
}

Decoded decode(const Line& line) {
    if (line.too_long) return {std::nullopt, "a line of more than 16 MiB"};
    std::string_view text = line.text;
    constexpr std::string_view kBlank(" \t\r\v\f");
    while (!text.empty() && kBlank.contains(text.back())) text.remove_suffix(1);
    while (!text.empty() && kBlank.contains(text.front())) text.remove_prefix(1);
    if (text.empty()) return {};
    // What a power cut left of an append is zeros; the next record follows on a line of its own.
    if (text.find_first_not_of('\0') == std::string_view::npos)
        return {std::nullopt, "a block of " + std::to_string(text.size()) + " zero bytes"};
    auto record = parse_json(text, {.max_bytes = kLongestLine});
    if (!record)
        return {std::nullopt,
                (line.terminated ? "not a record: " : "a torn last line: ") + record.error().message()};
    const auto type = record->is_object() ? record->find("event_type") : record->end();
    if (!record->is_object() || type == record->end() || !type->is_string())
        return {std::nullopt, "JSON that is no record: it has no event_type"};
    return {*std::move(record), {}};
}

}  // namespace substrate::trace
