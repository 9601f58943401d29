// The row-wise kernels for one instruction set.

#include "kernels/activation.inl.h"
#include "kernels/kv_store.inl.h"
#include "kernels/norm.inl.h"
#include "kernels/qkv.inl.h"
#include "kernels/rope.inl.h"
#include "kernels/sampling.inl.h"
#include "kernels/simd.h"

namespace quire {

template void rms_norm_rows<Isa::kPortable>(const RmsNorm&, int64_t, int64_t);
template void rope_tokens<Isa::kPortable>(const Rope&, int64_t, int64_t);
template void store_kv_tokens<Isa::kPortable>(const StoreKv&, int64_t, int64_t);
template void prepare_qkv_tokens<Isa::kPortable>(const PrepareQkv&, int64_t, int64_t);
template void silu_mul_rows<Isa::kPortable>(const SiluMul&, int64_t, int64_t);
template void weigh_blocks<Isa::kPortable>(float*, int64_t, float, float, float*, float*);

}  // namespace quire
