#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// libjpeg's header needs stdio's.
#include <jpeglib.h>
#include <webp/encode.h>

#include "PictureSamples.h"

// An Exif block with one entry in its first directory.
static void write_orientation(struct jpeg_compress_struct *jpeg, sample_form form) {
  uint8_t little[] = {'E', 'x', 'i', 'f', 0, 0, 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0,
                      (uint8_t)form.orientation, 0, 0, 0, 0, 0, 0, 0};
  uint8_t big[] = {'E', 'x', 'i', 'f', 0, 0, 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1,
                   0, (uint8_t)form.orientation, 0, 0, 0, 0, 0, 0};
  jpeg_write_marker(jpeg, JPEG_APP0 + 1, form.big_endian ? big : little, sizeof little);
}

uint8_t *sample_jpeg(const uint8_t *samples, int width, int height, sample_form form, size_t *count) {
  struct jpeg_error_mgr errors;
  struct jpeg_compress_struct jpeg;
  unsigned char *bytes = NULL;
  unsigned long size = 0;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = (JDIMENSION)width;
  jpeg.image_height = (JDIMENSION)height;
  jpeg.input_components = form.channels;
  jpeg.in_color_space = form.channels == 1 ? JCS_GRAYSCALE : form.channels == 3 ? JCS_RGB : JCS_CMYK;
  jpeg_set_defaults(&jpeg);
  if (form.ycck) jpeg_set_colorspace(&jpeg, JCS_YCCK);
  jpeg_set_quality(&jpeg, 100, TRUE);
  for (int c = 0; c < jpeg.num_components; c++) jpeg.comp_info[c].h_samp_factor = jpeg.comp_info[c].v_samp_factor = 1;
  if (form.channels == 4) jpeg.write_Adobe_marker = form.adobe;
  if (form.progressive) jpeg_simple_progression(&jpeg);
  jpeg_start_compress(&jpeg, TRUE);
  if (form.orientation) write_orientation(&jpeg, form);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = (JSAMPROW)(samples + (size_t)jpeg.next_scanline * (size_t)width * (size_t)form.channels);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  *count = size;
  return bytes;
}

uint8_t *sample_webp(const uint8_t *samples, int width, int height, int channels, size_t *count) {
  uint8_t *encoded = NULL, *bytes = NULL;
  *count = channels == 3 ? WebPEncodeLosslessRGB(samples, width, height, width * 3, &encoded)
                         : WebPEncodeLosslessRGBA(samples, width, height, width * 4, &encoded);
  if (*count > 0 && (bytes = malloc(*count))) memcpy(bytes, encoded, *count);
  WebPFree(encoded);
  return bytes;
}

void sample_free(uint8_t *bytes) { free(bytes); }
