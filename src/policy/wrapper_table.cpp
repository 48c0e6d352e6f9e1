#include "policy/wrapper_table.hpp"

#include <algorithm>
#include <unordered_map>

namespace substrate::policy {
namespace {

using enum WrapperKind;

// Sources: the programs' manual pages in Debian 12 (sudo 1.9.13, coreutils 9.1,
// util-linux 2.38, findutils 4.9, strace 6.1) and bash(1).
constexpr WrapperRule kRules[] = {
    {.name = "sudo",
     .kind = plain,
     .flags = "ABbEeHiKklNnPSsVv",
     .valued = "aCcDghpRrtTUu",
     .long_flags =
         "askpass background bell edit set-home login remove-timestamp reset-timestamp list no-update "
         "non-interactive preserve-groups stdin shell version validate help preserve-env",
     .long_valued = "close-from chdir group host prompt chroot role type command-timeout other-user user "
                    "login-class auth-type",
     .assignments = true},
    {.name = "doas", .kind = plain, .flags = "Lns", .valued = "aCu"},
    {.name = "timeout",
     .kind = plain,
     .flags = "vfp",
     .valued = "ks",
     .long_flags = "preserve-status foreground verbose",
     .long_valued = "kill-after signal",
     .operands = 1,
     .transparent = true},
    {.name = "nice",
     .kind = plain,
     .valued = "n",
     .long_valued = "adjustment",
     .transparent = true,
     .numbers = true},
    {.name = "ionice",
     .kind = plain,
     .flags = "t",
     .valued = "cnpPu",
     .long_flags = "ignore",
     .long_valued = "class classdata pid pgid uid",
     .transparent = true},
    {.name = "nohup", .kind = plain, .transparent = true},
    {.name = "setsid", .kind = plain, .flags = "cfw", .long_flags = "ctty fork wait", .transparent = true},
    {.name = "stdbuf",
     .kind = plain,
     .valued = "ioe",
     .long_valued = "input output error",
     .transparent = true},
    {.name = "time",
     .kind = plain,
     .flags = "apvq",
     .valued = "fo",
     .long_flags = "append portability verbose quiet",
     .long_valued = "format output",
     .transparent = true},
    {.name = "command", .kind = plain, .flags = "p", .transparent = true, .quiet_v = true},
    {.name = "builtin", .kind = plain, .transparent = true},
    {.name = "exec", .kind = plain, .flags = "cl", .valued = "a", .transparent = true},
    {.name = "chroot",
     .kind = plain,
     .long_flags = "skip-chdir",
     .long_valued = "groups userspec",
     .operands = 1},
    {.name = "unshare",
     .kind = plain,
     .flags = "muinpUCTfrc",
     .valued = "RwSGl",
     .long_flags =
         "mount uts ipc net pid user cgroup time fork map-root-user map-current-user map-auto kill-child "
         "mount-proc mount-binfmt keep-caps",
     .long_valued =
         "root wd setuid setgid map-user map-users map-group map-groups propagation setgroups monotonic "
         "boottime load-interp"},
    {.name = "nsenter",
     .kind = plain,
     .flags = "amuinpCUTFZrwe",
     .valued = "tSGW",
     .long_flags =
         "all mount uts ipc net pid cgroup user time preserve-credentials no-fork follow-context root wd env",
     .long_valued = "target setuid setgid wdns"},
    {.name = "setpriv",
     .kind = plain,
     .flags = "d",
     .long_flags = "dump no-new-privs nnp clear-groups keep-groups init-groups reset-env",
     .long_valued =
         "ruid euid rgid egid reuid regid groups ambient-caps inh-caps bounding-set securebits selinux-label "
         "apparmor-profile pdeathsig"},
    {.name = "taskset",
     .kind = plain,
     .flags = "ac",
     .long_flags = "all-tasks cpu-list",
     .operands = 1,
     .transparent = true},
    {.name = "chrt",
     .kind = plain,
     .flags = "abdfioprvRG",
     .valued = "TPD",
     .long_flags = "all-tasks batch deadline fifo idle other pid rr verbose reset-on-fork",
     .long_valued = "sched-runtime sched-period sched-deadline",
     .operands = 1,
     .transparent = true},
    {.name = "flock",
     .kind = plain,
     .flags = "sxneuoF",
     .valued = "wE",
     .long_flags = "shared exclusive nonblock nb unlock close no-fork verbose",
     .long_valued = "wait timeout conflict-exit-code",
     .operands = 1,
     .transparent = true,
     .line_option = true},
    {.name = "strace",
     .kind = plain,
     .flags = "cCdfFiqrtTvxyzZkwDnA",
     .valued = "abeEIoOpPsSuUX",
     .long_flags = "follow-forks output-append-mode summary-only summary decode-fds stack-traces debug"},
    {.name = "ltrace", .kind = plain, .flags = "cCdfiLrStT", .valued = "aAeDFlnopsuwx"},
    {.name = "env", .kind = environment, .transparent = true},
    {.name = "su", .kind = switch_user},
    {.name = "runuser", .kind = switch_user},
    {.name = "sg", .kind = switch_user},
    {.name = "eval", .kind = evaluate},
    {.name = "trap", .kind = trap},
    {.name = "source", .kind = source},
    {.name = ".", .kind = source},
    {.name = "alias", .kind = alias},
    {.name = "hash", .kind = hash},
    {.name = "mapfile", .kind = callbacks, .valued = "C"},
    {.name = "readarray", .kind = callbacks, .valued = "C"},
    {.name = "complete", .kind = callbacks, .valued = "C"},
    {.name = "compgen", .kind = callbacks, .valued = "C"},
    {.name = "script", .kind = callbacks, .valued = "c", .long_valued = "command"},
    {.name = "tar",
     .kind = callbacks,
     .valued = "IF",
     .long_valued =
         "to-command use-compress-program info-script new-volume-script rsh-command checkpoint-action"},
    {.name = "rsync", .kind = callbacks, .valued = "e", .long_valued = "rsh"},
    {.name = "split", .kind = callbacks, .long_valued = "filter"},
    {.name = "sort", .kind = callbacks, .long_valued = "compress-program"},
    {.name = "man", .kind = callbacks, .valued = "P", .long_valued = "pager"},
    {.name = "let", .kind = builtin},
    {.name = "test", .kind = builtin},
    {.name = "[", .kind = builtin},
    {.name = "printf", .kind = builtin},
    {.name = "read", .kind = builtin},
    {.name = "unset", .kind = builtin},
    {.name = "declare", .kind = builtin},
    {.name = "typeset", .kind = builtin},
    {.name = "local", .kind = builtin},
    {.name = "export", .kind = builtin},
    {.name = "readonly", .kind = builtin},
    {.name = "wait", .kind = builtin},
    {.name = "getopts", .kind = builtin},
    {.name = "enable", .kind = builtin},
    {.name = "bind", .kind = builtin},
    {.name = "busybox", .kind = multi_call, .transparent = true},
    {.name = "toybox", .kind = multi_call, .transparent = true},
    {.name = "xargs",
     .kind = xargs,
     .flags = "0prtxo",
     .valued = "adEILnPs",
     .long_flags = "null no-run-if-empty interactive verbose exit open-tty show-limits replace eof max-lines",
     .long_valued = "arg-file delimiter max-args max-chars max-procs process-slot-var",
     .transparent = true},
    {.name = "find", .kind = find},
    {.name = "fd", .kind = fd},
    {.name = "fdfind", .kind = fd},
    {.name = "watch",
     .kind = watch,
     .flags = "bcdegtwxprC",
     .valued = "nq",
     .long_flags = "beep color no-color differences errexit chgexit precise no-rerun no-title no-wrap exec",
     .long_valued = "interval equexit",
     .transparent = true},
    {.name = "git", .kind = git},
};

// Programs that run a command by rules of their own.
constexpr std::string_view kOpaque =
    " parallel bwrap firejail systemd-run systemd-inhibit gdb lldb perf valgrind prlimit numactl "
    "dbus-run-session "
    "dbus-launch fakeroot fakechroot proot unbuffer entr nsjail cgexec choom rlwrap setarch linux32 linux64 "
    "i386 "
    "x86_64 torsocks torify proxychains proxychains4 start-stop-daemon capsh pkexec run0 gosu su-exec tini "
    "dumb-init "
    "chpst softlimit daemonize daemon xvfb-run ssh-agent eatmydata faketime cpulimit screen tmux xterm "
    "gnome-terminal "
    "konsole npx pnpx bunx uvx nix-shell tox nox hyperfine schroot pseudo aa-exec runcon newrole expect "
    "socat ncat nc "
    "sshpass autossh systemd-nspawn sem chronic ts ifne trickle tsocks at batch inotifywait watchexec "
    "watchman nodemon "
    "concurrently cross-env dotenv scl nq tsp jobs ";

// Programs that do so after one of their verbs.
constexpr std::string_view kOpaqueByVerb =
    " docker podman nerdctl kubectl lxc machinectl npm pnpm yarn bun poetry uv pipenv pipx hatch bundle "
    "conda mamba "
    "micromamba direnv nix rustup mise asdf volta devbox ";

constexpr WrapperRule kNone{};
constexpr WrapperRule kOpaqueRule{.name = "", .kind = opaque};
constexpr WrapperRule kVerbRule{.name = "", .kind = opaque_by_verb};
constexpr WrapperRule kShellRule{.name = "sh", .kind = shell, .transparent = true};
constexpr WrapperRule kLoaderRule{
    .name = "ld.so",
    .kind = loader,
    .long_flags = "list verify inhibit-cache list-tunables list-diagnostics",
    .long_valued = "library-path preload inhibit-rpath audit argv0 glibc-hwcaps-prepend glibc-hwcaps-mask",
    .transparent = true};

constexpr std::string_view kPosixShells =
    " sh dash ash ksh ksh93 mksh lksh oksh pdksh posh yash rsh sash bosh osh ";
constexpr std::string_view kOtherShells =
    " zsh rzsh fish csh tcsh bsd-csh elvish nu xonsh pwsh powershell rc es ion oil ";

bool is_loader(std::string_view base) {
    return base == "ld.so" || ((base.starts_with("ld-") || base.starts_with("ld64")) && base.contains(".so"));
}

template <class Add>
void for_each_name(std::string_view list, Add add) {
    while (!list.empty()) {
        const std::size_t space = std::min(list.find(' '), list.size());
        if (space > 0) add(list.substr(0, space));
        list.remove_prefix(std::min(space + 1, list.size()));
    }
}

}  // namespace

bool listed(std::string_view list, std::string_view word) {
    if (word.empty()) return false;
    while (!list.empty()) {
        const std::size_t space = std::min(list.find(' '), list.size());
        if (list.substr(0, space) == word) return true;
        list.remove_prefix(std::min(space + 1, list.size()));
    }
    return false;
}

const WrapperRule& wrapper_rule(std::string_view base) {
    // Filled once, at first use; never written again.
    static const std::unordered_map<std::string_view, const WrapperRule*> by_name = [] {
        std::unordered_map<std::string_view, const WrapperRule*> made;
        for (const WrapperRule& rule : kRules) made.emplace(rule.name, &rule);
        const auto add = [&made](std::string_view list, const WrapperRule& rule) {
            for_each_name(list, [&](std::string_view name) { made.emplace(name, &rule); });
        };
        add(kPosixShells, kShellRule);
        add(kOtherShells, kShellRule);
        add(kOpaque, kOpaqueRule);
        add(kOpaqueByVerb, kVerbRule);
        return made;
    }();
    if (const auto found = by_name.find(base); found != by_name.end()) return *found->second;
    if (shell_family(base) != ShellFamily::none) return kShellRule;
    return is_loader(base) ? kLoaderRule : kNone;
}

ShellFamily shell_family(std::string_view base) {
    // Filled once, at first use; never written again.
    static const std::unordered_map<std::string_view, ShellFamily> by_name = [] {
        std::unordered_map<std::string_view, ShellFamily> made = {{"bash", ShellFamily::bash},
                                                                  {"rbash", ShellFamily::bash}};
        for_each_name(kPosixShells, [&](std::string_view name) { made.emplace(name, ShellFamily::posix); });
        for_each_name(kOtherShells, [&](std::string_view name) { made.emplace(name, ShellFamily::other); });
        return made;
    }();
    if (const auto found = by_name.find(base); found != by_name.end()) return found->second;
    if (base.starts_with("bash-")) return ShellFamily::bash;
    return base.starts_with("zsh-") && base.size() <= 10 ? ShellFamily::other : ShellFamily::none;
}

}  // namespace substrate::policy
