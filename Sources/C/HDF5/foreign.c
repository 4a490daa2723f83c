#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

// ---- In the child: nothing but HDF5 and system calls; the parent's other threads do not exist
// here.

/// Where attributes are copied to.
typedef struct {
  hid_t object;
  char *fault;
} attribute_target;

/// Copies an object's strings and numbers; other attributes are left behind.
static herr_t copy_attribute(hid_t object, const char *name, const H5A_info_t *info, void *context) {
  (void)info;
  attribute_target *to = context;
  mmoe_h5_attribute value;
  if (!mmoe_h5_read_attribute_of(object, name, &value, to->fault)) return -1;
  bool copied = true;
  switch (value.kind) {
    case MMOE_H5_ATTRIBUTE_STRING:
      copied = mmoe_h5_write_string_to(to->object, name, value.text, to->fault);
      break;
    case MMOE_H5_ATTRIBUTE_INTEGER:
      copied = mmoe_h5_write_number_to(to->object, name, MMOE_H5_INT64, &value.integer, to->fault);
      break;
    case MMOE_H5_ATTRIBUTE_FLOAT:
      copied = mmoe_h5_write_number_to(to->object, name, MMOE_H5_FLOAT64, &value.number, to->fault);
      break;
    default: break;
  }
  mmoe_h5_free(value.text);
  return copied ? 0 : -1;
}

static bool copy_values(hid_t file, const char *path, hid_t object, const mmoe_h5_dataset *d,
                        char *fault) {
  const size_t size = H5Tget_size(mmoe_h5_memory_type(d->type));
  void *values = calloc(d->count ? d->count : 1, size);
  if (!values) return mmoe_h5_fail(fault, "dataset '%s': not enough memory", path);
  bool copied = d->count == 0 || H5Dread(object, mmoe_h5_memory_type(d->type), H5S_ALL, H5S_ALL,
                                         H5P_DEFAULT, values) >= 0;
  if (!copied) mmoe_h5_fail_library(fault, "dataset", path);
  copied = copied && mmoe_h5_write(file, path, d->type, d->rank, d->shape, values, fault);
  free(values);
  return copied;
}

static bool copy_object(void *context, const char *path, mmoe_h5_id object, const mmoe_h5_dataset *d,
                        char *fault) {
  const hid_t file = *(const hid_t *)context;
  if (d && !copy_values(file, path, object, d, fault)) return false;
  if (!d && path[0]) {
    const hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    if (group < 0) return mmoe_h5_fail_library(fault, "group", path);
    H5Gclose(group);
  }
  attribute_target to = {H5Oopen(file, path[0] ? path : "/", H5P_DEFAULT), fault};
  const herr_t status =
      to.object < 0 ? -1
                    : H5Aiterate2(object, H5_INDEX_NAME, H5_ITER_INC, NULL, copy_attribute, &to);
  if (status < 0) mmoe_h5_fail_library(fault, "attributes of", path[0] ? path : "/");
  if (to.object >= 0) H5Oclose(to.object);
  return status >= 0;
}

static void limit(int resource, uint64_t bytes) {
  const struct rlimit value = {bytes, bytes};
  setrlimit(resource, &value);
}

