#include "sys/signals.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#include "sys/file.hpp"

namespace substrate::sys {

Result<UniqueFd> open_signal_fd(std::initializer_list<int> signals) {
    sigset_t set;
    ::sigemptyset(&set);
    for (const int signal : signals) ::sigaddset(&set, signal);
    if (::pthread_sigmask(SIG_BLOCK, &set, nullptr) != 0) return fail(Error::last_os("pthread_sigmask"));
    UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd) return fail(Error::last_os("signalfd"));
    return fd;
}

Result<std::optional<int>> read_signal(int signal_fd) {
    signalfd_siginfo info{};
    const ssize_t n = ::read(signal_fd, &info, sizeof info);
    if (n == static_cast<ssize_t>(sizeof info)) return static_cast<int>(info.ssi_signo);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return fail(Error::last_os("read signalfd"));
    return std::nullopt;
}

Result<> ignore_signals(std::initializer_list<int> signals) {
    struct sigaction ignore{};
    ignore.sa_handler = SIG_IGN;
    for (const int signal : signals)
        if (::sigaction(signal, &ignore, nullptr) != 0) return fail(Error::last_os("sigaction"));
    return {};
}

std::optional<Reaped> reap_any() {
    Reaped reaped;
    rusage usage{};
    reaped.pid = ::wait4(-1, &reaped.wait_status, WNOHANG | __WALL, &usage);
    if (reaped.pid <= 0) return std::nullopt;
    const auto micros = [](const timeval& t) {
        return static_cast<std::int64_t>(t.tv_sec) * 1'000'000 + t.tv_usec;
    };
    reaped.cpu_us = micros(usage.ru_utime) + micros(usage.ru_stime);
    reaped.max_rss_kb = usage.ru_maxrss;
    return reaped;
}

bool other_processes_exist() { return ::kill(-1, 0) == 0; }

bool other_processes_exist(std::span<const pid_t> but) {
    if (!other_processes_exist()) return false;
    const auto is_one = [&](long pid) { return std::ranges::find(but, pid) != but.end(); };
    const std::unique_ptr<DIR, int (*)(DIR*)> proc(::opendir("/proc"), ::closedir);
    if (!proc) return true;
    for (const dirent* entry = ::readdir(proc.get()); entry != nullptr; entry = ::readdir(proc.get())) {
        char* end = nullptr;
        const long pid = std::strtol(entry->d_name, &end, 10);
        if (*end != '\0' || pid <= 1 || is_one(pid)) continue;
        // "pid (name) state parent …", and a name may hold anything but ends last.
        const auto stat = read_file("/proc/" + std::string(entry->d_name) + "/stat", 4096);
        if (!stat) continue;  // gone meanwhile
        const std::size_t after = stat->rfind(") ");
        const bool known = after != std::string::npos && after + 4 < stat->size();
        if (!known || !is_one(std::strtol(stat->c_str() + after + 4, nullptr, 10))) return true;
    }
    return false;
}

void end_child(pid_t pid) {
    (void)::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) continue;
}

Result<> send_signal(pid_t target, int signal) {
    if (::kill(target, signal) != 0) return fail(Error::last_os("kill"));
    return {};
}

Result<> forbid_tracing() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail(Error::last_os("prctl PR_SET_DUMPABLE"));
    return {};
}

}  // namespace substrate::sys
