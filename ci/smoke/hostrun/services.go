package hostrun

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/smoke/search"
)

// port is one that is free now.
func port() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, p, err := net.SplitHostPort(l.Addr().String())
	return p, err
}

// until asks again and again, ten times a second, until it is answered, the process ends or a minute is over.
func until(ctx context.Context, p *process, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case <-p.ended:
			return &failure{what: "starting " + p.name, err: fmt.Errorf("it ended: %w", p.err), lines: p.lines()}
		case <-ctx.Done():
			return &failure{what: "starting " + p.name, err: fmt.Errorf("it does not answer: %w", ctx.Err()), lines: p.lines()}
		case <-tick.C:
		}
	}
	return nil
}

func answers(address string) func() bool {
	return func() bool {
		c, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
}

// services starts what a shop needs beside it.
func (r *runner) services(ctx context.Context) error {
	for _, p := range []*string{&r.db, &r.redis, &r.fpm, &r.http} {
		var err error
		if *p, err = port(); err != nil {
			return err
		}
	}
	data := filepath.Join(r.dir, "db")
	if err := once("mariadb-install-db", exec.CommandContext(ctx, find("mariadb-install-db"), "--no-defaults", "--user=root", "--auth-root-authentication-method=normal",
		"--skip-test-db", "--datadir="+data)); err != nil {
		return err
	}
	socket := filepath.Join(r.dir, "db.sock")
	// Magento's installer knows the versions that it was released with and refuses newer ones; 10.6 is known to all since 2.4.4.
	db, err := r.start("mariadbd", exec.CommandContext(ctx, find("mariadbd"), "--no-defaults", "--user=root", "--datadir="+data, "--socket="+socket, "--port="+r.db,
		"--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", "--skip-log-bin", "--version=10.6.18-MariaDB", "--pid-file="+filepath.Join(r.dir, "db.pid")))
	if err != nil {
		return err
	}
	redis, err := r.start("redis", exec.CommandContext(ctx, find("redis-server", "valkey-server"), "--port", r.redis, "--bind", "127.0.0.1", "--save", "", "--dir", r.dir))
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	r.search = &http.Server{Handler: search.Handler(), ReadHeaderTimeout: time.Minute}
	_, r.searchPort, _ = net.SplitHostPort(l.Addr().String()) // a listener's address has a port
	go r.search.Serve(l)                                      // it ends when it is closed
	if err := until(ctx, db, answers("127.0.0.1:"+r.db)); err != nil {
		return err
	}
	if err := until(ctx, redis, answers("127.0.0.1:"+r.redis)); err != nil {
		return err
	}
	return once("making a database", exec.CommandContext(ctx, find("mariadb"), "--no-defaults", "--user=root", "--socket="+socket, "-e",
		"create database magento; create user m@'127.0.0.1' identified by 'm'; grant all on magento.* to m@'127.0.0.1'"))
}

// keys counts the keys of the databases of Redis.
func (r *runner) keys(ctx context.Context) (map[string]int, error) {
	return keysAt(ctx, "127.0.0.1:"+r.redis)
}

func keysAt(ctx context.Context, address string) (map[string]int, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	out := map[string]int{}
	in := bufio.NewReader(c)
	for n, of := range []string{"caches", "page cache", "sessions"} {
		fmt.Fprintf(c, "SELECT %d\r\nDBSIZE\r\n", n)
		if _, err := in.ReadString('\n'); err != nil {
			return nil, err
		}
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		if out[of], err = strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, ":"))); err != nil {
			return nil, fmt.Errorf("redis answers DBSIZE with %q", line)
		}
	}
	return out, nil
}

// writeFile makes a file and the directories above it.
func writeFile(name, content string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, []byte(content), mode)
}
