package registry

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/image"
)

// Request is what to push.
type Request struct {
	Prefix string   // first part of the repositories' names: "magecloudkit"; may be empty
	Tag    string   // of the build: "300"
	Tags   []string // further tags: "latest"
	Images []Image
	Create bool // create repositories that do not exist; ECR only
}

// Image is an image with the last part of its repository's name: "magento2".
type Image struct {
	Name string
	// Image is the image; nil where there is an Index.
	Image v1.Image
	// Index holds it for several platforms.
	Index v1.ImageIndex
	// Attach are documents about it that are pushed with it.
	Attach []Attachment
}

// Result is what a push did.
type Result struct {
	Registry     string   `json:"registry"`
	Images       []Pushed `json:"images"`
	BytesSent    int64    `json:"bytesSent"`    // over the wire, repetitions included
	BytesSkipped int64    `json:"bytesSkipped"` // of blobs that were there
	Seconds      float64  `json:"seconds"`
}

// Pushed is what became of one image.
type Pushed struct {
	Name         string   `json:"name"`
	Reference    string   `json:"reference"` // by the build's tag
	Digest       string   `json:"digest"`
	Pinned       string   `json:"pinned"` // the reference by digest
	Tags         []string `json:"tags"`   // all tags that name the image now
	Moved        []string `json:"moved"`  // those of them that named another image, or none, before
	Blobs        []Blob   `json:"blobs"`
	BytesSent    int64    `json:"bytesSent"`
	BytesSkipped int64    `json:"bytesSkipped"`
	Seconds      float64  `json:"seconds"` // until it was there, by digest
	// Attached are the documents about it.
	Attached []Attached `json:"attached,omitempty"`
}

// Blob is a layer or the configuration of an image.
type Blob struct {
	Name   string `json:"name"` // "vendor", "config"
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // bytes
	Sent   int64  `json:"sent"` // bytes sent; 0 if it was there
}

// Push brings the images into the registry, and then, when all of them are there, lets the tags name them. Blobs that
// the registry has are not sent. If a tag cannot be set, those set before are put back: either every image is there under
// the tags or no tag has moved. A tag that names the same image already is left alone.
//
// A *ConflictError is returned, before anything is sent, if a tag names another image and may not move. A *TagError says
// how the tags stand if setting them failed.
func (r *Registry) Push(ctx context.Context, req Request) (Result, error) {
	start := r.o.Now()
	uploads, err := r.prepare(req)
	if err != nil {
		return Result{}, err
	}
	repositories := map[string]Repository{}
	if r.ecr != nil {
		var names []string
		for _, u := range uploads {
			names = append(names, u.repo.RepositoryStr())
		}
		if repositories, err = r.ensure(ctx, names, req.Create); err != nil {
			return Result{}, err
		}
	}
	tags := append([]string{req.Tag}, req.Tags...)
	if err := r.look(ctx, uploads, tags, repositories); err != nil {
		return Result{}, err
	}
	if err := r.send(ctx, uploads); err != nil {
		return Result{}, err
	}
	if err := r.tag(ctx, uploads, tags); err != nil {
		return Result{}, err
	}
	result := Result{Registry: r.host.RegistryStr(), Seconds: r.since(start)}
	for _, u := range uploads {
		u.done.Tags = tags
		result.Images = append(result.Images, u.done)
		result.BytesSent += u.done.BytesSent
		result.BytesSkipped += u.done.BytesSkipped
	}
	return result, nil
}

func (r *Registry) since(start time.Time) float64 {
	return r.o.Now().Sub(start).Round(time.Millisecond).Seconds()
}

// CheckTag says what is wrong with a tag.
func CheckTag(tag string) error {
	if _, err := name.NewTag("registry.example/image:"+tag, name.StrictValidation); err != nil {
		return fmt.Errorf("%q cannot be a tag: use up to 128 letters, digits, dots, dashes and underscores", tag)
	}
	return nil
}

