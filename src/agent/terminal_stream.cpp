#include "agent/terminal_stream.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "agent/execute_answers.hpp"
#include "base/text.hpp"
#include "sys/file.hpp"
#include "sys/socket.hpp"
#include "sys/terminal.hpp"

namespace substrate::agent {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kInput = 64 * 1024;     // that waits for the terminal; more stays with the client
constexpr std::size_t kAtOnce = 256 * 1024;   // of output, before anything else is looked at
constexpr std::size_t kLastOutput = 1 << 20;  // of a terminal whose command has ended

Result<> watch(int epoll, int fd) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) return fail(Error::last_os("epoll_ctl"));
    return {};
}

}  // namespace

TerminalStream::TerminalStream(Options options, const Env& env, const Json& document,
                               std::shared_ptr<StreamLink> link)
    : options_(std::move(options)), env_(env), document_(document), link_(std::move(link)) {}

// Links live on until their connection has ended.
TerminalStream::~TerminalStream() {
    for (const auto& link : {link_, coming_}) {
        if (!link) continue;
        link->close({1001, "the terminal has ended"});
        link->wake_by(-1);
    }
}

Result<std::shared_ptr<TerminalStream>> TerminalStream::make(Options options, const Env& env,
                                                             const Json& document,
                                                             std::shared_ptr<StreamLink> link) {
    // Not make_shared: the constructor is private.
    std::shared_ptr<TerminalStream> stream(
        new TerminalStream(std::move(options), env, document, std::move(link)));
    SUB_TRY_DURING(stream->open(), "preparing for a terminal");
    return stream;
}

Result<> TerminalStream::open() {
    buffer_.resize(kReadSize);
    hash_.reset(XXH3_createState());
    if (!hash_) return fail({Errc::os, "no memory for a hash"});
    XXH3_128bits_reset(hash_.get());
    wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_) return fail(Error::last_os("eventfd"));
    timer_.reset(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    if (!timer_) return fail(Error::last_os("timerfd_create"));
    epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!epoll_) return fail(Error::last_os("epoll_create1"));
    SUB_TRY(watch(epoll_.get(), wake_.get()));
    SUB_TRY(watch(epoll_.get(), timer_.get()));
    link_->wake_by(wake_.get());
    return {};
}

void TerminalStream::wake() { (void)sys::write_all(wake_.get(), std::string_view("\1\0\0\0\0\0\0\0", 8)); }

void TerminalStream::attach(std::shared_ptr<StreamLink> link, std::optional<std::uint64_t> received) {
    {
        const std::scoped_lock lock(mutex_);
        if (coming_) coming_->close({4001, "attached elsewhere"});
        coming_ = std::move(link);
        coming_received_ = received;
    }
    wake();
}

void TerminalStream::send_signal(int signal) {
    {
        const std::scoped_lock lock(mutex_);
        signals_.push_back(signal);
    }
    wake();
}

void TerminalStream::stop() {
    {
        const std::scoped_lock lock(mutex_);
        stopping_ = true;
    }
    wake();
}

std::string TerminalStream::running_span() const {
    const std::scoped_lock lock(mutex_);
    return span_id_;
}

void TerminalStream::borrow_terminal(int master) { master_ = master; }

void TerminalStream::drop_terminal() {
    (void)listen(0);
    master_ = -1;
    shell_ = nullptr;
}

void TerminalStream::take_terminal(sys::UniqueFd master) {
    (void)::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK);
    owned_ = std::move(master);
    master_ = owned_.get();
    tell_ready();
}

Json TerminalStream::ready_frame() const {
    Json frame = {{"type", "ready"}, {"cols", options_.columns}, {"rows", options_.rows}};
    if (options_.stays) {
        frame["session"] = options_.id;
        frame["offset"] = ring_.total();
    }
    if (shell_ != nullptr) frame["cwd"] = printable(shell_->cwd());
    if (running_ && !running_span().empty()) frame["span_id"] = running_span();
    if (running_ && seq_) frame["seq"] = *seq_;
    return frame;
}

void TerminalStream::tell_ready() {
    ready_ = true;
    idle_since_ns_ = env_.monotonic_ns();
    send_frame(ready_frame());
    pump();
    wake();  // for its deadline
}

