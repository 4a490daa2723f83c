#include "font.h"

#include <string.h>

static int choose_strike(mmoe_font *font, int pixels, char *message) {
  (void)pixels;
  // A font of bitmaps has no outlines to scale: FT_Set_Pixel_Sizes fails, the strike is selected by its number.
  if (font->face->num_fixed_sizes >= 1 && FT_Select_Size(font->face, 0) == 0) return 0;
  mmoe_font_say(message, "no font of color bitmaps: %ld bitmap sizes, expected at least 1", font->face->num_fixed_sizes);
  return -1;
}

mmoe_font *mmoe_glyph_open(const char *path, char message[MMOE_GLYPH_MESSAGE]) {
  return mmoe_font_open(path, choose_strike, 0, message);
}

int mmoe_glyph_shape(mmoe_font *font, const uint32_t *codepoints, size_t count, uint32_t *glyph,
                     char message[MMOE_GLYPH_MESSAGE]) {
  hb_buffer_clear_contents(font->buffer);
  hb_buffer_add_utf32(font->buffer, codepoints, (int)count, 0, (int)count);
  hb_buffer_guess_segment_properties(font->buffer);
  hb_shape(font->font, font->buffer, NULL, 0);
  unsigned int glyphs = 0;
  const hb_glyph_info_t *found = hb_buffer_get_glyph_infos(font->buffer, &glyphs);
  if (glyphs != 1 || found[0].codepoint == 0) {
    mmoe_font_say(message, "%ld glyphs for the sequence, expected one", glyphs == 1 ? 0 : (long)glyphs);
    return -1;
  }
  *glyph = found[0].codepoint;
  return 0;
}

int mmoe_glyph_draw(mmoe_font *font, uint32_t glyph, uint8_t *rgb, int side,
                    char message[MMOE_GLYPH_MESSAGE]) {
  int error = FT_Load_Glyph(font->face, glyph, FT_LOAD_COLOR);
  if (error != 0) {
    mmoe_font_say(message, "the picture cannot be read (FreeType's error %ld)", error);
    return -1;
  }
  const FT_Bitmap *picture = &font->face->glyph->bitmap;
  if (picture->pixel_mode != FT_PIXEL_MODE_BGRA) {
    mmoe_font_say(message, "FreeType's pixel mode %ld, expected a color picture (7)", picture->pixel_mode);
    return -1;
  }
  int width = (int)picture->width, height = (int)picture->rows;
  if (width > side || height > side) {
    mmoe_font_say(message, "a picture of %ld pixels, larger than the square", width > height ? width : height);
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
