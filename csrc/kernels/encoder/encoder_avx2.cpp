// The kernels of encoders for one instruction set.

#include "kernels/encoder/encoder_attention.inl.h"
#include "kernels/encoder/layer_norm.inl.h"
#include "kernels/encoder/linear_packed.inl.h"
#include "kernels/encoder/nonlinearity.inl.h"
#include "kernels/simd/simd_avx2.h"

namespace quire {

template void apply_nonlinearity_range<Isa::kAvx2>(const ApplyNonlinearity&, int64_t, int64_t);
template void attend_sequence<Isa::kAvx2>(const EncoderAttention&, int64_t, int64_t, std::byte*);
template void layer_norm_rows<Isa::kAvx2>(const LayerNorm&, int64_t, int64_t, float*);
template int64_t packed_band_bytes<Isa::kAvx2>(const PackedShape&);
template int64_t packed_rows_bytes<Isa::kAvx2>(const PackedShape&, int64_t);
template void pack_linear_band<Isa::kAvx2>(const PackedShape&, const void*, std::byte*, int64_t);
template void linear_packed_band<Isa::kAvx2>(const LinearPacked&, int64_t, int64_t, int64_t, std::byte*);

}  // namespace quire