std::optional<TerminalStream::Line> TerminalStream::take_line() { return std::exchange(line_, std::nullopt); }

void TerminalStream::begin_command(const std::string& span_id, std::optional<std::uint64_t> seq,
                                   std::unique_ptr<Budgets::Ticket> ticket) {
    XXH3_128bits_reset(hash_.get());
    hashed_ = 0;
    running_ = true;
    seq_ = seq;
    ticket_ = std::move(ticket);
    const std::scoped_lock lock(mutex_);
    span_id_ = span_id;
    // What the client has sent behind the line is for its command.
    wake();
}

void TerminalStream::end_command() {
    running_ = false;
    seq_.reset();
    ticket_.reset();
    token_.reset();
    idle_since_ns_ = env_.monotonic_ns();
    const std::scoped_lock lock(mutex_);
    span_id_.clear();
}

void TerminalStream::refuse_command(Json frame) {
    if (ticket_) ticket_->refund();
    input_.clear();  // it was for this command
    const auto seq = seq_;
    end_command();
    send_error(std::move(frame), seq);
}

void TerminalStream::send_frame(const Json& frame) {
    if (link_) link_->send_text(dump_json(frame));
}

void TerminalStream::send_error(Json frame, std::optional<std::uint64_t> seq) {
    if (seq) frame["seq"] = *seq;
    send_frame(frame);
}

void TerminalStream::close(StreamClose why) {
    if (link_) link_->close(std::move(why));
}

// The client before is told; the new one gets what it has missed.
void TerminalStream::adopt_client() {
    std::shared_ptr<StreamLink> coming;
    std::optional<std::uint64_t> received;
    {
        const std::scoped_lock lock(mutex_);
        coming = std::move(coming_);
        received = coming_received_;
    }
    if (!coming) return;
    if (link_) {
        // What it said before the other came holds, also when it has gone since.
        hear_client();
        given_ = ring_.total() - link_->unsent_bytes();
        link_->close({4001, "attached elsewhere"});
        link_->wake_by(-1);
    }
    link_ = std::move(coming);
    link_->wake_by(wake_.get());
    attached_ = true;
    detached_since_ns_ = 0;
    if (ready_) send_missed(received.value_or(given_));
    // Otherwise it is told when it is.
    if (!question_.is_null()) send_frame(question_);
}

// To a new client: where the terminal is, and the output that it has not had.
void TerminalStream::send_missed(std::uint64_t received) {
    const OutputRing::Rest rest = ring_.after(received);
    Json frame = ready_frame();
    frame["offset"] = ring_.total() - rest.bytes.size();
    frame["lost_bytes"] = rest.lost;
    send_frame(frame);
    if (!rest.bytes.empty()) link_->send_bytes(rest.bytes);
}

void TerminalStream::mind_client() {
    {
        const std::scoped_lock lock(mutex_);
        if (stopping_) leaving_ = true;
    }
    if (link_ && link_->gone() && !(line_ && link_->has_messages())) {
        given_ = ring_.total() - std::min<std::uint64_t>(ring_.total(), link_->unsent_bytes());
        link_->wake_by(-1);
        link_.reset();
        attached_ = false;
        detached_since_ns_ = env_.monotonic_ns();
        if (!options_.stays) leaving_ = true;
    }
    if (const std::int64_t deadline = deadline_ns(); deadline != 0 && env_.monotonic_ns() >= deadline)
        leaving_ = true;
}

// When nobody has come back, or no line has come; 0: never.
std::int64_t TerminalStream::deadline_ns() const {
    if (!link_) return detached_since_ns_ + options_.detached_ms * 1'000'000;
    if (options_.shell && ready_ && !running_) return idle_since_ns_ + options_.idle_ms * 1'000'000;
    return 0;
}

Result<> TerminalStream::arm_timer() {
    std::int64_t left = 0;
    const std::int64_t deadline = deadline_ns();
    if (deadline != 0) left = std::max<std::int64_t>(deadline - env_.monotonic_ns(), 1);
    const auto budget = ticket_ ? ticket_->left_ns() : std::nullopt;
    if (budget && (left == 0 || *budget < left)) left = std::max<std::int64_t>(*budget, 1);
    // Most often nothing has changed; what a budget has left always has.
    if (!budget && !by_budget_ && deadline == armed_ns_) return {};
    armed_ns_ = deadline;
    by_budget_ = budget.has_value();
    const itimerspec when{.it_interval = {},
                          .it_value = {.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000}};
    if (::timerfd_settime(timer_.get(), 0, &when, nullptr) != 0)
        return fail(Error::last_os("timerfd_settime"));
    return {};
}

