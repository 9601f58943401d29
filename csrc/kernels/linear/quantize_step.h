// What the int8 and int4 linear layers do around their panels: quantise the step's rows, deal panels to threads.

#pragma once

#include <algorithm>

#include "kernels/linear/quantized_rows.h"
#include "kernels/scratch.h"
#include "parallel.h"

namespace quire {

// All rows of a step, in the calling thread's scratch. Rows are padded to whole groups.
template <Isa I>
QuantizedRows quantize_step(const void* x, DType dtype, int64_t rows, int64_t inputs, int64_t group,
                            bool in_words = false) {
  constexpr int64_t kWorthAThread = 16384;  // elements
  const int64_t width = (inputs + group - 1) / group * group, groups = width / group;
  const int64_t q_bytes = (rows * width + 63) / 64 * 64;
  const int64_t words_bytes = in_words ? 2 * q_bytes : 0;
  std::byte* scratch = thread_scratch(q_bytes + words_bytes + rows * (1 + groups) * 4);
  float* scales = reinterpret_cast<float*>(scratch + q_bytes + words_bytes);
  const QuantizedRows to{reinterpret_cast<int8_t*>(scratch),
                         scales,
                         reinterpret_cast<int32_t*>(scales + rows),
                         width,
                         group,
                         in_words ? reinterpret_cast<int16_t*>(scratch + q_bytes) : nullptr};
  parallel_ranges(rows, kWorthAThread / width + 1,
                  [&](int64_t begin, int64_t end) { quantize_rows<I>(x, dtype, inputs, begin, end, to); });
  return to;
}

// body(begin, end) over runs of panels, several for each thread: a core that is held up leaves its share to the others.
template <class Body>
void for_panels(int64_t panels, int64_t panel_bytes, Body&& body) {
  constexpr int64_t kRunBytes = 256 << 10, kRunsPerThread = 4;
  const int64_t by_size = std::max<int64_t>(kRunBytes / std::max<int64_t>(panel_bytes, 1), 1);
  const int64_t by_threads = std::max<int64_t>(panels / (kRunsPerThread * max_threads()), 1);
  const int64_t run = std::min(by_size, by_threads);
  parallel_items((panels + run - 1) / run, [&](int64_t i) { body(i * run, std::min((i + 1) * run, panels)); });
}

}  // namespace quire
