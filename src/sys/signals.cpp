#include "sys/signals.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

#include <cerrno>

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

Result<> send_signal(pid_t target, int signal) {
    if (::kill(target, signal) != 0) return fail(Error::last_os("kill"));
    return {};
}

Result<> forbid_tracing() {
    if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return fail(Error::last_os("prctl PR_SET_DUMPABLE"));
    return {};
}

}  // namespace substrate::sys
