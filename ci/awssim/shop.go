package awssim

import (
	"fmt"
	"net/http"
	"strings"
)

// Listener answers as a service's load balancer does, at its production listener or its test listener: with a small shop
// of the build that the tasks run which traffic is led to. How the shop of a build is, facts say:
//
//	shop:BUILD           the status of its pages: "500"; "500 every 2" of every second one
//	shop:BUILD:page      what its pages say
//	shop:BUILD:styles    the status of its style sheet
//	shop:BUILD:revision  the build that REVISION.txt names; "none": there is no such file
//
// It is not one of AWS's APIs: its requests are in no record, and no fault meets them.
func (w *World) Listener(cluster, service string, test bool) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.catchUp()
		image := w.ecs.Serving(cluster, service, test)
		s := shop{build: w.buildOf(image), facts: w.behaviors.Facts, page: func() int { w.pages++; return w.pages }}
		status, kind, body := s.answer(r.URL.Path)
		w.mu.Unlock()
		rw.Header().Set("Content-Type", kind)
		rw.WriteHeader(status)
		_, _ = fmt.Fprint(rw, body) // a client that has gone away needs no answer
	})
}

// buildOf is the tag of an image; empty: it has none.
func (w *World) buildOf(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[i+1:]
	}
	return w.registry.TagOf(name[strings.IndexByte(name, '/')+1:], digest)
}

// shop is the shop of one build, asked once.
type shop struct {
	build string
	facts map[string]string
	page  func() int // counts the pages
}

const html, text = "text/html; charset=UTF-8", "text/plain; charset=UTF-8"

func (s shop) answer(path string) (status int, kind, body string) {
	const sheet = "/frontend/Magento/luma/en_US/css/styles.css"
	fact := func(name string) string { return s.facts["shop:"+s.build+name] }
	number := func(fact string) int {
		status, every := http.StatusOK, 1
		if n, _ := fmt.Sscanf(fact, "%d every %d", &status, &every); n == 2 && s.page()%every != 0 {
			return http.StatusOK
		}
		return status
	}
	switch {
	case s.build == "":
		return http.StatusServiceUnavailable, html, "<html><h1>503 Service Temporarily Unavailable</h1></html>"
	case path == "/REVISION.txt":
		build := fact(":revision")
		switch build {
		case "none":
			return http.StatusNotFound, html, "<html><h1>404 Not Found</h1></html>"
		case "":
			build = s.build
		}
		return http.StatusOK, text, "build " + build + "\n"
	case strings.HasPrefix(path, "/static/") && strings.HasSuffix(path, sheet):
		if status := number(fact(":styles")); status != http.StatusOK {
			return status, html, "<html><h1>Not Found</h1></html>"
		}
		return http.StatusOK, "text/css", "body{}"
	case strings.HasPrefix(path, "/static/"):
		return http.StatusNotFound, html, "<html><h1>404 Not Found</h1></html>"
	}
	if status := number(fact("")); status != http.StatusOK {
		return status, html, "<html><h1>There has been an error processing your request</h1></html>"
	}
	page := fact(":page")
	if page == "" {
		page = "Welcome"
	}
	return http.StatusOK, html, fmt.Sprintf(`<html><head><link rel="stylesheet" href="/static/version%s%s"></head><body>%s</body></html>`, s.build, sheet, page)
}

// visitor says that a request is a browser's and not one to an API of AWS.
func visitor(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Authorization") == "" && r.Header.Get("X-Amz-Target") == "" && r.URL.RawQuery == ""
}

// serveShop answers a visitor with the shop of the first service that has a load balancer.
func (w *World) serveShop(rw http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	cluster, service := w.ecs.Front()
	w.mu.Unlock()
	w.Listener(cluster, service, false).ServeHTTP(rw, r)
}
