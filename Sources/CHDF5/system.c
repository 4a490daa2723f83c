#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>

#include "CHDF5.h"

int mmoe_lock_file(int descriptor, bool wait) {
  // Locks of the open file, not of the process, and apart from the flock() that HDF5 knows. The
  // kernel drops them with the process, so that a dead writer is told from a living one on any
  // host.
  struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
  int status;
  do status = fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &whole);
  while (status < 0 && errno == EINTR);
  return status < 0 ? errno : 0;
}

void mmoe_begin_writeback(int descriptor) {
  sync_file_range(descriptor, 0, 0, SYNC_FILE_RANGE_WRITE);
}
