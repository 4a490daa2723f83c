#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// libjpeg's header needs stdio's.
#include <jpeglib.h>
#include <jerror.h>
#include <libexif/exif-data.h>

#include "internal.h"

// A progressive file may name the same small picture a million times over; honest ones have some ten scans.
enum { LARGEST_SCANS = 500 };

// Everything that must survive a longjmp lives here, in the frame above setjmp's.
typedef struct {
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  struct jpeg_decompress_struct jpeg;
  jmp_buf escape;
  char *message;
  uint8_t *row;
} Decoder;

static void fail(j_common_ptr jpeg) {
  Decoder *decoder = jpeg->client_data;
  char text[JMSG_LENGTH_MAX];
  jpeg->err->format_message(jpeg, text);
  mmoe_picture_say(decoder->message, "damaged JPEG data (%s)", text);
  longjmp(decoder->escape, 1);
}

// libjpeg warns where it makes pixels up; here these are errors, or a broken download would be learned from.
static void warn(j_common_ptr jpeg, int level) {
  if (level >= 0) return;
  Decoder *decoder = jpeg->client_data;
  switch (jpeg->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA:
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA:
    case JWRN_BOGUS_PROGRESSION: return;
    case JWRN_JPEG_EOF:
      mmoe_picture_say(decoder->message, "the file is truncated");
      longjmp(decoder->escape, 1);
    default: fail(jpeg);
  }
}

static void be_silent(j_common_ptr jpeg) { (void)jpeg; }

static void limit_scans(j_common_ptr jpeg) {
  Decoder *decoder = jpeg->client_data;
  if (jpeg->is_decompressor && ((j_decompress_ptr)jpeg)->input_scan_number > LARGEST_SCANS) {
    mmoe_picture_say(decoder->message, "more than %d scans", LARGEST_SCANS);
    longjmp(decoder->escape, 1);
  }
}

// EXIF's orientation, 1 where there is none that can be read.
static int read_orientation(struct jpeg_decompress_struct *jpeg) {
  for (jpeg_saved_marker_ptr marker = jpeg->marker_list; marker; marker = marker->next) {
    if (marker->marker != JPEG_APP0 + 1 || marker->data_length < 6 || memcmp(marker->data, "Exif\0", 6) != 0) continue;
    ExifData *exif = exif_data_new_from_data(marker->data, marker->data_length);
    if (!exif) continue;
    int orientation = 0;
    ExifEntry *entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
      orientation = exif_get_short(entry->data, exif_data_get_byte_order(exif));
    exif_data_unref(exif);
    if (orientation >= 1 && orientation <= 8) return orientation;
  }
  return 1;
}

// CMYK to RGB; Adobe's programs store the inks inverted.
static void convert_cmyk(const uint8_t *from, uint8_t *to, uint32_t width, int inverted) {
  for (uint32_t x = 0; x < width; x++, from += 4, to += 3) {
    unsigned black = inverted ? from[3] : 255 - from[3];
    for (int c = 0; c < 3; c++) {
      unsigned ink = inverted ? from[c] : 255 - from[c];
      to[c] = (uint8_t)((ink * black + 127) / 255);
    }
  }
}

static void choose_scale(struct jpeg_decompress_struct *jpeg, uint32_t wanted) {
  jpeg->scale_num = 1;
  jpeg->scale_denom = 1;
  if (wanted == 0) return;
  uint32_t side = jpeg->image_width < jpeg->image_height ? jpeg->image_width : jpeg->image_height;
  while (jpeg->scale_denom < 8 && side / (2 * jpeg->scale_denom) >= wanted) jpeg->scale_denom *= 2;
}

// Returns 0, or -1 with a message. Errors of libjpeg leave by longjmp.
static int decode(Decoder *decoder, mmoe_picture_limits limits, uint32_t wanted, mmoe_picture *picture) {
  struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
  jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
  jpeg_read_header(jpeg, TRUE);
  // What is scaled down is still decoded whole.
  if (mmoe_picture_check(jpeg->image_width, jpeg->image_height, limits, decoder->message) != 0) return -1;
  picture->orientation = read_orientation(jpeg);
  choose_scale(jpeg, wanted);
  int is_cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
  jpeg->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(jpeg);
  if (mmoe_picture_allocate(picture, jpeg->output_width, jpeg->output_height, limits, decoder->message) != 0) return -1;
  size_t stride = (size_t)picture->width * 3;
  if (is_cmyk && !(decoder->row = malloc((size_t)picture->width * 4))) {
    mmoe_picture_say(decoder->message, "no memory for a row of pixels");
    return -1;
  }
  while (jpeg->output_scanline < jpeg->output_height) {
    uint8_t *target = picture->pixels + jpeg->output_scanline * stride;
    JSAMPROW row = is_cmyk ? decoder->row : target;
    jpeg_read_scanlines(jpeg, &row, 1);
    if (is_cmyk) convert_cmyk(decoder->row, target, picture->width, jpeg->saw_Adobe_marker);
  }
  jpeg_finish_decompress(jpeg);
  return 0;
}

// A decoder whose errors end in `message`; NULL without memory. The caller sets its place to escape to.
static Decoder *make_decoder(char *message) {
  Decoder *decoder = calloc(1, sizeof *decoder);
  if (!decoder) {
    mmoe_picture_say(message, "no memory for a decoder");
    return NULL;
  }
  decoder->message = message;
  decoder->jpeg.err = jpeg_std_error(&decoder->errors);
  decoder->jpeg.client_data = decoder;
  decoder->errors.error_exit = fail;
  decoder->errors.emit_message = warn;
  decoder->errors.output_message = be_silent;
  decoder->progress.progress_monitor = limit_scans;
  return decoder;
}

// Gives the decoder a file in memory.
static void open_bytes(Decoder *decoder, const uint8_t *bytes, size_t count) {
  jpeg_create_decompress(&decoder->jpeg);
  decoder->jpeg.client_data = decoder;
  decoder->jpeg.progress = &decoder->progress;
  jpeg_mem_src(&decoder->jpeg, bytes, count);
}

static void free_decoder(Decoder *decoder) {
  jpeg_destroy_decompress(&decoder->jpeg);
  free(decoder->row);
  free(decoder);
}

int mmoe_jpeg_decode(const uint8_t *bytes, size_t count, mmoe_picture_limits limits, uint32_t wanted, mmoe_picture *picture,
                     char *message) {
  memset(picture, 0, sizeof *picture);
  Decoder *decoder = make_decoder(message);
  if (!decoder) return -1;
  volatile int status = -1;
  if (setjmp(decoder->escape) == 0) {
    open_bytes(decoder, bytes, count);
    status = decode(decoder, limits, wanted, picture);
  }
  free_decoder(decoder);
  if (status != 0) mmoe_picture_release(picture);
  return status;
}

int mmoe_jpeg_size(const uint8_t *bytes, size_t count, uint32_t *width, uint32_t *height) {
  char message[MMOE_PICTURE_MESSAGE];
  Decoder *decoder = make_decoder(message);
  if (!decoder) return -1;
  volatile int status = -1;
  if (setjmp(decoder->escape) == 0) {
    open_bytes(decoder, bytes, count);
    jpeg_read_header(&decoder->jpeg, TRUE);
    *width = decoder->jpeg.image_width;
    *height = decoder->jpeg.image_height;
    status = 0;
  }
  free_decoder(decoder);
  return status;
}
