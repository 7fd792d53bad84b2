// Counts the system calls that open or change files below a folder, and breaks one of them.
//
// Loaded by LD_PRELOAD, so that what is written from C++ is met too; nothing happens until `arm`.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static char folder[PATH_MAX];
enum { OPEN_, WRITE_, RENAME, MKDIR, FSYNC, UNLINK, KINDS };
static atomic_long calls[KINDS];
static int broken;        // kind of the calls that are broken
static long first, last;  // which of them
static int error;         // what they report; 0 to be killed there

void arm(const char *below, int kind, long at, long until, int code) {
    broken = kind, first = at, last = until, error = code;
    strcpy(folder, below);
}

long counted(int kind) { return calls[kind]; }

static int below(const char *path) {
    size_t n = strlen(folder);
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int of_descriptor(int fd) {
    char name[32], path[PATH_MAX];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof path - 1);
    return n > 0 && (path[n] = 0, below(path));
}

static int of_path(int at, const char *path) {
    if (path[0] == '/') return below(path);
    char here[PATH_MAX];
    return at == AT_FDCWD ? getcwd(here, sizeof here) && below(here) : of_descriptor(at);
}

static int breaks(int kind) {
    long now = ++calls[kind];
    return kind == broken && first <= now && now <= last;
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name) ((typeof(&name))dlsym(RTLD_NEXT, #name))
#define BREAK(name, inside)                    \
    if (*folder && (inside) && breaks(name)) { \
        if (!error) end();                     \
        errno = error;                         \
        return -1;                             \
    }

#define OPEN(name, type, declared, at, ...)                               \
    int name declared {                                                   \
        mode_t mode = 0;                                                  \
        if (flags & (O_CREAT | O_TMPFILE)) {                              \
            va_list more;                                                 \
            va_start(more, flags);                                        \
            mode = va_arg(more, mode_t);                                  \
            va_end(more);                                                 \
        }                                                                 \
        BREAK(OPEN_, of_path(at, path))                                  \
        return ((type)dlsym(RTLD_NEXT, #name))(__VA_ARGS__, flags, mode); \
    }
typedef int (*Open)(const char *, int, ...);
typedef int (*OpenAt)(int, const char *, int, ...);
OPEN(open, Open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(open64, Open, (const char *path, int flags, ...), AT_FDCWD, path)
OPEN(openat, OpenAt, (int at, const char *path, int flags, ...), at, at, path)
OPEN(openat64, OpenAt, (int at, const char *path, int flags, ...), at, at, path)

#define CALL(type, name, what, declared, inside, ...) \
    type name declared {                              \
        BREAK(what, inside)                           \
        return REAL(name)(__VA_ARGS__);               \
    }
CALL(int, rename, RENAME, (const char *a, const char *b), of_path(AT_FDCWD, b), a, b)
CALL(int, renameat, RENAME, (int x, const char *a, int y, const char *b), of_path(y, b), x, a, y, b)
CALL(int, renameat2, RENAME, (int x, const char *a, int y, const char *b, unsigned f), of_path(y, b), x, a, y, b, f)
CALL(int, mkdir, MKDIR, (const char *path, mode_t mode), of_path(AT_FDCWD, path), path, mode)
CALL(int, mkdirat, MKDIR, (int at, const char *path, mode_t mode), of_path(at, path), at, path, mode)
CALL(int, fsync, FSYNC, (int fd), of_descriptor(fd), fd)
CALL(int, fdatasync, FSYNC, (int fd), of_descriptor(fd), fd)
CALL(int, unlink, UNLINK, (const char *path), of_path(AT_FDCWD, path), path)
CALL(int, unlinkat, UNLINK, (int at, const char *path, int f), of_path(at, path), at, path, f)
CALL(int, rmdir, UNLINK, (const char *path), of_path(AT_FDCWD, path), path)
CALL(int, ftruncate, WRITE_, (int fd, off_t size), of_descriptor(fd), fd, size)
CALL(int, ftruncate64, WRITE_, (int fd, off64_t size), of_descriptor(fd), fd, size)

// Whoever is killed while writing leaves half of it.
#define WRITE(name, declared, half, ...)                                  \
    ssize_t name declared {                                               \
        if (*folder && of_descriptor(fd) && breaks(WRITE_)) {            \
            if (!error) REAL(name) half, end();                           \
            errno = error;                                                \
            return -1;                                                    \
        }                                                                 \
        return REAL(name)(__VA_ARGS__);                                   \
    }
WRITE(write, (int fd, const void *from, size_t n), (fd, from, n / 2), fd, from, n)
WRITE(pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n / 2, at), fd, from, n, at)
WRITE(pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n / 2, at), fd, from, n, at)
WRITE(writev, (int fd, const struct iovec *from, int n), (fd, from, n / 2), fd, from, n)
WRITE(pwritev, (int fd, const struct iovec *from, int n, off_t at), (fd, from, n / 2, at), fd, from, n, at)
WRITE(pwritev64, (int fd, const struct iovec *from, int n, off64_t at), (fd, from, n / 2, at), fd, from, n, at)
