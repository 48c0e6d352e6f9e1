#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "egress/event_loop.hpp"
#include "egress/name_refresh.hpp"
#include "egress/resolver.hpp"

namespace substrate::egress {

// What names led to when they were resolved last. Connections that exist are not touched by what a name leads
// to later.
class NameCache {
  public:
    // `loop` must live longer.
    static Result<std::unique_ptr<NameCache>> make(EventLoop& loop);

    // From what was resolved before, or the resolver; `done` is called once, perhaps before this returns.
    // Pinned answers belong to `world`. Errc::unavailable also where the world has too many questions open.
    void resolve(const std::string& name, const std::string& world, const NameRefresh& refresh,
                 const Resolver::Done& done);
    void forget(const std::string& world);

    static constexpr std::size_t kMostOpen = 512;  // questions of one world that nobody has answered yet

  private:
    NameCache() = default;
    struct Known {
        Resolved resolved;
        std::int64_t asked_ns = 0;
    };
    using Names = std::unordered_map<std::string, Known>;
    // Where the answers for this world are.
    Names& names_for(const std::string& world, const NameRefresh& refresh);
    void take(const std::string& name, const std::string& world, const NameRefresh& refresh,
              Result<Resolved> resolved);

    Names shared_;
    std::unordered_map<std::string, Names> pinned_;      // by world
    std::unordered_map<std::string, std::size_t> open_;  // by world
    std::unordered_map<std::string, std::vector<Resolver::Done>> asked_;
    // The last member: its end answers what is open.
    std::unique_ptr<Resolver> resolver_;
};

}  // namespace substrate::egress
