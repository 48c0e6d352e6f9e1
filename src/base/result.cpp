#include "base/result.hpp"

#include <cstring>

namespace substrate {

std::string_view to_string(Errc code) {
    switch (code) {
        case Errc::invalid: return "invalid";
        case Errc::not_found: return "not_found";
        case Errc::denied: return "denied";
        case Errc::conflict: return "conflict";
        case Errc::unsupported: return "unsupported";
        case Errc::unavailable: return "unavailable";
        case Errc::safety: return "safety";
        case Errc::os: return "os";
        case Errc::internal: return "internal";
    }
    return "internal";
}

Error Error::last_os(std::string_view operation, std::string_view subject) {
    const int saved = errno;
    std::string what(operation);
    if (!subject.empty()) {
        what += " '";
        what += subject;
        what += '\'';
    }
    return from_os(saved, std::move(what));
}

Error Error::from_os(int os_errno, std::string what) {
    Error error(Errc::os, std::move(what));
    error.os_errno_ = os_errno;
    return error;
}

std::string Error::message() const {
    std::string text;
    for (auto it = context_.rbegin(); it != context_.rend(); ++it) {
        text += *it;
        text += ": ";
    }
    text += what_;
    if (os_errno_ != 0) {
        text += ": ";
        const char* description = ::strerrordesc_np(os_errno_);
        text += description != nullptr ? description : "error " + std::to_string(os_errno_);
    }
    return text;
}

std::string Error::describe() const { return hint_.empty() ? message() : message() + " (" + hint_ + ")"; }

}  // namespace substrate
