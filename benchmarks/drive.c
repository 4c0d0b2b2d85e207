/* A drive of a given speed, for any program: each read of a file below a folder takes as long as the drive would.

   LD_PRELOAD=drive.so DRIVE_FOLDER=/folder DRIVE_RATE=72e6 DRIVE_CLOCK=/a/file cat /folder/file

   All processes share the one drive: DRIVE_CLOCK holds when it will have given all that was asked of it so far. Nothing
   is kept in memory: what is read twice is waited for twice. The drive goes on for a moment while nobody asks. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define AHEAD (SECOND / 100)

static int is_on_drive(int descriptor)
{
    char link[40], path[PATH_MAX];
    const char *folder = getenv("DRIVE_FOLDER");
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path);
    return folder && size > (ssize_t)strlen(folder) && strncmp(path, folder, strlen(folder)) == 0;
}

static void wait_for_drive(int descriptor, ssize_t size)
{
    const char *rate = getenv("DRIVE_RATE"), *clock = getenv("DRIVE_CLOCK");
    struct timespec now;
    long long ready = 0, earliest;
    if (size <= 0 || !rate || !clock || !is_on_drive(descriptor))
        return;
    int file = open(clock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0 || flock(file, LOCK_EX) || pread(file, &ready, sizeof ready, 0) < 0)
        abort();
    clock_gettime(CLOCK_MONOTONIC, &now);
    earliest = now.tv_sec * SECOND + now.tv_nsec - AHEAD;
    ready = (ready > earliest ? ready : earliest) + (long long)(size / atof(rate) * SECOND);
    if (pwrite(file, &ready, sizeof ready, 0) != sizeof ready)
        abort();
    close(file);
    struct timespec until = {ready / SECOND, ready % SECOND};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

#define SLOW(name, parameters, arguments)                        \
    ssize_t name parameters                                      \
    {                                                            \
        static __typeof__(name) *really;                         \
        if (!really)                                             \
            really = (__typeof__(really))dlsym(RTLD_NEXT, #name); \
        ssize_t size = really arguments;                         \
        wait_for_drive(descriptor, size);                        \
        return size;                                             \
    }

SLOW(read, (int descriptor, void *to, size_t most), (descriptor, to, most))
SLOW(readv, (int descriptor, const struct iovec *to, int count), (descriptor, to, count))
SLOW(pread, (int descriptor, void *to, size_t most, off_t from), (descriptor, to, most, from))
SLOW(pread64, (int descriptor, void *to, size_t most, off64_t from), (descriptor, to, most, from))
SLOW(preadv, (int descriptor, const struct iovec *to, int count, off_t from), (descriptor, to, count, from))
SLOW(preadv64, (int descriptor, const struct iovec *to, int count, off64_t from), (descriptor, to, count, from))
