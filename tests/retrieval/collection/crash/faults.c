// Preloaded into a process: watches what it does to files below one folder, writes it down, and at call `at` ends the
// process or lets calls fail. Files that are memory only (SQLite's -shm) do not count. Nothing is really synced: a kill
// takes no page from the system, and what a power cut takes is played with what was written down (disk.py).
//
//   create PATH | mkdir PATH | rmdir PATH | unlink PATH | sync PATH | truncate SIZE PATH | rename OLD NEW | link OLD NEW
//   write OFFSET SIZE PATH, followed by SIZE bytes | done

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum Mode { kWatch, kKill, kFull, kBroken };

static char root[PATH_MAX];
static enum Mode mode;
static long count, at;
static int trace = -1;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void faults_begin(const char* folder, int how, long when, const char* trace_path) {
  mode = how, at = when, count = 0;
  trace = trace_path ? REAL(open)(trace_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) : -1;
  snprintf(root, sizeof(root), "%s/", folder);
}

long faults_end(void) {
  root[0] = 0;
  if (trace >= 0) close(trace);
  trace = -1;
  return count;
}

static void note(const char* what, const char* more, const void* data, size_t size) {
  if (trace < 0) return;
  char line[2 * PATH_MAX + 64];
  const int length = snprintf(line, sizeof(line), "%s %s\n", what, more);
  if (REAL(write)(trace, line, length) != length) abort();
  if (size > 0 && REAL(write)(trace, data, size) != (ssize_t)size) abort();
}

void faults_done(void) { note("done", "", NULL, 0); }

