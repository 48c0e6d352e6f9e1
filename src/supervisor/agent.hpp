#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/result.hpp"
#include "broker/answer.hpp"
#include "broker/broker.hpp"
#include "codec/json_value.hpp"
#include "supervisor/channel.hpp"
#include "supervisor/home.hpp"
#include "supervisor/session_world.hpp"
#include "supervisor/settings.hpp"
#include "trace/writer.hpp"

namespace substrate::supervisor {

struct AgentOptions {
    std::string init_program;
    std::string gateway_program;
    Settings settings;
    std::string identity;          // of the agent's own program file; see program_identity
    std::uint64_t file_limit = 0;  // soft, of open files, in worlds; 0: as ours
};

// Another way in, beside control.sock.
class Door {
  public:
    virtual ~Door() = default;
    // What waits here for a person's decision, in the form of GET /v1/approvals; from any thread.
    virtual Json approvals() = 0;
    // Where it is open to whoever can connect and has its token; empty: nowhere.
    virtual std::string tcp_address() const = 0;
    // Decides one of them; `token` is what proves that it is a person (Home::approval_token).
    virtual Result<> decide(const std::string& approval_id, broker::Answer answer,
                            const std::string& token) = 0;
    // Lets nobody in any more and waits until those who are in have their answer. Called
    // once, when the agent stops.
    virtual void close() = 0;
    // Ends its threads. Not before no command runs anywhere: it may be in a world that one of
    // them has started, and worlds end with the thread that started them.
    virtual void end_threads() = 0;
};

// The per-user daemon: listens on control.sock and serves each connection in a
// thread of its own. Threads live as long as the agent, because worlds end with
// the thread that started them.
class Agent {
  public:
    // Probes the machine, completes what a crash interrupted, listens; on `listener`, where somebody
    // else has made control.sock and keeps it. Errc::conflict when another agent serves this home.
    static Result<std::unique_ptr<Agent>> start(const Env& env, const Home& home, const AgentOptions& options,
                                                sys::UniqueFd listener = {});
    ~Agent();
    Agent(const Agent&) = delete;
    Agent& operator=(const Agent&) = delete;

    // Serves until it has been idle for long enough, is asked to stop, or
    // `stop_fd` becomes readable. Ends all worlds.
    Result<> run(int stop_fd);
    // Before run(). `door` is closed by the end of run(), and must live until then.
    void attach(Door& door) { door_ = &door; }
    Door* door() const { return door_; }  // null: there is none

    // For the request handlers.
    const Machine& machine() const { return machine_; }
    trace::TraceWriter& trace() { return trace_; }
    broker::Broker& broker() { return *broker_; }
    const Home& home() const { return home_; }
    const AgentOptions& options() const { return options_; }
    Result<std::shared_ptr<Project>> project(const std::string& path);
    std::vector<std::shared_ptr<Project>> projects();
    void request_stop();
    // A connection waits for its next request. False: the agent is stopping, and
    // none is to be taken. While it waits, a stop ends the reading side.
    bool begin_listening(int fd);
    void end_listening(int fd);
    // Around a request that did not come by control.sock: meanwhile the agent is not idle.
    void begin_request();
    void end_request();
    std::int64_t started_ns() const { return started_ns_; }
    std::uint64_t commands() const { return commands_.load(); }
    std::uint64_t reused() const { return reused_.load(); }
    void count_command(bool warm);

  private:
    Agent(Machine machine, trace::TraceWriter trace, Home home, AgentOptions options)
        : machine_(std::move(machine)),
          trace_(std::move(trace)),
          home_(std::move(home)),
          options_(std::move(options)) {}
    void serve();
    Result<sys::UniqueFd> accept();
    void add_server();
    void tidy(bool everything);
    void note_sockets(const std::vector<std::shared_ptr<Project>>& projects);
    bool idle_for_long() const;
    void watch_policies(int stop_fd);
    Result<> serve_until(int stop_fd);

    Machine machine_;
    trace::TraceWriter trace_;
    Home home_;
    AgentOptions options_;
    std::unique_ptr<broker::Broker> broker_;
    Door* door_ = nullptr;
    sys::UniqueFd lock_;
    sys::UniqueFd listener_;
    bool owns_socket_ = true;  // control.sock goes with the agent
    sys::UniqueFd wake_;       // eventfd: stop was asked for, or it ends by itself
    std::int64_t started_ns_ = 0;

    mutable std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Project>> projects_;
    std::vector<std::jthread> servers_;
    sys::UniqueFd unwatch_;  // eventfd: ends watch_policies
    int waiting_ = 0;        // servers in accept
    int busy_ = 0;
    std::condition_variable quiet_;  // nobody is busy, or the servers may end
    bool released_ = false;          // the servers may
    std::set<int> listening_;        // connections without a request in hand
    std::int64_t last_request_ns_ = 0;
    std::vector<std::string> socket_names_;  // as tidy has seen them last
    std::atomic<bool> stopping_ = false;
    std::atomic<std::uint64_t> commands_ = 0;
    std::atomic<std::uint64_t> reused_ = 0;
};

// Handles the requests of one connection until it closes.
void serve_connection(Agent& agent, Channel channel);

}  // namespace substrate::supervisor
