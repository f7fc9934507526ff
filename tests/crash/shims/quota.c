/* Preloaded: while the file named by HOTH_SHIM_QUOTA exists, regular files grow
 * only into the room that a removed reserve has left. Any other growth fails
 * with EDQUOT, as over a disk quota. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_long room;

static int exceeded(void) {
    const char *file = getenv("HOTH_SHIM_QUOTA");
    return file != NULL && access(file, F_OK) == 0;
}

/* Returns true if the file may not get this length. */
static int refused(int fd, off_t end) {
    struct stat found;
    if (!exceeded()) {
        room = 0;
        return 0;
    }
    if (fstat(fd, &found) != 0 || !S_ISREG(found.st_mode) || end <= found.st_size) return 0;
    long more = end - found.st_size;
    if (atomic_fetch_sub(&room, more) >= more) return 0;
    atomic_fetch_add(&room, more);
    errno = EDQUOT;
    return 1;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *bytes, size_t count) {
    int error = errno;
    int flags = fcntl(fd, F_GETFL);
    off_t at = lseek(fd, 0, (flags & O_APPEND) ? SEEK_END : SEEK_CUR);
    errno = error;
    if (at >= 0 && refused(fd, at + (off_t)count)) return -1;
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (refused(fd, at + (off_t)count)) return -1;
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (refused(fd, at + (off_t)count)) return -1;
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}

int ftruncate(int fd, off_t length) {
    if (refused(fd, length)) return -1;
    return REAL("ftruncate", int (*)(int, off_t))(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    if (refused(fd, length)) return -1;
    return REAL("ftruncate64", int (*)(int, off64_t))(fd, length);
}

int unlink(const char *path) {
    struct stat found;
    size_t length = strlen(path);
    int is_reserve = length > 8 && strcmp(path + length - 8, ".reserve") == 0;
    long left = is_reserve && stat(path, &found) == 0 ? found.st_size : 0;
    int result = REAL("unlink", int (*)(const char *))(path);
    if (result == 0) atomic_fetch_add(&room, left);
    return result;
}
