#include "CHash.h"

#include <xxhash.h>

static mmoe_hash words(XXH128_hash_t hash) { return (mmoe_hash){hash.low64, hash.high64}; }

mmoe_hash mmoe_hash_bytes(const void *bytes, size_t count) { return words(XXH3_128bits(bytes, count)); }

mmoe_hash_state *mmoe_hash_begin(void) {
  XXH3_state_t *state = XXH3_createState();
  if (state) XXH3_128bits_reset(state);
  return (mmoe_hash_state *)state;
}

void mmoe_hash_add(mmoe_hash_state *state, const void *bytes, size_t count) {
  XXH3_128bits_update((XXH3_state_t *)state, bytes, count);
}

mmoe_hash mmoe_hash_now(const mmoe_hash_state *state) {
  return words(XXH3_128bits_digest((const XXH3_state_t *)state));
}

void mmoe_hash_end(mmoe_hash_state *state) { XXH3_freeState((XXH3_state_t *)state); }
