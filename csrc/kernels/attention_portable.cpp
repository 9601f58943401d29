#include "kernels/attention.inl.h"
#include "kernels/simd.h"

namespace quire {

template void attend_tile<Isa::kPortable>(const PagedAttention&, const AttentionTile&, float*);

}  // namespace quire
