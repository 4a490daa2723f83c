#include "CGlyphs.h"

#include <ft2build.h>
#include <hb.h>
#include <stdio.h>
#include <stdlib.h>
#include FT_FREETYPE_H

struct mmoe_text_font {
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

void mmoe_text_close(mmoe_text_font *font) {
  if (font == NULL) return;
  hb_buffer_destroy(font->buffer);
  hb_font_destroy(font->font);
  hb_face_destroy(font->shapes);
  hb_blob_destroy(font->blob);
  if (font->face != NULL) FT_Done_Face(font->face);
  if (font->library != NULL) FT_Done_FreeType(font->library);
  free(font);
}

static int open_font(mmoe_text_font *font, const char *path, int pixels, char message[MMOE_GLYPH_MESSAGE]) {
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
  error = FT_Set_Pixel_Sizes(font->face, 0, (FT_UInt)pixels);
  if (error != 0) {
    say(message, "no font of outlines (FreeType's error %ld)", error);
    return -1;
  }
  font->blob = hb_blob_create_from_file(path);
  font->shapes = hb_face_create(font->blob, 0);
  font->font = hb_font_create(font->shapes);
  // Positions in 64ths of a pixel, as FreeType has them.
  hb_font_set_scale(font->font, pixels * 64, pixels * 64);
  font->buffer = hb_buffer_create();
  if (hb_face_get_glyph_count(font->shapes) == 0 || !hb_buffer_allocation_successful(font->buffer)) {
    say(message, "HarfBuzz finds no glyphs", 0);
    return -1;
  }
  return 0;
}

mmoe_text_font *mmoe_text_open(const char *path, int pixels, char message[MMOE_GLYPH_MESSAGE]) {
  message[0] = 0;
  mmoe_text_font *font = calloc(1, sizeof *font);
  if (font == NULL) {
    say(message, "no memory for the font", 0);
    return NULL;
  }
  if (open_font(font, path, pixels, message) == 0) return font;
  mmoe_text_close(font);
  return NULL;
}

/// Adds a glyph's picture, whose upper left corner is given, where it is within the mask.
static void add_glyph(const FT_Bitmap *picture, int left, int top, uint8_t *mask, int width, int height) {
  if (picture->pixel_mode != FT_PIXEL_MODE_GRAY) return;
  for (int y = 0; y < (int)picture->rows; y++) {
    if (top + y < 0 || top + y >= height) continue;
    const uint8_t *from = picture->buffer + (long)y * picture->pitch;
    uint8_t *to = mask + (long)(top + y) * width;
    for (int x = 0; x < (int)picture->width; x++) {
      if (left + x < 0 || left + x >= width) continue;
      if (from[x] > to[left + x]) to[left + x] = from[x];
    }
  }
}

int mmoe_text_draw(mmoe_text_font *font, const char *text, size_t bytes, uint8_t *mask, int width, int height,
                   int baseline) {
  hb_buffer_clear_contents(font->buffer);
  hb_buffer_add_utf8(font->buffer, text, (int)bytes, 0, (int)bytes);
  hb_buffer_guess_segment_properties(font->buffer);
  hb_shape(font->font, font->buffer, NULL, 0);
  unsigned int glyphs = 0;
  const hb_glyph_info_t *found = hb_buffer_get_glyph_infos(font->buffer, &glyphs);
  const hb_glyph_position_t *places = hb_buffer_get_glyph_positions(font->buffer, &glyphs);
  long pen = 0;
  for (unsigned int i = 0; i < glyphs; i++) {
    if (mask != NULL &&
        FT_Load_Glyph(font->face, found[i].codepoint, FT_LOAD_RENDER | FT_LOAD_TARGET_LIGHT) == 0) {
      const FT_GlyphSlot glyph = font->face->glyph;
      int left = (int)((pen + places[i].x_offset + 32) >> 6) + glyph->bitmap_left;
      int top = baseline - (int)((places[i].y_offset + 32) >> 6) - glyph->bitmap_top;
      add_glyph(&glyph->bitmap, left, top, mask, width, height);
    }
    pen += places[i].x_advance;
  }
  return (int)((pen + 63) >> 6);
}
