#include "shell/line_editor.hpp"

#include <fmt/format.h>
#include <histedit.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <cwchar>
#include <optional>

#include "base/text.hpp"
#include "sys/signals.hpp"

namespace substrate::shell {
namespace {

constexpr int kHistory = 2000;
constexpr std::size_t kShownCandidates = 200;

// What all words begin with.
std::string common_start(const std::vector<std::string>& words) {
    std::string start = words.front();
    for (const std::string& word : words) {
        const auto differs = std::ranges::mismatch(start, word);
        start.erase(differs.in1, start.end());
    }
    // Not within a character.
    while (!start.empty() && !is_utf8(start)) start.pop_back();
    return start;
}

}  // namespace

struct LineEditor::Parts {
    EditLine* edit = nullptr;
    History* history = nullptr;
    FILE* shown = nullptr;
    int signals = -1;
    std::string prompt;
    std::string ahead;         // typed before the line was asked for
    std::optional<End> ended;  // why no more characters come
    std::function<Completion(std::string_view)> complete;
    int watched = -1;
    std::function<bool()> show;
    std::function<void()> resized;

    ~Parts() {
        if (edit != nullptr) ::el_end(edit);
        if (history != nullptr) ::history_end(history);
    }
    static Parts& of(EditLine* edit) {
        void* data = nullptr;
        (void)::el_get(edit, EL_CLIENTDATA, &data);
        return *static_cast<Parts*>(data);
    }

    static char* give_prompt(EditLine* edit) { return of(edit).prompt.data(); }
    static int give_character(EditLine* edit, wchar_t* character) {
        return of(edit).next_character(character);
    }
    static unsigned char give_completion(EditLine* edit, int) { return of(edit).complete_word(); }

    // False: there will be none.
    bool await_byte() {
        for (;;) {
            std::array<pollfd, 3> polled = {pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{signals, POLLIN, 0},
                                            pollfd{watched, POLLIN, 0}};
            if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return false;
            if (polled[1].revents != 0 && !take_signals()) return false;
            if (polled[2].revents != 0) show_watched();
            if (polled[0].revents != 0) return true;
        }
    }
    bool take_signals() {
        while (const auto signal = sys::read_signal(signals).value_or(std::nullopt)) {
            if (*signal == SIGWINCH) {
                ::el_resize(edit);
                if (resized) resized();
            } else {
                ended = *signal == SIGINT ? End::interrupted : End::signalled;
                return false;
            }
        }
        return true;
    }
    void show_watched() {
        (void)std::fputs("\r\033[J", shown);
        (void)std::fflush(shown);
        if (!show || !show()) watched = -1;
        (void)::el_set(edit, EL_REFRESH);
    }
    int next_character(wchar_t* character) {
        std::mbstate_t state{};
        for (;;) {
            char byte = 0;
            ::ssize_t n = 1;
            if (!ahead.empty()) {
                byte = ahead.front();
                ahead.erase(0, 1);
            } else if (await_byte()) {
                n = ::read(STDIN_FILENO, &byte, 1);
            } else {
                if (!ended) ended = End::closed;
                return -1;
            }
            if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (n <= 0) {
                ended = End::closed;
                return -1;
            }
            const std::size_t size = std::mbrtowc(character, &byte, 1, &state);
            if (size == static_cast<std::size_t>(-2)) continue;  // more of it is to come
            if (size == static_cast<std::size_t>(-1)) {
                state = {};
                continue;
            }
            return 1;
        }
    }

