// Shell. Calls the sample module `shop` of `lars up` five times, with a second try at another node.

// Command shop is a caller: go run ./examples/shop
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"lars"
)

func main() {
	client, err := lars.New(lars.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for i := 0; i < 5; i++ {
		text := ""
		err := client.Call(context.Background(), 1, 2,
			func(ctx context.Context, node lars.Attempt) (err error) {
				text, err = fetch(ctx, "http://"+node.Addr().String()+"/")
				return err
			}, lars.Retries(1), lars.Timeout(2*time.Second))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text)
	}
}

func fetch(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	if err := lars.CheckStatus(response.StatusCode); err != nil {
		return "", err
	}
	body, err := io.ReadAll(response.Body)
	return request.Host + " says " + strings.TrimSpace(string(body)), err
}
