#include "kernels/encoder/encoder_attention.h"

#include <algorithm>

#include "kernels/attention/attention_plan.h"
#include "kernels/scratch.h"
#include "kernels/simd/panel.h"
#include "kernels/simd/simd.h"
#include "parallel.h"

namespace quire {

int64_t encoder_attention_bytes(int64_t length, int64_t head_dim) {
  constexpr int64_t kPieces = 5, kAlignment = 64, kTileRows = 6;
  const int64_t keys = (length + kKeyPanel - 1) / kKeyPanel * kKeyPanel;
  const int64_t width = (head_dim + kPanelColumns - 1) / kPanelColumns * kPanelColumns;
  const int64_t floats = keys * (head_dim + 1 + width) + kTileRows * (width + 2 * keys);
  return floats * static_cast<int64_t>(sizeof(float)) + kPieces * kAlignment;
}

void encoder_attention(const EncoderAttention& args) {
  with_isa([&](auto isa) {
    parallel_items(args.num_sequences * args.num_heads, [&](int64_t i) {
      const int64_t sequence = i / args.num_heads;
      const int64_t length = args.starts[sequence + 1] - args.starts[sequence];
      if (length <= 0) return;
      std::byte* scratch = thread_scratch(encoder_attention_bytes(length, args.head_dim));
      attend_sequence<isa()>(args, sequence, i % args.num_heads, scratch);
    });
  });
}

}  // namespace quire
