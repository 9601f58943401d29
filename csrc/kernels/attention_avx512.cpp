#include "kernels/attention.inl.h"
#include "kernels/simd_avx512.h"

namespace quire {

template void attend_tile<Isa::kAvx512>(const PagedAttention&, const AttentionTile&, float*);

}  // namespace quire
