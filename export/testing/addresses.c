// Shell. For tests: what getaddrinfo of the C library gives for a name, an address a line.

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int argc, char **argv) {
  struct addrinfo hints, *found, *one;
  char text[INET_ADDRSTRLEN];
  if (argc != 2) return 2;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  int code = getaddrinfo(argv[1], NULL, &hints, &found);
  if (code != 0) {
    printf("%s\n", code == EAI_NONAME ? "no name" : code == EAI_AGAIN ? "again" : "no address");
    return 0;
  }
  for (one = found; one != NULL; one = one->ai_next) {
    if (one->ai_family != AF_INET) continue;
    inet_ntop(AF_INET, &((struct sockaddr_in *)one->ai_addr)->sin_addr, text, sizeof text);
    printf("%s\n", text);
  }
  return 0;
}
