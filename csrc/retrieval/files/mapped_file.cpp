#include "retrieval/files/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "retrieval/errors.h"

namespace quire::retrieval {

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw std::system_error(errno, std::generic_category(), path);
  struct stat status;
  const bool is_known = ::fstat(file, &status) == 0;
  size_ = is_known ? static_cast<size_t>(status.st_size) : 0;
  void* data = size_ > 0 ? ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0) : MAP_FAILED;
  const int error = errno;
  ::close(file);
  if (is_known && size_ == 0) throw CorruptIndex(path + " is empty");
  if (data == MAP_FAILED) throw std::system_error(error, std::generic_category(), path);
  data_ = static_cast<uint8_t*>(data);
}

void MappedFile::will_read(uint64_t begin, uint64_t end) const {
  const auto page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  begin -= begin % page;
  ::madvise(data_ + begin, end - begin, MADV_WILLNEED);
}

MappedFile::~MappedFile() { ::munmap(data_, size_); }

}  // namespace quire::retrieval
