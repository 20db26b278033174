package cleanup_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/registry/cleanup"
)

var (
	seed = flag.Uint64("seed", 1, "of the random inventories")
	runs = flag.Int("runs", 10_000, "how many random inventories are planned for")
)

var now = time.Date(2025, time.March, 3, 9, 0, 0, 0, time.UTC)

const arnPrefix = "arn:aws:ecs:us-east-1:111111111111:"

// hex makes the digest of a thing with that number.
func hex(n int) string { return fmt.Sprintf("sha256:%064x", n+1) }

// world is a random inventory with a policy.
type world struct {
	inv    cleanup.Inventory
	policy cleanup.Policy
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func randomWorld(r *rand.Rand) world {
	var w world
	repos := []string{"magecloudkit/magento2", "magecloudkit/nginx"}[:1+r.IntN(2)]
	n := 0
	for _, name := range repos {
		repo := cleanup.Repository{Region: "us-east-1", Name: name}
		for i := range r.IntN(14) {
			im := cleanup.Image{
				Digest: hex(n), Pushed: now.Add(-time.Duration(r.IntN(60*24)) * time.Hour), Size: 100,
				MediaType: "application/vnd.oci.image.manifest.v1+json",
			}
			n++
			switch r.IntN(6) {
			case 0: // no tag
			case 1:
				im.Tags = []string{fmt.Sprint(i), pick(r, []string{"latest", "release-1", "release-2", "stable"})}
			case 2:
				if len(repo.Images) > 0 { // a signature
					subject := pick(r, repo.Images).Digest
					if r.IntN(2) == 0 {
						im.Tags = []string{"sha256-" + strings.TrimPrefix(subject, "sha256:") + ".sig"}
					} else {
						im.Subject = subject
					}
				}
			default:
				im.Tags = []string{fmt.Sprint(i)}
			}
			if r.IntN(5) == 0 { // an index of what is there
				for range 1 + r.IntN(3) {
					if len(repo.Images) > 0 {
						im.Children = append(im.Children, pick(r, repo.Images).Digest)
					}
				}
			}
			repo.Images = append(repo.Images, im)
		}
		// A tag names one image.
		seen := map[string]bool{}
		for i := range repo.Images {
			repo.Images[i].Tags = slices.DeleteFunc(repo.Images[i].Tags, func(tag string) bool {
				twice := seen[tag]
				seen[tag] = true
				return twice
			})
		}
		w.inv.Repositories = append(w.inv.Repositories, repo)
	}
	reference := func() string {
		repo := pick(r, repos)
		host := pick(r, []string{"111111111111.dkr.ecr.us-east-1.amazonaws.com/", "127.0.0.1:5000/", "mirror.example.com/"})
		switch r.IntN(8) {
		case 0:
			return host + repo + "@" + hex(r.IntN(n+2))
		case 1:
			return host + repo + ":" + fmt.Sprint(r.IntN(14)) + "@" + hex(r.IntN(n+2))
		case 2:
			return pick(r, []string{"nginx", "datadog/agent:7", "not a reference!", "", "public.ecr.aws/x/y:latest"})
		case 3:
			return host + repo // :latest
		}
		return host + repo + ":" + fmt.Sprint(r.IntN(14))
	}
	var arns []string
	for f := range 1 + r.IntN(3) {
		for rev := 1; rev <= r.IntN(12); rev++ {
			d := cleanup.TaskDefinition{ARN: fmt.Sprintf("%stask-definition/family%d:%d", arnPrefix, f, rev), Active: r.IntN(4) > 0}
			for range 1 + r.IntN(2) {
				d.Images = append(d.Images, reference())
			}
			arns = append(arns, d.ARN)
			w.inv.TaskDefinitions = append(w.inv.TaskDefinitions, d)
		}
	}
	arns = append(arns, arnPrefix+"task-definition/gone:1", "")
	r.Shuffle(len(w.inv.TaskDefinitions), func(i, j int) {
		w.inv.TaskDefinitions[i], w.inv.TaskDefinitions[j] = w.inv.TaskDefinitions[j], w.inv.TaskDefinitions[i]
	})
	for i := range r.IntN(3) {
		t := cleanup.Task{ARN: fmt.Sprint(arnPrefix, "task/c/", i), Status: pick(r, []string{"RUNNING", "STOPPED", "PROVISIONING"}), TaskDefinition: pick(r, arns)}
		for range r.IntN(3) {
			c := cleanup.Container{Image: reference()}
			if r.IntN(2) == 0 {
				c.Digest = hex(r.IntN(n + 2))
			}
			t.Containers = append(t.Containers, c)
		}
		w.inv.Tasks = append(w.inv.Tasks, t)
	}
	for i := range r.IntN(3) {
		s := cleanup.Service{ARN: fmt.Sprint(arnPrefix, "service/c/", i), TaskDefinition: pick(r, arns)}
		for range r.IntN(3) {
			s.Deployments = append(s.Deployments, cleanup.Deployment{Status: pick(r, []string{"PRIMARY", "ACTIVE", "INACTIVE"}), TaskDefinition: pick(r, arns)})
		}
		for range r.IntN(2) {
			s.TaskSets = append(s.TaskSets, cleanup.Deployment{Status: "DRAINING", TaskDefinition: pick(r, arns)})
		}
		for range r.IntN(2) {
			s.Digests = append(s.Digests, hex(r.IntN(n+2)))
		}
		w.inv.Services = append(w.inv.Services, s)
	}
	for i := range r.IntN(3) {
		rule := cleanup.Rule{Name: fmt.Sprint("rule", i)}
		for range 1 + r.IntN(2) {
			rule.TaskDefinitions = append(rule.TaskDefinitions, pick(r, append(arns, fmt.Sprintf("%stask-definition/family%d", arnPrefix, r.IntN(3)))))
		}
		w.inv.Rules = append(w.inv.Rules, rule)
	}
	w.policy = cleanup.Policy{
		KeepLast: r.IntN(4), KeepRevisions: r.IntN(3), OlderThan: time.Duration(r.IntN(20*24)) * time.Hour,
		KeepTags: [][]string{nil, {"latest"}, {"release-*", "stable"}}[r.IntN(3)],
	}
	return w
}

// protected is the oracle: it finds what must not be deleted by going through the rule one clause
// after the other, over the whole inventory for every image, with none of the planner's code.
func (w world) protected() map[string]bool {
	must := map[string]bool{} // "repository digest"
	var references, digests []string
	definition := func(arn string) {
		for _, d := range w.inv.TaskDefinitions {
			if d.ARN == arn {
				references = append(references, d.Images...)
			}
		}
	}
	revision := func(arn string) (family string, n int) {
		i := strings.LastIndex(arn, ":")
		n, _ = strconv.Atoi(arn[i+1:])
		return arn[:i], n
	}
	newer := func(d cleanup.TaskDefinition) int { // active revisions of its family that are newer
		family, n := revision(d.ARN)
		count := 0
		for _, other := range w.inv.TaskDefinitions {
			if f, m := revision(other.ARN); f == family && m > n && other.Active {
				count++
			}
		}
		return count
	}
	for _, t := range w.inv.Tasks {
		definition(t.TaskDefinition)
		for _, c := range t.Containers {
			references = append(references, c.Image)
			digests = append(digests, c.Digest)
		}
	}
	for _, s := range w.inv.Services {
		definition(s.TaskDefinition)
		digests = append(digests, s.Digests...)
		for _, d := range s.Deployments {
			definition(d.TaskDefinition)
		}
		for _, d := range s.TaskSets {
			definition(d.TaskDefinition)
		}
	}
	for _, rule := range w.inv.Rules {
		for _, arn := range rule.TaskDefinitions {
			definition(arn)
			for _, d := range w.inv.TaskDefinitions { // without a revision: the newest
				if family, _ := revision(d.ARN); family == arn && d.Active && newer(d) == 0 {
					definition(d.ARN)
				}
			}
		}
	}
	for _, d := range w.inv.TaskDefinitions {
		if d.Active && newer(d) < w.policy.KeepRevisions {
			definition(d.ARN)
		}
	}

	attachedTo := func(im cleanup.Image) string {
		for _, tag := range im.Tags {
			if strings.HasPrefix(tag, "sha256-") {
				return "sha256:" + strings.TrimSuffix(strings.TrimPrefix(tag, "sha256-"), ".sig")
			}
		}
		return im.Subject
	}
	lastBuild := func(tag string) bool {
		for _, repo := range w.inv.Repositories {
			for _, im := range repo.Images {
				if !slices.Contains(im.Tags, tag) || attachedTo(im) != "" {
					continue
				}
				newer := 0
				for _, other := range repo.Images {
					if len(other.Tags) > 0 && attachedTo(other) == "" &&
						(other.Pushed.After(im.Pushed) || other.Pushed.Equal(im.Pushed) && other.Digest < im.Digest) {
						newer++
					}
				}
				if newer < w.policy.KeepLast {
					return true
				}
			}
		}
		return false
	}
	for _, repo := range w.inv.Repositories {
		used := func(im cleanup.Image) bool {
			if slices.Contains(digests, im.Digest) {
				return true
			}
			for _, ref := range references {
				if at := strings.Index(ref, "@"); at >= 0 {
					if ref[at+1:] == im.Digest {
						return true
					}
					continue
				}
				for _, tag := range im.Tags {
					if strings.HasSuffix(ref, "/"+repo.Name+":"+tag) || tag == "latest" && strings.HasSuffix(ref, "/"+repo.Name) {
						return true
					}
				}
			}
			return false
		}
		var keep func(im cleanup.Image)
		keep = func(im cleanup.Image) {
			key := repo.Name + " " + im.Digest
			if must[key] {
				return
			}
			must[key] = true
			for _, other := range repo.Images {
				if slices.Contains(im.Children, other.Digest) || attachedTo(other) == im.Digest {
					keep(other)
				}
			}
		}
		for _, im := range repo.Images {
			if used(im) {
				keep(im)
				for _, index := range repo.Images {
					if slices.Contains(index.Children, im.Digest) {
						keep(index)
					}
				}
			}
			there := slices.ContainsFunc(repo.Images, func(other cleanup.Image) bool { return other.Digest == attachedTo(im) })
			if im.Pushed.After(now.Add(-w.policy.OlderThan)) && !there { // what is attached goes with its image
				keep(im)
			}
			for _, tag := range im.Tags {
				if lastBuild(tag) {
					keep(im)
				}
				for _, pattern := range w.policy.KeepTags {
					if prefix, star := strings.CutSuffix(pattern, "*"); tag == pattern || star && strings.HasPrefix(tag, prefix) {
						keep(im)
					}
				}
			}
		}
	}
	return must
}

// Nothing that anything could still need is ever deleted, and everything else is.
func TestRandomInventories(t *testing.T) {
	deleted, kept := 0, 0
	for run := range *runs {
		w := randomWorld(rand.New(rand.NewPCG(*seed, uint64(run))))
		must := w.protected()
		for _, repo := range cleanup.Make(w.inv, w.policy, now).Repositories {
			for _, d := range repo.Images {
				switch protected := must[repo.Name+" "+d.Digest]; {
				case protected && d.Delete:
					t.Fatalf("-seed %d, run %d: %s %v is needed, and would be deleted", *seed, run, d.Digest, d.Tags)
				case !protected && !d.Delete:
					t.Fatalf("-seed %d, run %d: %s %v is kept for no reason: %q", *seed, run, d.Digest, d.Tags, d.Kept)
				case d.Delete:
					deleted++
				default:
					kept++
				}
			}
		}
	}
	if deleted < *runs/2 || kept < *runs/2 {
		t.Errorf("%d images were deleted and %d kept: the inventories do not try much", deleted, kept)
	}
}

func TestReasons(t *testing.T) {
	day := 24 * time.Hour
	im := func(n int, days int, tags ...string) cleanup.Image {
		return cleanup.Image{Digest: hex(n), Tags: tags, Pushed: now.Add(-time.Duration(days) * day), Size: 1e6}
	}
	index := im(7, 60)
	index.Children = []string{hex(8)}
	inv := cleanup.Inventory{
		Repositories: []cleanup.Repository{{Region: "us-east-1", Name: "shop/magento2", Images: []cleanup.Image{
			im(0, 1, "300", "latest"), im(1, 30, "299"), im(2, 40, "298"), im(3, 50, "297"), im(4, 51, "296"), im(5, 52, "295"),
			im(6, 53, "release-1"), index, im(8, 60), im(9, 61), im(10, 62, "290"),
		}}},
		TaskDefinitions: []cleanup.TaskDefinition{
			{ARN: arnPrefix + "task-definition/web:7", Active: true, Images: []string{"r.example/shop/magento2:298"}},
			{ARN: arnPrefix + "task-definition/web:6", Active: true, Images: []string{"r.example/shop/magento2:297"}},
			{ARN: arnPrefix + "task-definition/cron:3", Active: false, Images: []string{"r.example/shop/magento2:296"}},
		},
		Tasks:    []cleanup.Task{{ARN: arnPrefix + "task/c/0123", Status: "STOPPED", Containers: []cleanup.Container{{Digest: hex(8)}}}},
		Services: []cleanup.Service{{ARN: arnPrefix + "service/c/web", TaskSets: []cleanup.Deployment{{Status: "ACTIVE", TaskDefinition: arnPrefix + "task-definition/web:6"}}}},
		Rules:    []cleanup.Rule{{Name: "cron", TaskDefinitions: []string{arnPrefix + "task-definition/cron:3"}}},
	}
	plan := cleanup.Make(inv, cleanup.Policy{KeepLast: 1, KeepRevisions: 1, KeepTags: []string{"release-*"}, OlderThan: 7 * day}, now)
	var got strings.Builder
	if err := plan.Table(&got); err != nil {
		t.Fatal(err)
	}
	want := `REPOSITORY                IMAGE           AGE    SIZE     KEPT BECAUSE
us-east-1/shop/magento2   300, latest     24 h   1.0 MB   build 300 is one of the last 1 (and 2 more)
us-east-1/shop/magento2   299             30 d   1.0 MB   - (delete)
us-east-1/shop/magento2   298             40 d   1.0 MB   revision web:7
us-east-1/shop/magento2   297             50 d   1.0 MB   task set of service web (ACTIVE)
us-east-1/shop/magento2   296             51 d   1.0 MB   rule cron
us-east-1/shop/magento2   295             52 d   1.0 MB   - (delete)
us-east-1/shop/magento2   release-1       53 d   1.0 MB   tag release-1 is to be kept
us-east-1/shop/magento2   @000000000000   60 d   1.0 MB   index of 000000000000, which is used
us-east-1/shop/magento2   @000000000000   60 d   1.0 MB   task 0123 (STOPPED)
us-east-1/shop/magento2   @000000000000   61 d   1.0 MB   - (delete)
us-east-1/shop/magento2   290             62 d   1.0 MB   - (delete)
4 of 11 images can be deleted: 4.0 MB, less what their layers share with images that are kept.
`
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestPolicyCheck(t *testing.T) {
	for _, p := range []cleanup.Policy{{KeepLast: -1}, {KeepRevisions: -1}, {OlderThan: -time.Hour}, {KeepTags: []string{"[a"}}} {
		if p.Check() == nil {
			t.Errorf("%+v passed", p)
		}
	}
	if err := (cleanup.Policy{KeepLast: 10, KeepTags: []string{"release-*", "1.?"}}).Check(); err != nil {
		t.Error(err)
	}
}

func BenchmarkMake(b *testing.B) {
	w := randomWorld(rand.New(rand.NewPCG(1, 1)))
	var images []cleanup.Image
	for i := range 10_000 { // a repository that nobody has ever cleaned
		images = append(images, cleanup.Image{Digest: hex(i), Tags: []string{fmt.Sprint(i)}, Pushed: now.Add(-time.Duration(i) * time.Hour)})
	}
	w.inv.Repositories[0].Images = images
	for b.Loop() {
		cleanup.Make(w.inv, w.policy, now)
	}
}
