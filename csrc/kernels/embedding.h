// Rows of a table by their number: token ids to their vectors.

#pragma once

#include <cstddef>
#include <cstdint>

namespace quire {

struct Embedding {
  const int64_t* ids;      // [count]
  const std::byte* table;  // [rows], row_bytes apart
  std::byte* out;          // [count]
  int64_t count;
  int64_t rows;
  int64_t row_bytes;
};

// std::out_of_range, with nothing written, where an id is no row.
void embedding(const Embedding& args);

}  // namespace quire
