#include "agent/api_caller.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "agent/execute_answers.hpp"
#include "agent/problem.hpp"
#include "base/text.hpp"
#include "codec/base64.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "sys/terminal.hpp"

namespace substrate::agent {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
// Larger than usual, so that fewer and larger pieces travel; small enough that many commands stay
// below what an account's pipes may hold before the kernel shrinks them (pipe(7)).
constexpr int kPipeSize = 256 * 1024;
// More than a terminal holds for its master (drivers/tty/tty_buffer.c).
constexpr std::size_t kLastOfTerminal = 256 * 1024;
// That wait for a client that reads slowly; the trace has all of them.
constexpr std::size_t kMostEvents = 256;

}  // namespace

ApiCaller::ApiCaller(std::shared_ptr<Exchange> exchange, Answer answer, std::string span_id)
    : exchange_(std::move(exchange)), answer_(answer), span_id_(std::move(span_id)) {}

Result<std::unique_ptr<ApiCaller>> ApiCaller::make(std::shared_ptr<Exchange> exchange, Answer answer,
                                                   std::string span_id) {
    std::unique_ptr<ApiCaller> caller(new ApiCaller(std::move(exchange), answer, std::move(span_id)));
    SUB_TRY_DURING(caller->open(), "preparing for a command's output");
    return caller;
}

Result<> ApiCaller::open() {
    buffer_.resize(answer_ == Answer::pieces ? kPipeSize : kReadSize);
    SUB_TRY(exchange_->open_wake());
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return fail(Error::last_os("epoll_create1"));
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, exchange_->wake_fd(), &event) != 0)
        return fail(Error::last_os("epoll_ctl"));
    SUB_TRY(open_tap(taps_[0], "stdout"));
    SUB_TRY(open_tap(taps_[1], "stderr"));
    SUB_TRY(listen(/*to_output=*/true));
    // So that the first word comes once the command has been given to its world.
    if (answer_ == Answer::pieces) exchange_->wake();
    return {};
}

Result<> ApiCaller::open_tap(Tap& tap, const char* name) {
    tap.name = name;
    SUB_TRY_ASSIGN(tap.pipe, sys::make_pipe());
    // The command's end blocks as any pipe does; ours does not.
    if (::fcntl(tap.pipe.read.get(), F_SETFL, O_NONBLOCK) != 0) return fail(Error::last_os("fcntl"));
    if (answer_ == Answer::pieces) (void)::fcntl(tap.pipe.read.get(), F_SETPIPE_SZ, kPipeSize);
    tap.hash.reset(XXH3_createState());
    XXH3_128bits_reset(tap.hash.get());
    return {};
}

Result<> ApiCaller::listen(bool to_output) {
    if (listens_ == to_output || hung_up_) return {};
    listens_ = to_output;
    for (const Tap& tap : taps_) SUB_TRY(watch(tap, to_output ? EPOLL_CTL_ADD : EPOLL_CTL_DEL));
    return {};
}

Result<> ApiCaller::watch(const Tap& tap, int change) {
    if (!tap.pipe.read) return {};
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (!typed_.empty()) event.events |= EPOLLOUT;
    if (::epoll_ctl(epoll_.get(), change, tap.pipe.read.get(), &event) != 0)
        return fail(Error::last_os("epoll_ctl"));
    return {};
}

void ApiCaller::use_terminal(std::string input) {
    (void)listen(/*to_output=*/false);
    for (Tap& tap : taps_) tap.pipe = {};
    terminal_ = true;
    typed_ = std::move(input);
    // Once behind a whole line; a line without an end is handed over by the first.
    typed_ += typed_.empty() || typed_.ends_with('\n') ? "\4" : "\4\4";
}

void ApiCaller::take_terminal(sys::UniqueFd master) {
    (void)::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK);
    taps_[0].pipe.read = std::move(master);
    // What is wrong with it is found by the command's end.
    if (listens_) (void)watch(taps_[0], EPOLL_CTL_ADD);
    exchange_->wake();
}

// As much as the terminal takes now.
Result<> ApiCaller::type() {
    if (typed_.empty() || hung_up_ || !taps_[0].pipe.read) return {};
    std::size_t written = 0;
    while (written < typed_.size()) {
        const ::ssize_t n =
            ::write(taps_[0].pipe.read.get(), typed_.data() + written, typed_.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        written += static_cast<std::size_t>(n);
    }
    typed_.erase(0, written);
    return typed_.empty() && listens_ ? watch(taps_[0], EPOLL_CTL_MOD) : Result<>();
}

Result<> ApiCaller::use_ticket(std::unique_ptr<Budgets::Ticket> ticket) {
    ticket_ = std::move(ticket);
    const auto left = ticket_->left_ns();
    if (!left) return {};
    timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_) return fail(Error::last_os("timerfd_create"));
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, timer_.get(), &event) != 0)
        return fail(Error::last_os("epoll_ctl"));
    return arm_timer(*left);
}

