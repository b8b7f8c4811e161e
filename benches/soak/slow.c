/* Makes a disk slow or dead for one process, by LD_PRELOAD: for the soak run alone.
 *
 * While the file named by SLOW_DISK exists, it says two numbers. Each fsync, fdatasync, pwrite, and each write to a regular file,
 * takes so many milliseconds longer, and fails with that errno where it is not 0. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* Whether the call is to fail. */
static int as_told(void) {
  const char *path = getenv("SLOW_DISK");
  FILE *f = path ? fopen(path, "r") : NULL;
  if (!f) return 0;
  long ms = 0, error = 0;
  int n = fscanf(f, "%ld %ld", &ms, &error);
  fclose(f);
  if (n >= 1 && ms > 0) {
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
  }
  if (n < 2 || error == 0) return 0;
  errno = (int)error;
  return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) {
  if (as_told()) return -1;
  return NEXT(fsync)(fd);
}

int fdatasync(int fd) {
  if (as_told()) return -1;
  return NEXT(fdatasync)(fd);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
  if (as_told()) return -1;
  return NEXT(pwrite)(fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
  if (as_told()) return -1;
  return NEXT(pwrite64)(fd, bytes, n, at);
}

ssize_t write(int fd, const void *bytes, size_t n) {
  struct stat s;
  if (fd > 2 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && as_told()) return -1;
  return NEXT(write)(fd, bytes, n);
}
