// Test. What a caller looks like; compiled, and not run: it wants an agent.

package lars_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"lars"
)

func ExampleClient_GetHost() {
	client, err := lars.New(lars.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	host, err := client.GetHost(context.Background(), 1, 2, lars.Key("user-42"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("calling", host.Addr())
	if err := client.Report(1, 2, host.Addr(), 0, 12*time.Millisecond); err != nil {
		log.Fatal(err)
	}
}
