#define _GNU_SOURCE
#include "TestCache.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char folder[4096];
static pid_t owner;

const char *mmoe_test_cache(void) { return folder; }

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place) {
  (void)status, (void)kind, (void)place;
  return remove(path);
}

// A child that was forked and did not become another program has nothing to remove.
static void remove_folder(void) {
  if (getpid() == owner) nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

// The environment may only be changed while there is one thread.
__attribute__((constructor)) static void choose(void) {
  const char *temporary = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/mmoe-test-cache-XXXXXX", temporary && *temporary ? temporary : "/tmp");
  if (!mkdtemp(folder)) {
    perror(folder);
    exit(EXIT_FAILURE);
  }
  owner = getpid();
  setenv("MMOE_CACHE", folder, 1);
  atexit(remove_folder);
}
