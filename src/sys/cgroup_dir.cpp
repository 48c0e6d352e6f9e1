#include "sys/cgroup_dir.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "sys/file.hpp"

namespace substrate::sys {
namespace {

constexpr std::size_t kMaxFile = 4u << 20;  // cgroup.procs is the longest of them

std::optional<std::uint64_t> to_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

template <class Take>
void for_each_line(std::string_view text, const Take& take) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        take(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
}

}  // namespace

Result<UniqueFd> open_cgroup(const std::string& path, CgroupVersion version) {
    SUB_TRY_ASSIGN(UniqueFd group, open_path(path, O_RDONLY | O_DIRECTORY));
    SUB_TRY_ASSIGN(const std::int64_t magic, file_system_magic(group.get()));
    if (magic != (version == CgroupVersion::v2 ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC))
        return fail({Errc::unsupported, "'" + path + "' is not on a cgroup file system of version " +
                                            (version == CgroupVersion::v2 ? "2" : "1")});
    return group;
}

Result<UniqueFd> open_cgroup_at(int group, const std::string& name) {
    return open_at(group, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
}

Result<> make_cgroup_at(int group, const std::string& name) {
    if (::mkdirat(group, name.c_str(), 0755) != 0) return fail(Error::last_os("mkdir", name));
    return {};
}

Result<> remove_cgroup_at(int group, const std::string& name) {
    if (::unlinkat(group, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
        return fail(Error::last_os("rmdir", name));
    return {};
}

Result<std::string> read_cgroup_file(int group, const char* file) {
    SUB_TRY_ASSIGN(const UniqueFd fd, open_at(group, file, O_RDONLY));
    auto text = read_to_end(fd.get(), kMaxFile);
    if (!text) return fail(std::move(text).error().during(file));
    return text;
}

Result<std::optional<std::uint64_t>> read_cgroup_number(int group, const char* file) {
    SUB_TRY_ASSIGN(const std::string text, read_cgroup_file(group, file));
    const std::string_view word = std::string_view(text).substr(0, text.find('\n'));
    if (word == "max") return std::optional<std::uint64_t>();
    const auto number = to_number(word);
    if (!number)
        return fail({Errc::internal, std::string(file) + " says '" + std::string(word) + "', not a number"});
    return number;
}

Result<> write_cgroup_file(int group, const char* file, std::string_view text) {
    SUB_TRY_ASSIGN(const UniqueFd fd, open_at(group, file, O_WRONLY));
    auto written = write_all(fd.get(), text);
    if (!written)
        return fail(std::move(written).error().during("'" + std::string(text) + "' to " + std::string(file)));
    return {};
}

bool cgroup_file_exists(int group, const char* file) { return ::faccessat(group, file, F_OK, 0) == 0; }

std::optional<std::uint64_t> cgroup_key(std::string_view text, std::string_view key) {
    std::optional<std::uint64_t> found;
    for_each_line(text, [&](std::string_view line) {
        if (!found && line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
            found = to_number(line.substr(key.size() + 1));
    });
    return found;
}

Result<std::vector<pid_t>> cgroup_processes(int group) {
    SUB_TRY_ASSIGN(const std::string text, read_cgroup_file(group, "cgroup.procs"));
    std::vector<pid_t> pids;
    for_each_line(text, [&](std::string_view line) {
        const auto pid = to_number(line);
        if (pid && *pid > 0) pids.push_back(static_cast<pid_t>(*pid));
    });
    return pids;
}

Result<std::size_t> kill_cgroup_processes(int group) {
    SUB_TRY_ASSIGN(const auto pids, cgroup_processes(group));
    std::vector<std::pair<pid_t, UniqueFd>> held;
    for (const pid_t pid : pids) {
        const long fd = ::syscall(SYS_pidfd_open, pid, 0);
        if (fd < 0 && errno == ESRCH) continue;
        if (fd < 0) return fail(Error::last_os("pidfd_open", std::to_string(pid)));
        held.emplace_back(pid, UniqueFd(static_cast<int>(fd)));
    }
    if (held.empty()) return 0;
    // SAFETY: a number may have changed hands between reading it and opening it. What is
    // still listed now, while we hold the process, is that process or one that is dead.
    SUB_TRY_ASSIGN(const auto still, cgroup_processes(group));
    std::size_t sent = 0;
    for (const auto& [pid, pidfd] : held) {
        if (std::ranges::find(still, pid) == still.end()) continue;
        if (::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) == 0) ++sent;
        else if (errno != ESRCH) return fail(Error::last_os("pidfd_send_signal", std::to_string(pid)));
    }
    return sent;
}

void pause_us(std::int64_t us) {
    timespec left{us / 1'000'000, us % 1'000'000 * 1000};
    while (::nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

}  // namespace substrate::sys
