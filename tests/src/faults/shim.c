/* Preloaded into a worker: its wall clock is off by FAULTS_CLOCK_OFFSET seconds. The other clocks,
 * which measure durations, are left alone. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, id, now);
    if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        const char *offset = getenv("FAULTS_CLOCK_OFFSET");
        now->tv_sec += offset ? atol(offset) : 0;
    }
    return result;
}
