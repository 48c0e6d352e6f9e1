#include "shell/unfinished.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "process/spawn.hpp"
#include "sys/file.hpp"
#include "sys/pipe.hpp"

namespace substrate::shell {
namespace {

constexpr std::size_t kMostComplaint = 64 * 1024;

bool is_continued(const std::string& text) {
    const auto last = std::ranges::find_if(text.rbegin(), text.rend(), [](char c) { return c != '\\'; });
    return (last - text.rbegin()) % 2 == 1;
}

}  // namespace

Result<bool> is_unfinished(const std::string& shell, const std::string& text) {
    if (is_continued(text)) return true;
    SUB_TRY_ASSIGN(const sys::UniqueFd input, sys::make_memfd("line", text + "\n"));
    if (::lseek(input.get(), 0, SEEK_SET) != 0) return fail(Error::last_os("lseek"));
    SUB_TRY_ASSIGN(const sys::UniqueFd null, sys::open_path("/dev/null", O_WRONLY));
    SUB_TRY_ASSIGN(sys::Pipe complaints, sys::make_pipe());
    std::string name = shell, check = "-n", locale = "LC_ALL=C";
    std::array<char*, 3> argv = {name.data(), check.data(), nullptr};
    std::array<char*, 2> envp = {locale.data(), nullptr};
    process::ChildPlan plan;
    plan.program = name.c_str();
    plan.argv = argv.data();
    plan.envp = envp.data();
    plan.cwd = "/";
    for (const int source : {input.get(), null.get(), complaints.write.get()}) {
        plan.placements[plan.placement_count] = {source, static_cast<int>(plan.placement_count)};
        ++plan.placement_count;
    }
    SUB_TRY_ASSIGN(const process::Child child, process::spawn(plan));
    complaints.write.reset();
    const auto said = sys::read_to_end(complaints.read.get(), kMostComplaint);
    SUB_TRY(process::wait_for(child));
    if (!said) return false;  // much that is wrong with it: for the policy to say
    return said->contains("unexpected end of file") || said->contains("unexpected EOF while looking for") ||
           said->contains("delimited by end-of-file");
}

}  // namespace substrate::shell
