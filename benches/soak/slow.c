/* Delays what makes writes safe, as a disk does that is at its end: for the soak run alone.
 *
 * While the file named by SLOW_DISK exists, each fsync, fdatasync and pwrite takes as many milliseconds longer as it says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>

static void wait_as_told(void) {
  const char *path = getenv("SLOW_DISK");
  FILE *f = path ? fopen(path, "r") : NULL;
  if (!f) return;
  long ms = 0;
  if (fscanf(f, "%ld", &ms) != 1) ms = 0;
  fclose(f);
  struct timespec t = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&t, NULL);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) {
  wait_as_told();
  return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
  wait_as_told();
  return NEXT(fdatasync)(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
  wait_as_told();
  return NEXT(pwrite)(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
  wait_as_told();
  return NEXT(pwrite64)(fd, bytes, n, at);
}
