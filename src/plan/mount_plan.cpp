#include "plan/mount_plan.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.hpp"

namespace substrate::plan {
namespace {

template <class... Fs>
struct Overloaded : Fs... {
    using Fs::operator()...;
};

Result<> check_target(const std::string& target) {
    const auto refuse = [&](const char* why) {
        return fail({Errc::invalid, fmt::format("mount target '{}' {}", printable(target), why)});
    };
    if (target.empty() || target.front() != '/') return refuse("is not absolute");
    if (target.contains('\0')) return refuse("holds a NUL byte");
    if (target == "/") return {};
    std::size_t begin = 1;
    while (begin <= target.size()) {
        const std::size_t end = std::min(target.find('/', begin), target.size());
        const std::string_view component = std::string_view(target).substr(begin, end - begin);
        if (component.empty() || component == "." || component == "..") return refuse("is not normalised");
        begin = end + 1;
    }
    return {};
}

// Component-wise order, so that "/a/b" comes right after "/a" and before "/a-b".
bool precedes(const MountOp& left, const MountOp& right) {
    return std::ranges::lexicographical_compare(left.target.str(), right.target.str(), [](char a, char b) {
        const auto rank = [](char c) { return c == '/' ? 0 : static_cast<unsigned char>(c) + 1; };
        return rank(a) < rank(b);
    });
}

}  // namespace

Result<std::vector<MountOp>> normalize(std::vector<MountOp> ops) {
    for (const MountOp& op : ops) SUB_TRY(check_target(op.target.str()));
    std::ranges::stable_sort(ops, precedes);
    for (std::size_t i = 1; i < ops.size(); ++i)
        if (ops[i].target == ops[i - 1].target && ops[i] != ops[i - 1])
            return fail(
                {Errc::invalid, fmt::format("two different mounts on '{}'", printable(ops[i].target.str()))});
    ops.erase(std::ranges::unique(ops).begin(), ops.end());
    return ops;
}

std::string to_text(const MountOp& op) {
    const std::string target = printable(op.target.str());
    return std::visit(
        Overloaded{
            [&](const Bind& bind) {
                return fmt::format("bind     {} from {} ({}{}{})", target, printable(bind.source.str()),
                                   bind.read_only ? "ro" : "rw", bind.device ? ", device" : "",
                                   bind.optional ? ", optional" : "");
            },
            [&](const Tmpfs& tmpfs) {
                const std::string size =
                    (tmpfs.size_bytes == 0 ? "" : fmt::format(", size {}", tmpfs.size_bytes)) +
                    (tmpfs.files == 0 ? "" : fmt::format(", files {}", tmpfs.files));
                return fmt::format("tmpfs    {} (mode {:04o}{}{})", target, tmpfs.mode, size,
                                   tmpfs.read_only ? ", ro" : "");
            },
            [&](const Proc&) { return fmt::format("proc     {}", target); },
            [&](const Devpts&) { return fmt::format("devpts   {}", target); },
            [&](const Mask&) { return fmt::format("mask     {}", target); },
            [&](const ReadOnly&) { return fmt::format("readonly {}", target); },
            [&](const Symlink& link) { return fmt::format("symlink  {} to {}", target, printable(link.to)); },
            [&](const HostSocket&) { return fmt::format("socket   {} (of the host)", target); },
            [&](const Directory& directory) {
                return fmt::format("dir      {} (mode {:04o})", target, directory.mode);
            },
            [&](const Text& text) {
                return fmt::format("text     {} ({} bytes)", target, text.content.size());
            },
        },
        op.action);
}

}  // namespace substrate::plan
