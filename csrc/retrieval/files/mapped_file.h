// A file mapped into memory, privately: writing to the pages changes this process's copy, never the file.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace quire::retrieval {

class MappedFile {
 public:
  // Throws CorruptIndex where the file is empty, std::system_error where it cannot be opened.
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  const std::string& path() const { return path_; }
  // Bytes [begin, end) are read soon: the system may fetch them at once instead of page by page.
  void will_read(uint64_t begin, uint64_t end) const;

 private:
  std::string path_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace quire::retrieval
