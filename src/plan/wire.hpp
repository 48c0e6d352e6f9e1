#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace substrate::plan {

// Flat little-endian binary: fixed-width integers, u32-length strings and
// lists. Both ends are the same build of Substrate on one machine.
class WireWriter {
  public:
    template <class T>
        requires std::is_integral_v<T> || std::is_enum_v<T>
    void put(T value) {
        char raw[sizeof(T)];
        std::memcpy(raw, &value, sizeof raw);
        bytes_.append(raw, sizeof raw);
    }
    void put(std::string_view text) {
        put(static_cast<std::uint32_t>(text.size()));
        bytes_.append(text);
    }
    template <class T, class F>
    void put_list(const std::vector<T>& items, F&& put_item) {
        put(static_cast<std::uint32_t>(items.size()));
        for (const T& item : items) put_item(item);
    }
    void put_strings(const std::vector<std::string>& items) {
        put_list(items, [this](const std::string& item) { put(std::string_view(item)); });
    }
    std::string take() { return std::move(bytes_); }

  private:
    std::string bytes_;
};

// Reads what WireWriter wrote. The first mistake sticks: later reads give
// zeros and empty strings, and finish() reports it.
class WireReader {
  public:
    explicit WireReader(std::string_view bytes) : rest_(bytes) {}

    template <class T>
        requires std::is_integral_v<T> || std::is_enum_v<T>
    T get() {
        if constexpr (std::is_same_v<T, bool>) {
            const auto byte = get<std::uint8_t>();
            if (byte > 1) spoil();
            return byte == 1;
        } else {
            T value{};
            if (rest_.size() < sizeof value) {
                spoil();
                return value;
            }
            std::memcpy(&value, rest_.data(), sizeof value);
            rest_.remove_prefix(sizeof value);
            return value;
        }
    }
    // An enumerator up to and with `last`.
    template <class T>
    T get_enum(T last) {
        const T value = get<T>();
        if (value > last) {
            spoil();
            return T{};
        }
        return value;
    }
    std::string get_string() {
        const auto size = get<std::uint32_t>();
        if (rest_.size() < size) {
            spoil();
            return {};
        }
        std::string text(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return text;
    }
    template <class T, class F>
    std::vector<T> get_list(F&& get_item) {
        std::vector<T> items;
        // Every item takes at least one byte, so a lying count ends early.
        for (auto left = get<std::uint32_t>(); left > 0 && !spoiled_; --left) items.push_back(get_item());
        return items;
    }
    std::vector<std::string> get_strings() {
        return get_list<std::string>([this] { return get_string(); });
    }
    // What was read makes no sense: finish() will say so.
    void refuse() { spoiled_ = true; }
    // Errc::invalid when anything was missing, wrong, or left over.
    Result<> finish(std::string_view what) const {
        if (spoiled_ || !rest_.empty()) return fail({Errc::invalid, "malformed " + std::string(what)});
        return {};
    }
    bool spoiled() const { return spoiled_; }

  private:
    void spoil() {
        spoiled_ = true;
        rest_ = {};
    }
    std::string_view rest_;
    bool spoiled_ = false;
};

}  // namespace substrate::plan
