package docker_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"
)

// mail is a message as an SMTP server took it.
type mail struct {
	User, From string
	To         []string
	Data       string
}

// mailbox is the server's side of every session, and what they left.
type mailbox struct {
	mu   sync.Mutex
	sent []mail
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &session{box: b}, nil }

func (b *mailbox) take() []mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

type session struct {
	box *mailbox
	mail
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if password != mailPassword {
			return errors.New("no such user")
		}
		s.User = user
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error { s.From = from; return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if strings.HasPrefix(to, "nobody@") {
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	}
	s.To = append(s.To, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	s.mail.Data = string(raw)
	s.box.mu.Lock()
	s.box.sent = append(s.box.sent, s.mail)
	s.box.mu.Unlock()
	return err
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

const mailPassword = "pass word+/="

// serveMail starts a server of a name that its certificate has, and returns its
// port and the file of the certificate.
func serveMail(t *testing.T, box *mailbox, implicit bool) (port, ca string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(box)
	server.Domain = "localhost"
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	_, port, err = net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if implicit {
		l = tls.NewListener(l, server.TLSConfig)
	}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return port, ca
}

// sendMail calls PHP's mail() as the image does, with the image's sendmail_path.
func sendMail(t *testing.T, code string, variables ...string) (string, bool) {
	t.Helper()
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("there is no php on the PATH: `make test` installs it")
	}
	ini, err := os.ReadFile("php/rootfs/usr/local/etc/magento/php.d/10-magento.ini")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("php/rootfs")
	if err != nil {
		t.Fatal(err)
	}
	scan := t.TempDir()
	// The image's file, with its program where the repository has it.
	ini = bytes.ReplaceAll(ini, []byte(`"/usr/local/bin/`), []byte(`"`+root+`/usr/local/bin/`))
	if err := os.WriteFile(filepath.Join(scan, "magento.ini"), ini, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(php, "-r", "exit("+code+" ? 0 : 1);")
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "PHP_INI_SCAN_DIR=:" + scan}, variables...)
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), mailPassword) {
		t.Errorf("the password is in the output: %s", out)
	}
	return string(out), err == nil
}

const order = `mail('"Doe, Jane" <jane@shop.example>', 'Order', "one\n.two\n..\nend", ` +
	`['From' => 'Shop <shop@shop.example>', 'Cc' => 'cc@shop.example', 'Bcc' => 'bcc@shop.example'])`

// mail() reaches an SMTP server by each kind of connection.
func TestMailIsSent(t *testing.T) {
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte(mailPassword+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		implicit bool
		env      []string
		user     string
	}{
		"starttls, by default": {env: []string{"SMTP_USER=shop", "SMTP_PASSWORD=" + mailPassword}, user: "shop"},
		"tls from the start":   {implicit: true, env: []string{"SMTP_ENCRYPTION=tls", "SMTP_USER=shop", "SMTP_PASSWORD_FILE=" + password}, user: "shop"},
		"in the clear":         {env: []string{"SMTP_ENCRYPTION=none"}},
	} {
		t.Run(name, func(t *testing.T) {
			var box mailbox
			port, ca := serveMail(t, &box, c.implicit)
			if out, ok := sendMail(t, order, append(c.env, "SMTP_HOST=localhost", "SMTP_PORT="+port, "SSL_CERT_FILE="+ca)...); !ok {
				t.Fatalf("mail() failed: %s", out)
			}
			sent := box.take()
			if len(sent) != 1 {
				t.Fatalf("%d messages were sent", len(sent))
			}
			head, body, _ := strings.Cut(sent[0].Data, "\r\n\r\n")
			sent[0].Data = body
			want := mail{User: c.user, From: "shop@shop.example", To: []string{"jane@shop.example", "cc@shop.example", "bcc@shop.example"}, Data: "one\r\n.two\r\n..\r\nend\r\n"}
			if diff := cmp.Diff(want, sent[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !strings.Contains(head, "Subject: Order\r\n") || strings.Contains(head, "bcc@") {
				t.Errorf("the headers are\n%s", head)
			}
		})
	}
}

// What is not sent fails in PHP, with the reason in the log.
func TestMailIsNotSent(t *testing.T) {
	var box mailbox
	port, ca := serveMail(t, &box, false)
	server := []string{"SMTP_HOST=localhost", "SMTP_PORT=" + port}
	trusted := append([]string{"SSL_CERT_FILE=" + ca}, server...)
	for want, c := range map[string]struct {
		code string
		env  []string
	}{
		"SMTP_HOST is not set":                  {code: order},
		"no TLS":                                {code: order, env: server},
		"answered AUTH PLAIN":                   {code: order, env: append([]string{"SMTP_USER=shop", "SMTP_PASSWORD=wrong"}, trusted...)},
		"no such mailbox":                       {code: `mail('nobody@shop.example', 's', 'b', 'From: a@b.example')`, env: trusted},
		"in the clear":                          {code: order, env: append([]string{"SMTP_USER=shop", "SMTP_PASSWORD=" + mailPassword, "SMTP_ENCRYPTION=none"}, trusted...)},
		"must be starttls, tls or none":         {code: order, env: append([]string{"SMTP_ENCRYPTION=maybe"}, trusted...)},
		"SMTP_PASSWORD_FILE names /none, which": {code: order, env: append([]string{"SMTP_PASSWORD_FILE=/none"}, trusted...)},
	} {
		out, ok := sendMail(t, c.code, c.env...)
		if ok || !strings.Contains(out, "sendmail: mail is not sent: ") || !strings.Contains(out, want) {
			t.Errorf("mail() = %v: %s\nwant %q", ok, out, want)
		}
	}
	if sent := box.take(); len(sent) > 0 {
		t.Errorf("these were sent: %v", sent)
	}
}
