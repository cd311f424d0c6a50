/* A library that is loaded before the C library and makes the machine fail on purpose.
 *
 * FAULTS=FOLDER            where it is said what fails:
 *   FOLDER/sync  PART:COUNT:WHAT, read at the start: the COUNT-th sync (fsync, fdatasync, or msync of a
 *                mapped file) of a file whose path holds PART. "kill" ends the process before it, "after"
 *                ends it after it, "eio" lets it fail, once.
 *   FOLDER/clock an int64, read whenever somebody asks for the time: the wall clock is wrong by as many
 *                seconds. The monotonic clock stays right.
 *
 * Knows nothing of Mayfly.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static char part[256];
static char what[16];
static long at;
static atomic_long seen;
static const volatile int64_t *offset_s;

__attribute__((constructor)) static void prepare(void) {
    const char *folder = getenv("FAULTS");
    if (!folder) return;
    char path[4096];
    snprintf(path, sizeof path, "%s/sync", folder);
    FILE *sync = fopen(path, "re");
    if (sync) {
        if (fscanf(sync, "%255[^:]:%ld:%15s", part, &at, what) != 3) at = 0;
        fclose(sync);
    }
    snprintf(path, sizeof path, "%s/clock", folder);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        void *map = mmap(NULL, 8, PROT_READ, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED) offset_s = map;
        close(fd);
    }
}

/* Whether this sync is the one; dies if it is to die before it. */
static int is_chosen(const char *path) {
    if (!at || !strstr(path, part)) return 0;
    if (atomic_fetch_add(&seen, 1) + 1 != at) return 0;
    if (!strcmp(what, "kill")) kill(getpid(), SIGKILL);
    return 1;
}

static int is_chosen_fd(int fd) {
    if (!at) return 0;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return is_chosen(path);
}

/* The file that is mapped at an address. */
static int is_chosen_map(const void *address) {
    if (!at) return 0;
    FILE *maps = fopen("/proc/self/maps", "re");
    if (!maps) return 0;
    char line[4352];
    int chosen = 0;
    while (fgets(line, sizeof line, maps)) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx", &from, &to) == 2 && (uintptr_t)address >= from && (uintptr_t)address < to) {
            chosen = is_chosen(line);
            break;
        }
    }
    fclose(maps);
    return chosen;
}

static int done(int chosen, int result) {
    if (!chosen) return result;
    if (!strcmp(what, "after")) kill(getpid(), SIGKILL);
    if (!strcmp(what, "eio")) {
        errno = EIO;
        return -1;
    }
    return result;
}

int fsync(int fd) {
    int chosen = is_chosen_fd(fd);
    if (chosen && !strcmp(what, "eio")) return done(chosen, 0);
    return done(chosen, (int)syscall(SYS_fsync, fd));
}

int fdatasync(int fd) {
    int chosen = is_chosen_fd(fd);
    if (chosen && !strcmp(what, "eio")) return done(chosen, 0);
    return done(chosen, (int)syscall(SYS_fdatasync, fd));
}

int msync(void *address, size_t length, int flags) {
    int chosen = is_chosen_map(address);
    if (chosen && !strcmp(what, "eio")) return done(chosen, 0);
    return done(chosen, (int)syscall(SYS_msync, address, length, flags));
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (!result && offset_s && id == CLOCK_REALTIME) now->tv_sec += *offset_s;
    return result;
}
