#include "egress/name_cache.hpp"

#include <algorithm>
#include <utility>

namespace substrate::egress {
namespace {

constexpr std::size_t kMostKnown = 10'000;
constexpr std::int64_t kNsPerSec = 1'000'000'000;

std::int64_t holds_ns(const Resolved& resolved, const NameRefresh& refresh) {
    const std::uint32_t longest = std::max<std::uint32_t>(refresh.secs, 1);
    // That a name has no address is nothing to hold on to.
    const bool pinned = refresh.pinned && !resolved.addresses.empty();
    return kNsPerSec * (pinned ? longest : std::clamp<std::uint32_t>(resolved.ttl_secs, 1, longest));
}

}  // namespace

Result<std::unique_ptr<NameCache>> NameCache::make(EventLoop& loop) {
    std::unique_ptr<NameCache> cache(new NameCache());
    SUB_TRY_ASSIGN(cache->resolver_, Resolver::make(loop));
    return cache;
}

NameCache::Names& NameCache::names_for(const std::string& world, const NameRefresh& refresh) {
    return refresh.pinned ? pinned_[world] : shared_;
}

void NameCache::resolve(const std::string& name, const std::string& world, const NameRefresh& refresh,
                        const Resolver::Done& done) {
    const Names& names = names_for(world, refresh);
    if (const auto known = names.find(name); known != names.end()) {
        const auto& [resolved, asked_ns] = known->second;
        if (EventLoop::now_ns() < asked_ns + holds_ns(resolved, refresh)) {
            Resolved again = resolved;
            again.cached = true;
            return done(std::move(again));
        }
    }
    // Those who ask the same are answered together, but for worlds that have answers of their own.
    const std::string key = refresh.pinned ? world + '/' + name : name;
    if (const auto asked = asked_.find(key); asked != asked_.end()) {
        asked->second.push_back(done);
        return;
    }
    std::size_t& open = open_[world];
    if (open >= kMostOpen)
        return done(fail({Errc::unavailable, "too many names of this world are being resolved"}));
    ++open;
    asked_[key].push_back(done);
    resolver_->resolve(name, [this, name, world, refresh, key](Result<Resolved> resolved) {
        if (const auto left = open_.find(world); left != open_.end() && --left->second == 0)
            open_.erase(left);
        take(name, world, refresh, resolved);
        Names& there = names_for(world, refresh);
        // A pinned name outlives a name server that says nothing; one that is no more is no more.
        if (!resolved && refresh.pinned && resolved.error().code() != Errc::not_found)
            if (const auto old = there.find(name); old != there.end()) {
                old->second.asked_ns = EventLoop::now_ns();
                resolved = old->second.resolved;
            }
        const auto node = asked_.extract(key);
        if (node.empty()) return;
        for (const Resolver::Done& next : node.mapped()) next(resolved);
    });
}

void NameCache::take(const std::string& name, const std::string& world, const NameRefresh& refresh,
                     Result<Resolved> resolved) {
    Names& names = names_for(world, refresh);
    if (resolved) {
        if (names.size() >= kMostKnown) names.clear();
        names[name] = {std::move(*resolved), EventLoop::now_ns()};
    } else if (resolved.error().code() == Errc::not_found) {
        names.erase(name);
    }
}

void NameCache::forget(const std::string& world) { pinned_.erase(world); }

}  // namespace substrate::egress
