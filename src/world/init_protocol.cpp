#include "world/init_protocol.hpp"

#include "plan/wire.hpp"

namespace substrate::world {
namespace {

using plan::WireReader;
using plan::WireWriter;

enum class OrderTag : std::uint8_t { exec, signal, prepare, link, set_up };
enum class EventTag : std::uint8_t { ready, failed, exited, quiet, uplink, terminal };

void put_slot(WireWriter& out, const CaptureSlot& slot) {
    out.put(slot.path);
    out.put_strings(slot.lowers);
}

CaptureSlot get_slot(WireReader& in) {
    CaptureSlot slot;
    slot.path = in.get_string();
    slot.lowers = in.get_strings();
    return slot;
}

ExecOrder get_exec(WireReader& in) {
    ExecOrder exec;
    exec.slot = get_slot(in);
    exec.program = in.get_string();
    exec.argv = in.get_strings();
    exec.fallback_program = in.get_string();
    exec.fallback_argv = in.get_strings();
    exec.environment = in.get_strings();
    exec.cwd = in.get_string();
    exec.umask = in.get<std::uint32_t>();
    if (in.get<bool>()) {
        exec.terminal.emplace();
        exec.terminal->columns = in.get<std::uint16_t>();
        exec.terminal->rows = in.get<std::uint16_t>();
        exec.terminal->streams = in.get<std::uint8_t>();
    }
    exec.scope_token = in.get<bool>();
    return exec;
}

}  // namespace

std::string encode(const Order& order) {
    WireWriter out;
    out.put(static_cast<OrderTag>(order.index()));
    if (const auto* exec = std::get_if<ExecOrder>(&order)) {
        put_slot(out, exec->slot);
        out.put(exec->program);
        out.put_strings(exec->argv);
        out.put(exec->fallback_program);
        out.put_strings(exec->fallback_argv);
        out.put_strings(exec->environment);
        out.put(exec->cwd);
        out.put(exec->umask);
        out.put(exec->terminal.has_value());
        if (exec->terminal) {
            out.put(exec->terminal->columns);
            out.put(exec->terminal->rows);
            out.put(exec->terminal->streams);
        }
        out.put(exec->scope_token);
    } else if (const auto* signal = std::get_if<SignalOrder>(&order)) {
        out.put(signal->signal);
        out.put(signal->everything);
    } else if (const auto* prepare = std::get_if<PrepareOrder>(&order)) {
        put_slot(out, prepare->slot);
    } else if (const auto* link = std::get_if<LinkOrder>(&order)) {
        out.put_strings(link->addresses);
        for (const std::uint8_t byte : link->gateway_hardware) out.put(byte);
        out.put(link->problem);
    } else if (const auto* set_up = std::get_if<SetUpOrder>(&order)) {
        out.put(set_up->plan);
        out.put(set_up->seccomp);
    }
    return out.take();
}

Result<Order> decode_order(std::string_view bytes) {
    WireReader in(bytes);
    Order order;
    switch (in.get_enum(OrderTag::set_up)) {
        case OrderTag::exec: order = get_exec(in); break;
        case OrderTag::signal: {
            SignalOrder signal;
            signal.signal = in.get<std::int32_t>();
            signal.everything = in.get<bool>();
            order = signal;
            break;
        }
        case OrderTag::prepare: order = PrepareOrder{get_slot(in)}; break;
        case OrderTag::link: {
            LinkOrder link;
            link.addresses = in.get_strings();
            for (std::uint8_t& byte : link.gateway_hardware) byte = in.get<std::uint8_t>();
            link.problem = in.get_string();
            order = std::move(link);
            break;
        }
        case OrderTag::set_up: {
            SetUpOrder set_up;
            set_up.plan = in.get_string();
            set_up.seccomp = in.get_string();
            order = std::move(set_up);
            break;
        }
    }
    SUB_TRY(in.finish("order"));
    return order;
}

std::string encode(const Event& event) {
    WireWriter out;
    out.put(static_cast<EventTag>(event.index()));
    if (const auto* failed = std::get_if<Failed>(&event)) {
        out.put(failed->message);
        out.put(failed->os_errno);
    } else if (const auto* exited = std::get_if<Exited>(&event)) {
        out.put(exited->wait_status);
        out.put(exited->cpu_us);
        out.put(exited->max_rss_kb);
        out.put(exited->slot);
        out.put(exited->background);
        out.put_strings(exited->full);
    }
    return out.take();
}

Result<Event> decode_event(std::string_view bytes) {
    WireReader in(bytes);
    Event event;
    switch (in.get_enum(EventTag::terminal)) {
        case EventTag::ready: event = Ready{}; break;
        case EventTag::failed: {
            Failed failed;
            failed.message = in.get_string();
            failed.os_errno = in.get<std::int32_t>();
            event = std::move(failed);
            break;
        }
        case EventTag::exited: {
            Exited exited;
            exited.wait_status = in.get<std::int32_t>();
            exited.cpu_us = in.get<std::int64_t>();
            exited.max_rss_kb = in.get<std::int64_t>();
            exited.slot = in.get_string();
            exited.background = in.get<bool>();
            exited.full = in.get_strings();
            event = std::move(exited);
            break;
        }
        case EventTag::quiet: event = Quiet{}; break;
        case EventTag::uplink: event = Uplink{}; break;
        case EventTag::terminal: event = TerminalOpened{}; break;
    }
    SUB_TRY(in.finish("event"));
    return event;
}

}  // namespace substrate::world
