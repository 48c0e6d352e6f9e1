#pragma once

#include <functional>
#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "supervisor/channel.hpp"
#include "supervisor/home.hpp"

namespace substrate::supervisor {

// Where our own programs lie: beside the running one, else in the libexec
// directory next to it.
std::string sibling_program(const std::string& name);

// Connects to the home's agent, starting it when none serves. An agent of
// another build is asked to stop and replaced.
class Client {
  public:
    static Result<Client> connect(const Env& env, const Home& home);
    // Errc::unavailable when no agent serves; starts none.
    static Result<Client> connect_existing(const Home& home);

    // A connection to the home's agent over which remember()'s request is on its way.
    static Client adopt(const Env& env, const Home& home, sys::UniqueFd socket);

    Channel& channel() { return channel_; }
    // Sends a request, "type" and what else it carries. A peer of another build is
    // replaced and the request sent again.
    Result<> send(Json request, std::span<const int> fds = {});
    // The same for a request that was sent already.
    void remember(Json request, std::span<const int> fds);
    // The next message; an "error" message is returned as the error it is.
    Result<Json> receive();
    Result<Json> request(Json request) {
        SUB_TRY(send(std::move(request)));
        return receive();
    }

  private:
    Client(const Env* env, Home home, Channel channel)
        : env_(env), home_(std::move(home)), channel_(std::move(channel)) {}
    Result<> replace_agent();

    const Env* env_;  // null: an existing agent only
    Home home_;
    Channel channel_;
    Json last_request_;
    std::vector<int> last_fds_;
};

}  // namespace substrate::supervisor
