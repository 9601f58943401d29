#include "cpu_features.h"

#include "bindings/rooms.h"

namespace nb = nanobind;

namespace quire {

void bind_cpu_features(nb::module_& m) {
  m.def(
      "cpu_features",
      [] {
        const CpuFeatures& f = cpu_features();
        nb::dict d;
        d["avx2"] = f.avx2;
        d["fma"] = f.fma;
        d["f16c"] = f.f16c;
        d["avx512"] = f.avx512;
        d["avx512_bf16"] = f.avx512_bf16;
        d["avx512_vnni"] = f.avx512_vnni;
        return d;
      },
      nb::sig("def cpu_features() -> dict[str, bool]"), "Instruction sets of this processor that the kernels know.");
  m.def(
      "isa", [] { return isa_name(isa()); }, "The kernel family in use: 'avx512', 'avx2' or 'portable'.");
}

}  // namespace quire
