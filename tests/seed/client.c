// Shell. A client of the discovery protocol, written from the structs alone.

/* Each word on the command line is one step; each answer is printed as "id ip port". */
#include "public_head.h"

static void print_server(int fd) {
  char block[sizeof(message) + sizeof(serverinfo)];
  message *msg = (message *)block;
  serverinfo info;
  readn(fd, block, sizeof(block));
  if (msg->cmd != cmd_connect || msg->arglen != 0) {
    fprintf(stderr, "head is %d, %d\n", msg->cmd, msg->arglen);
    exit(1);
  }
  memcpy(&info, msg->argv, sizeof(info));
  info.ip[15] = 0;
  printf("%d %s %d\n", info.id, info.ip[0] ? info.ip : "-", info.port);
}

int main(int argc, char **argv) {
  int fd = dial(argv[1], atoi(argv[2]));
  for (int at = 3; at < argc; at++) {
    const char *word = argv[at];
    connectback back = {0, 0};
    if (strcmp(word, "connect") == 0) {
      send_command(fd, cmd_connect, NULL, 0);
      print_server(fd);
    } else if (strncmp(word, "ok=", 3) == 0) {
      back.back = 1;
      back.id = atoi(word + 3);
      send_command(fd, cmd_backconnect, &back, sizeof(back));
    } else if (strncmp(word, "bad=", 4) == 0) {
      back.id = atoi(word + 4);
      send_command(fd, cmd_backconnect, &back, sizeof(back));
      print_server(fd);
    } else if (strncmp(word, "left=", 5) == 0) {
      int id = atoi(word + 5);
      send_command(fd, cmd_unconnect, &id, sizeof(id));
    } else {
      fprintf(stderr, "unknown step %s\n", word);
      return 2;
    }
  }
  close(fd);
  return 0;
}
