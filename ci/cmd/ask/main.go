// Command ask asks a shop that runs from a build's images in containers whether it serves, and stands in for its search
// engine. The Dagger module runs it beside them; on a host there is mck smoke.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/magecloudkit/pipeline/ci/smoke/hostrun"
	"github.com/magecloudkit/pipeline/ci/smoke/search"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, argv []string) error {
	var shop hostrun.Elsewhere
	var listen, logs, junit, name string
	var asJSON bool
	fl := flag.NewFlagSet("ask", flag.ContinueOnError)
	fl.StringVar(&listen, "search", "", "address to stand in for a search engine at, and do nothing else")
	fl.StringVar(&shop.Layouts, "images", "", "directory with the images' OCI layouts")
	fl.StringVar(&shop.URL, "url", "", "the shop's address, without a slash at its end")
	fl.StringVar(&shop.Redis, "redis", "", "address of Redis: HOST:PORT")
	fl.StringVar(&logs, "logs", "", "patterns of log files, separated by commas")
	fl.StringVar(&shop.Paths, "paths", "", "file with the paths of a category and of a product, one a line")
	fl.StringVar(&junit, "junit", "", "file to write the report to as JUnit XML as well")
	fl.StringVar(&name, "name", "smoke", "what the report is called there")
	fl.BoolVar(&asJSON, "json", false, "print the report as JSON")
	if err := fl.Parse(argv); err != nil {
		return err
	}
	if listen != "" {
		return (&http.Server{Addr: listen, Handler: search.Handler(), ReadHeaderTimeout: time.Minute}).ListenAndServe()
	}
	work, err := os.MkdirTemp("", "ask-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	shop.Work, shop.Now, shop.Logs = work, time.Now, strings.Split(logs, ",")
	report, err := hostrun.Ask(ctx, shop)
	if err != nil {
		return err
	}
	if junit != "" {
		if err := hostrun.WriteJUnit(junit, name, report); err != nil {
			return err
		}
	}
	if asJSON {
		out, err := json.MarshalIndent(report, "", "  ")
		if err != nil {
			return err
		}
		fmt.Println(string(out))
	} else {
		fmt.Print(report)
	}
	if !report.OK() {
		return errors.New("the images do not serve: see above")
	}
	return nil
}
