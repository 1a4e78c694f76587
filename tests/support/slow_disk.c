// Shell. For tests: a disk that takes a second to have anything reach it, once a file says so.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for_disk(void) {
  const char *flag = getenv("LARS_TEST_SLOW_DISK");
  if (flag != NULL && access(flag, F_OK) == 0) usleep(1000000);
}

int fsync(int fd) {
  wait_for_disk();
  return syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
  wait_for_disk();
  return syscall(SYS_fdatasync, fd);
}
