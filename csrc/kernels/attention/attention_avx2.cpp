#include "kernels/attention/attention.inl.h"
#include "kernels/attention/attention_pack_avx2.h"

namespace quire {

template void attend_tile<Isa::kAvx2>(const PagedAttention&, const AttentionPlan&, const AttentionTile&, int64_t,
                                      PartialRow*, float*, std::byte*);
template void merge_partials<Isa::kAvx2>(const PagedAttention&, const AttentionPlan&, int64_t, int64_t,
                                         const PartialRow*, const float*);

}  // namespace quire
