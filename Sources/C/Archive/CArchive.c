#include "CArchive.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdio.h>
#include <stdlib.h>

struct mmoe_archive {
  struct archive *reader;
};

static void say(char *message, struct archive *reader) {
  const char *text = archive_error_string(reader);
  snprintf(message, MMOE_ARCHIVE_MESSAGE, "%s", text ? text : "damaged");
}

mmoe_archive *mmoe_archive_open(const char *path, char *message) {
  mmoe_archive *archive = malloc(sizeof *archive);
  struct archive *reader = archive_read_new();
  if (!archive || !reader) {
    snprintf(message, MMOE_ARCHIVE_MESSAGE, "no memory for a reader");
    free(archive);
    if (reader) archive_read_free(reader);
    return NULL;
  }
  // Only what data sets are published in. Filters that start other programs are left out.
  archive_read_support_filter_gzip(reader);
  archive_read_support_filter_bzip2(reader);
  archive_read_support_filter_xz(reader);
  archive_read_support_filter_zstd(reader);
  archive_read_support_format_tar(reader);
  archive_read_support_format_zip(reader);
  if (archive_read_open_filename(reader, path, 1 << 20) != ARCHIVE_OK) {
    say(message, reader);
    archive_read_free(reader);
    free(archive);
    return NULL;
  }
  archive->reader = reader;
  return archive;
}

int mmoe_archive_next(mmoe_archive *archive, const char **name, int64_t *size, mmoe_archive_kind *kind, char *message) {
  struct archive_entry *entry;
  int status = archive_read_next_header(archive->reader, &entry);
  if (status == ARCHIVE_EOF) return 0;
  // A warning is about a name that the locale cannot write, or an attribute that is not used.
  if (status != ARCHIVE_OK && status != ARCHIVE_WARN) {
    say(message, archive->reader);
    return -1;
  }
  *name = archive_entry_pathname_utf8(entry);
  if (!*name) *name = archive_entry_pathname(entry);
  *size = archive_entry_size_is_set(entry) ? archive_entry_size(entry) : -1;
  mode_t type = archive_entry_filetype(entry);
  int is_link = archive_entry_hardlink(entry) != NULL;
  *kind = type == AE_IFDIR ? MMOE_ARCHIVE_FOLDER : type == AE_IFREG && !is_link ? MMOE_ARCHIVE_FILE : MMOE_ARCHIVE_OTHER;
  return 1;
}

ptrdiff_t mmoe_archive_read(mmoe_archive *archive, uint8_t *bytes, size_t count, char *message) {
  la_ssize_t got = archive_read_data(archive->reader, bytes, count);
  if (got >= 0) return got;
  say(message, archive->reader);
  return -1;
}

void mmoe_archive_close(mmoe_archive *archive) {
  if (!archive) return;
  archive_read_free(archive->reader);
  free(archive);
}
