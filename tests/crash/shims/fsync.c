/* Preloaded: fsync and fdatasync fail with EIO while the file named by
 * HOTH_SHIM_FSYNC exists, and sync nothing. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int failing(void) {
    const char *file = getenv("HOTH_SHIM_FSYNC");
    return file != NULL && access(file, F_OK) == 0;
}

static int sync_or_fail(const char *name, int fd) {
    if (failing()) {
        errno = EIO;
        return -1;
    }
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(fd);
}

int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
