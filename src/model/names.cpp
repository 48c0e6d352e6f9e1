// The words by which the model's enumerations appear in traces and on screen.
#include "model/exec.hpp"
#include "model/exit_codes.hpp"
#include "model/fs_diff.hpp"
#include "model/span.hpp"

namespace substrate {

const char* to_string(ChangeKind kind) {
    switch (kind) {
        case ChangeKind::create: return "create";
        case ChangeKind::modify: return "modify";
        case ChangeKind::remove: return "delete";
        case ChangeKind::type_change: return "type_change";
        case ChangeKind::rename: return "rename";
    }
    return "modify";
}

const char* to_string(FileType type) {
    switch (type) {
        case FileType::regular: return "file";
        case FileType::directory: return "directory";
        case FileType::symlink: return "symlink";
        case FileType::fifo: return "fifo";
        case FileType::socket: return "socket";
        case FileType::char_device: return "char_device";
        case FileType::block_device: return "block_device";
    }
    return "file";
}

const char* to_string(Outcome outcome) {
    switch (outcome) {
        case Outcome::ok: return "ok";
        case Outcome::failed: return "failed";
        case Outcome::denied: return "denied";
        case Outcome::would_deny: return "would_deny";
        case Outcome::timeout: return "timeout";
        case Outcome::killed: return "killed";
        case Outcome::budget: return "budget";
    }
    return "failed";
}

const char* to_string(CaptureStrategy strategy) {
    switch (strategy) {
        case CaptureStrategy::overlay: return "overlay";
        case CaptureStrategy::fuse: return "fuse";
        case CaptureStrategy::copy_diff: return "copy-diff";
        case CaptureStrategy::direct: return "direct";
    }
    return "direct";
}

const char* to_string(CommitMode mode) {
    switch (mode) {
        case CommitMode::automatic: return "auto";
        case CommitMode::ask: return "ask";
        case CommitMode::manual: return "manual";
        case CommitMode::discard: return "discard";
    }
    return "manual";
}

std::optional<CommitMode> parse_commit_mode(std::string_view text) {
    for (const auto mode : {CommitMode::automatic, CommitMode::ask, CommitMode::manual, CommitMode::discard})
        if (text == to_string(mode)) return mode;
    return std::nullopt;
}

const char* to_string(SeccompMode mode) {
    switch (mode) {
        case SeccompMode::enforce: return "enforce";
        case SeccompMode::log: return "log";
        case SeccompMode::off: return "off";
    }
    return "enforce";
}

std::optional<SeccompMode> parse_seccomp_mode(std::string_view text) {
    if (text == "true") return SeccompMode::enforce;
    if (text == "false") return SeccompMode::off;
    for (const auto mode : {SeccompMode::enforce, SeccompMode::log, SeccompMode::off})
        if (text == to_string(mode)) return mode;
    return std::nullopt;
}

std::optional<CaptureStrategy> parse_capture_strategy(std::string_view text) {
    for (const auto strategy : {CaptureStrategy::overlay, CaptureStrategy::fuse, CaptureStrategy::copy_diff,
                                CaptureStrategy::direct})
        if (text == to_string(strategy)) return strategy;
    return std::nullopt;
}

ExitCode exit_code_for(Errc code) {
    switch (code) {
        case Errc::invalid:
        case Errc::not_found: return ExitCode::usage;
        case Errc::denied: return ExitCode::denied;
        case Errc::conflict:
        case Errc::safety: return ExitCode::safety_refusal;
        case Errc::unsupported: return ExitCode::unsupported;
        case Errc::unavailable: return ExitCode::backend_unavailable;
        case Errc::os:
        case Errc::internal: return ExitCode::internal;
    }
    return ExitCode::internal;
}

}  // namespace substrate
