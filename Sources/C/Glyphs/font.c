#include "font.h"

#include <stdio.h>
#include <stdlib.h>

void mmoe_font_say(char message[MMOE_GLYPH_MESSAGE], const char *text, long value) {
  snprintf(message, MMOE_GLYPH_MESSAGE, text, value);
}

void mmoe_font_close(mmoe_font *font) {
  if (font == NULL) return;
  hb_buffer_destroy(font->buffer);
  hb_font_destroy(font->font);
  hb_face_destroy(font->shapes);
  hb_blob_destroy(font->blob);
  if (font->face != NULL) FT_Done_Face(font->face);
  if (font->library != NULL) FT_Done_FreeType(font->library);
  free(font);
}

static int fill(mmoe_font *font, const char *path, int (*choose)(mmoe_font *, int, char *), int pixels, char *message) {
  if (FT_Init_FreeType(&font->library) != 0) {
    font->library = NULL;
    mmoe_font_say(message, "FreeType could not start", 0);
    return -1;
  }
  int error = FT_New_Face(font->library, path, 0, &font->face);
  if (error != 0) {
    font->face = NULL;
    mmoe_font_say(message, "cannot be opened as a font (FreeType's error %ld)", error);
    return -1;
  }
  if (choose(font, pixels, message) != 0) return -1;
  font->blob = hb_blob_create_from_file(path);
  font->shapes = hb_face_create(font->blob, 0);
  font->font = hb_font_create(font->shapes);
  font->buffer = hb_buffer_create();
  if (hb_face_get_glyph_count(font->shapes) == 0 || !hb_buffer_allocation_successful(font->buffer)) {
    mmoe_font_say(message, "HarfBuzz finds no glyphs", 0);
    return -1;
  }
  return 0;
}

mmoe_font *mmoe_font_open(const char *path, int (*choose)(mmoe_font *, int, char *), int pixels, char *message) {
  message[0] = 0;
  mmoe_font *font = calloc(1, sizeof *font);
  if (font == NULL) {
    mmoe_font_say(message, "no memory for the font", 0);
    return NULL;
  }
  if (fill(font, path, choose, pixels, message) == 0) return font;
  mmoe_font_close(font);
  return NULL;
}
