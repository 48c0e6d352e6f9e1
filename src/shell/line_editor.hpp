#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace substrate::shell {

// What could stand in place of the word before the cursor.
struct Completion {
    std::size_t replaced = 0;        // bytes before the cursor that a candidate takes the place of
    std::vector<std::string> words;  // whole, as they would stand in the line
};

// Asks for lines on a terminal, with editing, history and completion: libedit (editline(3)), with the
// person's
// ~/.editrc. For one thread, whose SIGINT, SIGWINCH, SIGTERM and SIGHUP are blocked and come by `signals`.
class LineEditor {
  public:
    enum class End : std::uint8_t {
        line,         // a whole one
        interrupted,  // Ctrl-C: what was typed is dropped
        closed,       // Ctrl-D on an empty line, or the terminal is gone
        signalled,    // SIGTERM or SIGHUP
    };
    struct Read {
        End end = End::line;
        std::string text;  // without its newline
    };

    // The terminal is standard input; what is shown goes to standard output where that is one too, else to
    // standard error. `signals` is a signalfd, the caller's.
    static Result<std::unique_ptr<LineEditor>> make(int signals);
    ~LineEditor();
    LineEditor(const LineEditor&) = delete;
    LineEditor& operator=(const LineEditor&) = delete;

    // `prompt` may hold escape sequences between characters \1.
    Read read(const std::string& prompt);
    // To be read before what the terminal gives.
    void type_ahead(const std::string& keys);
    void remember(const std::string& line);
    // Given what stands before the cursor.
    void complete_by(std::function<Completion(std::string_view before)> complete);
    // While a line is asked for: when `fd` (-1: nothing) becomes readable, the line is put aside, `show` is
    // called, and the line is drawn anew. False from `show`: it is watched no longer.
    void watch(int fd, std::function<bool()> show);
    void on_resize(std::function<void()> resized);

  private:
    struct Parts;
    explicit LineEditor(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace substrate::shell