/// Makes the child die quietly, soon and alone.
static void confine(uint64_t file_bytes) {
  const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGTRAP, SIGTERM, SIGSYS};
  for (size_t i = 0; i < sizeof fatal / sizeof *fatal; ++i) signal(fatal[i], SIG_DFL);
  signal(SIGINT, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  // The C library writes about a corrupt heap before it aborts.
  const int null = open("/dev/null", O_RDWR);
  if (null >= 0) {
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
  }
  limit(RLIMIT_CORE, 0);
  char pages[64] = "";
  const int statm = open("/proc/self/statm", O_RDONLY);
  if (statm >= 0 && read(statm, pages, sizeof pages - 1) > 0) {
    const uint64_t mapped = strtoull(pages, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
    limit(RLIMIT_AS, mapped + 2 * file_bytes + (UINT64_C(6) << 30));
  }
}

/// Reads all that the tree says of an object.
static herr_t read_attribute(hid_t object, const char *name, const H5A_info_t *info, void *fault) {
  (void)info;
  mmoe_h5_attribute value;
  if (!mmoe_h5_read_attribute_of(object, name, &value, fault)) return -1;
  mmoe_h5_free(value.text);
  return 0;
}

static bool look_at(void *context, const char *path, mmoe_h5_id object, const mmoe_h5_dataset *d,
                    char *fault) {
  // Contiguous values are bytes; others go through the library's filters.
  if (d && d->offset == UINT64_MAX && d->count) {
    void *values = malloc(d->count * H5Tget_size(mmoe_h5_memory_type(d->type)));
    if (!values) return mmoe_h5_fail(fault, "dataset '%s': not enough memory", path);
    const herr_t read = H5Dread(object, mmoe_h5_memory_type(d->type), H5S_ALL, H5S_ALL,
                                H5P_DEFAULT, values);
    free(values);
    if (read < 0) return mmoe_h5_fail_library(fault, "dataset", path);
  }
  const hid_t own = H5Oopen(*(const hid_t *)context, path[0] ? path : "/", H5P_DEFAULT);
  const herr_t status =
      own < 0 ? -1 : H5Aiterate2(own, H5_INDEX_NAME, H5_ITER_INC, NULL, read_attribute, fault);
  if (status < 0) mmoe_h5_fail_library(fault, "attributes of", path[0] ? path : "/");
  if (own >= 0) H5Oclose(own);
  return status >= 0;
}

static bool pass_over(void *context, const char *path, const char *file, const char *object,
                      char *fault) {
  (void)context, (void)path, (void)file, (void)object, (void)fault;
  return true;
}

static bool probe_file(int from, int to, uint64_t file_bytes, char *fault) {
  (void)to;
  mmoe_h5_enter();
  hid_t source = mmoe_h5_open_named(from, fault);
  if (source < 0) return false;
  const bool sound = mmoe_h5_walk(source, file_bytes, look_at, pass_over, &source, fault);
  // Closing is reading too.
  mmoe_h5_end_reading(source);
  return sound;
}

static bool copy_file(int from, int to, uint64_t file_bytes, char *fault) {
  mmoe_h5_enter();
  const hid_t source = mmoe_h5_open_named(from, fault);
  if (source < 0) return false;
  hid_t target = mmoe_h5_create_nameless(to, fault);
  return target >= 0 && mmoe_h5_walk(source, file_bytes, copy_object, NULL, &target, fault) &&
         mmoe_h5_close(target, fault);
}

// ---- In the parent.

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/// Waits for the child and describes how it ended; false when it did not succeed.
static bool await(pid_t child, double seconds, int results, char *fault) {
  const double deadline = now() + seconds;
  int status = 0;
  pid_t ended;
  while ((ended = waitpid(child, &status, WNOHANG)) == 0 && now() < deadline)
    nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
  if (ended == 0) {
    kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return mmoe_h5_fail(fault, "reading it took more than %.0f s; the file is probably malformed",
                        seconds);
  }
  if (ended > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  if (ended > 0 && WIFSIGNALED(status))
    return mmoe_h5_fail(fault,
                        "the HDF5 library crashed on it (%s); the file is malformed, write it anew",
                        strsignal(WTERMSIG(status)));
  // Short enough for the pipe's own buffer, so it is all there.
  char text[MMOE_H5_FAULT_SIZE] = "";
  const ssize_t length = read(results, text, sizeof text - 1);
  return mmoe_h5_fail(fault, "%s", length > 0 ? text : "the process that reads it failed");
}

typedef bool (*child_work)(int from, int to, uint64_t file_bytes, char *fault);

/// Runs `work` in a child process; whether it succeeded.
static bool in_child(child_work work, int from, int to, uint64_t file_bytes, double seconds,
                     char *fault) {
  int results[2] = {-1, -1};
  bool succeeded = false;
  if (pipe2(results, O_CLOEXEC | O_NONBLOCK) < 0)
    return mmoe_h5_fail(fault, "cannot start a process to read it: %s", strerror(errno));
  const pid_t child = fork();
  if (child == 0) {
    char text[MMOE_H5_FAULT_SIZE] = "";
    confine(file_bytes);
    if (work(from, to, file_bytes, text)) _exit(0);
    const ssize_t written = write(results[1], text, strlen(text));
    _exit(written < 0 ? 2 : 1);
  }
  if (child < 0)
    mmoe_h5_fail(fault, "cannot start a process to read it: %s", strerror(errno));
  else
    succeeded = await(child, seconds, results[0], fault);
  for (int i = 0; i < 2; ++i) close(results[i]);
  return succeeded;
}

int mmoe_h5_copy_foreign(int descriptor, uint64_t file_bytes, double seconds, char *fault) {
  const int copy = memfd_create("foreign.h5", MFD_CLOEXEC);
  if (copy < 0) {
    mmoe_h5_fail(fault, "cannot start a process to read it: %s", strerror(errno));
    return -1;
  }
  if (in_child(copy_file, descriptor, copy, file_bytes, seconds, fault)) return copy;
  close(copy);
  return -1;
}

bool mmoe_h5_probe(int descriptor, uint64_t file_bytes, double seconds, char *fault) {
  return in_child(probe_file, descriptor, -1, file_bytes, seconds, fault);
}