Result<> ApiCaller::arm_timer(std::int64_t left_ns) {
    left_ns = std::max<std::int64_t>(left_ns, 1);  // zero would disarm it
    const itimerspec when{
        .it_interval = {},
        .it_value = {.tv_sec = left_ns / 1'000'000'000, .tv_nsec = left_ns % 1'000'000'000}};
    if (::timerfd_settime(timer_.get(), 0, &when, nullptr) != 0)
        return fail(Error::last_os("timerfd_settime"));
    return {};
}

void ApiCaller::send_signal(int signal) {
    {
        const std::scoped_lock lock(mutex_);
        signals_.push_back(signal);
    }
    exchange_->wake();
}

void ApiCaller::tell_event(const Json& record) {
    {
        const std::scoped_lock lock(mutex_);
        if (events_.size() >= kMostEvents) {
            ++lost_events_;
            return;
        }
        events_.push_back(record);
    }
    exchange_->wake();
}

void ApiCaller::send_events() {
    if (answer_ == Answer::whole) return;
    std::deque<Json> events;
    std::uint64_t lost = 0;
    {
        const std::scoped_lock lock(mutex_);
        std::swap(events, events_);
        std::swap(lost, lost_events_);
    }
    for (Json& event : events) send_frame({{"type", "event"}, {"event", std::move(event)}});
    if (lost > 0) send_frame({{"type", "event"}, {"lost_events", lost}});
}

Result<supervisor::Caller::Word> ApiCaller::hear() {
    begin();
    exchange_->clear_wake();
    if (exchange_->gone()) return Word{.gone = true};
    if (timer_) {
        const std::int64_t left = ticket_->left_ns().value_or(1);
        if (left <= 0) return Word{.gone = true, .as = Outcome::budget};
        SUB_TRY(arm_timer(left));
    }
    {
        const std::scoped_lock lock(mutex_);
        if (!signals_.empty()) {
            const int signal = signals_.front();
            signals_.pop_front();
            if (!signals_.empty()) exchange_->wake();
            return Word{.signal = signal};
        }
    }
    if (exchange_->has_room()) send_events();
    SUB_TRY(move_output());
    return Word{};
}

// Only as much as the client takes: when it does not, the pipe fills, and the command waits.
Result<> ApiCaller::move_output() {
    SUB_TRY(type());
    for (Tap& tap : taps_) {
        if (answer_ == Answer::pieces && !exchange_->has_room()) return listen(/*to_output=*/false);
        SUB_TRY(listen(/*to_output=*/true));
        SUB_TRY(move_some(tap));
    }
    return {};
}

// How many bytes it has taken; 0: there are none now.
Result<std::size_t> ApiCaller::move_some(Tap& tap) {
    if (!tap.pipe.read || hung_up_) return std::size_t{0};
    if (terminal_) {
        const sys::TerminalOutput output = sys::read_output(tap.pipe.read.get(), buffer_);
        take(tap, {buffer_.data(), output.size});
        // Its hang-up would be reported for ever.
        if (output.hung_up && listens_) SUB_TRY(watch(tap, EPOLL_CTL_DEL));
        hung_up_ = output.hung_up;
        return output.size;
    }
    const auto n = sys::read_some(tap.pipe.read.get(), buffer_);
    if (!n && n.error().os_errno() == EAGAIN) return std::size_t{0};
    SUB_TRY(n);
    take(tap, {buffer_.data(), *n});
    return *n;
}

void ApiCaller::take(Tap& tap, std::string_view bytes) {
    if (bytes.empty()) return;
    XXH3_128bits_update(tap.hash.get(), bytes.data(), bytes.size());
    tap.bytes += bytes.size();
    if (answer_ == Answer::pieces) {
        frame_.assign("{\"type\":\"").append(tap.name).append("\",\"chunk_b64\":\"");
        append_base64(frame_, bytes);
        frame_ += "\"}\n";
        exchange_->write(frame_);
    } else {
        const std::size_t room = kKept - tap.kept.size();
        tap.kept += bytes.substr(0, room);
        if (bytes.size() > room) tap.truncated = true;
    }
}

Result<> ApiCaller::tell_ended(int) {
    begin();
    return {};
}

Result<std::size_t> ApiCaller::left_in(const Tap& tap) const {
    if (!tap.pipe.read) return std::size_t{0};
    // n_tty(4) hands over what was written before when it is asked, and cannot say how much that is.
    if (terminal_) return kLastOfTerminal;
    int waiting = 0;
    if (::ioctl(tap.pipe.read.get(), FIONREAD, &waiting) != 0) return fail(Error::last_os("ioctl FIONREAD"));
    return static_cast<std::size_t>(waiting);
}

