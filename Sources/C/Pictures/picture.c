#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

void mmoe_picture_say(char *message, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, MMOE_PICTURE_MESSAGE, format, arguments);
  va_end(arguments);
}

int mmoe_picture_check(uint32_t width, uint32_t height, mmoe_picture_limits limits, char *message) {
  if (width == 0 || height == 0) {
    mmoe_picture_say(message, "%" PRIu32 " x %" PRIu32 " pixels, at least 1 x 1 is needed", width, height);
  } else if (width > limits.side || height > limits.side) {
    mmoe_picture_say(message, "%" PRIu32 " x %" PRIu32 " pixels, the limit is %" PRIu32 " a side", width, height, limits.side);
  } else if ((uint64_t)width * height > limits.bytes / 3) {
    mmoe_picture_say(message, "%" PRIu32 " x %" PRIu32 " pixels take %" PRIu64 " bytes, the limit is %" PRIu64, width, height,
                     (uint64_t)width * height * 3, limits.bytes);
  } else {
    return 0;
  }
  return -1;
}

int mmoe_picture_allocate(mmoe_picture *picture, uint32_t width, uint32_t height, mmoe_picture_limits limits, char *message) {
  if (mmoe_picture_check(width, height, limits, message) != 0) return -1;
  picture->width = width;
  picture->height = height;
  picture->pixels = malloc((size_t)width * height * 3);
  if (picture->pixels) return 0;
  mmoe_picture_say(message, "no memory for %" PRIu32 " x %" PRIu32 " pixels", width, height);
  return -1;
}

void mmoe_picture_release(mmoe_picture *picture) {
  free(picture->pixels);
  picture->pixels = NULL;
}
