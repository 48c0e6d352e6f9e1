// Stands in for a program: adds its base name and arguments to /tmp/record, each
// ended by a NUL, the whole by another, and does nothing else.
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <string_view>

int main(int count, char** arguments) {
    std::string record;
    for (int i = 0; i < count; ++i) {
        std::string_view word = arguments[i];
        if (i == 0) word = word.substr(word.rfind('/') + 1);
        record.append(word).push_back('\0');
    }
    record += std::string_view("\n\0", 2);
    const int file = open("/tmp/record", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    const bool written =
        file >= 0 && write(file, record.data(), record.size()) == static_cast<ssize_t>(record.size());
    return written ? 0 : 1;
}
