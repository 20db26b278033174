// Package cleanup decides which images of a registry may be deleted, and deletes them.
//
// [Collect] reads what there is: images, and everything in ECS and EventBridge that could still need one of them. [Make]
// turns that [Inventory] into a [Plan] and calls nobody. [Run] looks again before it deletes, and deletes only what both
// looks agree on.
package cleanup

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Inventory is what there is: the images, and what could need them. Regions and clusters are all in one: an image counts
// as needed wherever it is.
type Inventory struct {
	Repositories    []Repository
	TaskDefinitions []TaskDefinition // all that are named below, and the newest revisions of every active family
	Tasks           []Task           // running and stopped
	Services        []Service
	Rules           []Rule
}

// Repository is a repository of ECR.
type Repository struct {
	Region string  `json:"region"`
	Name   string  `json:"name"`
	URI    string  `json:"uri"`
	Images []Image `json:"images"`
}

// Image is an image, an index, or what is attached to one (a signature).
type Image struct {
	Digest    string    `json:"digest"`
	Tags      []string  `json:"tags"`
	Pushed    time.Time `json:"pushed"`
	Size      int64     `json:"size"` // bytes, compressed; layers may be shared with other images
	MediaType string    `json:"mediaType"`
	Children  []string  `json:"children,omitempty"` // of an index: the digests of its manifests
	Subject   string    `json:"subject,omitempty"`  // what it is attached to: a digest
}

// TaskDefinition is a revision with the images of its containers.
type TaskDefinition struct {
	ARN    string
	Active bool
	Images []string // references, as the definition has them
}

// Task is a task with what its containers run.
type Task struct {
	ARN, Status    string
	TaskDefinition string      // ARN
	Containers     []Container // empty before the task has been placed
}

// Container is a container of a task.
type Container struct {
	Image  string // reference
	Digest string // what the reference was resolved to; may be empty
}

// Service is a service with every revision that it runs or may return to.
type Service struct {
	ARN            string
	TaskDefinition string
	Deployments    []Deployment
	TaskSets       []Deployment
	// Digests are what the tags of its current revisions were resolved to. ECS starts further tasks of a revision from
	// them, even if the tags have moved and no task runs.
	Digests []string
}

// Deployment is a deployment or a task set of a service.
type Deployment struct{ Status, TaskDefinition string }

// Rule is a rule of EventBridge, or a schedule of EventBridge Scheduler, with the task definitions that its targets run. One without a revision means the newest.
type Rule struct {
	Schedule        bool // it is a schedule of EventBridge Scheduler
	Name            string
	TaskDefinitions []string
}

// Policy says what is kept although nothing runs it.
type Policy struct {
	KeepLast      int           // builds in each repository
	KeepRevisions int           // of every active family
	KeepTags      []string      // patterns of tags, as path.Match has them
	OlderThan     time.Duration // what is younger is kept
}

// Check says what is wrong with a policy.
func (p Policy) Check() error {
	if p.KeepLast < 0 || p.KeepRevisions < 0 || p.OlderThan < 0 {
		return fmt.Errorf("the number of builds (%d) and revisions (%d) to keep and the age (%s) cannot be negative", p.KeepLast, p.KeepRevisions, p.OlderThan)
	}
	for _, pattern := range p.KeepTags {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("%q is not a pattern of tags; write one like release-* or 1.2.?", pattern)
		}
	}
	return nil
}

// Plan says of every image why it is kept, or that it is to be deleted.
type Plan struct {
	Now          time.Time        `json:"now"`
	Repositories []RepositoryPlan `json:"repositories"`
}

// RepositoryPlan is the part of a plan for one repository; the newest image stands first.
type RepositoryPlan struct {
	Repository Repository `json:"-"`
	Region     string     `json:"region"`
	Name       string     `json:"name"`
	Images     []Decision `json:"images"`
}

// Decision is what is to become of an image.
type Decision struct {
	Image
	Delete bool     `json:"delete"`
	Kept   []string `json:"kept,omitempty"` // why
}

// Deletions returns the images to delete.
func (p RepositoryPlan) Deletions() []Image {
	var all []Image
	for _, d := range p.Images {
		if d.Delete {
			all = append(all, d.Image)
		}
	}
	return all
}

// attached matches the tag that cosign gives what it attaches to an image: sha256-….sig.
var attached = regexp.MustCompile(`^(sha256)-([0-9a-f]{64})(?:\.[a-z]+)?$`)

