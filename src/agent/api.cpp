#include "agent/api.hpp"

#include <unistd.h>

#include <algorithm>

#include "agent/problem.hpp"
#include "agent/request_check.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/internet_socket.hpp"
#include "sys/socket.hpp"

namespace substrate::agent {
namespace {

// A command that runs for long takes one of them away from the others.
constexpr std::size_t kCommands = 48;
constexpr std::size_t kQueries = 2;
constexpr std::size_t kTerminals = 64;  // each has a thread
constexpr std::size_t kWaiting = 1'024;

}  // namespace

const std::array<Api::Handler, 28> Api::kHandlers = {{
    {"health", Lane::at_once, &Api::health},
    {"metrics", Lane::query, &Api::metrics},
    {"openapi", Lane::at_once, &Api::openapi},
    {"capabilities", Lane::at_once, &Api::capabilities},
    {"doctor", Lane::at_once, &Api::doctor},
    {"gc", Lane::query, &Api::gc},
    {"trace", Lane::query, &Api::trace},
    {"worlds", Lane::query, &Api::worlds},
    {"world", Lane::query, &Api::world},
    {"world_diff", Lane::query, &Api::world_diff},
    {"world_apply", Lane::query, &Api::world_apply},
    {"world_discard", Lane::query, &Api::world_discard},
    {"make_world", Lane::query, &Api::make_world},
    {"world_fork", Lane::query, &Api::world_fork},
    {"world_snapshot", Lane::query, &Api::world_snapshot},
    {"world_delete", Lane::query, &Api::world_delete},
    {"world_publish", Lane::query, &Api::world_publish},
    {"world_unpublish", Lane::query, &Api::world_unpublish},
    {"execute", Lane::command, &Api::execute},
    {"execute_stream", Lane::command, &Api::execute_stream},
    {"cancel", Lane::at_once, &Api::cancel},
    {"approvals", Lane::at_once, &Api::list_approvals},
    {"decide_approval", Lane::at_once, &Api::decide_approval},
    {"request_scopes", Lane::query, &Api::request_scopes},
    {"scope_grants", Lane::at_once, &Api::list_grants},
    {"revoke_grant", Lane::at_once, &Api::revoke_grant},
    {"stream", Lane::at_once, &Api::stream},
    {"stream_by_post", Lane::command, &Api::stream_by_post},
}};

Api::Api(supervisor::Agent& agent, std::string approval_secret)
    : agent_(agent),
      budgets_(agent.machine().env),
      approvals_(agent.machine().env, std::move(approval_secret)),
      scope_requests_(agent.machine().env, approvals_),
      commands_(kCommands, kWaiting),
      queries_(kQueries, kWaiting),
      terminals_(kTerminals, 0) {
    for (const char* name : {"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ"})
        if (auto value = agent.machine().env.variable(name))
            base_environment_.emplace(name, std::move(*value));
}

Result<std::unique_ptr<Api>> Api::start(supervisor::Agent& agent, sys::UniqueFd listener) {
    SUB_TRY_ASSIGN(std::string secret, make_secret(agent.machine().env, agent.home().approval_token()));
    std::unique_ptr<Api> api(new Api(agent, std::move(secret)));
    ServerLimits limits;
    limits.read_ms = agent.options().settings.api_read_timeout_ms;
    limits.write_ms = agent.options().settings.api_write_timeout_ms;
    api->owns_socket_ = !listener;
    if (api->owns_socket_) {
        SUB_TRY_ASSIGN(listener, sys::listen_stream(agent.home().agent_socket(), 256));
    }
    std::vector<Entrance> entrances;
    entrances.push_back({std::move(listener), agent.machine().facts.uid, std::nullopt});
    SUB_TRY_ASSIGN_DURING(auto tcp, api->open_tcp(), "listening on TCP for the API");
    if (tcp) entrances.push_back(std::move(*tcp));
    SUB_TRY_ASSIGN(
        api->server_,
        HttpServer::start(
            std::move(entrances), limits,
            [raw = api.get()](HttpRequest&& request, std::shared_ptr<Exchange> exchange) {
                raw->handle(std::move(request), std::move(exchange));
            },
            [raw = api.get()](std::shared_ptr<StreamLink> link, const StreamMessage& message,
                              const Peer& peer) { raw->begin_stream(std::move(link), message, peer); }));
    agent.attach(*api);
    agent.trace().observe([raw = api.get()](const Event& event, const Json& record) {
        raw->tell_event(event.span_id, record);
    });
    return api;
}

Result<std::optional<Entrance>> Api::open_tcp() {
    const supervisor::Home& home = agent_.home();
    // Of an agent that was killed: nothing listens there any more, and the token is nobody's.
    remove_tcp_files();
    const std::string& wanted = agent_.options().settings.listen;
    if (wanted.empty()) return std::nullopt;
    SUB_TRY_ASSIGN(const sys::Endpoint where, supervisor::read_listen(wanted));
    SUB_TRY_ASSIGN(sys::UniqueFd listener, sys::listen_tcp(where.address, where.port));
    SUB_TRY_ASSIGN(const sys::Endpoint bound, sys::bound_to(listener.get()));
    tcp_ = sys::to_string(bound);
    SUB_TRY_ASSIGN(std::string token, make_secret(agent_.machine().env, home.api_token()));
    // The last: who sees it can come.
    SUB_TRY(sys::replace_file(home.tcp_address(), tcp_ + "\n", 0600));
    return Entrance{std::move(listener), 0, Access{.host = tcp_, .token = std::move(token)}};
}

void Api::remove_tcp_files() const {
    (void)::unlink(agent_.home().tcp_address().c_str());
    (void)::unlink(agent_.home().api_token().c_str());
}

Api::~Api() { agent_.trace().observe(nullptr); }

void Api::tell_event(const std::string& span_id, const Json& record) {
    if (span_id.empty()) return;
    const std::scoped_lock lock(mutex_);
    const auto found = listening_.find(span_id);
    if (found != listening_.end()) found->second->tell_event(record);
}

void Api::close() {
    if (owns_socket_) (void)::unlink(agent_.home().agent_socket().c_str());
    if (!tcp_.empty()) remove_tcp_files();
    approvals_.close();  // the server waits for those who wait for a decision
    {
        const std::scoped_lock lock(mutex_);
        closing_ = true;
        for (const auto& [id, terminal] : streams_) terminal->stop();
    }
    server_->close();
}

void Api::end_threads() {
    commands_.close();
    queries_.close();
    terminals_.close();
}

// In the server's thread only.
const Document* Api::document() {
    if (!document_)
        if (auto parsed = Document::parse(openapi_text())) document_ = std::move(*parsed);
    return document_ ? &*document_ : nullptr;
}

void Api::handle(HttpRequest&& request, std::shared_ptr<Exchange> exchange) {
    const Document* contract = document();
    if (contract == nullptr)
        return exchange->respond(problem(500, "internal", "the API's own document cannot be read"));
    Document::Found found = contract->find(request.method, request.path);
    if (!found.known)
        return exchange->respond(problem(404, "not_found", "there is nothing at " + printable(request.path)));
    if (found.operation == nullptr) {
        HttpResponse refusal =
            problem(405, "method_not_allowed", printable(request.path) + " is for " + found.allow);
        refusal.headers.emplace_back("Allow", found.allow);
        return exchange->respond(std::move(refusal));
    }
    Call call{.body = nullptr,
              .parameter = std::move(found.parameter),
              .peer = std::move(request.peer),
              .exchange = std::move(exchange),
              .upgrade = request.upgrade};
    auto body = read_body(*contract, *found.operation, request.query, request.content_type, request.body);
    if (!body) return call.exchange->respond(std::move(body).error());
    call.body = std::move(*body);
    const auto handler = std::ranges::find(kHandlers, found.operation->id, &Handler::operation);
    if (handler == kHandlers.end())
        return call.exchange->respond(problem(500, "internal", "nobody does " + found.operation->id));
    dispatch(*handler, std::move(call));
}

void Api::dispatch(const Handler& handler, Call call) {
    if (handler.lane == Lane::at_once) return (this->*handler.run)(call);
    // While somebody waits for an answer the agent is not idle.
    agent_.begin_request();
    call.exchange->hold(std::shared_ptr<void>(nullptr, [this](void*) { agent_.end_request(); }));
    WorkerPool& pool = handler.lane == Lane::command ? commands_ : queries_;
    const std::shared_ptr<Exchange> exchange = call.exchange;
    auto shared = std::make_shared<Call>(std::move(call));
    const bool taken = pool.post([this, run = handler.run, shared = std::move(shared)] {
        // Its client may have gone while it waited for its turn.
        if (shared->exchange->gone()) return;
        try {
            (this->*run)(*shared);
        } catch (const std::exception& thrown) {
            shared->exchange->respond(problem(500, "internal", printable(thrown.what())));
            shared->exchange->finish();
        }
        if (!shared->exchange->answered())
            shared->exchange->respond(problem(500, "internal", "the request got no answer"));
    });
    if (taken) return;
    HttpResponse busy = problem(503, "busy", "too many requests wait already");
    busy.headers.emplace_back("Retry-After", "1");
    exchange->respond(std::move(busy));
}

}  // namespace substrate::agent
