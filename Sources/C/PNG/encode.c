#include <stdlib.h>
#include <string.h>

#include "errors.h"

// The growing file, and what must survive a longjmp.
typedef struct {
  png_structp png;
  png_infop info;
  uint8_t *bytes;
  size_t count;
  size_t capacity;
} Encoder;

static void write_bytes(png_structp png, png_bytep from, size_t count) {
  Encoder *encoder = png_get_io_ptr(png);
  if (count > encoder->capacity - encoder->count) {
    size_t capacity = 2 * encoder->capacity + count + 4096;
    uint8_t *bytes = realloc(encoder->bytes, capacity);
    if (bytes == NULL) png_error(png, "no memory for the encoded file");
    encoder->bytes = bytes;
    encoder->capacity = capacity;
  }
  memcpy(encoder->bytes + encoder->count, from, count);
  encoder->count += count;
}

static void flush_nothing(png_structp png) { (void)png; }

// Returns 0, or -1 after an error whose message is set.
static int encode(Encoder *encoder, const uint8_t *pixels, uint32_t width, uint32_t height,
                  int channels, int level) {
  png_structp png = encoder->png;
  if (setjmp(png_jmpbuf(png))) return -1;
  png_set_write_fn(png, encoder, write_bytes, flush_nothing);
  // The side is what Swift's caller chose to hold in memory; libpng's default limit is lower.
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_compression_level(png, level);
  png_set_IHDR(png, encoder->info, width, height, 8,
               channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, encoder->info);
  size_t row = (size_t)width * (size_t)channels;
  for (uint32_t y = 0; y < height; y++) png_write_row(png, pixels + y * row);
  png_write_end(png, NULL);
  return 0;
}

int mmoe_png_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int channels, int level,
                    uint8_t **bytes, size_t *count, char message[MMOE_PNG_MESSAGE]) {
  *bytes = NULL;
  *count = 0;
  message[0] = 0;
  if (channels != 1 && channels != 3) {
    mmoe_png_say(message, "%d channels, expected 1 or 3", channels);
    return -1;
  }
  Encoder encoder = {0};
  encoder.png =
      png_create_write_struct(PNG_LIBPNG_VER_STRING, message, mmoe_png_fail, mmoe_png_ignore);
  if (encoder.png != NULL) encoder.info = png_create_info_struct(encoder.png);
  int status = -1;
  if (encoder.info == NULL)
    mmoe_png_say(message, "libpng could not start: no memory or another version at run time");
  else
    status = encode(&encoder, pixels, width, height, channels, level);
  png_destroy_write_struct(&encoder.png, &encoder.info);
  if (status == 0) {
    *bytes = encoder.bytes;
    *count = encoder.count;
  } else {
    free(encoder.bytes);
  }
  return status;
}

void mmoe_png_free(uint8_t *bytes) { free(bytes); }
