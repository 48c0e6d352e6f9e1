#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/ip_address.hpp"
#include "base/result.hpp"
#include "egress/event_loop.hpp"

namespace substrate::egress {

struct Resolved {
    std::vector<IpAddress> addresses;
    std::uint32_t ttl_secs = 0;  // the shortest of them
    bool cached = false;         // nobody was asked for it
};

// Resolves names as the host does: its hosts file, its name servers (c-ares). Without search domains.
class Resolver {
  public:
    // Without addresses: the name exists, and has none. Errc::not_found: it does not exist; all else may be
    // another time.
    using Done = std::function<void(Result<Resolved>)>;

    // `loop` must live longer.
    static Result<std::unique_ptr<Resolver>> make(EventLoop& loop);
    ~Resolver();
    Resolver(const Resolver&) = delete;
    Resolver& operator=(const Resolver&) = delete;

    // `done` is called once, perhaps before this returns.
    void resolve(const std::string& name, Done done);

  private:
    struct State;
    explicit Resolver(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace substrate::egress
