#include "shell/patch.hpp"

#include <fcntl.h>
#include <sys/wait.h>

#include <array>

#include "base/text.hpp"
#include "process/spawn.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"

namespace substrate::shell {
namespace {

// diff(1) on two files, its output escaped for the terminal line by line.
Result<> diff_files(const Console& console, std::string before, std::string after, const std::string& path) {
    std::string program = "/usr/bin/diff", unified = "-u", label = "--label";
    std::string old_label = "a/" + printable(path), new_label = "b/" + printable(path), end = "--";
    if (before == "/dev/null") old_label = before;
    if (after == "/dev/null") new_label = after;
    std::array<char*, 10> argv = {program.data(), unified.data(),   label.data(), old_label.data(),
                                  label.data(),   new_label.data(), end.data(),   before.data(),
                                  after.data(),   nullptr};
    std::string locale = "LC_ALL=C.UTF-8";
    std::array<char*, 2> envp = {locale.data(), nullptr};
    SUB_TRY_ASSIGN(sys::Pipe pipe, sys::make_pipe());
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_RDWR));
    process::ChildPlan plan;
    plan.program = program.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    for (const int source : {null.get(), pipe.write.get(), 2}) {
        plan.placements[plan.placement_count] = {source, static_cast<int>(plan.placement_count)};
        ++plan.placement_count;
    }
    auto child = process::spawn(plan);
    if (!child)
        return fail(std::move(child)
                        .error()
                        .as(Errc::unsupported)
                        .during("running diff")
                        .hint("apt-get install diffutils"));
    pipe.write.reset();
    constexpr std::size_t kMost = 64u << 20;
    SUB_TRY_ASSIGN(const std::string text, sys::read_to_end(pipe.read.get(), kMost));
    SUB_TRY_ASSIGN(const int status, process::wait_for(*child));
    if (!WIFEXITED(status) || WEXITSTATUS(status) > 1)
        return fail({Errc::os, "diff could not compare '" + printable(path) + "'"});
    if (!console.out_is_terminal()) {
        console.out(text);
        return {};
    }
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t newline = std::min(text.find('\n', begin), text.size());
        std::string line = text.substr(begin, newline - begin);
        // A tab is harmless and keeps its meaning in source text.
        std::string shown;
        for (std::size_t at = 0; at <= line.size();) {
            const std::size_t tab = std::min(line.find('\t', at), line.size());
            shown += printable(line.substr(at, tab - at));
            if (tab < line.size()) shown += '\t';
            at = tab + 1;
        }
        console.out(shown + "\n");
        begin = newline + 1;
    }
    return {};
}

}  // namespace

Result<> show_patch(const Console& console, const FsDiff& diff, const std::string& captured,
                    const std::string& project) {
    for (const FsEntry& entry : diff.entries) {
        if (entry.type != FileType::regular || entry.kind == ChangeKind::type_change) continue;
        const std::string old_path = entry.kind == ChangeKind::rename ? entry.renamed_from : entry.path;
        const std::string before = entry.kind == ChangeKind::create ? "/dev/null" : project + "/" + old_path;
        const std::string after =
            entry.kind == ChangeKind::remove ? "/dev/null" : captured + "/" + entry.path;
        SUB_TRY(diff_files(console, before, after, entry.path));
    }
    return {};
}

}  // namespace substrate::shell