    unsigned char complete_word() {
        if (!complete) return CC_REFRESH_BEEP;
        const LineInfo* line = ::el_line(edit);
        const std::string_view before(line->buffer, static_cast<std::size_t>(line->cursor - line->buffer));
        const Completion found = complete(before);
        if (found.words.empty() || found.replaced > before.size()) return CC_REFRESH_BEEP;
        const std::string_view typed = before.substr(before.size() - found.replaced);
        const std::string start = common_start(found.words);
        const bool only = found.words.size() == 1;
        if (start != typed && (only || start.starts_with(typed))) {
            // Characters, not bytes.
            std::size_t characters = 0;
            for (const char c : typed) characters += (static_cast<unsigned char>(c) & 0xc0) != 0x80 ? 1 : 0;
            ::el_deletestr(edit, static_cast<int>(characters));
            const bool open = start.ends_with('/');
            return ::el_insertstr(edit, (start + (only && !open ? " " : "")).c_str()) == 0 ? CC_REFRESH
                                                                                           : CC_REFRESH_BEEP;
        }
        if (only) return ::el_insertstr(edit, start.ends_with('/') ? "" : " ") == 0 ? CC_REFRESH : CC_NORM;
        (void)std::fputc('\n', shown);
        for (std::size_t i = 0; i < std::min(found.words.size(), kShownCandidates); ++i)
            (void)std::fputs((printable(found.words[i]) + "\n").c_str(), shown);
        if (found.words.size() > kShownCandidates)
            (void)std::fputs(fmt::format("and {} more\n", found.words.size() - kShownCandidates).c_str(),
                             shown);
        return CC_REDISPLAY;
    }
};

LineEditor::LineEditor(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
LineEditor::~LineEditor() = default;

Result<std::unique_ptr<LineEditor>> LineEditor::make(int signals) {
    // libedit counts characters by the locale; what people type is UTF-8 nearly always.
    (void)std::setlocale(LC_CTYPE, "");
    if (MB_CUR_MAX == 1) (void)std::setlocale(LC_CTYPE, "C.UTF-8");
    auto parts = std::make_unique<Parts>();
    parts->signals = signals;
    parts->shown = ::isatty(STDOUT_FILENO) == 1 ? stdout : stderr;
    parts->edit = ::el_init("substrate", stdin, parts->shown, stderr);
    parts->history = ::history_init();
    if (parts->edit == nullptr || parts->history == nullptr)
        return fail({Errc::unavailable, "the terminal cannot be prepared for editing lines"});
    EditLine* edit = parts->edit;
    HistEvent event{};
    (void)::history(parts->history, &event, H_SETSIZE, kHistory);
    (void)::history(parts->history, &event, H_SETUNIQUE, 1);
    (void)::el_set(edit, EL_CLIENTDATA, parts.get());
    (void)::el_set(edit, EL_EDITOR, "emacs");
    (void)::el_set(edit, EL_SIGNAL, 0);
    (void)::el_set(edit, EL_HIST, ::history, parts->history);
    (void)::el_set(edit, EL_PROMPT_ESC, &Parts::give_prompt, '\1');
    (void)::el_set(edit, EL_GETCFN, &Parts::give_character);
    (void)::el_set(edit, EL_ADDFN, "complete", "Complete the word before the cursor",
                   &Parts::give_completion);
    constexpr std::array<std::array<const char*, 2>, 11> kKeys = {{{"^I", "complete"},
                                                                   {"^R", "em-inc-search-prev"},
                                                                   {"^W", "ed-delete-prev-word"},
                                                                   {"^U", "vi-kill-line-prev"},
                                                                   {"\\e[A", "ed-search-prev-history"},
                                                                   {"\\e[B", "ed-search-next-history"},
                                                                   {"\\eOA", "ed-search-prev-history"},
                                                                   {"\\eOB", "ed-search-next-history"},
                                                                   {"\\e[3~", "ed-delete-next-char"},
                                                                   {"\\e[1;5C", "em-next-word"},
                                                                   {"\\e[1;5D", "ed-prev-word"}}};
    for (const auto& [key, function] : kKeys) (void)::el_set(edit, EL_BIND, key, function, nullptr);
    (void)::el_source(edit, nullptr);
    return std::unique_ptr<LineEditor>(new LineEditor(std::move(parts)));
}

LineEditor::Read LineEditor::read(const std::string& prompt) {
    parts_->prompt = prompt;
    parts_->ended.reset();
    int length = 0;
    const char* text = ::el_gets(parts_->edit, &length);
    if (text == nullptr || length <= 0) {
        const End end = parts_->ended.value_or(End::closed);
        if (end == End::interrupted) parts_->ahead.clear();
        (void)std::fputs(end == End::interrupted ? "^C\n" : "\n", parts_->shown);
        (void)std::fflush(parts_->shown);
        return {end, {}};
    }
    std::string line(text, static_cast<std::size_t>(length));
    while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
    return {End::line, std::move(line)};
}

void LineEditor::type_ahead(const std::string& keys) { parts_->ahead += keys; }

void LineEditor::remember(const std::string& line) {
    HistEvent event{};
    (void)::history(parts_->history, &event, H_ENTER, line.c_str());
}

void LineEditor::complete_by(std::function<Completion(std::string_view)> complete) {
    parts_->complete = std::move(complete);
}

void LineEditor::watch(int fd, std::function<bool()> show) {
    parts_->watched = fd;
    parts_->show = std::move(show);
}

void LineEditor::on_resize(std::function<void()> resized) { parts_->resized = std::move(resized); }

}  // namespace substrate::shell
