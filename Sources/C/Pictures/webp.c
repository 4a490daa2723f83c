#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

#include "internal.h"

int mmoe_webp_decode(const uint8_t *bytes, size_t count, mmoe_picture_limits limits, mmoe_picture *picture, char *message) {
  memset(picture, 0, sizeof *picture);
  picture->orientation = 1;
  WebPBitstreamFeatures features;
  VP8StatusCode status = WebPGetFeatures(bytes, count, &features);
  if (status != VP8_STATUS_OK) {
    mmoe_picture_say(message, status == VP8_STATUS_NOT_ENOUGH_DATA ? "the file is truncated" : "damaged WebP data");
    return -1;
  }
  if (features.has_animation) {
    mmoe_picture_say(message, "an animated WebP image, expected a single picture; take one of its frames");
    return -1;
  }
  uint32_t width = (uint32_t)features.width, height = (uint32_t)features.height;
  if (mmoe_picture_allocate(picture, width, height, limits, message) != 0) return -1;
  size_t pixels = (size_t)width * height;
  int decoded;
  if (features.has_alpha) {
    uint8_t *rgba = malloc(pixels * 4);
    decoded = rgba && WebPDecodeRGBAInto(bytes, count, rgba, pixels * 4, (int)width * 4) != NULL;
    if (decoded) {
      for (size_t i = 0; i < pixels; i++) {
        unsigned alpha = rgba[4 * i + 3];
        for (int c = 0; c < 3; c++)
          picture->pixels[3 * i + c] = (uint8_t)((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
      }
    }
    free(rgba);
  } else {
    decoded = WebPDecodeRGBInto(bytes, count, picture->pixels, pixels * 3, (int)width * 3) != NULL;
  }
  if (decoded) return 0;
  mmoe_picture_release(picture);
  mmoe_picture_say(message, "truncated or damaged WebP data");
  return -1;
}

int mmoe_webp_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height) {
  int columns, rows;
  if (!WebPGetInfo(bytes, count, &columns, &rows)) return -1;
  *width = (uint32_t)columns;
  *height = (uint32_t)rows;
  return 0;
}
