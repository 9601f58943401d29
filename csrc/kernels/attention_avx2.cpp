#include "kernels/attention.inl.h"
#include "kernels/simd_avx2.h"

namespace quire {

template void attend_tile<Isa::kAvx2>(const PagedAttention&, const AttentionTile&, float*);

}  // namespace quire
