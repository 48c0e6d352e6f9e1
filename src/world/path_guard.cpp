#include "world/path_guard.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/paths.hpp"
#include "sys/file_limit.hpp"
#include "sys/seccomp_notify.hpp"
#include "sys/socket.hpp"
#include "world/path_guard_calls.hpp"

namespace substrate::world {
namespace {

constexpr int kLookAfterWorkersMs = 100;
constexpr std::string_view kDeleted = " (deleted)";  // the kernel's word behind a name that is no more

// The rest of the guard's life: until nobody is left whose calls it answers.
Result<> serve(const PathGuard& guard, const process::ChildPlan& plan, int socket) {
    std::array<char, 1> byte{};
    SUB_TRY_ASSIGN(auto received, sys::receive_message(socket, byte));
    if (received.fds.size() != 1) return {};  // the command has failed before
    const sys::CallListener listener(std::move(received.fds.front()));
    CallAnswerer answerer(guard, listener, {plan.program, plan.fallback_program});
    // Nothing of a capture is held longer than a call takes.
    if (::chdir("/") != 0) return fail(Error::last_os("chdir"));
    SUB_TRY(sys::send_message(socket, "r"));
    ::close(socket);
    for (;;) {
        pollfd polled{listener.fd(), POLLIN, 0};
        const int ready = ::poll(&polled, 1, answerer.has_workers() ? kLookAfterWorkersMs : -1);
        if (ready < 0 && errno != EINTR) return fail(Error::last_os("poll"));
        answerer.look_after_workers();
        if ((polled.revents & POLLIN) != 0) {
            SUB_TRY_ASSIGN(const auto notice, listener.receive());
            if (notice) answerer.answer(*notice);
        } else if ((polled.revents & (POLLHUP | POLLERR)) != 0) {
            return {};
        }
    }
}

void guard_main(const process::ChildGuard& guard, const process::ChildPlan& plan, int socket) noexcept {
    // Nothing of a terminal or of the command's job control reaches it.
    ::setsid();
    ::prctl(PR_SET_NAME, "substrate-guard", 0, 0, 0);
    // The command's soft limit is not the guard's.
    (void)sys::raise_file_limit();
    // A failure ends it, and every call that it should answer fails with ENOSYS.
    (void)serve(*static_cast<const PathGuard*>(guard.context), plan, socket);
}

}  // namespace

Result<PathGuard> PathGuard::make(const plan::WorldPlan& plan) {
    PathGuard guard;
    std::vector<std::string> patterns = plan.guard.patterns;
    for (const WorldPath& path : plan.guard.paths) patterns.push_back(literal_pattern(path.str()));
    SUB_TRY_ASSIGN(guard.patterns_, PathPatterns::compile(patterns));
    SUB_TRY_ASSIGN(guard.write_rules_, compile(plan.guard.write_rules));
    SUB_TRY_ASSIGN(guard.read_rules_, compile(plan.guard.read_rules));
    guard.project_ = plan.capture.project.str();
    guard.alias_ = plan.capture.alias.str();
    guard.filter_ = sys::path_call_filter(/*descriptors=*/!guard.write_rules_.empty());
    return guard;
}

Result<std::vector<PathGuard::Rule>> PathGuard::compile(const std::vector<FsRule>& rules) {
    std::vector<Rule> compiled;
    for (const FsRule& rule : rules) {
        SUB_TRY_ASSIGN(PathPatterns patterns, PathPatterns::compile(rule.patterns));
        compiled.push_back({rule.below, std::move(patterns)});
    }
    return compiled;
}

std::string PathGuard::canonical(const std::string& name) const {
    return !alias_.empty() && is_within(name, alias_) ? project_ + name.substr(alias_.size()) : name;
}

bool PathGuard::denies_path(std::string_view path, PathUse use) const {
    if (patterns_.names(path)) return true;
    const bool on_the_way = use == PathUse::list || use == PathUse::make_directory;
    const bool reads = use == PathUse::read || use == PathUse::list;
    return std::ranges::any_of(reads ? read_rules_ : write_rules_, [&](const Rule& rule) {
        if (std::ranges::none_of(rule.below,
                                 [&](const std::string& directory) { return is_within(path, directory); }))
            return false;
        return !rule.patterns.names(path) && !(on_the_way && rule.patterns.leads_to(path));
    });
}

bool PathGuard::denies(const std::string& name, PathUse use) const {
    if (name.empty()) return true;  // what nobody can name, nobody can judge
    const std::string path = canonical(name);
    if (denies_path(path, use)) return true;
    return path.ends_with(kDeleted) &&
           denies_path(std::string_view(path).substr(0, path.size() - kDeleted.size()), use);
}

bool PathGuard::may_move(const std::string& from, const std::string& to) const {
    return patterns_.keeps_names(canonical(from), canonical(to));
}

process::ChildGuard PathGuard::child_guard() const {
    return {.filter = filter_.data(),
            .filter_length = static_cast<unsigned short>(filter_.size()),
            .main = guard_main,
            .context = this};
}

}  // namespace substrate::world
