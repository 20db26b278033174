package surface_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

const moduleSource = `package main

type Shop struct{}

func New(
	// The store.
	//
	// +defaultPath="/magento"
	source *dagger.Directory,
	// +optional
	composerAuth *dagger.Secret,
) *Shop { return nil }

type Built struct {
	// The digest.
	Digest string
	// +private
	Hidden string
}

func (s *Shop) Build(
	ctx context.Context,
	buildNum string,
	// +optional
	withTests bool,
) (*Built, error) { return nil, nil }

func (s *Shop) GetEcr(ctx context.Context) (string, error) { return "", nil }

func (s *Shop) inner() {}

func (b *Built) Nginx() *dagger.Container { return nil }
`

const clientSource = `package dagger

type ContainerPublishOpts struct { MediaTypes string }

func (r *Container) Publish(ctx context.Context, address string, opts ...ContainerPublishOpts) (string, error) { return "", nil }
`

func surfaceOfTests(t *testing.T) surface.Surface {
	t.Helper()
	m, err := surface.ReadModule(fstest.MapFS{
		"main.go":                     {Data: []byte(moduleSource)},
		"dagger.gen.go":               {Data: []byte("generated, and not read")},
		"internal/dagger/dagger.go":   {Data: []byte(clientSource)},
		"internal/dagger/x_test.go":   {Data: []byte("not read")},
		"internal/dagger/dagger.json": {Data: []byte("not read")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return surface.Surface{
		Module: m,
		Mck: surface.Verbs{
			"build":      {"--out": true, "--json": false, "-q": false},
			"env":        nil,
			"env set":    {"--cluster": true},
			"run":        {"--cluster": true},
			"ecs-deploy": nil,
		},
		Make: []string{"build", "push"},
	}
}

func TestCheck(t *testing.T) {
	s := surfaceOfTests(t)
	if diff := cmp.Diff([]string{"build", "get-ecr"}, s.Module.Functions()); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
	tests := []struct{ command, want string }{
		{"dagger call build --build-num=1", ""},
		{"dagger --progress=logs call -s --source ../shop build --build-num 1 --with-tests digest", ""},
		{"dagger call build --build-num=1 nginx publish --address=x --media-types=oci", ""},
		{"dagger call build --build-num=1 nginx -o out.tar", ""},
		{"dagger call build --help", ""},
		{"dagger develop", ""},
		{"X=1 dagger call ${AUTH:+--composer-auth=env://AUTH} get-ecr", ""},
		{"dagger call build", "--build-num is missing"},
		{"dagger call get-ecr digest", "returns nothing that has functions"},
		{"dagger call inner", "no function inner"},
		{"dagger call --build-num=1 build", "no flag --build-num"},
		{"dagger call build --build-num=1 hidden", "no function hidden"},
		{"dagger call build --build-num=1 nginx publish", "--address is missing"},
		{"dagger call ${AUTH:+--auth=env://AUTH} get-ecr", "no flag --auth"},
		{`dagger call ${A:+--composer-auth="$A b" --source=x} get-ecr`, ""},
		{`dagger call ${A:+--composer-auth="$A" --auth="$A"} get-ecr`, "no flag --auth"},
		{"dagger call ${A:+--source=. --auth=x} get-ecr", "no flag --auth"},
		{"echo $(dagger call nothing)", "no function nothing"},
		{"dagger call --source", "needs a value"},
		{"dagger install x", "no command install"},
		{"mck build --out out -q", ""},
		{"go run ./ci/cmd/mck build --json", ""},
		{"out/bin/mck env set --cluster c A=1", ""},
		{"mck run --cluster c -- bin/magento --version", ""},
		{"mck ecs-deploy -c c -to 300", ""},
		{"mck completion bash", ""},
		{"mck bild", "no verb bild"},
		{"mck build --outdir x", "no flag --outdir"},
		{"if true; then mck run --clutser c; fi", "no flag --clutser"},
		{"ENGINE=host make -s build OUT=x", ""},
		{"make buidl", "no target buidl"},
		{"git checkout nothing --of ours", ""},
	}
	for _, tt := range tests {
		commands, err := surface.Script(tt.command)
		if err != nil {
			t.Errorf("%s: %v", tt.command, err)
			continue
		}
		var found []string
		for _, c := range commands {
			if err := s.Check(c); err != nil {
				found = append(found, err.Error())
			}
		}
		got := strings.Join(found, "; ")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: found %q, want %q", tt.command, got, tt.want)
		}
	}
}

func TestScriptRefusesWhatIsNone(t *testing.T) {
	if _, err := surface.Script("if true; then"); err == nil {
		t.Error("half a script is one")
	}
}

func TestReadModuleRefusesWhatIsNone(t *testing.T) {
	_, err := surface.ReadModule(fstest.MapFS{
		"main.go": {Data: []byte("package main")}, "internal/dagger/dagger.go": {Data: []byte("package dagger")},
	})
	if err == nil {
		t.Error("a program without func New is a module")
	}
}
