#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "base/result.hpp"
#include "model/scope_token.hpp"
#include "sys/unique_fd.hpp"

namespace substrate::supervisor {

// Overwrites a text that was a secret; not optimized away although nobody reads it any more.
void scrub(std::string& text);

// Makes and believes the scope tokens of one agent: nobody else has its key, and no token outlives the
// agent. Thread-safe.
class ScopeTokens {
  public:
    explicit ScopeTokens(const Env& env);

    // The largest text that is read as one.
    static constexpr std::size_t kMost = 16u << 10;

    // A token that is good as long as this lives. It must not outlive its ScopeTokens.
    class Live {
      public:
        Live(ScopeTokens& tokens, std::string span_id, std::string text)
            : tokens_(tokens), span_id_(std::move(span_id)), text_(std::move(text)) {}
        // The text is overwritten.
        ~Live();
        Live(const Live&) = delete;
        Live& operator=(const Live&) = delete;
        const std::string& text() const { return text_; }

      private:
        ScopeTokens& tokens_;
        std::string span_id_;
        std::string text_;
    };
    // Scopes that do not fit into kMost are left out. The member `mac` is ignored.
    std::unique_ptr<Live> issue(ScopeToken token);

    // What the text says, when it is a token of ours that is still good, of the command with this span. Else
    // Errc::denied: changed or not ours, of another command; Errc::unavailable: that command has ended, or it
    // has expired.
    Result<ScopeToken> verify(std::string_view text, std::string_view span_id) const;

  private:
    std::string mac_of(const ScopeToken& token) const;

    const Env& env_;
    std::string key_;
    mutable std::mutex mutex_;
    std::map<std::string, std::string, std::less<>> live_;  // the macs, by span
};

// The text as its command gets it: a sealed memory file, open for reading only.
Result<sys::UniqueFd> scope_token_file(const std::string& text);

}  // namespace substrate::supervisor
