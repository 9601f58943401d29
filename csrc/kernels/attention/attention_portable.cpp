#include "kernels/attention/attention.inl.h"
#include "kernels/simd/simd.h"

namespace quire {

template void attend_tile<Isa::kPortable>(const PagedAttention&, const AttentionPlan&, const AttentionTile&, int64_t,
                                          PartialRow*, float*, std::byte*);
template void merge_partials<Isa::kPortable>(const PagedAttention&, const AttentionPlan&, int64_t, int64_t,
                                             const PartialRow*, const float*);

}  // namespace quire