// subject returns the digest of what an image is attached to; empty for an image of its own.
func (im Image) subject() string {
	if im.Subject != "" {
		return im.Subject
	}
	for _, tag := range im.Tags {
		if m := attached.FindStringSubmatch(tag); m != nil {
			return m[1] + ":" + m[2]
		}
	}
	return ""
}

// Make decides about every image. An image is kept if anything in the inventory refers to it, by digest or by tag; if it
// is one of the last builds, has a tag to keep or is young; if it is part of an index that is kept, or an index of which
// a part is used; or if it is attached to an image that is kept.
//
// References are compared by the repository's name and whatever their registry, and digests whatever their repository:
// a registry goes by several names, and images are replicated. That may keep one too many, and never one too few.
func Make(inv Inventory, p Policy, now time.Time) Plan {
	uses := usesOf(inv, p.KeepRevisions)
	builds := lastBuilds(inv, p.KeepLast)
	plan := Plan{Now: now}
	for _, repo := range inv.Repositories {
		plan.Repositories = append(plan.Repositories, decide(repo, p, now, uses, builds))
	}
	return plan
}

func decide(repo Repository, p Policy, now time.Time, uses uses, builds map[string]bool) RepositoryPlan {
	kept := map[string][]string{} // digest → reasons
	there := map[string]bool{}
	for _, im := range repo.Images {
		there[im.Digest] = true
	}
	for _, im := range repo.Images {
		reasons := uses.of(repo, im)
		used := len(reasons) > 0
		reasons = append(reasons, p.keeps(im, builds)...)
		// What is attached to an image that is there goes when that goes, and not before.
		if now.Sub(im.Pushed) < p.OlderThan && !there[im.subject()] {
			reasons = append(reasons, "younger than "+age(p.OlderThan))
		}
		kept[im.Digest] = append(kept[im.Digest], reasons...)
		if used { // what was resolved from an index is pulled by way of the index
			for _, index := range repo.Images {
				if slices.Contains(index.Children, im.Digest) {
					kept[index.Digest] = append(kept[index.Digest], "index of "+short(im.Digest)+", which is used")
				}
			}
		}
	}
	keepRelated(repo, kept)
	plan := RepositoryPlan{Repository: repo, Region: repo.Region, Name: repo.Name}
	for _, im := range newestFirst(repo.Images) {
		reasons := kept[im.Digest]
		plan.Images = append(plan.Images, Decision{Image: im, Delete: len(reasons) == 0, Kept: unique(reasons)})
	}
	return plan
}

// of is by what an image is used, by its digest or one of its tags.
func (u uses) of(repo Repository, im Image) []string {
	by := slices.Clone(u.byDigest[im.Digest])
	for _, tag := range im.Tags {
		by = append(by, u.byTag[repo.Name+":"+tag]...)
	}
	return by
}

// keeps is why the policy keeps an image, whoever uses it.
func (p Policy) keeps(im Image, builds map[string]bool) (reasons []string) {
	for _, tag := range im.Tags {
		if builds[tag] {
			reasons = append(reasons, fmt.Sprintf("build %s is one of the last %d", tag, p.KeepLast))
		}
		for _, pattern := range p.KeepTags {
			if ok, _ := path.Match(pattern, tag); ok { // Check has seen the pattern
				reasons = append(reasons, fmt.Sprintf("tag %s is to be kept", tag))
			}
		}
	}
	return reasons
}

// keepRelated keeps the parts of what is kept and what is attached to it, and those theirs.
func keepRelated(repo Repository, kept map[string][]string) {
	for changed := true; changed; {
		changed = false
		for _, im := range repo.Images {
			if s := im.subject(); s != "" && len(kept[s]) > 0 && len(kept[im.Digest]) == 0 {
				kept[im.Digest] = []string{"attached to " + short(s)}
				changed = true
			}
			if len(kept[im.Digest]) == 0 {
				continue
			}
			for _, child := range im.Children {
				if len(kept[child]) == 0 {
					kept[child] = []string{"part of the index " + short(im.Digest)}
					changed = true
				}
			}
		}
	}
}

