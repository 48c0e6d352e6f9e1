#pragma once

#include <algorithm>
#include <compare>
#include <string>
#include <string_view>
#include <utility>

namespace substrate {

// An absolute path in one particular mount namespace. The two kinds never
// convert into each other by accident: a path that a person typed means the
// host's tree, a path in a plan's target means the world's.
template <class Tag>
class TaggedPath {
  public:
    TaggedPath() = default;
    explicit TaggedPath(std::string text) : text_(std::move(text)) {}

    const std::string& str() const { return text_; }
    const char* c_str() const { return text_.c_str(); }
    bool empty() const { return text_.empty(); }
    TaggedPath operator/(std::string_view name) const {
        std::string joined = text_;
        if (joined.empty() || joined.back() != '/') joined += '/';
        joined += name;
        return TaggedPath(std::move(joined));
    }
    auto operator<=>(const TaggedPath&) const = default;
    bool operator==(const TaggedPath&) const = default;

  private:
    std::string text_;
};

using HostPath = TaggedPath<struct HostPathTag>;
using WorldPath = TaggedPath<struct WorldPathTag>;

// True when `path` is `ancestor` or lies below it; lexical, both normalised.
inline bool is_within(std::string_view path, std::string_view ancestor) {
    if (ancestor == "/") return path.starts_with('/');
    return path.starts_with(ancestor) && (path.size() == ancestor.size() || path[ancestor.size()] == '/');
}

// The directory part of an absolute path; "/" for the root itself.
inline std::string_view parent_of(std::string_view path) {
    const auto slash = path.find_last_of('/');
    return slash == 0 || slash == std::string_view::npos ? std::string_view("/") : path.substr(0, slash);
}

// An absolute path without "//", "/./" and slashes at the end. ".." stays: what it
// means depends on links.
inline std::string normalized(std::string_view path) {
    std::string text;
    for (std::size_t begin = 0; begin < path.size();) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string_view name = path.substr(begin, end - begin);
        if (!name.empty() && name != ".") text.append("/").append(name);
        begin = end + 1;
    }
    return text.empty() ? "/" : text;
}

// True when one of its components is "..".
inline bool has_dot_dot(std::string_view path) {
    return path == ".." || path.starts_with("../") || path.ends_with("/..") || path.contains("/../");
}

}  // namespace substrate
