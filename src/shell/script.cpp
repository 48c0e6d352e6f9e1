#include "shell/script.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/text.hpp"
#include "sys/file.hpp"

namespace substrate::shell {
namespace {

// "#!/usr/bin/env bash" and the like; a text without such a line is the shell's.
bool is_for_a_shell(std::string_view text) {
    if (!text.starts_with("#!")) return true;
    std::string_view line = text.substr(2, text.find('\n') - 2);
    const auto next = [&line] {
        const auto begin = std::min(line.find_first_not_of(" \t\r"), line.size());
        const auto end = std::min(line.find_first_of(" \t\r", begin), line.size());
        std::string_view word = line.substr(begin, end - begin);
        line.remove_prefix(end);
        return word.substr(word.rfind('/') + 1);
    };
    std::string_view program = next();
    if (program == "env") do
            program = next();
        while (program.starts_with('-') || program.contains('='));
    return program.ends_with("sh") && program != "fish" && program != "csh" && program != "tcsh";
}

}  // namespace

Result<std::string> read_script(int fd, const std::string& name) {
    auto text = sys::read_to_end(fd, kMaxScript);
    if (!text && text.error().code() == Errc::invalid)
        return fail(
            Error(Errc::invalid, printable(name) + " is longer than 128 KiB and cannot be judged whole")
                .hint("substrate -- bash FILE judges the file's name only"));
    if (!text) return fail(std::move(text).error().during("reading " + printable(name)));
    if (text->contains('\0'))
        return fail({Errc::invalid, printable(name) + " holds a NUL byte: it is no script"});
    if (!is_for_a_shell(*text))
        return fail(Error(Errc::invalid, printable(name) + " is not for a shell, as its first line says")
                        .hint("substrate -- " + printable(name)));
    return text;
}

Result<std::string> read_script_file(const std::string& path) {
    const auto fd = sys::open_path(path, O_RDONLY | O_NOCTTY);
    if (!fd) return fail(Error(fd.error()).as(Errc::not_found).during("reading the script"));
    SUB_TRY_ASSIGN(const auto st, sys::stat_fd(fd->get()));
    if (S_ISDIR(st.stx_mode)) return fail({Errc::invalid, printable(path) + " is a directory"});
    return read_script(fd->get(), path);
}

}  // namespace substrate::shell
