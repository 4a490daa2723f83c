// PNG files to bytes and back through libpng's full API.
//
// libpng reports errors by longjmp, which must not cross Swift frames: every libpng call lives behind these
// functions, and errors come back as a status and a message.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_PNG_MESSAGE 256

/// What a decoder refuses before it takes any memory.
typedef struct {
  /// The largest width and height in pixels; at most 2^24 count.
  uint32_t side;
  /// The largest number of decoded bytes (width × height × channels × bytes a sample).
  uint64_t bytes;
} mmoe_png_limits;

/// The form that pixels are wanted in.
typedef enum {
  /// Three bytes a pixel; transparent pixels are composited over white.
  MMOE_PNG_RGB8,
  /// Four bytes a pixel, alpha not premultiplied; 255 where the file has no transparency.
  MMOE_PNG_RGBA8,
  /// The file's own samples: one byte each, two big-endian bytes at 16 bits; palette indices for palettes.
  MMOE_PNG_SAMPLES
} mmoe_png_form;

/// A decoded image.
typedef struct {
  uint32_t width;
  uint32_t height;
  /// Samples a pixel in `pixels`.
  int channels;
  /// As in the file's header.
  int bit_depth;
  int color_type;
  int interlaced;
  /// Row-major, channels interleaved; the caller hands the image to mmoe_png_release.
  uint8_t *pixels;
  uint64_t size;
} mmoe_png_image;

/// Decodes a whole PNG file of any color type, depth and interlacing. Gamma and color profiles are ignored;
/// samples of 1, 2 and 4 bits are scaled by 255 / (2^depth - 1), samples of 16 bits keep their high byte.
/// Returns 0, or -1 with a message and nothing to release. A wrong checksum of any chunk is an error.
int mmoe_png_decode(const uint8_t *bytes, size_t count, mmoe_png_limits limits, mmoe_png_form form,
                    mmoe_png_image *image, char message[MMOE_PNG_MESSAGE]);

/// Frees the pixels of a decoded image.
void mmoe_png_release(mmoe_png_image *image);

/// Encodes 8-bit grey (1 channel) or RGB (3 channels) pixels with zlib's `level` 0…9. Returns 0 and bytes for
/// mmoe_png_free, or -1 with a message.
int mmoe_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, int level,
                    uint8_t **bytes, size_t *count, char message[MMOE_PNG_MESSAGE]);

/// Frees the bytes of an encoded image.
void mmoe_png_free(uint8_t *bytes);
