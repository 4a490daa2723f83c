#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "CHDF5.h"

int mmoe_open_direct(int descriptor) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
  return open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
}

void mmoe_keep_room(int descriptor, uint64_t begin, uint64_t end) {
  fallocate(descriptor, FALLOC_FL_KEEP_SIZE, (off_t)begin, (off_t)(end - begin));
}

int mmoe_write_all(int descriptor, const void *bytes, size_t count, uint64_t offset) {
  while (count > 0) {
    const ssize_t written = pwrite(descriptor, bytes, count, (off_t)offset);
    if (written > 0) {
      bytes = (const char *)bytes + written;
      count -= (size_t)written;
      offset += (uint64_t)written;
    } else if (written < 0 && errno == EINVAL && fcntl(descriptor, F_GETFL) & O_DIRECT) {
      // Some file systems open such descriptors and refuse the writes, or the rest of a short one.
      if (fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_DIRECT) < 0) return errno;
    } else if (written == 0 || errno != EINTR) {
      return written == 0 ? EIO : errno;
    }
  }
  return 0;
}

int mmoe_read_all(int descriptor, void *bytes, size_t count, uint64_t offset) {
  while (count > 0) {
    const ssize_t found = pread(descriptor, bytes, count, (off_t)offset);
    if (found == 0) return -1;
    if (found > 0) {
      bytes = (char *)bytes + found;
      count -= (size_t)found;
      offset += (uint64_t)found;
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}
