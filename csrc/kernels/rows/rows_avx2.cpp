// The row-wise kernels for one instruction set.

#include "kernels/attention/kv_store.inl.h"
#include "kernels/rows/activation.inl.h"
#include "kernels/rows/norm.inl.h"
#include "kernels/rows/qkv.inl.h"
#include "kernels/rows/rope.inl.h"
#include "kernels/sampling/sampling.inl.h"
#include "kernels/simd/simd_avx2.h"

namespace quire {

template void rms_norm_rows<Isa::kAvx2>(const RmsNorm&, int64_t, int64_t);
template void rope_tokens<Isa::kAvx2>(const Rope&, int64_t, int64_t);
template void store_kv_tokens<Isa::kAvx2>(const StoreKv&, int64_t, int64_t);
template void prepare_qkv_tokens<Isa::kAvx2>(const PrepareQkv&, int64_t, int64_t);
template void silu_mul_rows<Isa::kAvx2>(const SiluMul&, int64_t, int64_t);
template void weigh_blocks<Isa::kAvx2>(float*, int64_t, float, float, float*, float*);

}  // namespace quire
