#include "shell/policy_ground.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/paths.hpp"
#include "base/text.hpp"
#include "broker/policy_file.hpp"
#include "broker/policy_reader.hpp"
#include "broker/shipped_policies.hpp"
#include "policy/compiled_policy.hpp"
#include "shell/run.hpp"
#include "supervisor/client.hpp"
#include "supervisor/session_world.hpp"
#include "sys/file.hpp"
#include "world/probe.hpp"

namespace substrate::shell {
namespace {

std::optional<broker::Ground> ground_of(const broker::Places& places, const std::string& path) {
    const std::string_view directory = parent_of(path);
    if (directory == places.user_policies) return broker::Ground::own;
    if (directory == places.system_policies || path == places.managed_policy) return broker::Ground::system;
    return std::nullopt;
}

Error missing(const std::string& path) {
    return Error(Errc::not_found, "there is no file '" + printable(path) + "'").hint("check the name");
}

}  // namespace

Result<PolicyGround> policy_ground(const Console& console, const std::string& directory) {
    const std::string home = world::home_of(console.env, ::geteuid());
    PolicyGround ground{
        .places = broker::places_of(console.home.path, home, ::geteuid()), .cwd = {}, .project = {}};
    if (directory.empty()) {
        ExecRequest here;
        SUB_TRY(fill_from_process(console, here));
        ground.cwd = here.cwd;
    } else {
        SUB_TRY_ASSIGN(const sys::UniqueFd fd, sys::open_path(directory, O_PATH | O_DIRECTORY));
        ground.cwd = sys::resolve_links(directory);
    }
    ground.project = supervisor::find_project(ground.cwd, home);
    return ground;
}

Result<std::string> read_named_file(const broker::Places& places, const std::string& path) {
    const std::string real = sys::resolve_links(path);
    if (const auto ground = ground_of(places, real)) {
        SUB_TRY_ASSIGN(auto file, broker::read_policy_file(real, *ground, places.uid));
        if (!file) return fail(missing(path));
        return std::move(file->text);
    }
    // O_NONBLOCK: the open of a FIFO must not wait for a writer.
    auto fd = sys::open_path(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (!fd && (fd.error().os_errno() == ENOENT || fd.error().os_errno() == ENOTDIR))
        return fail(missing(path));
    if (!fd) return fail(std::move(fd).error().as(Errc::invalid).hint("name a readable file"));
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(fd->get()));
    if (!S_ISREG(st.stx_mode))
        return fail(Error(Errc::invalid, "'" + printable(path) + "' is " +
                                             (S_ISDIR(st.stx_mode) ? "a directory" : "not a regular file"))
                        .hint("name a file"));
    auto text = sys::read_to_end(fd->get(), broker::kMaxPolicyBytes);
    if (!text) return fail(std::move(text).error().during("reading '" + printable(path) + "'"));
    return text;
}

Result<broker::Layer> named_policy(const broker::Places& places, const std::string& name) {
    if (name.contains('/') || name.ends_with(".yaml") || name.ends_with(".yml")) {
        SUB_TRY_ASSIGN(const std::string text, read_named_file(places, name));
        return broker::read_layer(text, name, {}, places);
    }
    const auto known = broker::known_policies(places);
    const auto found = std::ranges::find(known, name, &broker::KnownPolicy::id);
    if (found == known.end())
        return fail(Error(Errc::not_found, "there is no policy '" + printable(name) + "'")
                        .hint("substrate policy validate lists them; a file's name ends in .yaml"));
    if (found->file == broker::shipped_name(name))
        return broker::read_layer(*broker::shipped_policy(name), found->file, name, places);
    SUB_TRY_ASSIGN(const std::string text, read_named_file(places, found->file));
    return broker::read_layer(text, found->file, name, places);
}

Result<std::shared_ptr<const broker::PolicySet>> set_of(broker::Layer layer, const broker::Places& places,
                                                        const std::string& project) {
    SUB_TRY_ASSIGN(std::string bytes,
                   policy::compile_policy(layer.policy, {.project = project, .home = places.home}));
    auto owner = std::make_shared<const std::string>(std::move(bytes));
    const std::string_view view = *owner;
    std::vector<broker::Layer> layers;
    layers.push_back(std::move(layer));
    return broker::PolicySet::make(std::move(layers), {view}, std::move(owner));
}

std::string problem_text(const broker::LoadProblem& problem) {
    if (problem.file.empty() || problem.message.contains(problem.file)) return problem.message;
    return problem.file + ": " + problem.message;
}

Result<std::optional<Json>> ask_running_agent(const Console& console, Json request) {
    auto client = supervisor::Client::connect_existing(console.home);
    if (!client && client.error().code() == Errc::unavailable) return std::optional<Json>();
    if (!client) return fail(std::move(client).error());
    SUB_TRY_ASSIGN(Json reply, client->request(std::move(request)));
    return std::optional<Json>(std::move(reply));
}

}  // namespace substrate::shell