// One look at everybody: the client, the terminal, the time. The word, once nobody waits any more.
Result<std::optional<supervisor::Caller::Word>> TerminalStream::attend() {
    std::array<char, 8> count{};
    (void)sys::read_some(wake_.get(), count);
    (void)sys::read_some(timer_.get(), count);
    adopt_client();
    // What a client said before it went counts.
    hear_client();
    mind_client();
    if (ticket_ && ticket_->left_ns().value_or(1) <= 0) return Word{.gone = true, .as = Outcome::budget};
    if (leaving_) return Word{.gone = true};
    pump();
    SUB_TRY(arm_timer());
    return std::nullopt;
}

Result<supervisor::Caller::Word> TerminalStream::hear() {
    SUB_TRY_ASSIGN(const std::optional<Word> last, attend());
    if (last) return *last;
    const int signal = take_signal();
    // The terminal's own three go to its foreground, in any of its modes.
    const bool own = signal == SIGINT || signal == SIGQUIT || signal == SIGTSTP;
    if (!own || master_ < 0) return Word{.signal = signal};
    (void)sys::signal_foreground(master_, signal);
    return Word{};
}

// False: who asked does not wait any longer. Nothing runs yet that a signal could be for: it takes the
// question back, as an interrupt does at a prompt.
bool TerminalStream::await_decision(int left_ms) {
    if (!sys::wait_readable(epoll_.get(), left_ms)) return false;
    const auto last = attend();
    return last && !*last && take_signal() == 0;
}

Result<std::optional<broker::Answer>> TerminalStream::ask_approval(const broker::ApprovalQuestion& question) {
    using Decision = std::optional<broker::Answer>;
    if (approvals_ == nullptr) return Decision();
    const auto id = approvals_->ask(question, {options_.agent_id, running_span(), [this] { wake(); }});
    if (!id) return Decision();
    question_ = {{"type", "approval"},
                 {"approval_id", *id},
                 {"span_id", running_span()},
                 {"question", printable_question(question)}};
    if (seq_) question_["seq"] = *seq_;
    if (options_.stays) question_["session"] = options_.id;
    pump();  // what a trial has written comes first
    send_frame(question_);
    const Decision decision = approvals_->await(*id, question, ticket_ ? ticket_->left_ns() : std::nullopt,
                                                [this](int left_ms) { return await_decision(left_ms); });
    question_ = nullptr;
    // What else it may have been for.
    wake();
    return decision;
}

int TerminalStream::take_signal() {
    const std::scoped_lock lock(mutex_);
    if (signals_.empty()) return 0;
    const int signal = signals_.front();
    signals_.pop_front();
    if (!signals_.empty()) wake();
    return signal;
}

void TerminalStream::hear_client() {
    while (link_ && !leaving_) {
        // What is for the terminal waits with the client when the terminal is full; the rest goes on.
        const auto message = link_->receive(/*control_only=*/input_.size() >= kInput);
        if (!message) return;
        take_message(*message);
        if (line_) return;
    }
}

void TerminalStream::take_message(const StreamMessage& message) {
    if (message.binary) return take_input(message.bytes);
    auto frame = read_client_frame(document_, message.bytes);
    if (frame) return take_frame(*frame);
    // Who does not keep to the contract is not listened to any longer.
    send_error(std::move(frame).error());
    close({1008, "a frame that the API does not describe"});
    if (!options_.stays) leaving_ = true;
}

