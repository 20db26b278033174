package hostrun

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stopNginx sends half of a request, asks nginx to stop, and sends the other half: it must be answered.
func (r *runner) stopNginx(ctx context.Context) error {
	c, err := dial(ctx, r.http)
	if err != nil {
		return err
	}
	defer c.Close()
	const form = "a=b"
	fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: 127.0.0.1:%s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n", r.http, len(form))
	in := bufio.NewReader(c)
	// It says so when it waits for the rest: from here on the request is under way.
	status, err := textproto.NewReader(in).ReadLine()
	if err != nil {
		return lost("nginx", err)
	}
	if !strings.Contains(status, " 100 ") {
		return fmt.Errorf("nginx answers the first half of a request with %q, not with 100", status)
	}
	if _, err := textproto.NewReader(in).ReadLine(); err != nil { // the empty one
		return err
	}
	if err := r.nginxProcess.signal(quit); err != nil {
		return err
	}
	if _, err := c.Write([]byte(form)); err != nil {
		return lost("nginx", err)
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return lost("nginx", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return lost("nginx", err)
	}
	if res.StatusCode >= 500 {
		return fmt.Errorf("a request that was under way when nginx was asked to stop is answered with %s", res.Status)
	}
	c.Close() // nginx waits for that, to be sure that the answer has arrived
	return stopped(ctx, r.nginxProcess)
}

// stopConsumer starts a queue consumer, and asks it to stop.
func (r *runner) stopConsumer(ctx context.Context, name string) error {
	volumes, err := r.volumes(r.php)
	if err != nil {
		return err
	}
	argv := append(slices.Clone(r.php.config.Entrypoint), "bin/magento", "queue:consumers:start", name)
	cmd, err := r.container(ctx, r.php, volumes, false, argv, r.environment()...)
	if err != nil {
		return err
	}
	p, err := r.start("consumer", cmd)
	if err != nil {
		return err
	}
	if err := until(ctx, p, func() bool { return catches(p.cmd.Process.Pid, quit) }); err != nil {
		return fmt.Errorf("the consumer %s would be killed in the middle of a message, since it takes no notice of signals: %w", name, err)
	}
	if err := p.signal(quit); err != nil {
		return err
	}
	return stopped(ctx, p)
}

// consumer is the name of a queue consumer of the store; empty: it has none.
func (r *runner) consumer(ctx context.Context) (string, error) {
	volumes, err := r.volumes(r.php)
	if err != nil {
		return "", err
	}
	argv := append(slices.Clone(r.php.config.Entrypoint), "bin/magento", "list", "--raw", "queue")
	cmd, err := r.container(ctx, r.php, volumes, false, argv, r.environment()...)
	if err != nil {
		return "", err
	}
	if out, err := output("listing the store's commands", cmd); err != nil || !strings.Contains(out, "queue:consumers:list") {
		return "", nil // a store without Magento's queue
	}
	argv = append(slices.Clone(r.php.config.Entrypoint), "bin/magento", "queue:consumers:list")
	if cmd, err = r.container(ctx, r.php, volumes, false, argv, r.environment()...); err != nil {
		return "", err
	}
	out, err := output("listing the store's consumers", cmd)
	name, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
	return strings.TrimSpace(name), err
}

// catches says whether a process has a handler for a signal: https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func catches(pid int, s syscall.Signal) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(raw), "\nSigCgt:\t")
	mask, _, _ := strings.Cut(rest, "\n")
	caught, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && caught&(1<<(s-1)) != 0
}

func lost(name string, err error) error {
	return fmt.Errorf("a request that was under way when %s was asked to stop was lost: %w", name, err)
}

// stopFPM does the same with php-fpm, over FastCGI.
func (r *runner) stopFPM(ctx context.Context) error {
	c, err := dial(ctx, r.fpm)
	if err != nil {
		return err
	}
	defer c.Close()
	const form = "a=b"
	begin(c, map[string]string{
		"REQUEST_METHOD": "POST", "SCRIPT_FILENAME": appRoot + "/pub/index.php", "SCRIPT_NAME": "/index.php", "REQUEST_URI": "/customer/account/login/",
		"HTTP_HOST": "127.0.0.1:" + r.http, "SERVER_NAME": "127.0.0.1", "SERVER_PORT": r.http, "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "127.0.0.1",
		"DOCUMENT_ROOT": appRoot + "/pub", "CONTENT_TYPE": "application/x-www-form-urlencoded", "CONTENT_LENGTH": fmt.Sprint(len(form)),
	})
	// Beside the one that asks for it there is a busy worker: the request is under way.
	if err := until(ctx, r.phpProcess, func() bool { return r.active(ctx) >= 2 }); err != nil {
		return err
	}
	if err := r.phpProcess.signal(quit); err != nil {
		return err
	}
	record(c, 5, []byte(form))
	record(c, 5, nil)
	out, err := answer(c)
	if err != nil {
		return lost("php-fpm", err)
	}
	if !strings.Contains(out, "Content-type:") && !strings.Contains(out, "Content-Type:") || strings.HasPrefix(out, "Status: 5") {
		return fmt.Errorf("a request that was under way when php-fpm was asked to stop is answered with %.80q", out)
	}
	c.Close() // php-fpm waits for that too
	return stopped(ctx, r.phpProcess)
}

// active is how many of php-fpm's workers have a request.
func (r *runner) active(ctx context.Context) int {
	c, err := dial(ctx, r.fpm)
	if err != nil {
		return 0
	}
	defer c.Close()
	begin(c, map[string]string{"REQUEST_METHOD": "GET", "SCRIPT_FILENAME": "/fpm-status", "SCRIPT_NAME": "/fpm-status", "QUERY_STRING": "full"})
	record(c, 5, nil)
	out, err := answer(c)
	if err != nil {
		return 0
	}
	// The page's own line "active processes" is kept by the master, once a second. One that reads a form is "Getting
	// request informations".
	n := 0
	for line := range strings.Lines(out) {
		if state, ok := strings.CutPrefix(line, "state:"); ok && strings.TrimSpace(state) != "Idle" {
			n++
		}
	}
	return n
}

func dial(ctx context.Context, port string) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", "127.0.0.1:"+port)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(stopTimeout))
	}
	return c, err
}

// record writes one of FastCGI's (version 1, request 1); the reader finds out what could not be written.
func record(w io.Writer, kind byte, content []byte) {
	head := []byte{1, kind, 0, 1, 0, 0, 0, 0}
	binary.BigEndian.PutUint16(head[4:], uint16(len(content)))
	_, _ = w.Write(append(head, content...))
}

// begin asks for a script, without the request's body.
func begin(w io.Writer, params map[string]string) {
	record(w, 1, []byte{0, 1, 0, 0, 0, 0, 0, 0})
	var b bytes.Buffer
	for name, value := range params { // all are shorter than 128 bytes
		b.Write([]byte{byte(len(name)), byte(len(value))})
		b.WriteString(name + value)
	}
	record(w, 4, b.Bytes())
	record(w, 4, nil)
}

// answer reads a response to its end.
func answer(r io.Reader) (string, error) {
	var out bytes.Buffer
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return out.String(), err
		}
		content := make([]byte, int(binary.BigEndian.Uint16(head[4:]))+int(head[6]))
		if _, err := io.ReadFull(r, content); err != nil {
			return out.String(), err
		}
		switch head[1] {
		case 3:
			if content[4] != 0 {
				return out.String(), errors.New("php-fpm refuses the request")
			}
			return out.String(), nil
		case 6:
			out.Write(content[:len(content)-int(head[6])])
		}
	}
}
