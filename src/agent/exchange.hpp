#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::agent {

// Who is at the other end of a connection, as it was when they connected.
struct Peer {
    pid_t pid = 0;    // 0: could not be told, as over TCP
    std::string cwd;  // empty: the same
};

struct HttpRequest {
    std::string method;
    std::string path;   // from the first slash, as sent
    std::string query;  // behind the question mark, without it
    std::string content_type;
    std::string body;
    Peer peer;
    bool upgrade = false;  // to a WebSocket
};

// A status of 101 answers a request for an upgrade: the server does the rest.
struct HttpResponse {
    int status = 200;
    std::string content_type = "application/json";
    std::string body;
    std::vector<std::pair<std::string, std::string>> headers = {};
};

// One request on its way to its answer: a handler fills in one end, in any thread, the server
// sends what comes out of the other. Thread-safe.
class Exchange {
  public:
    // `tell_server` is called in the handler's thread when there is something to send.
    explicit Exchange(std::function<void()> tell_server) : tell_server_(std::move(tell_server)) {}
    Exchange(const Exchange&) = delete;
    Exchange& operator=(const Exchange&) = delete;

    // The whole answer. Every request gets one of respond() and begin(); a second is dropped.
    void respond(HttpResponse whole);
    // The head of an answer that comes in pieces.
    void begin(HttpResponse head);
    // The next piece: taken even when there is no room, so the handler has to ask.
    void write(std::string_view bytes);
    void finish();
    bool answered() const;
    // Less than kRoom bytes wait for the client. When there was none, a wake follows once there is.
    bool has_room();
    static constexpr std::size_t kRoom = 256 * 1024;

    // For a handler that waits: wake_fd() is readable once the client has gone, room has come,
    // or somebody called wake().
    Result<> open_wake();
    int wake_fd() const { return wake_.get(); }
    void wake();
    void clear_wake();
    bool gone() const;

    // Is let go of with the exchange.
    void hold(std::shared_ptr<void> thing) { held_ = std::move(thing); }

    // The server's end.
    struct Ready {
        std::optional<HttpResponse> head;  // the first time
        bool in_pieces = false;
        std::string bytes;
        bool finished = false;
    };
    bool ready() const;
    bool finished() const;  // nothing comes any more, besides what is there to be taken
    Ready take();
    void abandon();  // the client has gone

  private:
    void tell(std::unique_lock<std::mutex> lock);

    std::function<void()> tell_server_;
    std::shared_ptr<void> held_;
    sys::UniqueFd wake_;
    mutable std::mutex mutex_;
    Ready ready_;
    bool any_ = false;  // something waits in ready_
    bool answered_ = false;
    bool gone_ = false;
    bool wants_room_ = false;
};

}  // namespace substrate::agent
