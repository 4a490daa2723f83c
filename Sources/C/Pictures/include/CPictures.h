// JPEG and WebP files in memory to 8-bit RGB, through libjpeg-turbo (with libexif for the orientation) and libwebp.
//
// libjpeg reports errors by longjmp, which must not cross Swift frames: every call lives behind these functions, and errors come
// back as a status and a message. Debian packages libjpeg62-turbo-dev, libexif-dev, libwebp-dev.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_PICTURE_MESSAGE 256

/// What a decoder refuses before it takes memory for pixels.
typedef struct {
  /// The largest width and height in pixels.
  uint32_t side;
  /// The largest number of decoded bytes.
  uint64_t bytes;
} mmoe_picture_limits;

/// A decoded picture: row-major, three bytes per pixel, on its side or mirrored as it is stored.
typedef struct {
  uint32_t width;
  uint32_t height;
  /// EXIF's value, 1 to 8, by which the picture is to be turned; 1 where the file has none.
  int orientation;
  /// The caller hands the picture to mmoe_picture_release.
  uint8_t *pixels;
} mmoe_picture;

/// Decodes a JPEG file: baseline or progressive, grey, YCbCr, RGB, CMYK or YCCK of 8 bits. Color profiles are ignored; CMYK
/// becomes RGB by multiplying with what black leaves.
///
/// `wanted` > 0 allows a smaller picture: halved, up to three times, as long as both sides stay at least that long, which
/// decodes several times as fast. Returns 0, or -1 with a message and nothing to release. Data that ends early or is damaged is
/// an error; bytes between segments that do not matter are passed over.
int mmoe_jpeg_decode(const uint8_t *bytes, size_t count, mmoe_picture_limits limits, uint32_t wanted, mmoe_picture *picture,
                     char message[MMOE_PICTURE_MESSAGE]);

/// Decodes a WebP file, lossy or lossless; transparent pixels are composited over white. An animation is an error.
int mmoe_webp_decode(const uint8_t *bytes, size_t count, mmoe_picture_limits limits, mmoe_picture *picture,
                     char message[MMOE_PICTURE_MESSAGE]);

/// The size of a JPEG or WebP picture as it is stored, from a whole file or its beginning. Returns 0, or -1 where it cannot be told.
int mmoe_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height);
int mmoe_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height);

/// Frees the pixels of a decoded picture.
void mmoe_picture_release(mmoe_picture *picture);
