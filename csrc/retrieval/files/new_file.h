// A file being written beside its target: synced and renamed when it is whole, removed when it is not, so that the
// target is the old file or the new one at every moment. The directory is synced too. Throws std::system_error.

#pragma once

#include <cstdint>
#include <string>

namespace quire::retrieval {

class NewFile {
 public:
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  void write(const void* data, uint64_t num_bytes, uint64_t offset);
  // Gives the file `size` bytes and its name.
  void commit(uint64_t size);

 private:
  void sync_directory() const;

  std::string target_, path_;
  int file_ = -1;
};

}  // namespace quire::retrieval
