#include "start/request_frame.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

#include "base/id_form.hpp"
#include "model/control_protocol.hpp"
#include "plan/passed_variables.hpp"

namespace substrate::start {
namespace {

constexpr unsigned kMaxVariables = 256;

// RFC 8949, section 3.1.
enum Major : unsigned { kUnsigned = 0, kBytes = 2, kText = 3, kArray = 4, kMap = 5, kSimple = 7 };
constexpr unsigned kFalse = 20, kTrue = 21;

bool same(std::string_view a, std::string_view b) {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i] != b[i]) return false;
    return true;
}

// As substr(), which may throw.
std::string_view part(std::string_view text, std::size_t at, std::size_t size) {
    return {text.data() + at, size};
}

// As std::string orders.
bool before(std::string_view a, std::string_view b) {
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
        if (a[i] != b[i]) return static_cast<unsigned char>(a[i]) < static_cast<unsigned char>(b[i]);
    return a.size() < b.size();
}

std::string_view view(const char* text) {
    std::size_t size = 0;
    while (text[size] != '\0') ++size;
    return {text, size};
}

class Writer {
  public:
    explicit Writer(std::span<char> out) : out_(out) {}

    std::size_t size() const { return size_; }
    bool fits() const { return size_ <= out_.size(); }
    void byte(unsigned value) {
        if (size_ < out_.size()) out_[size_] = static_cast<char>(value);
        ++size_;
    }
    void head(Major major, std::uint64_t value) {
        const unsigned first = major << 5;
        if (value < 24) return byte(first | static_cast<unsigned>(value));
        const int log2 = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;
        byte(first | (24u + static_cast<unsigned>(log2)));
        for (int i = (1 << log2) - 1; i >= 0; --i) byte((value >> (8 * i)) & 0xff);
    }
    // Text is UTF-8, which ASCII is without looking further; both are read as one.
    void text(std::string_view value) {
        bool ascii = true;
        for (const char c : value) ascii = ascii && static_cast<unsigned char>(c) < 0x80;
        head(ascii ? kText : kBytes, value.size());
        for (const char c : value) byte(static_cast<unsigned char>(c));
    }
    void member(std::string_view key, std::string_view value) {
        text(key);
        text(value);
    }
    void member(std::string_view key, const char* value) { member(key, view(value)); }
    void member(std::string_view key, unsigned value) {
        text(key);
        head(kUnsigned, value);
    }
    void member(std::string_view key, bool value) {
        text(key);
        byte(kSimple << 5 | (value ? kTrue : kFalse));
    }

  private:
    std::span<char> out_;
    std::size_t size_ = 0;
};

// The process environment, parted: what enters the world, and what is only hashed.
class Environment {
  public:
    // False when it is out of the ordinary.
    bool read(const char* const* variables);
    void write(Writer& writer) const;
    // "xxh3:" and 32 hexadecimal digits, of what stays outside; `room` is scratch.
    bool write_hash(Writer& writer, std::span<char> room) const;

    std::string_view session, parent;
    std::string_view agent = "human";

  private:
    bool read_one(std::string_view variable);
    bool read_ours(std::string_view name, std::string_view value);

    // Not initialized: most of it is never touched.
    struct Passed {
        const char* name;
        std::size_t name_size, value_size;
    };
    struct Withheld {
        const char* text;
        std::size_t size;
    };
    Passed passed_[kMaxVariables];
    Withheld withheld_[kMaxVariables];
    unsigned passed_count_ = 0, withheld_count_ = 0;
};

bool Environment::read(const char* const* variables) {
    for (; *variables != nullptr; ++variables)
        if (!read_one(view(*variables))) return false;
    return true;
}

bool Environment::read_one(std::string_view variable) {
    std::size_t equals = 0;
    while (equals < variable.size() && variable[equals] != '=') ++equals;
    if (equals == variable.size()) return false;
    const std::string_view name = part(variable, 0, equals);
    if (!read_ours(name, part(variable, equals + 1, variable.size() - equals - 1))) return false;
    if (passed_count_ == kMaxVariables || withheld_count_ == kMaxVariables) return false;
    if (!plan::is_passed_variable(name)) {
        unsigned at = withheld_count_++;
        for (; at > 0 && before(variable, {withheld_[at - 1].text, withheld_[at - 1].size}); --at)
            withheld_[at] = withheld_[at - 1];
        withheld_[at] = {variable.begin(), variable.size()};
        return true;
    }
    for (unsigned i = 0; i < passed_count_; ++i)
        if (same({passed_[i].name, passed_[i].name_size}, name)) return false;
    passed_[passed_count_++] = {variable.begin(), equals, variable.size() - equals - 1};
    return true;
}

