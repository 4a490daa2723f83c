#pragma once
// XXH3 (xxHash, Debian package libxxhash-dev): checksums of files and identities of content. Not for secrets.
#include <stddef.h>
#include <stdint.h>

/// 128 bits, as two words.
typedef struct {
  uint64_t low, high;
} mmoe_hash;

typedef struct mmoe_hash_state mmoe_hash_state;

/// The hash of bytes in memory.
mmoe_hash mmoe_hash_bytes(const void *bytes, size_t count);

/// A hash of bytes that come in parts; NULL without memory.
mmoe_hash_state *mmoe_hash_begin(void);
void mmoe_hash_add(mmoe_hash_state *state, const void *bytes, size_t count);
/// The hash of all so far; more may follow.
mmoe_hash mmoe_hash_now(const mmoe_hash_state *state);
void mmoe_hash_end(mmoe_hash_state *state);
