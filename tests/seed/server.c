// Shell. A server that registers as seed programs do, written from the structs alone.

/* Each word is one step; the id of each registration is printed. */
#include "public_head.h"

static int register_one(int fd, const char *ip, int port) {
  char block[sizeof(message) + sizeof(int)];
  message *msg = (message *)block;
  serverinfo info;
  int id;
  memset(&info, 0xee, sizeof(info)); /* what the compiler adds may hold anything */
  memset(info.ip, 0, sizeof(info.ip));
  strncpy(info.ip, ip, sizeof(info.ip) - 1);
  info.port = port; /* in host order, as the seed has it */
  send_command(fd, cmd_register, &info, sizeof(info));
  readn(fd, block, sizeof(block));
  if (msg->cmd != cmd_register || msg->arglen != sizeof(int)) {
    fprintf(stderr, "head is %d, %d\n", msg->cmd, msg->arglen);
    exit(1);
  }
  memcpy(&id, msg->argv, sizeof(id));
  return id;
}

int main(int argc, char **argv) {
  int fd = dial(argv[1], atoi(argv[2]));
  for (int at = 3; at < argc; at++) {
    const char *word = argv[at];
    if (strncmp(word, "register=", 9) == 0) {
      char ip[64] = "";
      const char *colon = strchr(word + 9, ':');
      snprintf(ip, sizeof(ip), "%.*s", (int)(colon - (word + 9)), word + 9);
      printf("%d\n", register_one(fd, ip, atoi(colon + 1)));
    } else if (strncmp(word, "unregister=", 11) == 0) {
      int id = atoi(word + 11);
      send_command(fd, cmd_unregister, &id, sizeof(id));
    } else if (strcmp(word, "heart") == 0) {
      send_command(fd, cmd_heart, NULL, 0);
    } else {
      fprintf(stderr, "unknown step %s\n", word);
      return 2;
    }
  }
  close(fd);
  return 0;
}
