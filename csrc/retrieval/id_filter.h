// Which ids may be found: `bitmap[id]` for ids below its size, or a list of ids; kAll: every one.

#pragma once

#include <cstdint>
#include <span>

namespace quire::retrieval {

struct IdFilter {
  enum class Kind { kAll, kBitmap, kIds };

  std::span<const uint8_t> bitmap;
  std::span<const int64_t> ids;
  Kind kind = Kind::kAll;
};

}  // namespace quire::retrieval
