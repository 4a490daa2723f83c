#include "CGlyphs.h"

#include <ft2build.h>
#include <hb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include FT_FREETYPE_H

struct mmoe_glyph_font {
  FT_Library library;
  FT_Face face;
  hb_blob_t *blob;
  hb_face_t *shapes;
  hb_font_t *font;
  hb_buffer_t *buffer;
};

static void say(char message[MMOE_GLYPH_MESSAGE], const char *text, long value) {
  snprintf(message, MMOE_GLYPH_MESSAGE, text, value);
}

void mmoe_glyph_close(mmoe_glyph_font *font) {
  if (font == NULL) return;
  hb_buffer_destroy(font->buffer);
  hb_font_destroy(font->font);
  hb_face_destroy(font->shapes);
  hb_blob_destroy(font->blob);
  if (font->face != NULL) FT_Done_Face(font->face);
  if (font->library != NULL) FT_Done_FreeType(font->library);
  free(font);
}

static int open_font(mmoe_glyph_font *font, const char *path, char message[MMOE_GLYPH_MESSAGE]) {
  if (FT_Init_FreeType(&font->library) != 0) {
    font->library = NULL;
    say(message, "FreeType could not start", 0);
    return -1;
  }
  int error = FT_New_Face(font->library, path, 0, &font->face);
  if (error != 0) {
    font->face = NULL;
    say(message, "cannot be opened as a font (FreeType's error %ld)", error);
    return -1;
  }
  // A font of bitmaps has no outlines to scale: FT_Set_Pixel_Sizes fails, the strike is selected by its number.
  if (font->face->num_fixed_sizes < 1 || FT_Select_Size(font->face, 0) != 0) {
    say(message, "no font of color bitmaps: %ld bitmap sizes, expected at least 1", font->face->num_fixed_sizes);
    return -1;
  }
  font->blob = hb_blob_create_from_file(path);
  font->shapes = hb_face_create(font->blob, 0);
  font->font = hb_font_create(font->shapes);
  font->buffer = hb_buffer_create();
  if (hb_face_get_glyph_count(font->shapes) == 0 || !hb_buffer_allocation_successful(font->buffer)) {
    say(message, "HarfBuzz finds no glyphs", 0);
    return -1;
  }
  return 0;
}

mmoe_glyph_font *mmoe_glyph_open(const char *path, char message[MMOE_GLYPH_MESSAGE]) {
  message[0] = 0;
  mmoe_glyph_font *font = calloc(1, sizeof *font);
  if (font == NULL) {
    say(message, "no memory for the font", 0);
    return NULL;
  }
  if (open_font(font, path, message) == 0) return font;
  mmoe_glyph_close(font);
  return NULL;
}

int mmoe_glyph_shape(mmoe_glyph_font *font, const uint32_t *codepoints, size_t count, uint32_t *glyph,
                     char message[MMOE_GLYPH_MESSAGE]) {
  hb_buffer_clear_contents(font->buffer);
  hb_buffer_add_utf32(font->buffer, codepoints, (int)count, 0, (int)count);
  hb_buffer_guess_segment_properties(font->buffer);
  hb_shape(font->font, font->buffer, NULL, 0);
  unsigned int glyphs = 0;
  const hb_glyph_info_t *found = hb_buffer_get_glyph_infos(font->buffer, &glyphs);
  if (glyphs != 1 || found[0].codepoint == 0) {
    say(message, "%ld glyphs for the sequence, expected one", glyphs == 1 ? 0 : (long)glyphs);
    return -1;
  }
  *glyph = found[0].codepoint;
  return 0;
}

int mmoe_glyph_draw(mmoe_glyph_font *font, uint32_t glyph, uint8_t *rgb, int side,
                    char message[MMOE_GLYPH_MESSAGE]) {
  int error = FT_Load_Glyph(font->face, glyph, FT_LOAD_COLOR);
  if (error != 0) {
    say(message, "the picture cannot be read (FreeType's error %ld)", error);
    return -1;
  }
  const FT_Bitmap *picture = &font->face->glyph->bitmap;
  if (picture->pixel_mode != FT_PIXEL_MODE_BGRA) {
    say(message, "FreeType's pixel mode %ld, expected a color picture (7)", picture->pixel_mode);
    return -1;
  }
  int width = (int)picture->width, height = (int)picture->rows;
  if (width > side || height > side) {
    say(message, "a picture of %ld pixels, larger than the square", width > height ? width : height);
    return -1;
  }
  memset(rgb, 255, (size_t)side * (size_t)side * 3);
  uint8_t *corner = rgb + (((side - height) / 2) * side + (side - width) / 2) * 3;
  for (int y = 0; y < height; y++) {
    const uint8_t *from = picture->buffer + (long)y * picture->pitch;
    uint8_t *to = corner + (long)y * side * 3;
    for (int x = 0; x < width; x++) {
      // Blue, green, red, alpha; colors are premultiplied, so white adds what is left.
      int rest = 255 - from[4 * x + 3];
      for (int c = 0; c < 3; c++) {
        int value = from[4 * x + 2 - c] + rest;
        to[3 * x + c] = (uint8_t)(value > 255 ? 255 : value);
      }
    }
  }
  return 0;
}
