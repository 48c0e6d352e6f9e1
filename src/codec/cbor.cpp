// nlohmann-json reads CBOR too, but recurses without bound on nested
// indefinite-length strings, and these bytes come from a socket.
#include "codec/cbor.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "base/text.hpp"

namespace substrate {
namespace {

enum Major : std::uint8_t { kUnsigned, kNegative, kBytes, kText, kArray, kMap, kTag, kSimple };

constexpr std::uint8_t kFalse = 20, kTrue = 21, kNull = 22, kHalf = 25, kSingle = 26, kDouble = 27;

void put_big_endian(std::string& out, std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>((value >> (8 * i)) & 0xff);
}

void put_head(std::string& out, Major major, std::uint64_t value) {
    const auto first = [&](std::uint64_t info) {
        out += static_cast<char>(static_cast<unsigned>(major) << 5 | static_cast<unsigned>(info));
    };
    if (value < 24) return first(value);
    const int log2 = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;
    first(24u + static_cast<unsigned>(log2));
    put_big_endian(out, value, 1 << log2);
}

void put_string(std::string& out, std::string_view text) {
    put_head(out, is_utf8(text) ? kText : kBytes, text.size());
    out += text;
}

void put_simple(std::string& out, std::uint8_t value) { out += static_cast<char>(kSimple << 5 | value); }

void put_value(std::string& out, const Json& value) {
    switch (value.type()) {
        case Json::value_t::object:
            put_head(out, kMap, value.size());
            for (const auto& [key, member] : value.items()) {
                put_string(out, key);
                put_value(out, member);
            }
            break;
        case Json::value_t::array:
            put_head(out, kArray, value.size());
            for (const Json& item : value) put_value(out, item);
            break;
        case Json::value_t::string: put_string(out, value.get_ref<const std::string&>()); break;
        case Json::value_t::boolean: put_simple(out, value.get<bool>() ? kTrue : kFalse); break;
        case Json::value_t::number_unsigned: put_head(out, kUnsigned, value.get<std::uint64_t>()); break;
        case Json::value_t::number_integer: {
            const auto number = value.get<std::int64_t>();
            if (number >= 0) put_head(out, kUnsigned, static_cast<std::uint64_t>(number));
            else put_head(out, kNegative, ~static_cast<std::uint64_t>(number));
            break;
        }
        case Json::value_t::number_float:
            put_simple(out, kDouble);
            put_big_endian(out, std::bit_cast<std::uint64_t>(value.get<double>()), 8);
            break;
        case Json::value_t::binary: {
            const auto& raw = value.get_binary();
            put_head(out, kBytes, raw.size());
            out.append(raw.begin(), raw.end());
            break;
        }
        case Json::value_t::null:
        case Json::value_t::discarded: put_simple(out, kNull); break;
    }
}

double half_to_double(std::uint64_t half) {
    // RFC 8949, appendix D.
    const int exponent = static_cast<int>(half >> 10) & 0x1f;
    const auto mantissa = static_cast<double>(half & 0x3ff);
    const double value = exponent == 0    ? std::ldexp(mantissa, -24)
                         : exponent != 31 ? std::ldexp(mantissa + 1024, exponent - 25)
                         : mantissa == 0  ? HUGE_VAL
                                          : std::nan("");
    return (half & 0x8000) != 0 ? -value : value;
}

class Decoder {
  public:
    Decoder(std::string_view bytes, unsigned max_depth) : bytes_(bytes), max_depth_(max_depth) {}

    Result<Json> whole() {
        SUB_TRY_ASSIGN(Json result, value(0));
        if (at_ != bytes_.size()) return refuse("bytes after the value");
        return result;
    }

  private:
    struct Head {
        Major major;
        std::uint8_t info;
        std::uint64_t value;
    };

    std::unexpected<Error> refuse(std::string_view what) const {
        return fail({Errc::invalid, "CBOR: " + std::string(what) + " at byte " + std::to_string(at_)});
    }
    std::size_t left() const { return bytes_.size() - at_; }

