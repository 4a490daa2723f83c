#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
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
    status = mmoe_read_all(descriptor, chunk, wanted, begin);
    if (!status) XXH3_64bits_update(state, chunk, wanted);
    begin += wanted;
  }
  if (!status) *checksum = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  free(chunk);
  return status;
}

int mmoe_digest_blocks(int descriptor, uint64_t block, uint64_t begin, uint64_t end,
                       uint64_t *digests) {
  void *bytes = malloc(block);
  int status = bytes ? 0 : ENOMEM;
  while (!status && begin < end) {
    const uint64_t next = (begin / block + 1) * block;
    const size_t wanted = (size_t)((next < end ? next : end) - begin);
    status = mmoe_read_all(descriptor, bytes, wanted, begin);
    if (!status) *digests++ = XXH3_64bits(bytes, wanted);
    begin += wanted;
  }
  free(bytes);
  return status;
}
