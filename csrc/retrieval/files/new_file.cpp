#include "retrieval/files/new_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <system_error>

namespace quire::retrieval {
namespace {

// Of this file alone, whoever else writes to the same path meanwhile.
std::string temporary_name(const std::string& path) {
  static std::atomic<uint64_t> count{0};
  return path + ".new." + std::to_string(::getpid()) + "." + std::to_string(count.fetch_add(1));
}

[[noreturn]] void fail(const std::string& path) { throw std::system_error(errno, std::generic_category(), path); }

}  // namespace

NewFile::NewFile(const std::string& path) : target_(path), path_(temporary_name(path)) {
  file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) fail(path_);
}

NewFile::~NewFile() {
  if (file_ < 0) return;
  ::close(file_);
  ::unlink(path_.c_str());
}

void NewFile::write(const void* data, uint64_t num_bytes, uint64_t offset) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  while (num_bytes > 0) {
    const ssize_t written = ::pwrite(file_, bytes, num_bytes, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(path_);
    bytes += written, offset += written, num_bytes -= written;
  }
}

void NewFile::commit(uint64_t size) {
  if (::ftruncate(file_, static_cast<off_t>(size)) != 0 || ::fsync(file_) != 0) fail(path_);
  if (::rename(path_.c_str(), target_.c_str()) != 0) fail(target_);
  ::close(file_);
  file_ = -1;
  sync_directory();
}

void NewFile::sync_directory() const {
  const size_t slash = target_.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : target_.substr(0, slash + 1);
  const int handle = ::open(directory.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) fail(directory);
  const bool is_synced = ::fsync(handle) == 0;
  ::close(handle);
  if (!is_synced) fail(directory);
}

}  // namespace quire::retrieval