// Variables that say something of the request. Where one is not as it should be, the
// ordinary client decides what that means.
bool Environment::read_ours(std::string_view name, std::string_view value) {
    const auto take = [value](std::string_view& member, bool good) {
        if (!good || member.data() == value.data()) return false;
        member = value;
        return true;
    };
    if (same(name, "SUBSTRATE_SESSION_ID")) return session.empty() && take(session, is_id(value, "ses"));
    if (same(name, "SUBSTRATE_SPAN_ID")) return parent.empty() && take(parent, is_id(value, "spn"));
    // The ordinary client reads it.
    if (same(name, "TRACEPARENT")) return false;
    if (!same(name, "SUBSTRATE_AGENT_ID")) return true;
    bool plain = !value.empty() && value.size() <= 128;
    for (const char c : value) plain = plain && c >= ' ' && c <= '~';
    return same(agent, "human") && take(agent, plain);
}

void Environment::write(Writer& writer) const {
    writer.head(kMap, passed_count_);
    for (unsigned i = 0; i < passed_count_; ++i) {
        const Passed& variable = passed_[i];
        writer.text({variable.name, variable.name_size});
        writer.text({variable.name + variable.name_size + 1, variable.value_size});
    }
}

bool Environment::write_hash(Writer& writer, std::span<char> room) const {
    Writer all(room);
    for (unsigned i = 0; i < withheld_count_; ++i) {
        for (std::size_t at = 0; at < withheld_[i].size; ++at)
            all.byte(static_cast<unsigned char>(withheld_[i].text[at]));
        all.byte('\n');
    }
    if (!all.fits()) return false;
    const XXH128_hash_t hash = XXH3_128bits(room.data(), all.size());
    char text[5 + 32] = {'x', 'x', 'h', '3', ':'};
    for (unsigned i = 0; i < 32; ++i) {
        const unsigned digit = ((i < 16 ? hash.high64 : hash.low64) >> (60 - 4 * (i % 16))) & 15;
        text[5 + i] = static_cast<char>(digit < 10 ? '0' + digit : 'a' + digit - 10);
    }
    writer.text({text, sizeof text});
    return true;
}

}  // namespace

std::size_t write_request(const PlainRequest& request, std::span<char> out) {
    constexpr unsigned kHeader = 4;  // the frame's own length, little-endian
    constexpr unsigned kMembers = 21;
    Environment environment;
    if (out.size() < kHeader || !environment.read(request.environment)) return 0;
    Writer writer(out.subspan(kHeader));
    writer.head(kMap, kMembers);
    writer.member("type", message::kExec);
    writer.member("version", kProtocolVersion);
    writer.member("agent", request.agent_identity);
    writer.member("want_span", false);
    writer.member("cmd", request.line);
    writer.text("argv");
    writer.head(kArray, 0);
    writer.member("cwd", request.cwd);
    writer.text("env");
    environment.write(writer);
    writer.text("env_hash");
    if (!writer.fits() || !environment.write_hash(writer, out.subspan(kHeader + writer.size()))) return 0;
    writer.member("umask", request.umask);
    writer.member("shell", "/bin/bash");
    writer.member("login_shell", false);
    writer.member("ephemeral", request.ephemeral);
    writer.member("commit", "auto");
    writer.member("host_network", false);
    writer.member("timeout_ms", 0u);
    writer.member("session_id", environment.session);
    writer.member("parent_span", environment.parent);
    writer.member("agent_id", environment.agent);
    writer.member("as_of_ns", 0u);
    writer.member("observes_output", request.observes_output);
    if (!writer.fits()) return 0;
    for (unsigned i = 0; i < kHeader; ++i) out[i] = static_cast<char>((writer.size() >> (8 * i)) & 0xff);
    return kHeader + writer.size();
}

}  // namespace substrate::start