// prepare reads the images and checks all names, with no request.
func (r *Registry) prepare(req Request) ([]*upload, error) {
	if len(req.Images) == 0 {
		return nil, errors.New("there is no image to push")
	}
	var uploads []*upload
	versions := map[string]string{}
	for _, im := range req.Images {
		repo := path.Join(req.Prefix, im.Name)
		u := &upload{Image: im, before: map[string]*remote.Descriptor{}}
		var err error
		if u.repo, err = name.NewRepository(r.host.RegistryStr()+"/"+repo, r.names...); err != nil {
			return nil, fmt.Errorf("%q cannot be a repository's name: %w", repo, err)
		}
		for _, tag := range append([]string{req.Tag}, req.Tags...) {
			if err := CheckTag(tag); err != nil {
				return nil, err
			}
		}
		if err := u.read(); err != nil {
			return nil, fmt.Errorf("reading the image %s: %w", im.Name, err)
		}
		for _, variant := range u.images {
			config, err := variant.ConfigFile()
			if err != nil {
				return nil, fmt.Errorf("reading the image %s: %w", im.Name, err)
			}
			if version := config.Config.Labels[image.LabelVersion]; version != "" {
				versions[version] = im.Name
			}
		}
		uploads = append(uploads, u)
	}
	if len(versions) > 1 {
		var parts []string
		for version, n := range versions {
			parts = append(parts, n+" of build "+version)
		}
		slices.Sort(parts)
		return nil, fmt.Errorf("the images are not of one build: %s. Build them again", strings.Join(parts, ", "))
	}
	for version := range versions {
		if version != req.Tag {
			return nil, fmt.Errorf("the images are build %s, and would be pushed as build %s: push them as %s, or build them as %s", version, req.Tag, version, req.Tag)
		}
	}
	return uploads, nil
}

// look finds out what the tags name now, and refuses to go on if one that may not move would have to.
func (r *Registry) look(ctx context.Context, uploads []*upload, tags []string, repositories map[string]Repository) error {
	var conflict ConflictError
	for _, u := range uploads {
		for _, tag := range tags {
			ref := u.repo.Tag(tag)
			d, err := remote.Get(ref, r.options(ctx)...)
			switch {
			case notFound(err):
				continue
			case err != nil:
				return fmt.Errorf("asking what %s names: %w. Nothing was pushed%s", ref, err, r.hint(err))
			}
			u.before[tag] = d
			repo := repositories[u.repo.RepositoryStr()]
			if d.Digest != u.digest && repo.Immutable(tag) {
				conflict.Tags = append(conflict.Tags, Conflict{Reference: ref.String(), Digest: d.Digest.String(), New: u.digest.String(), Mutability: repo.Mutability})
			}
		}
		u.done.Reference = u.repo.Tag(tags[0]).String()
	}
	if conflict.Tags != nil {
		return &conflict
	}
	return nil
}

// hint says what to do about an error that has a usual reason.
func (r *Registry) hint(err error) string {
	var te *transport.Error
	var authority x509.UnknownAuthorityError
	switch {
	case errors.As(err, &authority):
		return "; if the registry's certificate is of an authority of your own, name its file in AWS_CA_BUNDLE"
	case !errors.As(err, &te):
		return ""
	case te.StatusCode == http.StatusUnauthorized && r.ecr == nil:
		return fmt.Sprintf("; log in first: docker login %s", r.host)
	case te.StatusCode == http.StatusForbidden && r.ecr != nil:
		return "; the credentials need ecr:BatchGetImage, ecr:PutImage and the ecr calls that upload layers, on these repositories"
	}
	return ""
}

func (r *Registry) options(ctx context.Context) []remote.Option {
	return append(slices.Clone(r.remote), remote.WithContext(ctx))
}

// notFound says that a registry has no such repository, or no such image in it.
func notFound(err error) bool {
	var te *transport.Error
	return errors.As(err, &te) && te.StatusCode == http.StatusNotFound
}

