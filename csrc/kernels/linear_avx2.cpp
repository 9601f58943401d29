// Linear layers for one instruction set.

#include "kernels/linear.inl.h"
#include "kernels/linear_int4.inl.h"
#include "kernels/linear_int8.inl.h"
#include "kernels/panel_avx2.h"

namespace quire {

template void linear_outputs<Isa::kAvx2>(const Linear&, int64_t, int64_t, float*);
template void quantize_rows<Isa::kAvx2>(const void*, DType, int64_t, int64_t, int64_t, const QuantizedRows&);
template void pack_int8_panel<Isa::kAvx2>(const PackInt8&, int64_t, std::byte*);
template void linear_int8_panels<Isa::kAvx2>(const LinearInt8&, const QuantizedRows&, int64_t, int64_t);
template void pack_int4_panel<Isa::kAvx2>(const PackInt4&, int64_t);
template void linear_int4_panels<Isa::kAvx2>(const LinearInt4&, const QuantizedRows&, int64_t, int64_t);

}  // namespace quire
