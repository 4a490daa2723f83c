#include "font.h"

static int choose_size(mmoe_font *font, int pixels, char *message) {
  int error = FT_Set_Pixel_Sizes(font->face, 0, (FT_UInt)pixels);
  if (error == 0) return 0;
  mmoe_font_say(message, "no font of outlines (FreeType's error %ld)", error);
  return -1;
}

mmoe_font *mmoe_text_open(const char *path, int pixels, char message[MMOE_GLYPH_MESSAGE]) {
  mmoe_font *font = mmoe_font_open(path, choose_size, pixels, message);
  // Positions in 64ths of a pixel, as FreeType has them.
  if (font != NULL) hb_font_set_scale(font->font, pixels * 64, pixels * 64);
  return font;
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

int mmoe_text_draw(mmoe_font *font, const char *text, size_t bytes, uint8_t *mask, int width, int height,
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
