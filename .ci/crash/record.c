/* Records what a program does to the files below a directory, for .ci/crash/crash.py: loaded by LD_PRELOAD, it writes one line of
 * head and the bytes behind it for each write, truncation, sync, creation, renaming and removal, in the order in which they
 * happened. What is mapped into memory is not seen: SQLite maps its -shm file alone, which it makes anew.
 *
 * CRASH_DIR: the directory; CRASH_TRACE: where the record goes; CRASH_TOLD: a file outside, what is appended to it has been told.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static char dir[PATH_MAX], told[PATH_MAX];
static char *names[FDS]; /* the path by which a descriptor was opened, below the directory; "!" for what tells */

#define REAL(name) \
    static typeof(&name) real; \
    if (!real) real = (typeof(&name))dlsym(RTLD_NEXT, #name)

static ssize_t raw_write(int fd, const void *data, size_t n) {
    REAL(write);
    return real(fd, data, n);
}

static void all(const void *data, size_t n) {
    for (const char *at = data; n;) {
        ssize_t written = raw_write(trace, at, n);
        if (written <= 0) abort();
        at += written, n -= written;
    }
}

static void note(const char *op, const char *name, const char *other, long long at, const void *data, size_t n) {
    char head[2 * PATH_MAX + 100];
    int length = snprintf(head, sizeof head, "%s\t%s\t%s\t%lld\t%zu\n", op, name, other, at, n);
    all(head, length);
    if (n) all(data, n);
}

static void begin(void) {
    if (trace >= 0 || !getenv("CRASH_TRACE")) return;
    REAL(open);
    snprintf(dir, sizeof dir, "%s", getenv("CRASH_DIR"));
    snprintf(told, sizeof told, "%s", getenv("CRASH_TOLD") ? getenv("CRASH_TOLD") : "");
    int fd = real(getenv("CRASH_TRACE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    trace = fcntl(fd, F_DUPFD_CLOEXEC, 3000);
    close(fd);
}

/* The part of a path below the directory; NULL for others. */
static const char *below(const char *path, char *whole) {
    begin();
    if (trace < 0 || !path) return NULL;
    if (path[0] == '/') snprintf(whole, PATH_MAX, "%s", path);
    else {
        char cwd[PATH_MAX];
        if (!getcwd(cwd, sizeof cwd)) return NULL;
        snprintf(whole, PATH_MAX, "%.2000s/%.2000s", cwd, path);
    }
    if (told[0] && !strcmp(whole, told)) return "!";
    size_t n = strlen(dir);
    if (strncmp(whole, dir, n) || (whole[n] && whole[n] != '/')) return NULL;
    if (strstr(whole + n, "-shm")) return NULL;
    return whole[n] ? whole + n + 1 : ".";
}

static void opened(int fd, const char *name, int flags, int is_new) {
    if (fd < 0 || fd >= FDS || !name) return;
    pthread_mutex_lock(&lock);
    free(names[fd]);
    names[fd] = strdup(name);
    if (name[0] != '!') {
        if (is_new) note("create", name, "", 0, NULL, 0);
        else if (flags & O_TRUNC) note("truncate", name, "", 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
}

static int open_at(int at, const char *path, int flags, mode_t mode, int (*how)(int, const char *, int, ...)) {
    char whole[PATH_MAX];
    const char *name = at == AT_FDCWD || path[0] == '/' ? below(path, whole) : NULL;
    int is_new = name && (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = how(at, path, flags, mode);
    int kept = errno;
    opened(fd, name, flags, is_new);
    errno = kept;
    return fd;
}

static int by_openat(int at, const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = va_arg(args, mode_t);
    va_end(args);
    REAL(openat);
    return real(at, path, flags, mode);
}

#define MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list args; \
        va_start(args, flags); \
        mode = va_arg(args, mode_t); \
        va_end(args); \
    }

int open(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode, by_openat); }
int open64(const char *path, int flags, ...) { MODE return open_at(AT_FDCWD, path, flags, mode, by_openat); }
int openat(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode, by_openat); }
int openat64(int at, const char *path, int flags, ...) { MODE return open_at(at, path, flags, mode, by_openat); }

static const char *named(int fd) { return fd >= 0 && fd < FDS ? names[fd] : NULL; }

int close(int fd) {
    REAL(close);
    if (named(fd)) {
        pthread_mutex_lock(&lock);
        free(names[fd]);
        names[fd] = NULL;
        pthread_mutex_unlock(&lock);
    }
    return real(fd);
}

/* Where the bytes went: of a descriptor that appends, the end; else where it stands. */
static long long before(int fd) {
    struct stat about;
    return fcntl(fd, F_GETFL) & O_APPEND ? (fstat(fd, &about) ? 0 : (long long)about.st_size) : (long long)lseek(fd, 0, SEEK_CUR);
}

static void wrote(int fd, long long at, const void *data, ssize_t n) {
    const char *name = named(fd);
    if (n > 0 && name) note(name[0] == '!' ? "told" : "write", name, "", at, data, n);
}

/* An answer with a status of 2xx: what it answers to has been told. */
static void answered(int fd, const void *data, ssize_t n) {
    begin();
    struct stat about;
    if (trace < 0 || n < 12 || memcmp(data, "HTTP/1.1 2", 10) || fstat(fd, &about) || !S_ISSOCK(about.st_mode)) return;
    pthread_mutex_lock(&lock);
    note("told", "!", "", 0, data, n);
    pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write);
    if (!named(fd)) {
        answered(fd, data, n);
        return real(fd, data, n);
    }
    pthread_mutex_lock(&lock);
    long long at = before(fd);
    ssize_t written = real(fd, data, n);
    int kept = errno;
    wrote(fd, at, data, written);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return written;
}

static ssize_t pwrite_any(int fd, const void *data, size_t n, long long at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (!named(fd)) return real(fd, data, n, at);
    pthread_mutex_lock(&lock);
    ssize_t written = real(fd, data, n, at);
    int kept = errno;
    wrote(fd, at, data, written);
    pthread_mutex_unlock(&lock);
    errno = kept;
    return written;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return pwrite_any(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return pwrite_any(fd, data, n, at); }

ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(writev);
    if (!named(fd)) {
        if (n) answered(fd, parts[0].iov_base, parts[0].iov_len);
        return real(fd, parts, n);
    }
    ssize_t written = 0;
    for (int i = 0; i < n; i++) {
        ssize_t part = parts[i].iov_len ? write(fd, parts[i].iov_base, parts[i].iov_len) : 0;
        if (part < 0) return written ? written : part;
        written += part;
    }
    return written;
}

ssize_t send(int fd, const void *data, size_t n, int flags) {
    REAL(send);
    answered(fd, data, n);
    return real(fd, data, n, flags);
}

/* Copies in the kernel would not be seen: who asks for one writes by itself then. */
ssize_t copy_file_range(int from, off64_t *a, int to, off64_t *b, size_t n, unsigned flags) {
    (void)from, (void)a, (void)to, (void)b, (void)n, (void)flags;
    errno = EXDEV;
    return -1;
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t n) {
    (void)to, (void)from, (void)at, (void)n;
    errno = EINVAL;
    return -1;
}

/* A sync is noted once it is over: before that, nothing is promised. */
#define SYNC(name) \
    int name(int fd) { \
        REAL(name); \
        int done = real(fd); \
        if (!done && named(fd) && named(fd)[0] != '!') { \
            pthread_mutex_lock(&lock); \
            note("sync", names[fd], "", 0, NULL, 0); \
            pthread_mutex_unlock(&lock); \
        } \
        return done; \
    }
SYNC(fsync)
SYNC(fdatasync)

static int cut(int fd, long long to) {
    static int (*real)(int, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "ftruncate64");
    if (!named(fd)) return real(fd, to);
    pthread_mutex_lock(&lock);
    int done = real(fd, to);
    if (!done && names[fd][0] != '!') note("truncate", names[fd], "", to, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t to) { return cut(fd, to); }
int ftruncate64(int fd, off64_t to) { return cut(fd, to); }

static void moved(const char *op, const char *from, const char *to) {
    char a[PATH_MAX], b[PATH_MAX];
    const char *x = below(from, a), *y = to ? below(to, b) : "";
    pthread_mutex_lock(&lock);
    if (x && y) note(op, x, y, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
}

int rename(const char *from, const char *to) {
    REAL(rename);
    int done = real(from, to);
    if (!done) moved("rename", from, to);
    return done;
}
int link(const char *from, const char *to) {
    REAL(link);
    int done = real(from, to);
    if (!done) moved("link", from, to);
    return done;
}
int linkat(int a, const char *from, int b, const char *to, int flags) {
    REAL(linkat);
    int done = real(a, from, b, to, flags);
    if (!done && a == AT_FDCWD && b == AT_FDCWD) moved("link", from, to);
    return done;
}
int unlink(const char *path) {
    REAL(unlink);
    int done = real(path);
    if (!done) moved("remove", path, NULL);
    return done;
}
int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    int done = real(path, mode);
    if (!done) moved("mkdir", path, NULL);
    return done;
}
int rmdir(const char *path) {
    REAL(rmdir);
    int done = real(path);
    if (!done) moved("remove", path, NULL);
    return done;
}
