#pragma once
// Streaming decompression of gzip (zlib, Debian package zlib1g-dev) and zstd (libzstd-dev) behind one interface.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
  MMOE_DECODED = 0,
  /// The input is not of this format, or damaged.
  MMOE_DECODE_DAMAGED = 1,
  /// The stream asks for a window of more than 128 MB.
  MMOE_DECODE_WINDOW = 2,
  MMOE_DECODE_MEMORY = 3,
};

typedef struct mmoe_decoder mmoe_decoder;

/// NULL without memory.
mmoe_decoder *mmoe_gzip_decoder(void);
mmoe_decoder *mmoe_zstd_decoder(void);
void mmoe_decoder_free(mmoe_decoder *decoder);

/// Decodes some of `input` into `output`: whole streams one after the other, as `gzip` and `zstd` read them.
/// Sets how much of either was used; what is not used must be given again.
int mmoe_decode(
  mmoe_decoder *decoder, const uint8_t *input, size_t input_count, size_t *consumed, uint8_t *output,
  size_t output_capacity, size_t *produced);

/// Whether the input may end here: a stream was begun and is complete.
bool mmoe_decoder_is_complete(const mmoe_decoder *decoder);