// send brings the blobs and the manifests of all images into the registry, by digest: no tag names them yet.
func (r *Registry) send(ctx context.Context, uploads []*upload) error {
	start := r.o.Now()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(r.o.Jobs)
	for _, u := range uploads {
		_, err := remote.Head(u.repo.Digest(u.digest.String()), r.options(ctx)...)
		if err == nil {
			r.progressf("%s: the whole image is there", u.Name)
			continue
		}
		if !notFound(err) {
			return fmt.Errorf("asking whether %s is there: %w. No tag has moved", u.repo, err)
		}
		for i, p := range u.blobs {
			g.Go(func() error {
				sent, err := r.sendBlob(gctx, u, i, p)
				u.done.Blobs[i].Sent = sent
				return err
			})
		}
	}
	err := g.Wait()
	if err == nil {
		for _, u := range uploads {
			if err = r.sendManifest(ctx, u); err != nil {
				break
			}
			if err = r.attach(ctx, u); err != nil {
				break
			}
			u.done.Seconds = r.since(start)
		}
	}
	if err != nil {
		return fmt.Errorf("%w. No tag has moved; what was sent is kept, and a second push goes on from there", err)
	}
	for _, u := range uploads {
		for _, b := range u.done.Blobs {
			u.done.BytesSent += b.Sent
			if b.Sent == 0 {
				u.done.BytesSkipped += b.Size
			}
		}
	}
	return nil
}

// every is how many bytes of a large blob are sent from one progress line to the next.
const every = 32 << 20

func (r *Registry) sendBlob(ctx context.Context, u *upload, i int, p pending) (int64, error) {
	start := r.o.Now()
	label := fmt.Sprintf("%s: %d/%d %s", u.Name, i+1, len(u.blobs), p.name)
	m := &meter{}
	if p.size >= every {
		var next atomic.Int64 // a request that is repeated may still be read from
		m.more = func(sent int64) {
			if due := next.Load(); sent >= due && next.CompareAndSwap(due, sent+every) {
				r.progressf("%s: %s of %s", label, size(sent), size(p.size))
			}
		}
	}
	if err := r.pusher.Upload(withMeter(ctx, m), u.repo, p.layer); err != nil {
		return m.sent.Load(), fmt.Errorf("sending %s of %s to %s: %w", p.name, u.Name, u.repo, err)
	}
	sent := m.sent.Load()
	if sent == 0 {
		r.progressf("%s: %s, already there", label, size(p.size))
	} else {
		r.progressf("%s: %s sent in %.1f s", label, size(sent), r.since(start))
	}
	return sent, nil
}