// What the command wrote is in the pipes by now. Background processes may go on writing: what
// is there now is taken, no more.
Result<OutputRecord> ApiCaller::take_output() {
    taken_ = true;
    OutputRecord record;
    for (Tap& tap : taps_) {
        SUB_TRY_ASSIGN(std::size_t left, left_in(tap));
        while (left > 0) {
            SUB_TRY_ASSIGN(const std::size_t moved, move_some(tap));
            if (moved == 0) break;
            left -= std::min(left, moved);
        }
    }
    const auto digest = [](const Tap& tap) {
        const XXH128_hash_t value = XXH3_128bits_digest(tap.hash.get());
        return fmt::format("xxh3:{:016x}{:016x}", value.high64, value.low64);
    };
    record.merged = terminal_;
    record.stdout_hash = digest(taps_[0]);
    if (!terminal_) record.stderr_hash = digest(taps_[1]);
    record.stdout_bytes = taps_[0].bytes;
    record.stderr_bytes = taps_[1].bytes;
    return record;
}

void ApiCaller::begin() {
    if (answer_ == Answer::whole || begun_) return;
    begun_ = true;
    exchange_->begin({.content_type = "application/x-ndjson"});
    send_frame({{"type", "start"}, {"span_id", span_id_}});
}

void ApiCaller::send_frame(const Json& frame) { exchange_->write(dump_json(frame) + "\n"); }

void ApiCaller::conclude(const ExecResult& result) {
    begin();
    // Of a command whose budget was used up nobody has asked for the rest.
    if (!taken_) (void)take_output();
    // Before the client can know and ask again.
    ticket_.reset();
    token_.reset();
    timer_.reset();
    if (on_end_) on_end_(result);
    send_events();
    Json json = result_json(result);
    if (answer_ == Answer::pieces) {
        json["type"] = "exit";
        send_frame(json);
        exchange_->finish();
        return;
    }
    json["stdout_b64"] = to_base64(taps_[0].kept);
    json["stderr_b64"] = to_base64(taps_[1].kept);
    if (taps_[0].truncated) json["stdout_truncated"] = true;
    if (taps_[1].truncated) json["stderr_truncated"] = true;
    exchange_->respond(json_response(json));
}

// Waits in the command's thread: for the decision, the client's going, the policy's or the budget's time.
Result<std::optional<broker::Answer>> ApiCaller::ask_approval(const broker::ApprovalQuestion& question) {
    using Decision = std::optional<broker::Answer>;
    if (approvals_ == nullptr) return Decision();
    // Read below, so nothing of it may be in use by then: the wake is the exchange's own.
    const auto id =
        approvals_->ask(question, {agent_id_, span_id_, [exchange = exchange_] { exchange->wake(); }});
    if (!id) return Decision();
    if (answer_ == Answer::pieces) {
        begin();
        Json frame = {{"type", "approval"}, {"approval_id", *id}, {"question", printable_question(question)}};
        send_frame(frame);
    }
    const Decision decision =
        approvals_->await(*id, question, ticket_ ? ticket_->left_ns() : std::nullopt, [this](int left_ms) {
            if (exchange_->gone() || !sys::wait_readable(exchange_->wake_fd(), left_ms)) return false;
            exchange_->clear_wake();
            return true;
        });
    // What else it may have been for.
    exchange_->wake();
    return decision;
}

void ApiCaller::refuse(HttpResponse refusal) {
    if (!begun_) return exchange_->respond(std::move(refusal));
    Json frame = {{"type", "error"}, {"error", "denied"}};
    if (const auto problem = parse_json(refusal.body); problem && problem->is_object()) {
        frame["error"] = problem->value("error", "denied");
        frame["message"] = problem->value("detail", "");
        for (const char* member : {"rule", "pattern", "reason", "alternative", "advice", "pointer"})
            if (const auto it = problem->find(member); it != problem->end()) frame[member] = *it;
    }
    frame["span_id"] = span_id_;
    send_events();
    send_frame(frame);
    exchange_->finish();
}

void ApiCaller::fail_with(const Error& error) {
    if (begun_) {
        send_events();
        Json frame = {{"type", "error"},
                      {"error", to_string(error.code())},
                      {"message", printable(error.describe())},
                      {"span_id", span_id_}};
        if (!error.advice().empty()) frame["advice"] = printable(error.advice());
        send_frame(frame);
        exchange_->finish();
        return;
    }
    exchange_->respond(problem(error));
}

}  // namespace substrate::agent
