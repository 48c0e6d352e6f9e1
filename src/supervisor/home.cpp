#include "supervisor/home.hpp"

#include "base/paths.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/tree_ops.hpp"
#include "world/probe.hpp"

namespace substrate::supervisor {

Result<Home> locate_home(const Env& env) {
    Home home;
    if (auto explicit_home = env.variable("SUBSTRATE_HOME"); explicit_home && !explicit_home->empty()) {
        if (explicit_home->front() != '/')
            return fail(
                Error(Errc::invalid, "SUBSTRATE_HOME '" + *explicit_home + "' is not an absolute path")
                    .hint("set it to an absolute path"));
        if (has_dot_dot(*explicit_home))
            return fail(Error(Errc::invalid, "SUBSTRATE_HOME '" + printable(*explicit_home) + "' holds '..'")
                            .hint("set it to a path without '..'"));
        home.path = normalized(*explicit_home);
        home.is_default = false;
    } else {
        home.path = world::home_of(env, sys::effective_uid()) + "/.substrate";
        home.path = normalized(home.path);
    }
    if (home.path == "/")
        return fail(Error(Errc::invalid, "SUBSTRATE_HOME is '/'").hint("set it to a directory of yours"));
    return home;
}

Result<> create_home(const Home& home) {
    SUB_TRY(sys::make_dirs(home.path, 0700));
    SUB_TRY_DURING(sys::open_private_dir(home.path), "opening SUBSTRATE_HOME");
    SUB_TRY_DURING(sys::open_private_dir(home.path + "/sock"), "opening the socket directory");
    // Only made: that it is the account's alone is checked with each policy that is read.
    SUB_TRY(sys::make_dirs(home.path + "/policies", 0700));
    return {};
}

std::vector<std::string> capture_roots(const Env& env, const Home& home) {
    const std::uint32_t uid = sys::effective_uid();
    std::vector<std::string> roots;
    roots.push_back(uid == 0 && home.is_default ? "/var/lib/substrate/overlay" : home.path + "/overlay");
    if (auto runtime = env.variable("XDG_RUNTIME_DIR"); runtime && runtime->starts_with('/'))
        roots.push_back(normalized(*runtime + "/substrate"));
    roots.push_back("/tmp/substrate-" + std::to_string(uid));
    return roots;
}

}  // namespace substrate::supervisor
