// JPEG and WebP files for tests, in the forms that cameras and programs write.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
  /// Samples per pixel that are given: 1 grey, 3 RGB, 4 CMYK.
  int channels;
  int progressive;
  /// CMYK is stored as YCCK.
  int ycck;
  /// Whether Adobe's marker is written, with which inks count as inverted.
  int adobe;
  /// EXIF's orientation; 0 = no EXIF.
  int orientation;
  /// Whether EXIF's numbers are big-endian.
  int big_endian;
} sample_form;

/// A JPEG file of quality 100 without subsampling, for sample_free.
uint8_t *sample_jpeg(const uint8_t *samples, int width, int height, sample_form form, size_t *count);

/// A lossless WebP file of RGB (3) or RGBA (4) samples, for sample_free.
uint8_t *sample_webp(const uint8_t *samples, int width, int height, int channels, size_t *count);

void sample_free(uint8_t *bytes);
