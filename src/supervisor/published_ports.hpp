#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "supervisor/network.hpp"

namespace substrate::supervisor {

// Which ports of which worlds the host's loopback leads to: what a person has asked for, and what policies
// that somebody trusts say (`world.publish`). Thread-safe.
class PublishedPorts {
  public:
    explicit PublishedPorts(std::shared_ptr<Network> network) : network_(std::move(network)) {}

    // A world while it lives: at its end its ports are closed.
    class World {
      public:
        World(std::shared_ptr<PublishedPorts> ports, std::string id);
        ~World();
        World(const World&) = delete;
        World& operator=(const World&) = delete;
        // Whether something runs in it.
        void busy(bool is);

      private:
        std::shared_ptr<PublishedPorts> ports_;
        std::string id_;
    };
    static Result<std::unique_ptr<World>> enter(std::shared_ptr<PublishedPorts> ports, const std::string& id,
                                                const std::string& project, const process::Child& init);

    // Errc::conflict where the port is in use, on the host or by another world; Errc::not_found for a world
    // that does not live.
    Result<> publish(const std::string& world, std::uint16_t port);
    // Errc::not_found where it is not published.
    Result<> unpublish(const std::string& world, std::uint16_t port);
    // Publishes what the policies say, and no longer what they said before. What cannot be is a sentence.
    std::vector<std::string> follow(const std::string& world, const std::vector<std::uint16_t>& ports);
    // The world of a project that is meant where none is named: the one in which something runs, or the
    // latest. Errc::not_found, or Errc::conflict where there are several.
    Result<std::string> world_of(const std::string& project) const;

    struct Entry {
        std::string world, project;
        std::uint16_t port = 0;
    };
    std::vector<Entry> list() const;

  private:
    struct Open {
        std::unique_ptr<Network::Published> published;
        bool by_policy = false;
    };
    struct Known {
        std::string project;
        process::Child init;  // its pidfd is a duplicate
        bool busy = false;
        std::uint64_t used = 0;  // the higher, the later; 0: by nobody yet
        std::map<std::uint16_t, Open> ports;
    };
    Result<> open(const std::string& id, Known& world, std::uint16_t port, bool by_policy);

    std::shared_ptr<Network> network_;
    mutable std::mutex mutex_;
    std::map<std::string, Known> worlds_;
    std::uint64_t uses_ = 0;
};

}  // namespace substrate::supervisor
