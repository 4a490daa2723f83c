// Color glyphs of a bitmap font: HarfBuzz turns a sequence of code points into one glyph, FreeType decodes its picture.
//
// Both libraries speak in macros and opaque handles; behind these functions errors come back as a status and a message.
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_GLYPH_MESSAGE 256

/// An open font; one thread at a time may use it.
typedef struct mmoe_glyph_font mmoe_glyph_font;

/// Opens a font and selects its one bitmap strike: fonts of color bitmaps have fixed sizes only. Returns null with a
/// message.
mmoe_glyph_font *mmoe_glyph_open(const char *path, char message[MMOE_GLYPH_MESSAGE]);

void mmoe_glyph_close(mmoe_glyph_font *font);

/// The glyph that a sequence of code points is drawn as. Returns 0, or -1 with a message: several glyphs, or none.
int mmoe_glyph_shape(mmoe_glyph_font *font, const uint32_t *codepoints, size_t count, uint32_t *glyph,
                     char message[MMOE_GLYPH_MESSAGE]);

/// Draws a glyph's picture over white into the middle of a square of `side` x `side` RGB pixels. Returns 0, or -1 with a
/// message: no color picture, or a larger one.
int mmoe_glyph_draw(mmoe_glyph_font *font, uint32_t glyph, uint8_t *rgb, int side,
                    char message[MMOE_GLYPH_MESSAGE]);
