#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "CHDF5.h"

uint64_t mmoe_checksum(const void *bytes, size_t count) { return XXH3_64bits(bytes, count); }

/// Small enough to stay in a core's own cache between the read and the sum.
enum { chunk_bytes = 512 << 10 };

int mmoe_checksum_file(int descriptor, uint64_t begin, uint64_t end, uint64_t *checksum) {
  // Read rather than mapped: a file that shrinks meanwhile is then an error and not a SIGBUS.
  void *chunk = malloc(chunk_bytes);
  XXH3_state_t *state = XXH3_createState();
  int status = chunk && state ? 0 : ENOMEM;
  if (!status) {
    XXH3_64bits_reset(state);
    posix_fadvise(descriptor, 0, 0, POSIX_FADV_SEQUENTIAL);
  }
  while (!status && begin < end) {
    const size_t wanted = end - begin < chunk_bytes ? (size_t)(end - begin) : chunk_bytes;
    const ssize_t found = pread(descriptor, chunk, wanted, (off_t)begin);
    if (found < 0) {
      if (errno != EINTR) status = errno;
    } else if (found == 0) {
      status = -1;
    } else {
      XXH3_64bits_update(state, chunk, (size_t)found);
      begin += (uint64_t)found;
    }
  }
  if (!status) *checksum = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  free(chunk);
  return status;
}
