#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/api_caller.hpp"
#include "agent/approvals.hpp"
#include "agent/budgets.hpp"
#include "agent/document.hpp"
#include "agent/execute_request.hpp"
#include "agent/http_server.hpp"
#include "agent/scope_requests.hpp"
#include "agent/terminal_stream.hpp"
#include "agent/worker_pool.hpp"
#include "base/result.hpp"
#include "supervisor/agent.hpp"

namespace substrate::agent {

// The HTTP door: listens on agent.sock and answers what schemas/openapi.yaml describes.
class Api final : public supervisor::Door {
  public:
    // `agent` must outlive it, and run() with it attached. `listener`: where somebody else has made
    // agent.sock and keeps it.
    static Result<std::unique_ptr<Api>> start(supervisor::Agent& agent, sys::UniqueFd listener = {});
    ~Api() override;
    Json approvals() override;
    std::string tcp_address() const override { return tcp_; }
    Result<> decide(const std::string& approval_id, broker::Answer answer, const std::string& token) override;
    void close() override;
    void end_threads() override;

  private:
    Api(supervisor::Agent& agent, std::string approval_secret);
    struct Call {
        Json body;              // null: none
        std::string parameter;  // of the path
        Peer peer;
        std::shared_ptr<Exchange> exchange;
        bool upgrade = false;
    };
    // Who does the work: the server's own thread when it is over at once.
    enum class Lane : std::uint8_t { at_once, query, command };
    struct Handler {
        std::string_view operation;
        Lane lane;
        void (Api::*run)(Call&);
    };
    static const std::array<Handler, 28> kHandlers;

    // Listens where the settings say, if they do, with a new token.
    Result<std::optional<Entrance>> open_tcp();
    void remove_tcp_files() const;
    // The terminal's id, unless it is refused.
    std::string begin_stream(std::shared_ptr<StreamLink> link, const StreamMessage& message,
                             const Peer& peer);
    void carry_stream(Exchange& exchange, StreamLink& link, const std::string& id);
    void send_to_stream(Call& call);
    void open_terminal(const std::shared_ptr<TerminalStream>& terminal, const Json& start, const Peer& peer);
    Result<> run_terminal(TerminalStream& terminal, ExecuteRequest& request);
    Result<> run_session(TerminalStream& terminal, const ExecuteRequest& request);
    void run_line(TerminalStream& terminal, supervisor::LiveShell& shell, supervisor::Project& project,
                  const ExecuteRequest& request, const TerminalStream::Line& line);
    bool signal_terminal(const std::string& span_id, int signal);
    void tell_event(const std::string& span_id, const Json& record);
    std::shared_ptr<TerminalStream> find_terminal(const std::string& id);
    Json describe_sessions();

    void handle(HttpRequest&& request, std::shared_ptr<Exchange> exchange);
    void dispatch(const Handler& handler, Call call);
    const Document* document();

    void health(Call& call);
    void metrics(Call& call);
    void stream(Call& call);
    void stream_by_post(Call& call);
    void openapi(Call& call);
    void capabilities(Call& call);
    void doctor(Call& call);
    void gc(Call& call);
    void trace(Call& call);
    void worlds(Call& call);
    void world(Call& call);
    void world_diff(Call& call);
    void world_apply(Call& call);
    void world_discard(Call& call);
    void make_world(Call& call);
    void world_fork(Call& call);
    void world_snapshot(Call& call);
    void world_delete(Call& call);
    void branch_off(Call& call, bool snapshot);
    std::shared_ptr<supervisor::Project> project_with(const std::string& world_id);
    void answer_made(Call& call, const std::string& world_id);
    void world_publish(Call& call);
    void world_unpublish(Call& call);
    void move_port(Call& call, bool end);
    void decide_changes(Call& call, const char* request, std::initializer_list<const char*> members);
    Result<Json> describe_worlds();
    void execute(Call& call);
    void execute_stream(Call& call);
    void cancel(Call& call);
    void list_approvals(Call& call);
    void decide_approval(Call& call);
    void request_scopes(Call& call);
    void list_grants(Call& call);
    void revoke_grant(Call& call);
    Result<Json> request_scope(const supervisor::Project& project, const supervisor::ScopeQuestion& question,
                               const Json& body);
    void run(Call& call, ApiCaller::Answer answer);
    Result<> run_command(ExecuteRequest request, ApiCaller& caller, const std::string& span_id,
                         const std::shared_ptr<Exchange>& exchange);
    // Whether what the request names of policies and worlds is there. The problem, where it is not.
    std::optional<HttpResponse> check_named(const ExecRequest& exec, supervisor::Project& project);
    // For a command that has passed the gate: what it may use, for itself to see. Good as long as it lives.
    std::unique_ptr<supervisor::ScopeTokens::Live> issue_token(supervisor::Passage& passage,
                                                               const supervisor::Project& project,
                                                               const std::string& span_id);
    // What counts commands from inside the worlds of a call.
    class Within;
    std::shared_ptr<supervisor::NestedAllowance> allowance_for(const ExecuteRequest& request);
    HttpResponse over_budget(const std::string& agent_id, const Budgets::Refusal& refusal,
                             const std::string& span_id);

    supervisor::Agent& agent_;
    std::map<std::string, std::string> base_environment_;
    Budgets budgets_;
    Approvals approvals_;
    ScopeRequests scope_requests_;
    std::optional<Document> document_;  // read when the first request comes
    WorkerPool commands_;
    WorkerPool queries_;
    WorkerPool terminals_;
    std::mutex mutex_;
    std::map<std::string, ApiCaller*> running_;    // by span
    std::map<std::string, ApiCaller*> listening_;  // to what happens to their command, from before it may run
    std::map<std::string, std::shared_ptr<StreamLink>> posted_;  // terminals without a WebSocket, by id
    std::map<std::string, std::shared_ptr<TerminalStream>> streams_;
    bool closing_ = false;     // no terminal is opened any more
    std::string tcp_;          // "127.0.0.1:8080"; empty: not over TCP
    bool owns_socket_ = true;  // agent.sock goes with the agent
    std::atomic<std::uint64_t> rate_limited_ = 0;
    std::unique_ptr<HttpServer> server_;  // last: its thread uses the others
};

}  // namespace substrate::agent
