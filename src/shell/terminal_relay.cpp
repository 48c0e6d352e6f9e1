#include "shell/terminal_relay.hpp"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "sys/file.hpp"
#include "sys/terminal.hpp"

namespace substrate::shell {
namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kKeys = 64 * 1024;  // that wait for the world's terminal; more stay with the person's
constexpr std::size_t kTail = 16;

}  // namespace

Result<std::unique_ptr<TerminalRelay>> TerminalRelay::begin(int master, PersonsTerminal terminal) {
    std::unique_ptr<TerminalRelay> relay(new TerminalRelay(master, terminal));
    relay->hash_.reset(XXH3_createState());
    if (!relay->hash_) return fail({Errc::os, "no memory for a hash"});
    XXH3_128bits_reset(relay->hash_.get());
    SUB_TRY(relay->resume());
    return relay;
}

TerminalRelay::~TerminalRelay() { pause(); }

Result<> TerminalRelay::resume() {
    copy_size();
    if (::tcgetattr(terminal_.keys, &before_) != 0) return fail(Error::last_os("tcgetattr"));
    termios raw = before_;
    ::cfmakeraw(&raw);
    // The world's terminal has made line ends of newlines already; twice does no harm.
    if (terminal_.shared) raw.c_oflag = before_.c_oflag;
    if (::tcsetattr(terminal_.keys, TCSADRAIN, &raw) != 0) return fail(Error::last_os("tcsetattr"));
    raw_ = true;
    return {};
}

void TerminalRelay::pause() {
    if (raw_) (void)::tcsetattr(terminal_.keys, TCSADRAIN, &before_);
    raw_ = false;
}

void TerminalRelay::copy_size() const { copy_window_size(master_, terminal_.keys); }

void TerminalRelay::add_to(std::vector<pollfd>& polled) const {
    polled.push_back({keys_.size() < kKeys ? terminal_.keys : -1, POLLIN, 0});
    const int events = POLLIN | (keys_.empty() ? 0 : POLLOUT);
    polled.push_back({hung_up_ ? -1 : master_, static_cast<short>(events), 0});
}

bool TerminalRelay::move() {
    pollfd keys = {terminal_.keys, POLLIN, 0};
    if (keys_.size() < kKeys && ::poll(&keys, 1, 0) == 1 && !read_keys()) return false;
    write_keys();
    (void)show_output();
    return true;
}

bool TerminalRelay::read_keys() {
    std::array<char, 4096> buffer{};
    const auto n = sys::read_some(terminal_.keys, buffer);
    if (!n || *n == 0) return false;
    std::string_view typed(buffer.data(), *n);
    if (const auto stop = notes_stops_ ? sys::stop_key_of_leader(master_) : std::nullopt) {
        const std::size_t at = typed.find(*stop);
        stop_typed_ = at != std::string_view::npos;
        // What was typed behind it is for whoever reads the terminal then; it cannot be put back.
        typed = typed.substr(0, at);
    }
    keys_ += typed;
    return true;
}

void TerminalRelay::write_keys() {
    std::size_t written = 0;
    while (!hung_up_ && written < keys_.size()) {
        const ::ssize_t n = ::write(master_, keys_.data() + written, keys_.size() - written);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        written += static_cast<std::size_t>(n);
    }
    keys_.erase(0, written);
    if (hung_up_) keys_.clear();
}

// False: there is none now.
bool TerminalRelay::show_output() {
    if (hung_up_) return false;
    std::array<char, kReadSize> buffer;
    const auto [size, more, hung_up] = sys::read_output(master_, buffer);
    hung_up_ = hung_up;
    if (size == 0) return false;
    const std::string_view bytes(buffer.data(), size);
    XXH3_128bits_update(hash_.get(), bytes.data(), bytes.size());
    bytes_ += size;
    tail_ += bytes.substr(size - std::min(size, kTail));
    tail_.erase(0, tail_.size() - std::min(tail_.size(), kTail));
    // A reader that has gone is no reason to stop the command.
    (void)sys::write_all(terminal_.screen, bytes);
    return true;
}

OutputRecord TerminalRelay::finish() {
    while (show_output()) continue;
    const XXH128_hash_t value = XXH3_128bits_digest(hash_.get());
    return OutputRecord{.stdout_hash = fmt::format("xxh3:{:016x}{:016x}", value.high64, value.low64),
                        .stderr_hash = {},
                        .stdout_bytes = bytes_,
                        .stderr_bytes = 0,
                        .merged = true};
}

std::string TerminalRelay::take_unread() {
    std::string unread = hung_up_ ? "" : sys::take_unread_input(master_).value_or("");
    return unread + std::exchange(keys_, {});
}

// Programs that draw end with a sequence for the terminal.
bool TerminalRelay::line_open() const {
    return !tail_.empty() && tail_.back() != '\n' && !tail_.contains('\x1b');
}

bool show_pending_output(int master) {
    std::array<char, kReadSize> buffer;
    for (;;) {
        const auto n = sys::read_some(master, buffer);
        if (!n) return n.error().os_errno() == EAGAIN;
        if (*n == 0) return false;
        (void)sys::write_all(STDOUT_FILENO, {buffer.data(), *n});
    }
}

void copy_window_size(int master, int terminal) {
    winsize size{};
    if (::ioctl(terminal, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return;
    (void)sys::set_window_size(master, {size.ws_col, size.ws_row});
}

}  // namespace substrate::shell
