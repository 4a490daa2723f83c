// What both kinds of fonts have: a face of FreeType, which draws, and a font of HarfBuzz, which chooses glyphs.
#pragma once

#include <ft2build.h>
#include <hb.h>
#include FT_FREETYPE_H

#include "CGlyphs.h"

struct mmoe_font {
  FT_Library library;
  FT_Face face;
  hb_blob_t *blob;
  hb_face_t *shapes;
  hb_font_t *font;
  hb_buffer_t *buffer;
};

/// Writes a message with a number in it.
void mmoe_font_say(char message[MMOE_GLYPH_MESSAGE], const char *text, long value);

/// Opens a font; `choose` selects the size that it is drawn at, and returns 0, or -1 with a message.
mmoe_font *mmoe_font_open(const char *path, int (*choose)(mmoe_font *font, int pixels, char *message), int pixels,
                          char message[MMOE_GLYPH_MESSAGE]);
