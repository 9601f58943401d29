// Linear layers for one instruction set.

#include "kernels/linear/linear.inl.h"
#include "kernels/linear/linear_dot_avx512.h"
#include "kernels/linear/linear_int4.inl.h"
#include "kernels/linear/linear_int8.inl.h"
#include "kernels/simd/panel_avx512.h"

namespace quire {

template int64_t linear_row_bytes<Isa::kAvx512>(DType, int64_t);
template void pack_linear_rows<Isa::kAvx512>(const Linear&, std::byte*, int64_t, int64_t);
template void linear_block<Isa::kAvx512>(const Linear&, const std::byte*, int64_t, int64_t, int64_t, int64_t);
template void quantize_rows<Isa::kAvx512>(const void*, DType, int64_t, int64_t, int64_t, const QuantizedRows&);
template void pack_int8_panel<Isa::kAvx512>(const PackInt8&, int64_t, std::byte*);
template void linear_int8_panels<Isa::kAvx512>(const LinearInt8&, const QuantizedRows&, int64_t, int64_t);
template void pack_int4_panel<Isa::kAvx512>(const PackInt4&, int64_t);
template void linear_int4_panels<Isa::kAvx512>(const LinearInt4&, const QuantizedRows&, int64_t, int64_t);

}  // namespace quire
