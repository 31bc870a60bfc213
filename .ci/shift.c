// What .ci/at puts before PostgreSQL and other programs that are not Go's: the clock on
// the wall is MEZHVED_TEST_SHIFT seconds ahead, and nothing else is changed. (libfaketime
// keeps PostgreSQL's timeouts from coming, and browsers from ending.)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift;
static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_gettimeofday)(struct timeval *, void *);
static time_t (*real_time)(time_t *);

__attribute__((constructor)) static void begin(void) {
	const char *s = getenv("MEZHVED_TEST_SHIFT");
	real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
	real_gettimeofday = dlsym(RTLD_NEXT, "gettimeofday");
	real_time = dlsym(RTLD_NEXT, "time");
	shift = s ? atol(s) : 0;
}

int clock_gettime(clockid_t id, struct timespec *t) {
	if (!real_clock_gettime)
		begin();
	int r = real_clock_gettime(id, t);
	if (r == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		t->tv_sec += shift;
	return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
	if (!real_gettimeofday)
		begin();
	int r = real_gettimeofday(t, zone);
	if (r == 0)
		t->tv_sec += shift;
	return r;
}

time_t time(time_t *t) {
	if (!real_time)
		begin();
	time_t now = real_time(NULL) + shift;
	if (t)
		*t = now;
	return now;
}
