#pragma once

#include <cerrno>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace substrate {

// What kind of failure this is. model/exit_codes.hpp maps it to exit codes.
enum class Errc : std::uint8_t {
    invalid,      // bad usage, configuration or input
    not_found,    // the thing that was named does not exist
    denied,       // policy or permission says no
    conflict,     // the state that was relied on has changed
    unsupported,  // this machine lacks a prerequisite
    unavailable,  // a backend or peer does not answer
    safety,       // refused because it could do harm
    os,           // a system call failed; os_errno() says how
    internal,     // a defect in Substrate
};

std::string_view to_string(Errc code);

// One failure: its kind, the operation that failed, the errno if a system call
// did, what was being done (outermost first), and what the person can do.
class [[nodiscard]] Error {
  public:
    Error(Errc code, std::string what) : code_(code), what_(std::move(what)) {}

    // Reads errno before it builds the message.
    static Error last_os(std::string_view operation, std::string_view subject = {});
    static Error from_os(int os_errno, std::string what);

    // Adds what was being done: "mounting the project".
    Error&& during(std::string context) && {
        context_.push_back(std::move(context));
        return std::move(*this);
    }
    // Sets what to do next, shown after the message.
    Error&& hint(std::string advice) && {
        hint_ = std::move(advice);
        return std::move(*this);
    }
    Error&& as(Errc code) && {
        code_ = code;
        return std::move(*this);
    }

    Errc code() const { return code_; }
    int os_errno() const { return os_errno_; }
    const std::string& advice() const { return hint_; }
    // "outer: inner: what: strerror", without the advice.
    std::string message() const;
    // message() and, in parentheses, the advice.
    std::string describe() const;

  private:
    Errc code_;
    int os_errno_ = 0;
    std::string what_;
    std::string hint_;
    std::vector<std::string> context_;
};

// A class and not an alias: libstdc++ 12 does not mark std::expected
// [[nodiscard]], so a dropped alias would compile without a warning.
template <class T = void>
class [[nodiscard]] Result : public std::expected<T, Error> {
  public:
    using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(Error error) { return std::unexpected(std::move(error)); }

#define SUB_CAT2_(a, b) a##b
#define SUB_CAT_(a, b) SUB_CAT2_(a, b)
// Evaluates a Result; returns its error from the enclosing function.
#define SUB_TRY(expr)                                              \
    do {                                                           \
        if (auto sub_r_ = (expr); !sub_r_) [[unlikely]]            \
            return ::std::unexpected(::std::move(sub_r_).error()); \
    } while (0)
// The same, and binds the value: SUB_TRY_ASSIGN(auto fd, open(...));
#define SUB_TRY_ASSIGN(decl, expr) SUB_TRY_ASSIGN_(SUB_CAT_(sub_r_, __LINE__), decl, expr)
#define SUB_TRY_ASSIGN_(tmp, decl, expr)                    \
    auto tmp = (expr);                                      \
    if (!tmp) [[unlikely]]                                  \
        return ::std::unexpected(::std::move(tmp).error()); \
    decl = *::std::move(tmp)
// Both with what was being done added to the error.
#define SUB_TRY_ASSIGN_DURING(decl, expr, context) \
    SUB_TRY_ASSIGN_DURING_(SUB_CAT_(sub_r_, __LINE__), decl, expr, context)
#define SUB_TRY_ASSIGN_DURING_(tmp, decl, expr, context)                    \
    auto tmp = (expr);                                                      \
    if (!tmp) [[unlikely]]                                                  \
        return ::std::unexpected(::std::move(tmp).error().during(context)); \
    decl = *::std::move(tmp)
#define SUB_TRY_DURING(expr, context)                                              \
    do {                                                                           \
        if (auto sub_r_ = (expr); !sub_r_) [[unlikely]]                            \
            return ::std::unexpected(::std::move(sub_r_).error().during(context)); \
    } while (0)

}  // namespace substrate
