#include "supervisor/published_ports.hpp"

#include <fcntl.h>

#include <algorithm>
#include <utility>

namespace substrate::supervisor {

PublishedPorts::World::World(std::shared_ptr<PublishedPorts> ports, std::string id)
    : ports_(std::move(ports)), id_(std::move(id)) {}

PublishedPorts::World::~World() {
    const std::scoped_lock lock(ports_->mutex_);
    ports_->worlds_.erase(id_);
}

void PublishedPorts::World::busy(bool is) {
    const std::scoped_lock lock(ports_->mutex_);
    Known& known = ports_->worlds_.at(id_);
    known.busy = is;
    known.used = ++ports_->uses_;
}

Result<std::unique_ptr<PublishedPorts::World>> PublishedPorts::enter(std::shared_ptr<PublishedPorts> ports,
                                                                     const std::string& id,
                                                                     const std::string& project,
                                                                     const process::Child& init) {
    sys::UniqueFd own(::fcntl(init.pidfd.get(), F_DUPFD_CLOEXEC, 0));
    if (!own) return fail(Error::last_os("fcntl"));
    {
        const std::scoped_lock lock(ports->mutex_);
        Known& known = ports->worlds_[id];
        known.project = project;
        known.init = {std::move(own), init.pid};
    }
    return std::make_unique<World>(std::move(ports), id);
}

Result<> PublishedPorts::open(const std::string& id, Known& world, std::uint16_t port, bool by_policy) {
    for (const auto& [other, known] : worlds_)
        if (const auto open = known.ports.find(port);
            open != known.ports.end() && open->second.published->alive() && other != id)
            return fail(Error(Errc::conflict, "port " + std::to_string(port) + " is published for " + other)
                            .hint("substrate world unpublish " + std::to_string(port) + " --world " + other));
    Open& open = world.ports[port];
    // Of a gateway that has ended there is nothing left to close.
    if (open.published && open.published->alive()) return {};
    open.published.reset();
    auto published = Network::publish(network_, id, port, world.init);
    if (!published) {
        world.ports.erase(port);
        return fail(std::move(published).error());
    }
    open = {std::move(*published), by_policy};
    return {};
}

Result<> PublishedPorts::publish(const std::string& world, std::uint16_t port) {
    const std::scoped_lock lock(mutex_);
    const auto known = worlds_.find(world);
    if (known == worlds_.end()) return fail({Errc::not_found, "no world " + world + " is running"});
    return open(world, known->second, port, /*by_policy=*/false);
}

Result<> PublishedPorts::unpublish(const std::string& world, std::uint16_t port) {
    const std::scoped_lock lock(mutex_);
    const auto known = worlds_.find(world);
    if (known == worlds_.end() || known->second.ports.erase(port) == 0)
        return fail({Errc::not_found, "port " + std::to_string(port) + " of " + world + " is not published"});
    return {};
}

std::vector<std::string> PublishedPorts::follow(const std::string& world,
                                                const std::vector<std::uint16_t>& ports) {
    std::vector<std::string> notices;
    const std::scoped_lock lock(mutex_);
    const auto known = worlds_.find(world);
    if (known == worlds_.end()) return notices;
    std::erase_if(known->second.ports, [&](const auto& open) {
        return open.second.by_policy && std::ranges::find(ports, open.first) == ports.end();
    });
    for (const std::uint16_t port : ports)
        if (auto opened = open(world, known->second, port, /*by_policy=*/true); !opened)
            notices.push_back("world.publish: " + opened.error().message());
    return notices;
}

Result<std::string> PublishedPorts::world_of(const std::string& project) const {
    const std::scoped_lock lock(mutex_);
    const std::pair<const std::string, Known>* best = nullptr;
    std::size_t busy = 0;
    for (const auto& entry : worlds_) {
        const Known& known = entry.second;
        if (known.project != project || known.used == 0) continue;
        if (known.busy) ++busy;
        if (best == nullptr ||
            std::pair(known.busy, known.used) > std::pair(best->second.busy, best->second.used))
            best = &entry;
    }
    if (best == nullptr)
        return fail(Error(Errc::not_found, "no world of this project is running")
                        .hint("start the server first, or run substrate world warm"));
    if (busy > 1)
        return fail(Error(Errc::conflict, "several worlds of this project run something")
                        .hint("say which by --world; substrate trace names the world of a command"));
    return best->first;
}

std::vector<PublishedPorts::Entry> PublishedPorts::list() const {
    std::vector<Entry> all;
    const std::scoped_lock lock(mutex_);
    for (const auto& [id, known] : worlds_)
        for (const auto& [port, open] : known.ports)
            if (open.published->alive()) all.push_back({id, known.project, port});
    return all;
}

}  // namespace substrate::supervisor