static bool resolve(int folder, const char* path, char* out) {
  char base[PATH_MAX] = "", link[64];
  if (path[0] != '/') {
    snprintf(link, sizeof(link), folder == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", folder);
    const ssize_t length = readlink(link, base, sizeof(base) - 2);
    if (length < 0) return false;
    base[length] = '/', base[length + 1] = 0;
  }
  if (snprintf(out, PATH_MAX, "%s%s", base, path) >= PATH_MAX) abort();
  const size_t length = strlen(out);
  const bool is_memory = length > 4 && strcmp(out + length - 4, "-shm") == 0;
  const bool is_inside = strncmp(out, root, strlen(root)) == 0;
  const bool is_root = length + 1 == strlen(root) && strncmp(out, root, length) == 0;
  return root[0] && (is_inside || is_root) && !is_memory;
}

static bool resolve_file(int file, char* out) {
  char link[64], path[PATH_MAX] = "";
  snprintf(link, sizeof(link), "/proc/self/fd/%d", file);
  return root[0] && readlink(link, path, sizeof(path) - 1) > 0 && resolve(AT_FDCWD, path, out);
}

// Whether this call is to fail; errno says with what.
static bool fails(bool takes_space) {
  ++count;
  if (mode == kKill && count == at) kill(getpid(), SIGKILL);
  if (mode == kFull && takes_space && count >= at) return errno = ENOSPC, true;
  if (mode == kBroken && count == at) return errno = EIO, true;
  return false;
}

static int open_watched(__typeof__(&openat) real, int folder, const char* path, int flags, int rights) {
  char full[PATH_MAX];
  const bool changes = (flags & (O_CREAT | O_TRUNC)) && resolve(folder, path, full);
  struct stat status;
  const bool is_new = changes && (flags & O_CREAT) && stat(full, &status) != 0;
  const bool cuts = changes && !is_new && (flags & O_TRUNC);
  if ((is_new || cuts) && fails(is_new)) return -1;
  const int file = real(folder, path, flags, rights);
  if (file >= 0 && is_new) note("create", full, NULL, 0);
  if (file >= 0 && cuts) {
    char more[PATH_MAX + 8];
    snprintf(more, sizeof(more), "0 %s", full);
    note("truncate", more, NULL, 0);
  }
  return file;
}

#define RIGHTS(flags) \
  int rights = 0; \
  if ((flags) & O_CREAT) { \
    va_list more; \
    va_start(more, flags); \
    rights = va_arg(more, int); \
    va_end(more); \
  }

int open(const char* path, int flags, ...) {
  RIGHTS(flags)
  return open_watched(REAL(openat), AT_FDCWD, path, flags, rights);
}
int open64(const char* path, int flags, ...) {
  RIGHTS(flags)
  return open_watched(REAL(openat64), AT_FDCWD, path, flags, rights);
}
int openat(int folder, const char* path, int flags, ...) {
  RIGHTS(flags)
  return open_watched(REAL(openat), folder, path, flags, rights);
}
int openat64(int folder, const char* path, int flags, ...) {
  RIGHTS(flags)
  return open_watched(REAL(openat64), folder, path, flags, rights);
}

static void note_write(const char* path, const void* data, ssize_t written, off_t offset) {
  char more[PATH_MAX + 64];
  if (written < 0) return;
  snprintf(more, sizeof(more), "%lld %zd %s", (long long)offset, written, path);
  note("write", more, data, (size_t)written);
}

ssize_t write(int file, const void* data, size_t size) {
  char path[PATH_MAX];
  if (!resolve_file(file, path)) return REAL(write)(file, data, size);
  if (fails(true)) return -1;
  const off_t offset = lseek(file, 0, SEEK_CUR);
  const ssize_t written = REAL(write)(file, data, size);
  note_write(path, data, written, offset);
  return written;
}

#define WATCH_PWRITE(name, offset_type) \
  ssize_t name(int file, const void* data, size_t size, offset_type offset) { \
    char path[PATH_MAX]; \
    if (!resolve_file(file, path)) return REAL(name)(file, data, size, offset); \
    if (fails(true)) return -1; \
    const ssize_t written = REAL(name)(file, data, size, offset); \
    note_write(path, data, written, offset); \
    return written; \
  }
WATCH_PWRITE(pwrite, off_t)
WATCH_PWRITE(pwrite64, off64_t)

#define WATCH_TRUNCATE(name, size_type) \
  int name(int file, size_type size) { \
    char path[PATH_MAX], more[PATH_MAX + 64]; \
    if (!resolve_file(file, path)) return REAL(name)(file, size); \
    if (fails(true)) return -1; \
    const int result = REAL(name)(file, size); \
    snprintf(more, sizeof(more), "%lld %s", (long long)size, path); \
    if (result == 0) note("truncate", more, NULL, 0); \
    return result; \
  }
WATCH_TRUNCATE(ftruncate, off_t)
WATCH_TRUNCATE(ftruncate64, off64_t)

#define WATCH_SYNC(name) \
  int name(int file) { \
    char path[PATH_MAX]; \
    if (!resolve_file(file, path)) return 0; \
    if (fails(false)) return -1; \
    note("sync", path, NULL, 0); \
    return 0; \
  }
WATCH_SYNC(fsync)
WATCH_SYNC(fdatasync)

static int watch_path(const char* what, bool takes_space, int folder, const char* path, int (*real)(const char*)) {
  char full[PATH_MAX];
  if (!resolve(folder, path, full)) return real(path);
  if (fails(takes_space)) return -1;
  const int result = real(full);
  if (result == 0) note(what, full, NULL, 0);
  return result;
}

static int make(const char* path) { return REAL(mkdir)(path, 0755); }

int mkdir(const char* path, mode_t rights) {
  char full[PATH_MAX];
  return resolve(AT_FDCWD, path, full) ? watch_path("mkdir", true, AT_FDCWD, path, make) : REAL(mkdir)(path, rights);
}
int rmdir(const char* path) { return watch_path("rmdir", false, AT_FDCWD, path, REAL(rmdir)); }
int unlink(const char* path) { return watch_path("unlink", false, AT_FDCWD, path, REAL(unlink)); }
int unlinkat(int folder, const char* path, int flags) {
  char full[PATH_MAX];
  if (!resolve(folder, path, full)) return REAL(unlinkat)(folder, path, flags);
  return flags & AT_REMOVEDIR ? rmdir(full) : unlink(full);
}

static int watch_two(const char* what, const char* from, const char* to, int (*real)(const char*, const char*)) {
  char old[PATH_MAX], new[PATH_MAX], more[2 * PATH_MAX + 1];
  if (!resolve(AT_FDCWD, from, old) || !resolve(AT_FDCWD, to, new)) return real(from, to);
  if (fails(true)) return -1;
  const int result = real(from, to);
  snprintf(more, sizeof(more), "%s %s", old, new);
  if (result == 0) note(what, more, NULL, 0);
  return result;
}

int rename(const char* from, const char* to) { return watch_two("rename", from, to, REAL(rename)); }
int link(const char* from, const char* to) { return watch_two("link", from, to, REAL(link)); }
