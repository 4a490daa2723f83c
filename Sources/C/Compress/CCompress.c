#include "CCompress.h"

#include <limits.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

struct mmoe_decoder {
  z_stream gzip;
  /// NULL for gzip.
  ZSTD_DStream *zstd;
  bool complete;
};

mmoe_decoder *mmoe_gzip_decoder(void) {
  mmoe_decoder *decoder = calloc(1, sizeof *decoder);
  // 15: the largest window; 16: the gzip wrapper with its checksum.
  if (decoder && inflateInit2(&decoder->gzip, 15 + 16) != Z_OK) {
    free(decoder);
    return NULL;
  }
  return decoder;
}

mmoe_decoder *mmoe_zstd_decoder(void) {
  mmoe_decoder *decoder = calloc(1, sizeof *decoder);
  if (decoder && !(decoder->zstd = ZSTD_createDStream())) {
    free(decoder);
    return NULL;
  }
  return decoder;
}

void mmoe_decoder_free(mmoe_decoder *decoder) {
  if (!decoder) return;
  if (decoder->zstd) {
    ZSTD_freeDStream(decoder->zstd);
  } else {
    inflateEnd(&decoder->gzip);
  }
  free(decoder);
}

bool mmoe_decoder_is_complete(const mmoe_decoder *decoder) { return decoder->complete; }

static int decode_gzip(
  mmoe_decoder *decoder, const uint8_t *input, size_t input_count, size_t *consumed, uint8_t *output,
  size_t output_capacity, size_t *produced) {
  z_stream *stream = &decoder->gzip;
  const size_t in = input_count < UINT_MAX ? input_count : UINT_MAX;
  const size_t out = output_capacity < UINT_MAX ? output_capacity : UINT_MAX;
  stream->next_in = (Bytef *)input;
  stream->avail_in = (uInt)in;
  stream->next_out = output;
  stream->avail_out = (uInt)out;
  int status = MMOE_DECODED;
  // Without input too: what the last output had no room for is still inside.
  while (stream->avail_out > 0 && !(decoder->complete && stream->avail_in == 0)) {
    if (decoder->complete) {
      // Tapes and block devices pad with zeros.
      if (*stream->next_in == 0) {
        stream->next_in++;
        stream->avail_in--;
        continue;
      }
      inflateReset(stream);
      decoder->complete = false;
    }
    const int result = inflate(stream, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      decoder->complete = true;
    } else if (result != Z_OK) {
      // Z_BUF_ERROR: nothing to do without more input.
      if (result != Z_BUF_ERROR) status = result == Z_MEM_ERROR ? MMOE_DECODE_MEMORY : MMOE_DECODE_DAMAGED;
      break;
    }
  }
  *consumed = in - stream->avail_in;
  *produced = out - stream->avail_out;
  return status;
}

int mmoe_decode(
  mmoe_decoder *decoder, const uint8_t *input, size_t input_count, size_t *consumed, uint8_t *output,
  size_t output_capacity, size_t *produced) {
  if (!decoder->zstd) {
    return decode_gzip(decoder, input, input_count, consumed, output, output_capacity, produced);
  }
  ZSTD_inBuffer in = {input, input_count, 0};
  ZSTD_outBuffer out = {output, output_capacity, 0};
  int status = MMOE_DECODED;
  while (out.pos < out.size && !(decoder->complete && in.pos == in.size)) {
    const size_t before = in.pos + out.pos;
    const size_t result = ZSTD_decompressStream(decoder->zstd, &out, &in);
    if (ZSTD_isError(result)) {
      switch (ZSTD_getErrorCode(result)) {
        case ZSTD_error_frameParameter_windowTooLarge: status = MMOE_DECODE_WINDOW; break;
        case ZSTD_error_memory_allocation: status = MMOE_DECODE_MEMORY; break;
        default: status = MMOE_DECODE_DAMAGED;
      }
      break;
    }
    decoder->complete = result == 0;
    if (in.pos + out.pos == before) break;
  }
  *consumed = in.pos;
  *produced = out.pos;
  return status;
}
