/* Preloaded: while the file named by HOTH_SHIM_TRAIL_FULL exists, no write to
 * the trail and its log finds room, as on a full disk that writes every block
 * anew. Other files have room. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int full(int fd) {
    int error = errno, is_trail = 0;
    char link[64], path[4096];
    const char *control = getenv("HOTH_SHIM_TRAIL_FULL");
    if (control != NULL && access(control, F_OK) == 0) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(link, path, sizeof path - 1);
        if (length > 0) {
            path[length] = 0;
            is_trail = strstr(path, "/trail.db") != NULL;
        }
    }
    errno = is_trail ? ENOSPC : error;
    return is_trail;
}

#define REAL(name, type) ((type)dlsym(RTLD_NEXT, name))

ssize_t write(int fd, const void *bytes, size_t count) {
    if (full(fd)) return -1;
    return REAL("write", ssize_t (*)(int, const void *, size_t))(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) {
    if (full(fd)) return -1;
    return REAL("pwrite", ssize_t (*)(int, const void *, size_t, off_t))(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    if (full(fd)) return -1;
    return REAL("pwrite64", ssize_t (*)(int, const void *, size_t, off64_t))(fd, bytes, count, at);
}