func unique(reasons []string) []string {
	var all []string
	for _, r := range reasons {
		if !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

func newestFirst(images []Image) []Image {
	return slices.SortedStableFunc(slices.Values(images), func(a, b Image) int {
		if c := b.Pushed.Compare(a.Pushed); c != 0 {
			return c
		}
		return cmp.Compare(a.Digest, b.Digest)
	})
}

// lastBuilds returns the tags of the newest n images of each repository. A build that is kept in one repository is kept
// in all: its images belong together.
func lastBuilds(inv Inventory, n int) map[string]bool {
	tags := map[string]bool{}
	for _, repo := range inv.Repositories {
		count := 0
		for _, im := range newestFirst(repo.Images) {
			if len(im.Tags) == 0 || im.subject() != "" {
				continue
			}
			if count++; count > n {
				break
			}
			for _, tag := range im.Tags {
				tags[tag] = true
			}
		}
	}
	return tags
}

// uses is what is referred to, and by whom.
type uses struct {
	byDigest map[string][]string // "sha256:…"
	byTag    map[string][]string // "magecloudkit/nginx:300"
}

// add notes that a reference is needed. One that nobody could pull is needed by nobody.
func (u uses) add(reference, by string) {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return
	}
	if d, ok := ref.(name.Digest); ok {
		u.byDigest[d.DigestStr()] = append(u.byDigest[d.DigestStr()], by)
		return
	}
	key := ref.Context().RepositoryStr() + ":" + ref.Identifier()
	u.byTag[key] = append(u.byTag[key], by)
}

// byARN are task definitions by their ARN, and the active revisions by ARN without revision, the newest first.
func byARN(all []TaskDefinition) (definitions map[string]TaskDefinition, newest map[string][]TaskDefinition) {
	definitions, newest = map[string]TaskDefinition{}, map[string][]TaskDefinition{}
	for _, d := range all {
		definitions[d.ARN] = d
		if d.Active {
			family, _ := splitRevision(d.ARN)
			newest[family] = append(newest[family], d)
		}
	}
	for _, revisions := range newest {
		slices.SortFunc(revisions, func(a, b TaskDefinition) int {
			_, x := splitRevision(a.ARN)
			_, y := splitRevision(b.ARN)
			return cmp.Compare(y, x)
		})
	}
	return definitions, newest
}

// usesOf finds everything that refers to an image.
func usesOf(inv Inventory, revisions int) uses { //nolint:cyclop // a loop for each that can refer to an image
	u := uses{byDigest: map[string][]string{}, byTag: map[string][]string{}}
	definitions, newest := byARN(inv.TaskDefinitions)
	need := func(arn, by string) {
		d, ok := definitions[arn]
		if all := newest[arn]; !ok && len(all) > 0 {
			d = all[0]
		}
		for _, im := range d.Images {
			u.add(im, by)
		}
	}

	for _, t := range inv.Tasks {
		by := fmt.Sprintf("task %s (%s)", last(t.ARN), t.Status)
		need(t.TaskDefinition, by)
		for _, c := range t.Containers {
			u.add(c.Image, by)
			if c.Digest != "" {
				u.byDigest[c.Digest] = append(u.byDigest[c.Digest], by)
			}
		}
	}
	for _, s := range inv.Services {
		need(s.TaskDefinition, "service "+last(s.ARN))
		for _, d := range s.Deployments {
			need(d.TaskDefinition, fmt.Sprintf("deployment of service %s (%s)", last(s.ARN), d.Status))
		}
		for _, digest := range s.Digests {
			u.byDigest[digest] = append(u.byDigest[digest], "service "+last(s.ARN))
		}
		for _, d := range s.TaskSets {
			need(d.TaskDefinition, fmt.Sprintf("task set of service %s (%s)", last(s.ARN), d.Status))
		}
	}
	for _, r := range inv.Rules {
		for _, d := range r.TaskDefinitions {
			kind := "rule "
			if r.Schedule {
				kind = "schedule "
			}
			need(d, kind+r.Name)
		}
	}
	for _, all := range newest {
		for _, d := range all[:min(revisions, len(all))] {
			need(d.ARN, "revision "+last(d.ARN))
		}
	}
	return u
}

// splitRevision splits the ARN of a task definition. The revision is 0 if it has none.
func splitRevision(arn string) (family string, revision int) {
	i := strings.LastIndex(arn, ":")
	n, err := strconv.Atoi(arn[i+1:])
	if i < 0 || err != nil {
		return arn, 0
	}
	return arn[:i], n
}

// last returns the last part of an ARN.
func last(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

// short shortens a digest for people.
func short(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(12, len(hex))]
}