func size(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// sendManifest puts an image's manifest by its digest and makes sure that it is there.
func (r *Registry) sendManifest(ctx context.Context, u *upload) error {
	ref := u.repo.Digest(u.digest.String())
	m := &meter{}
	if err := r.pusher.Push(withMeter(ctx, m), ref, u.named()); err != nil {
		return fmt.Errorf("sending the manifest of %s to %s: %w", u.Name, u.repo, err)
	}
	u.done.BytesSent += m.sent.Load()
	d, err := remote.Head(ref, r.options(ctx)...)
	if err != nil {
		return fmt.Errorf("the manifest of %s was sent, but %s does not have it: %w", u.Name, u.repo, err)
	}
	if d.Digest != u.digest {
		return fmt.Errorf("the registry says that %s is %s", ref, d.Digest)
	}
	return nil
}

// tag lets the tags name the images; if one cannot, all of them name again what they named before.
func (r *Registry) tag(ctx context.Context, uploads []*upload, tags []string) error {
	type move struct {
		u   *upload
		tag string
	}
	var moved []move
	for _, tag := range tags {
		for _, u := range uploads {
			if old := u.before[tag]; old != nil && old.Digest == u.digest {
				r.progressf("%s: %s names it already", u.Name, tag)
				continue
			}
			err := r.setTag(ctx, u, tag)
			if err == nil {
				moved = append(moved, move{u, tag})
				u.done.Moved = append(u.done.Moved, tag)
				r.progressf("%s: %s is %s", u.Name, u.repo.Tag(tag), u.digest)
				continue
			}
			failed := &TagError{Reference: u.repo.Tag(tag).String(), Err: err}
			if errors.Is(err, errUnknown) {
				failed.Left = append(failed.Left, failed.Reference+" may have been set")
			}
			// Undone even if the caller has had enough: an interrupt must leave a known state.
			undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			for _, m := range slices.Backward(moved) {
				ref := m.u.repo.Tag(m.tag).String()
				if err := r.unsetTag(undo, m.u, m.tag); err != nil {
					failed.Left = append(failed.Left, fmt.Sprintf("%s names %s: %v", ref, m.u.digest, err))
				} else {
					failed.Undone = append(failed.Undone, ref)
				}
			}
			return failed
		}
	}
	return nil
}

// errUnknown says that nobody knows whether a tag was set.
var errUnknown = errors.New("what it names now cannot be read")

// setTag lets a tag name an image, and makes sure that it does: an answer that was lost is no failure.
func (r *Registry) setTag(ctx context.Context, u *upload, tag string) error {
	ref := u.repo.Tag(tag)
	putErr := r.pusher.Put(ctx, ref, u.named())
	// Looked at even if the caller has had enough: the request may have arrived.
	check, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	d, err := remote.Head(ref, r.options(check)...)
	switch {
	case err == nil && d.Digest == u.digest:
		return nil
	case err != nil && !notFound(err):
		return errors.Join(putErr, fmt.Errorf("%w: %w", errUnknown, err))
	case putErr != nil:
		return putErr
	case err != nil:
		return fmt.Errorf("the tag was set, and was gone at once: somebody else has deleted it")
	}
	return fmt.Errorf("the tag was set, but names %s: somebody else has set it meanwhile", d.Digest)
}

// unsetTag lets a tag name again what it named before, or nothing.
func (r *Registry) unsetTag(ctx context.Context, u *upload, tag string) error {
	ref := u.repo.Tag(tag)
	if old := u.before[tag]; old != nil {
		return r.pusher.Put(ctx, ref, old)
	}
	if r.ecr == nil {
		return r.pusher.Delete(ctx, ref)
	}
	out, err := r.ecr.BatchDeleteImage(ctx, &ecr.BatchDeleteImageInput{
		RegistryId: r.account, RepositoryName: aws.String(u.repo.RepositoryStr()),
		ImageIds: []types.ImageIdentifier{{ImageTag: &tag}},
	})
	if err == nil && len(out.Failures) > 0 {
		err = errors.New(aws.ToString(out.Failures[0].FailureReason))
	}
	return err
}

// Conflict is a tag that names another image and may not move.
type Conflict struct {
	Reference  string `json:"reference"`
	Digest     string `json:"digest"` // what it names
	New        string `json:"new"`    // what it should name
	Mutability string `json:"mutability"`
}

// ConflictError says which tags name other images and may not move. Nothing was sent.
type ConflictError struct{ Tags []Conflict }

// Error says what can be done.
func (e *ConflictError) Error() string {
	var b strings.Builder
	for _, c := range e.Tags {
		fmt.Fprintf(&b, "%s names %s already, not %s, and tags of this repository do not move (%s). ", c.Reference, c.Digest, c.New, c.Mutability)
	}
	b.WriteString("Nothing was pushed. Push under another build number; or, if that image is a mistake, delete its tag first " +
		"(aws ecr batch-delete-image --repository-name NAME --image-ids imageTag=TAG)")
	return b.String()
}

// TagError says that a tag could not be set, and how all tags stand now.
type TagError struct {
	Reference string   // the tag that could not be set
	Err       error    // why
	Undone    []string // tags set before, which name again what they did
	Left      []string // tags set before that could not be put back, and why
}

// Unwrap returns the reason.
func (e *TagError) Unwrap() error { return e.Err }

// Error says how the tags stand.
func (e *TagError) Error() string {
	text := fmt.Sprintf("setting %s: %v. ", e.Reference, e.Err)
	var te *transport.Error
	if errors.As(e.Err, &te) && slices.ContainsFunc(te.Errors, func(d transport.Diagnostic) bool { return d.Code == transport.TagInvalidErrorCode }) {
		text += "Push under another build number, or delete the tag first. "
	}
	if len(e.Undone) > 0 {
		text += "Put back as it was: " + strings.Join(e.Undone, ", ") + ". "
	}
	if len(e.Left) > 0 {
		return text + "NOT put back: " + strings.Join(e.Left, "; ") + ". Push again, or delete these tags by hand"
	}
	return text + "No tag has moved. A second push sends only what is missing"
}