void TerminalStream::take_frame(const ClientFrame& frame) {
    if (frame.type == "stdin") return take_input(frame.input);
    if (frame.type == "close") {
        leaving_ = true;
        return;
    }
    if (frame.type == "resize") {
        if (master_ >= 0)
            (void)sys::set_window_size(
                master_, {frame.body["cols"].get<std::uint16_t>(), frame.body["rows"].get<std::uint16_t>()});
        return;
    }
    if (frame.type == "signal") {
        send_signal(signal_number(frame.body["signal"].get<std::string>()));
        return;
    }
    if (frame.type == "start") return send_error(error_frame("conflict", "this connection has its terminal"));
    const auto seq = frame.body["seq"].get<std::uint64_t>();
    if (!options_.shell) return send_error(error_frame("conflict", "this terminal runs one command"), seq);
    if (running_ || line_) return send_error(error_frame("busy", "a line runs already"), seq);
    line_ = Line{.seq = seq,
                 .cmd = frame.body["cmd"].get<std::string>(),
                 .timeout_ms = frame.body.value("timeout_ms", std::int64_t{0})};
}

void TerminalStream::take_input(std::string_view bytes) {
    if (options_.shell && !running_)
        return send_error(error_frame("no_command", "there is no command to read this: lines go by exec"));
    input_ += bytes;
    write_input();
}

void TerminalStream::write_input() {
    std::size_t written = 0;
    // What comes while somebody decides is for the command, if it may run.
    const bool takes = master_ >= 0 && !hung_up_ && question_.is_null();
    while (takes && written < input_.size()) {
        const ::ssize_t n = ::write(master_, input_.data() + written, input_.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        written += static_cast<std::size_t>(n);
    }
    input_.erase(0, written);
    if (hung_up_) input_.clear();
}

// False: there is none now. `whatever`: also when the client does not take it.
bool TerminalStream::read_output(bool whatever) {
    if (master_ < 0 || hung_up_) return false;
    if (!whatever && link_ && !link_->has_room_out()) return false;
    const auto [size, more, hung_up] = sys::read_output(master_, buffer_);
    hung_up_ = hung_up;
    if (size == 0) return false;
    const std::string_view bytes(buffer_.data(), size);
    XXH3_128bits_update(hash_.get(), bytes.data(), bytes.size());
    hashed_ += bytes.size();
    if (options_.stays) ring_.append(bytes);
    if (link_) link_->send_bytes(bytes);
    return more;
}

void TerminalStream::pump() {
    write_input();
    const std::uint64_t before = hashed_;
    while (hashed_ - before < kAtOnce && read_output(/*whatever=*/false)) continue;
    const bool reads = !link_ || link_->has_room_out();
    const bool usable = master_ >= 0 && !hung_up_;
    const bool writes = !input_.empty() && question_.is_null();
    (void)listen(usable ? (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U) : 0U);
    // A message that was left for want of room.
    if (link_ && input_.size() < kInput && !line_ && link_->has_messages()) wake();
}

Result<> TerminalStream::listen(std::uint32_t events) {
    if (events == listening_) return {};
    epoll_event event{.events = events, .data = {}};
    // Of a terminal that nobody listens to, the hang-up is not reported either.
    const int change = events == 0 ? EPOLL_CTL_DEL : listening_ == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    listening_ = events;
    if (::epoll_ctl(epoll_.get(), change, master_, &event) != 0) return fail(Error::last_os("epoll_ctl"));
    return {};
}

// n_tty(4) hands over what was written before when it is asked: read to its end, nothing is on its way.
Result<OutputRecord> TerminalStream::take_output() {
    const std::uint64_t before = hashed_;
    while (hashed_ - before < kLastOutput && read_output(/*whatever=*/true)) continue;
    const XXH128_hash_t value = XXH3_128bits_digest(hash_.get());
    return OutputRecord{.stdout_hash = fmt::format("xxh3:{:016x}{:016x}", value.high64, value.low64),
                        .stderr_hash = {},
                        .stdout_bytes = hashed_,
                        .stderr_bytes = 0,
                        .merged = true};
}

void TerminalStream::conclude(const ExecResult& result) {
    // Of a command that nobody waits for, what is left is taken all the same.
    if (link_) (void)take_output();
    Json frame = result_json(result);
    frame["type"] = seq_ ? "command_complete" : "exit";
    if (seq_) frame["seq"] = *seq_;
    if (seq_ && shell_ != nullptr) frame["cwd"] = printable(shell_->cwd());
    const auto seq = seq_;
    end_command();
    send_frame(frame);
    if (!seq) close({1000, "the command has ended"});
}

}  // namespace substrate::agent
