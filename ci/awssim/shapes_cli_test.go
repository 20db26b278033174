package awssim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Every operation is called with the aws command line, and what it prints is all that was sent; what was sent is what the
// command line's own description of the API allows.
func TestAWSCommandLineReadsEverything(t *testing.T) {
	data, err := exec.Command("python3", "-c", "import awscli.clidriver, botocore, os; print(os.path.join(os.path.dirname(botocore.__file__), 'data'), end='')").Output()
	if err != nil {
		t.Skip("the aws command line is not installed for python3 (apt install awscli)")
	}
	// An older one knows neither AWS_ENDPOINT_URL nor half of what is answered:
	// ContinueServiceDeployment is the youngest operation here.
	if err := exec.Command("python3", "-c", "import botocore.session; botocore.session.Session().get_service_model('ecs').operation_model('ContinueServiceDeployment')").Run(); err != nil {
		t.Skip("the aws command line here is too old to know what the simulated AWS answers")
	}
	w := sessionWorld(t)
	seen := &tap{handler: w.Handler()}
	srv := httptest.NewServer(seen)
	defer srv.Close()
	cli := newCLI(t, srv.URL)
	models := map[string]*model{}
	play(t, w, func(action, input string) (any, error) {
		name, op, _ := strings.Cut(action, ":")
		out, err := cli.run(described(name), kebab(op), "--no-paginate", "--cli-input-json", input)
		if err != nil {
			return nil, err
		}
		printed := parse(t, orEmpty(bytes.TrimSpace(out)))
		s, _, err := w.operation(action)
		if err != nil {
			return nil, err
		}
		if s.Protocol == wire.Query {
			return printed, nil
		}
		sent := parse(t, orEmpty(seen.body))
		if diff := cmp.Diff(sent, printed); diff != "" {
			t.Errorf("%s: sent (-) and printed (+):\n%s", action, diff)
		}
		if models[name] == nil {
			models[name] = loadModel(t, string(data), name)
		}
		for _, wrong := range models[name].check(op, sent) {
			t.Errorf("%s: %s", action, wrong)
		}
		return sent, nil
	})
}

func kebab(op string) string {
	s := regexp.MustCompile(`([a-z0-9])([A-Z])`).ReplaceAllString(op, "$1-$2")
	return strings.ToLower(s)
}

// cli is the aws command line in a process that answers many commands, because it takes long to start.
type cli struct {
	in  io.Writer
	out *json.Decoder
}

const cliServer = `
import contextlib, io, json, sys
import awscli.clidriver
driver = awscli.clidriver.create_clidriver()
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            rc = driver.main(json.loads(line))
        except SystemExit as e:
            rc = e.code
    print(json.dumps({"rc": rc, "out": out.getvalue(), "err": err.getvalue()}), flush=True)
`

func newCLI(t *testing.T, url string) *cli {
	t.Helper()
	cmd := exec.Command("python3", "-c", cliServer)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID=AKIATEST", "AWS_SECRET_ACCESS_KEY=test", "AWS_DEFAULT_REGION=us-east-1",
		"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_PAGER=", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &cli{in, json.NewDecoder(out)}
}

func (c *cli) run(args ...string) ([]byte, error) {
	if err := json.NewEncoder(c.in).Encode(args); err != nil {
		return nil, err
	}
	var res struct {
		RC       int
		Out, Err string
	}
	if err := c.out.Decode(&res); err != nil {
		return nil, err
	}
	if res.RC != 0 {
		return nil, fmt.Errorf("exit code %d: %s", res.RC, strings.TrimSpace(res.Err))
	}
	return []byte(res.Out), nil
}
