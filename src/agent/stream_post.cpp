// The terminals of /v1/stream for clients that speak no WebSocket: the same frames, those of the server as
// the lines of one long answer, those of the client each as a request.
#include "agent/api.hpp"
#include "agent/problem.hpp"
#include "base/text.hpp"
#include "codec/base64.hpp"
#include "sys/socket.hpp"

namespace substrate::agent {
namespace {

constexpr int kLookMs = 1'000;

std::string line_of(const StreamMessage& message, const std::string& id) {
    if (message.binary) {
        std::string line = "{\"type\":\"stdout\",\"chunk_b64\":\"";
        append_base64(line, message.bytes);
        return line + "\"}\n";
    }
    // Whoever types has to name the terminal.
    auto frame = parse_json(message.bytes);
    if (!frame || frame->value("type", "") != "ready") return message.bytes + "\n";
    (*frame)["session"] = id;
    return dump_json(*frame) + "\n";
}

}  // namespace

void Api::stream_by_post(Call& call) {
    if (call.body.value("type", "") != "start") return send_to_stream(call);
    const auto frame = read_client_frame(document_->json(), dump_json(call.body));
    if (!frame) {
        const Json& error = frame.error();
        return call.exchange->respond(problem(400, error.value("error", "invalid"),
                                              error.value("message", ""),
                                              {{"pointer", error.value("pointer", "")}}));
    }
    if (auto woken = call.exchange->open_wake(); !woken)
        return call.exchange->respond(problem(woken.error()));
    auto link = std::make_shared<StreamLink>([exchange = call.exchange] { exchange->wake(); });
    const std::string id = begin_stream(link, {.binary = false, .bytes = dump_json(call.body)}, call.peer);
    {
        const std::scoped_lock lock(mutex_);
        if (!id.empty()) posted_.insert_or_assign(id, link);
    }
    call.exchange->begin({.content_type = "application/x-ndjson"});
    carry_stream(*call.exchange, *link, id);
    const std::scoped_lock lock(mutex_);
    // Another client may have come back to it meanwhile.
    if (const auto it = posted_.find(id); it != posted_.end() && it->second == link) posted_.erase(it);
}

// Until the terminal has closed the link, or the client has gone.
void Api::carry_stream(Exchange& exchange, StreamLink& link, const std::string& id) {
    for (;;) {
        exchange.clear_wake();
        if (exchange.gone()) return link.abandon();
        while (exchange.has_room()) {
            StreamLink::Ready ready = link.take();
            if (ready.message) {
                exchange.write(line_of(*ready.message, id));
                continue;
            }
            if (!ready.close) break;
            exchange.write(
                dump_json({{"type", "close"}, {"code", ready.close->code}, {"reason", ready.close->reason}}) +
                "\n");
            return exchange.finish();
        }
        (void)sys::wait_readable(exchange.wake_fd(), kLookMs);
    }
}

// One frame of a client whose terminal was opened by another request.
void Api::send_to_stream(Call& call) {
    const auto refuse = [&](int status, std::string_view error, const std::string& message,
                            const std::string& pointer) {
        call.exchange->respond(problem(status, error, message, {{"pointer", pointer}}));
    };
    Json body = std::move(call.body);
    const auto session = body.value("session", "");
    if (session.empty())
        return refuse(400, "invalid", "/session is required: it is in the ready frame", "/session");
    const auto agent_id = body.at("agent_id").get<std::string>();
    body.erase("session");
    body.erase("agent_id");
    const std::string text = dump_json(body);
    if (const auto frame = read_client_frame(document_->json(), text); !frame)
        return refuse(400, frame.error().value("error", "invalid"), frame.error().value("message", ""),
                      frame.error().value("pointer", ""));
    const auto terminal = find_terminal(session);
    std::shared_ptr<StreamLink> link;
    {
        const std::scoped_lock lock(mutex_);
        if (const auto it = posted_.find(session); it != posted_.end()) link = it->second;
    }
    if (!terminal || !link || terminal->options().agent_id != agent_id)
        return refuse(404, "not_found", "there is no such terminal of this agent_id, opened by POST",
                      "/session");
    if (!link->has_room_in()) {
        HttpResponse busy = problem(503, "busy", "the terminal has not taken the input before this");
        busy.headers.emplace_back("Retry-After", "1");
        return call.exchange->respond(std::move(busy));
    }
    link->deliver({.binary = false, .bytes = text});
    call.exchange->respond(json_response({{"session", session}, {"type", body.at("type")}}));
}

}  // namespace substrate::agent
