// quire._native: one function per room, each in the file of its name, so that a change to one binding rebuilds one
// file.

#include "bindings/rooms.h"

NB_MODULE(_native, m) {
  m.doc() =
      "Native core of Quire. Use the faces in quire.kernels, quire.cache, quire.scheduling; this is their other side.";
  quire::bind_cpu_features(m);
  quire::bind_kernels(m);
  quire::bind_encoder_kernels(m);
  quire::bind_scheduling(m);
  quire::bind_retrieval(m);
  quire::bind_cache(m);
}