    Result<Head> head() {
        if (left() == 0) return refuse("the end");
        const auto first = static_cast<unsigned char>(bytes_[at_]);
        const auto info = static_cast<std::uint8_t>(first & 0x1f);
        Head result{static_cast<Major>(first >> 5), info, info};
        if (info > 27) return refuse("an indefinite or reserved length");
        const std::size_t extra = info < 24 ? 0 : std::size_t{1} << (info - 24);
        if (left() - 1 < extra) return refuse("the end");
        ++at_;
        if (extra > 0) result.value = 0;
        for (std::size_t i = 0; i < extra; ++i)
            result.value = result.value << 8 | static_cast<unsigned char>(bytes_[at_++]);
        return result;
    }

    Result<std::string> string(const Head& head) {
        if (head.value > left()) return refuse("a string longer than the input");
        const std::string_view text = bytes_.substr(at_, static_cast<std::size_t>(head.value));
        if (head.major == kText && !is_utf8(text)) return refuse("text that is not UTF-8");
        at_ += text.size();
        return std::string(text);
    }

    Result<Json> simple(const Head& head) {
        switch (head.info) {
            case kFalse: return Json(false);
            case kTrue: return Json(true);
            case kNull: return Json();
            case kHalf: return Json(half_to_double(head.value));
            case kSingle:
                return Json(
                    static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(head.value))));
            case kDouble: return Json(std::bit_cast<double>(head.value));
            default: return refuse("an unknown simple value");
        }
    }

    Result<Json> array(std::uint64_t count, unsigned depth) {
        if (count > left()) return refuse("an array longer than the input");
        Json result = Json::array();
        for (std::uint64_t i = 0; i < count; ++i) {
            SUB_TRY_ASSIGN(Json item, value(depth + 1));
            result.push_back(std::move(item));
        }
        return result;
    }

    Result<Json> map(std::uint64_t count, unsigned depth) {
        if (count > left() / 2) return refuse("a map longer than the input");
        Json result = Json::object();
        for (std::uint64_t i = 0; i < count; ++i) {
            SUB_TRY_ASSIGN(const Head key_head, head());
            if (key_head.major != kText && key_head.major != kBytes) return refuse("a key that is not text");
            SUB_TRY_ASSIGN(std::string key, string(key_head));
            SUB_TRY_ASSIGN(Json member, value(depth + 1));
            if (!result.emplace(std::move(key), std::move(member)).second)
                return refuse("a key that came before");
        }
        return result;
    }

    // Recursion is bounded by max_depth_.
    Result<Json> value(unsigned depth) {
        SUB_TRY_ASSIGN(const Head item, head());
        if ((item.major == kArray || item.major == kMap) && depth >= max_depth_)
            return refuse("too deep a nesting");
        switch (item.major) {
            case kUnsigned: return Json(item.value);
            case kNegative:
                if (item.value > static_cast<std::uint64_t>(INT64_MAX))
                    return refuse("a number out of range");
                return Json(static_cast<std::int64_t>(~item.value));
            case kBytes:
            case kText: {
                SUB_TRY_ASSIGN(std::string text, string(item));
                return Json(std::move(text));
            }
            case kArray: return array(item.value, depth);
            case kMap: return map(item.value, depth);
            case kTag: return refuse("a tag");
            case kSimple: break;
        }
        return simple(item);
    }

    std::string_view bytes_;
    std::size_t at_ = 0;
    unsigned max_depth_;
};

}  // namespace

std::string to_cbor(const Json& value) {
    std::string out;
    put_value(out, value);
    return out;
}

Result<Json> from_cbor(std::string_view bytes, const CborLimits& limits) {
    if (bytes.size() > limits.max_bytes)
        return fail({Errc::invalid, "CBOR of more than " + std::to_string(limits.max_bytes) + " bytes"});
    return Decoder(bytes, limits.max_depth).whole();
}

}  // namespace substrate
