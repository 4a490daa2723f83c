// The entries of tar and zip archives, packed or not, one after the other, through libarchive (Debian package libarchive-dev).
#pragma once

#include <stddef.h>
#include <stdint.h>

/// The size of the message buffers below, the closing zero included.
#define MMOE_ARCHIVE_MESSAGE 256

typedef struct mmoe_archive mmoe_archive;

/// What an entry is.
typedef enum { MMOE_ARCHIVE_FILE, MMOE_ARCHIVE_FOLDER, MMOE_ARCHIVE_OTHER } mmoe_archive_kind;

/// Opens an archive; NULL with a message where the file is none or cannot be read.
mmoe_archive *mmoe_archive_open(const char *path, char message[MMOE_ARCHIVE_MESSAGE]);

/// Goes to the next entry. Returns 1, 0 at the end, or -1 with a message. `name` is valid until the next call; its bytes are
/// UTF-8 where the archive says so. `size` is what the archive claims, -1 where it says nothing.
int mmoe_archive_next(mmoe_archive *archive, const char **name, int64_t *size, mmoe_archive_kind *kind,
                      char message[MMOE_ARCHIVE_MESSAGE]);

/// Reads some of the present entry's content. Returns how many bytes, 0 at its end, or -1 with a message.
ptrdiff_t mmoe_archive_read(mmoe_archive *archive, uint8_t *bytes, size_t count, char message[MMOE_ARCHIVE_MESSAGE]);

void mmoe_archive_close(mmoe_archive *archive);
