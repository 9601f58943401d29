#include "cpu_features.h"

#include <nanobind/stl/string.h>

#include "bindings/rooms.h"

namespace nb = nanobind;
using namespace nb::literals;

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
        d["sha_ni"] = f.sha_ni;
        return d;
      },
      nb::sig("def cpu_features() -> dict[str, bool]"), "Instruction sets of this processor that the kernels know.");
  m.def("isa", [] { return isa_name(isa()); }, "The kernel family in use: 'avx512', 'avx2' or 'portable'.");
  m.def(
      "set_isa",
      [](const std::string& name) {
        for (Isa wanted : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512})
          if (name == isa_name(wanted)) return set_isa(wanted);
        throw nb::value_error(("isa is '" + name + "'; allowed: 'portable', 'avx2', 'avx512'.").c_str());
      },
      "name"_a, "Takes a family of kernels for tests; False, and no change, where this machine lacks it.");
}

}  // namespace quire
