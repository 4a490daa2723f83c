#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

// Signature, and the IHDR chunk: length, type, width, height, five bytes, checksum.
enum { SIGNATURE = 8, HEADER_END = SIGNATURE + 25 };

// No caller's limit goes beyond this side, so that sizes in bytes cannot overflow.
enum { LARGEST_SIDE = 1 << 24 };

// Everything that must survive a longjmp lives here, in the frame above setjmp's.
typedef struct {
  png_structp png;
  png_infop info;
  const uint8_t *next;
  size_t left;
  mmoe_png_image *image;
} Decoder;

static uint32_t big_endian32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void read_bytes(png_structp png, png_bytep out, size_t count) {
  Decoder *decoder = png_get_io_ptr(png);
  if (count > decoder->left) png_error(png, "the file is truncated");
  memcpy(out, decoder->next, count);
  decoder->next += count;
  decoder->left -= count;
}

// What can be told from the first bytes, in clearer words than libpng's. Returns 0 if decoding may go on.
static int check_start(const uint8_t *bytes, size_t count, mmoe_png_limits limits, char *message) {
  if (count == 0) {
    mmoe_png_say(message, "the file is empty");
  } else if (png_sig_cmp(bytes, 0, count < SIGNATURE ? count : SIGNATURE) != 0) {
    mmoe_png_say(message, "not a PNG file (wrong signature)");
  } else if (count < HEADER_END) {
    mmoe_png_say(message, "the file is truncated (%zu bytes)", count);
  } else {
    uint32_t width = big_endian32(bytes + 16), height = big_endian32(bytes + 20);
    if (width <= limits.side && height <= limits.side) return 0;
    mmoe_png_say(message, "%" PRIu32 " x %" PRIu32 " pixels, the limit is %" PRIu32 " a side", width,
                 height, limits.side);
  }
  return -1;
}

// Asks libpng for 8-bit RGB or RGBA; returns whether an alpha channel will be there.
static int set_transformations(Decoder *decoder, mmoe_png_form form) {
  png_structp png = decoder->png;
  int type = decoder->image->color_type;
  int transparent =
      (type & PNG_COLOR_MASK_ALPHA) != 0 || png_get_valid(png, decoder->info, PNG_INFO_tRNS) != 0;
  png_set_expand(png);  // palette to RGB, 1, 2, 4 bits to 8, tRNS to alpha at the file's own depth
  png_set_strip_16(png);
  if ((type & PNG_COLOR_MASK_COLOR) == 0) png_set_gray_to_rgb(png);
  if (form == MMOE_PNG_RGBA8 && !transparent) png_set_add_alpha(png, 0xFF, PNG_FILLER_AFTER);
  return transparent;
}

// RGBA to RGB over white, in place; rounded to nearest.
static void composite_over_white(mmoe_png_image *image) {
  uint64_t pixels = (uint64_t)image->width * image->height;
  const uint8_t *from = image->pixels;
  uint8_t *to = image->pixels;
  for (uint64_t i = 0; i < pixels; i++, from += 4, to += 3) {
    unsigned alpha = from[3];
    for (int c = 0; c < 3; c++)
      to[c] = (uint8_t)((from[c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  image->channels = 3;
  image->size = pixels * 3;
}

// Returns 0, or -1 after an error whose message is set.
static int decode(Decoder *decoder, mmoe_png_limits limits, mmoe_png_form form, char *message) {
  png_structp png = decoder->png;
  mmoe_png_image *image = decoder->image;
  if (setjmp(png_jmpbuf(png))) return -1;

  png_set_read_fn(png, decoder, read_bytes);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_user_limits(png, limits.side, limits.side);
  // Texts, profiles and notes are neither unpacked nor kept: a few megabytes of them can unpack to gigabytes. A negative
  // count stands for all ancillary chunks but tRNS; their checksums are still verified.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_chunk_malloc_max(png, limits.bytes);
  png_read_info(png, decoder->info);

  image->width = png_get_image_width(png, decoder->info);
  image->height = png_get_image_height(png, decoder->info);
  image->bit_depth = png_get_bit_depth(png, decoder->info);
  image->color_type = png_get_color_type(png, decoder->info);
  image->interlaced = png_get_interlace_type(png, decoder->info) != PNG_INTERLACE_NONE;

  int transparent = 0;
  if (form == MMOE_PNG_SAMPLES)
    png_set_packing(png);
  else
    transparent = set_transformations(decoder, form);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, decoder->info);

  uint64_t row = png_get_rowbytes(png, decoder->info);
  image->channels = png_get_channels(png, decoder->info);
  image->size = row * image->height;  // LARGEST_SIDE keeps this below 2^51
  if (image->size > limits.bytes) {
    mmoe_png_say(message, "%" PRIu64 " bytes when decoded, the limit is %" PRIu64, image->size,
                 limits.bytes);
    return -1;
  }
  // Cleared: the passes of an interlaced file merge into what is there.
  image->pixels = calloc(1, image->size);
  if (image->pixels == NULL) {
    mmoe_png_say(message, "no memory for %" PRIu64 " decoded bytes", image->size);
    return -1;
  }
  for (int pass = 0; pass < passes; pass++)
    for (uint32_t y = 0; y < image->height; y++)
      png_read_row(png, image->pixels + y * row, NULL);
  png_read_end(png, NULL);
  if (form == MMOE_PNG_RGB8 && transparent) composite_over_white(image);
  return 0;
}

int mmoe_png_decode(const uint8_t *bytes, size_t count, mmoe_png_limits limits, mmoe_png_form form,
                    mmoe_png_image *image, char message[MMOE_PNG_MESSAGE]) {
  memset(image, 0, sizeof *image);
  message[0] = 0;
  if (limits.side > LARGEST_SIDE) limits.side = LARGEST_SIDE;
  if (check_start(bytes, count, limits, message) != 0) return -1;

  Decoder decoder = {.next = bytes, .left = count, .image = image};
  decoder.png =
      png_create_read_struct(PNG_LIBPNG_VER_STRING, message, mmoe_png_fail, mmoe_png_ignore);
  if (decoder.png != NULL) decoder.info = png_create_info_struct(decoder.png);
  int status = -1;
  if (decoder.info == NULL)
    mmoe_png_say(message, "libpng could not start: no memory or another version at run time");
  else
    status = decode(&decoder, limits, form, message);
  png_destroy_read_struct(&decoder.png, &decoder.info, NULL);
  if (status != 0) mmoe_png_release(image);
  return status;
}

void mmoe_png_release(mmoe_png_image *image) {
  free(image->pixels);
  image->pixels = NULL;
  image->size = 0;
}
