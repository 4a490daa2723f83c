#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "CMPI.h"

static int failed(int descriptor) {
  int code = errno;
  ssize_t written = write(descriptor, &code, sizeof code);
  return written == sizeof code ? 127 : 126;
}

int mmoe_spawn_launcher(const char *path, char *const arguments[], char *const environment[], pid_t *process,
                        int *output) {
  int text[2], failure[2];
  if (pipe(text) != 0) return errno;
  if (pipe(failure) != 0) {
    int code = errno;
    close(text[0]);
    close(text[1]);
    return code;
  }
  for (int end = 0; end < 2; end++) {
    fcntl(text[end], F_SETFD, FD_CLOEXEC);
    fcntl(failure[end], F_SETFD, FD_CLOEXEC);
  }
  pid_t parent = getpid();
  // A signal in between must not meet the parent's handlers in the child.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t child = fork();
  if (child == 0) {
    // Only what is safe after fork in a process of several threads.
#ifdef __linux__
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) _exit(failed(failure[1]));
#endif
    // The parent may have died before.
    if (getppid() != parent) _exit(127);
    setpgid(0, 0);
    struct sigaction action;
    for (int number = 1; number < NSIG; number++) {
      if (sigaction(number, NULL, &action) != 0 || action.sa_handler == SIG_IGN) continue;
      signal(number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    pthread_sigmask(SIG_SETMASK, &none, NULL);
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || dup2(nothing, 0) < 0 || dup2(text[1], 1) < 0) _exit(failed(failure[1]));
    execve(path, arguments, environment);
    _exit(failed(failure[1]));
  }
  int code = child < 0 ? errno : 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  close(text[1]);
  close(failure[1]);
  if (code == 0) {
    ssize_t count;
    while ((count = read(failure[0], &code, sizeof code)) < 0 && errno == EINTR) {}
    if (count != sizeof code) code = 0;
  }
  close(failure[0]);
  if (code != 0) {
    close(text[0]);
    return code;
  }
  *process = child;
  *output = text[0];
  return 0;
}
